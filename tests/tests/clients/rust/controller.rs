//! Controllers as operators are written: children kept by apply, and finalizers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event as KubernetesEvent;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::wait::{await_condition, delete::delete_and_finalize};
use kube::runtime::watcher::Config;
use kube::{Client, Resource, ResourceExt};
use serde_json::json;

use super::objects::object;
use super::patiently;

/// Every parent gets a Secret of its own name, and an event that says so.
async fn keep_child(parent: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, kube::Error> {
    let client = client.as_ref();
    let children: Api<Secret> = Api::default_namespaced(client.clone());
    let name = parent.name_any();
    let owner = parent.controller_owner_ref(&()).expect("an object of the server has a uid");
    let child = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "ownerReferences": [owner]},
        "stringData": parent.data,
    });
    children.patch(&name, &PatchParams::apply("keeper").force(), &Patch::Apply(child)).await?;
    let reporter = Reporter { controller: "example.com/keeper".into(), instance: None };
    let event = Event {
        type_: EventType::Normal,
        reason: "Kept".into(),
        note: Some("the child is there".into()),
        action: "Keep".into(),
        secondary: None,
    };
    Recorder::new(client.clone(), reporter).publish(&event, &parent.object_ref(&())).await?;
    Ok(Action::requeue(Duration::from_secs(3600)))
}

pub(super) async fn keeps_children(client: &Client) {
    let parents: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let children: Api<Secret> = Api::default_namespaced(client.clone());
    let events: Api<KubernetesEvent> = Api::default_namespaced(client.clone());
    let work = Controller::new(parents.clone(), Config::default().labels("role=parent"))
        .owns(children.clone(), Config::default())
        .run(keep_child, |_, error, _| panic!("{error}"), Arc::new(client.clone()))
        .for_each(async |outcome| match outcome {
            // A child outlives its parent for a moment, and asks for it.
            Ok(_) | Err(controller::Error::ObjectNotFound(_)) => {}
            Err(error) => panic!("{error}"),
        });
    let says = |word: &'static str| {
        let children = children.clone();
        let said = move |child: Option<&Secret>| {
            let data = child.and_then(|child| child.data.as_ref());
            data.and_then(|data| data.get("word")).is_some_and(|value| value.0 == word.as_bytes())
        };
        async move { await_condition(children, "parent", said).await.unwrap().unwrap() }
    };
    let story = async {
        let meta = json!({"name": "parent", "labels": {"role": "parent"}});
        let parent = object(json!({"metadata": meta, "data": {"word": "one"}}));
        parents.create(&PostParams::default(), &parent).await.unwrap();
        let first = says("one").await;
        assert_eq!(first.owner_references()[0].name, "parent");
        let newer = Patch::Merge(json!({"data": {"word": "two"}}));
        parents.patch("parent", &PatchParams::default(), &newer).await.unwrap();
        assert_eq!(says("two").await.uid(), first.uid());
        // Somebody takes the child away: there is a new one.
        children.delete("parent", &DeleteParams::default()).await.unwrap();
        let is_new = |child: Option<&Secret>| child.is_some_and(|new| new.uid() != first.uid());
        await_condition(children.clone(), "parent", is_new).await.unwrap();

        let about = ListParams::default().fields("reason=Kept");
        let told = events.list(&about).await.unwrap();
        assert_eq!(told.items[0].regarding.as_ref().unwrap().name.as_deref(), Some("parent"));
        // The child goes with its parent.
        parents.delete("parent", &DeleteParams::default()).await.unwrap();
        let gone = |child: Option<&Secret>| child.is_none();
        await_condition(children.clone(), "parent", gone).await.unwrap();
    };
    tokio::select! {
        () = work => panic!("the controller ended"),
        () = patiently("the parent's story", story) => {}
    }
}

/// Nothing to do but to be asked before the end.
async fn hold(
    object: Arc<ConfigMap>,
    client: Arc<Client>,
) -> Result<Action, finalizer::Error<Infallible>> {
    let api: Api<ConfigMap> = Api::default_namespaced(client.as_ref().clone());
    finalizer(&api, "example.com/hold", object, async |event| {
        Ok(match event {
            finalizer::Event::Apply(_) => Action::requeue(Duration::from_secs(3600)),
            finalizer::Event::Cleanup(_) => Action::await_change(),
        })
    })
    .await
}

pub(super) async fn cleans_up_behind_finalizers(client: &Client) {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let work = Controller::new(api.clone(), Config::default().labels("role=held"))
        // Somebody else may have been quicker: then it is done again.
        .run(hold, |_, _, _| Action::requeue(Duration::ZERO), Arc::new(client.clone()))
        .for_each(async |_| {});
    let story = async {
        let meta = json!({"name": "held", "labels": {"role": "held"}});
        let held = object(json!({"metadata": meta}));
        api.create(&PostParams::default(), &held).await.unwrap();
        let has_it = |object: Option<&ConfigMap>| {
            object.is_some_and(|object| object.finalizers() == ["example.com/hold"])
        };
        await_condition(api.clone(), "held", has_it).await.unwrap();
        delete_and_finalize(api.clone(), "held", &DeleteParams::default()).await.unwrap();
    };
    tokio::select! {
        () = work => panic!("the controller ended"),
        () = patiently("the held object's story", story) => {}
    }
}

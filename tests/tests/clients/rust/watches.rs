//! Watchers, which survive the end of their connection, and the stores that they fill.

use std::pin::pin;

use futures_util::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::objects::object;
use super::patiently;

async fn make(api: &Api<ConfigMap>, name: &str, part: &str) {
    let wanted = object(json!({"metadata": {"name": name, "labels": {"part": part}}}));
    api.create(&PostParams::default(), &wanted).await.unwrap();
}

/// The server ends the watch every second; nothing is lost or seen twice.
pub(super) async fn go_on_when_they_are_ended(client: &Client) {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    make(&api, "first", "watch").await;
    let config = watcher::Config::default().labels("part=watch").timeout(1);
    let mut events = pin!(watcher(api.clone(), config));
    let mut seen = Vec::new();
    let mut until = async |length: usize| {
        while seen.len() < length {
            let event = patiently("an event", events.try_next()).await.unwrap();
            seen.push(match event.expect("a watcher does not end") {
                Event::Init => "init".to_owned(),
                Event::InitApply(object) => format!("init {}", object.name_any()),
                Event::InitDone => "init done".to_owned(),
                Event::Apply(object) => format!("apply {}", object.name_any()),
                Event::Delete(object) => format!("delete {}", object.name_any()),
            });
        }
    };
    until(3).await;
    for round in 0..3 {
        // Together the rounds take longer than a watch lasts.
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        make(&api, &format!("round-{round}"), "watch").await;
        until(4 + round).await;
    }
    api.delete("first", &DeleteParams::default()).await.unwrap();
    until(7).await;
    let wanted = ["init", "init first", "init done"];
    let later = ["apply round-0", "apply round-1", "apply round-2", "delete first"];
    assert_eq!(seen, [&wanted[..], &later[..]].concat());
}

/// A reflector's store, filled by a list and a watch or by a streaming list.
pub(super) async fn fill_a_store(client: &Client, streaming: bool) {
    let api: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let part = if streaming { "streamed" } else { "listed" };
    make(&api, &format!("{part}-early"), part).await;
    let config = watcher::Config::default().labels(&format!("part={part}"));
    let config = if streaming { config.streaming_lists() } else { config.page_size(1) };
    let (store, writer) = reflector::store();
    let mut events = reflector::reflector(writer, watcher(api.clone(), config)).boxed();
    let mut until = async |name: &str, there: bool| {
        let key = ObjectRef::new(name).within("default");
        while store.get(&key).is_some() != there {
            patiently("an event", events.try_next()).await.unwrap();
        }
    };
    until(&format!("{part}-early"), true).await;
    make(&api, &format!("{part}-late"), part).await;
    until(&format!("{part}-late"), true).await;
    api.delete(&format!("{part}-early"), &DeleteParams::default()).await.unwrap();
    until(&format!("{part}-early"), false).await;
    assert_eq!(store.state().len(), 1);
}

//! ResourceClaims of pods: made from templates, and given back when their users have ended.

use controllers::Config;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimTemplate};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::api::{Cluster, eventually};

const FINALIZER: &str = "resource.kubernetes.io/delete-protection";

fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn spec() -> Value {
    json!({"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}})
}

fn pod(name: &str, claim: Value) -> Pod {
    let mut entry = json!({"name": "gpu"});
    for (key, value) in claim.as_object().unwrap() {
        entry[key] = value.clone();
    }
    object(json!({"metadata": {"name": name}, "spec": {"resourceClaims": [entry],
        "containers": [{"name": "c", "image": "none"}]}}))
}

struct Claims {
    claims: Api<ResourceClaim>,
    pods: Api<Pod>,
}

impl Claims {
    fn new(client: &Client) -> Self {
        Self {
            claims: Api::default_namespaced(client.clone()),
            pods: Api::default_namespaced(client.clone()),
        }
    }

    async fn pod(&self, pod: Pod) -> Pod {
        self.pods.create(&PostParams::default(), &pod).await.unwrap()
    }

    /// The name of the claim that a pod was told.
    async fn told(&self, pod: &str) -> String {
        eventually(&format!("{pod} has a claim"), || async {
            let status = self.pods.get(pod).await.unwrap().status;
            let mut told = status.iter().flat_map(|s| s.resource_claim_statuses.iter().flatten());
            let name = told.find(|s| s.name == "gpu").and_then(|s| s.resource_claim_name.clone());
            name.ok_or_else(|| format!("{status:?}"))
        })
        .await
    }

    /// What the scheduler does: allocates the claim, and reserves it for these pods.
    async fn allocate(&self, name: &str, users: &[&Pod]) {
        let users: Vec<Value> = users
            .iter()
            .map(|pod| json!({"resource": "pods", "name": pod.name_any(), "uid": pod.uid()}))
            .collect();
        let params = PatchParams::default();
        let keep = Patch::Merge(json!({"metadata": {"finalizers": [FINALIZER]}}));
        self.claims.patch(name, &params, &keep).await.unwrap();
        let result = json!({"request": "r", "driver": "d.io", "pool": "p", "device": "x"});
        let status =
            json!({"allocation": {"devices": {"results": [result]}}, "reservedFor": users});
        let status = Patch::Merge(json!({"status": status}));
        self.claims.patch_status(name, &params, &status).await.unwrap();
    }

    async fn until(&self, name: &str, what: &str, holds: impl Fn(&ResourceClaim) -> bool) {
        eventually(what, || async {
            let claim = self.claims.get(name).await.map_err(|error| error.to_string())?;
            if holds(&claim) { Ok(()) } else { Err(format!("{claim:#?}")) }
        })
        .await;
    }

    async fn gone(&self, name: &str) {
        eventually(&format!("{name} is gone"), || async {
            match self.claims.get_opt(name).await.unwrap() {
                None => Ok(()),
                Some(claim) => Err(format!("{claim:#?}")),
            }
        })
        .await;
    }
}

fn users(claim: &ResourceClaim) -> usize {
    claim.status.iter().flat_map(|status| status.reserved_for.iter().flatten()).count()
}

fn is_free(claim: &ResourceClaim) -> bool {
    claim.status.as_ref().is_none_or(|status| status.allocation.is_none())
        && users(claim) == 0
        && claim.finalizers().is_empty()
}

#[tokio::test]
async fn a_pod_has_the_claim_of_its_template_while_it_runs() {
    let cluster = Cluster::start(Config::default()).await;
    let all = Claims::new(&cluster.client);
    let templates: Api<ResourceClaimTemplate> = Api::default_namespaced(cluster.client.clone());
    let events: Api<Event> = Api::default_namespaced(cluster.client.clone());
    let from = |template: &str| json!({"resourceClaimTemplateName": template});

    // The template comes late.
    let made = all.pod(pod("early", from("late"))).await;
    let message = eventually("the event", || async {
        let events = events.list(&ListParams::default()).await.unwrap().items;
        let mut told = events.iter().filter(|event| {
            event.involved_object.name.as_deref() == Some("early")
                && event.reason.as_deref() == Some("FailedResourceClaimCreation")
        });
        told.next().and_then(|event| event.message.clone()).ok_or(events.len())
    })
    .await;
    let why = "PodResourceClaim gpu: resource claim template \"late\": \
               resourceclaimtemplate.resource.k8s.io \"late\" not found";
    assert_eq!(message, why);
    let spec = json!({"metadata": {"labels": {"a": "b"}}, "spec": spec()});
    let template = object(json!({"metadata": {"name": "late"}, "spec": spec}));
    templates.create(&PostParams::default(), &template).await.unwrap();

    let name = all.told("early").await;
    assert!(name.starts_with("early-gpu-"), "{name}");
    let claim = all.claims.get(&name).await.unwrap();
    assert_eq!(claim.labels()["a"], "b");
    assert_eq!(claim.annotations()["resource.kubernetes.io/pod-claim-name"], "gpu");
    let owner = &claim.owner_references()[0];
    assert_eq!((Some(&owner.uid), owner.controller), (made.uid().as_ref(), Some(true)));

    // One that is taken away by mistake is made anew.
    all.claims.delete(&name, &DeleteParams::default()).await.unwrap();
    let again = eventually("another claim", || async {
        let now = all.told("early").await;
        if now == name { Err(now) } else { Ok(now) }
    })
    .await;
    let list = all.claims.list(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.len(), 1, "{:?}", list.items);

    // What the pod had is free when it has ended, although the pod is still there.
    all.allocate(&again, &[&made]).await;
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    all.pods.patch_status("early", &PatchParams::default(), &ended).await.unwrap();
    all.gone(&again).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_claim_that_was_made_by_hand_is_given_back_by_its_last_user() {
    let cluster = Cluster::start(Config::default()).await;
    let all = Claims::new(&cluster.client);
    let claim = object(json!({"metadata": {"name": "shared"}, "spec": spec()}));
    all.claims.create(&PostParams::default(), &claim).await.unwrap();
    let named = || json!({"resourceClaimName": "shared"});
    let (one, other) = (all.pod(pod("one", named())).await, all.pod(pod("other", named())).await);
    all.allocate("shared", &[&one, &other]).await;

    let now = DeleteParams::default().grace_period(0);
    all.pods.delete("one", &now).await.unwrap();
    all.until("shared", "one user is struck out", |claim| users(claim) == 1).await;
    let claim = all.claims.get("shared").await.unwrap();
    assert!(claim.status.unwrap().allocation.is_some(), "the other one uses it");
    all.pods.delete("other", &now).await.unwrap();
    all.until("shared", "the claim is free", is_free).await;

    // One that was allocated and is deleted goes when nobody uses it.
    let last = all.pod(pod("last", named())).await;
    all.allocate("shared", &[&last]).await;
    all.claims.delete("shared", &DeleteParams::default()).await.unwrap();
    let kept = all.claims.get("shared").await.unwrap();
    assert!(kept.metadata.deletion_timestamp.is_some(), "{kept:?}");
    all.pods.delete("last", &now).await.unwrap();
    all.gone("shared").await;
    cluster.stop().await;
}

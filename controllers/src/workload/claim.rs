//! Whose an object is.
//!
//! An owner has what refers to it as its controller and matches its selector. What matches and has no
//! controller is adopted; what refers to it and does not match any more is released. An owner that is
//! being deleted does neither: its objects are the garbage collector's by then.
//!
//! Source: k8s.io/kubernetes/pkg/controller/controller_ref_manager.go.

use std::fmt::Debug;
use std::sync::Arc;

use api::owner;
use api::selector::LabelSelector;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self as meta, OwnerReference};
use kube::api::{Api, Patch, PatchParams, Resource};
use kube::{Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::informer::Key;
use crate::reconcile::{ReconcileError, request, unless_gone};

/// A kind in a namespace that owns objects, or is owned.
pub(crate) trait Namespaced:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Namespaced for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// What an owner has, and how that has to change.
#[derive(Debug)]
pub(crate) struct Claims<K> {
    /// Its objects, those to adopt included.
    pub(crate) owned: Vec<Arc<K>>,
    /// Matching objects without a controller.
    pub(crate) adopt: Vec<Arc<K>>,
    /// Its objects that do not match any more.
    pub(crate) release: Vec<Arc<K>>,
}

/// Decides for `owner` about objects of its namespace.
pub(crate) fn claims<O: Resource, K: Resource>(
    owner: &O,
    selector: &LabelSelector,
    objects: impl IntoIterator<Item = Arc<K>>,
) -> Claims<K> {
    let uid = owner.meta().uid.as_deref().unwrap_or_default();
    let deleting = owner.meta().deletion_timestamp.is_some();
    let (mut owned, mut adopt, mut release) = (Vec::new(), Vec::new(), Vec::new());
    for object in objects {
        let matches = selector.matches(object.labels());
        match owner::controller_of(object.meta()) {
            Some(reference) if reference.uid == uid => {
                if matches {
                    owned.push(object);
                } else if !deleting {
                    release.push(object);
                }
            }
            None if matches && !deleting && object.meta().deletion_timestamp.is_none() => {
                adopt.push(object.clone());
                owned.push(object);
            }
            _ => {}
        }
    }
    Claims { owned, adopt, release }
}

/// The selector of a workload's spec. One that makes no sense selects nothing.
pub(crate) fn selector(of: &meta::LabelSelector) -> LabelSelector {
    let value = serde_json::to_value(of).unwrap_or_default();
    LabelSelector::from_object(&value).unwrap_or_else(|_| LabelSelector::nothing())
}

/// The reference by which `owner` claims what it owns.
pub(crate) fn reference<O: Resource<DynamicType = ()>>(owner: &O) -> OwnerReference {
    let uid = owner.uid().unwrap_or_default();
    owner::controller_reference(&O::api_version(&()), &O::kind(&()), &owner.name_any(), &uid)
}

/// Adopts and releases.
///
/// # Errors
/// Failed requests, and [`ReconcileError::Stale`] when the owner is gone or going: the cache may
/// not know yet, so the API server is asked before anything is adopted.
pub(crate) async fn settle<O: Namespaced, K: Namespaced>(
    client: &Client,
    owner: &O,
    claims: &Claims<K>,
) -> Result<(), ReconcileError> {
    let namespace = owner.namespace().unwrap_or_default();
    if !claims.adopt.is_empty() {
        let fresh: Api<O> = Api::namespaced(client.clone(), &namespace);
        let live = request("get", Key::of(owner), fresh.get_opt(&owner.name_any())).await?;
        let current = live.is_some_and(|live| {
            live.uid() == owner.uid() && live.meta().deletion_timestamp.is_none()
        });
        if !current {
            return Err(ReconcileError::Stale { subject: Key::of(owner).to_string() });
        }
    }
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    for object in &claims.adopt {
        let metadata = json!({"uid": object.uid(), "ownerReferences": [reference(owner)]});
        patch(&api, object, json!({"metadata": metadata})).await?;
    }
    for object in &claims.release {
        let removed = json!([{"$patch": "delete", "uid": owner.uid()}]);
        let metadata = json!({"uid": object.uid(), "ownerReferences": removed});
        patch(&api, object, json!({"metadata": metadata})).await?;
    }
    Ok(())
}

async fn patch<K: Namespaced>(
    api: &Api<K>,
    object: &Arc<K>,
    patch: serde_json::Value,
) -> Result<(), ReconcileError> {
    let (name, params, patch) =
        (object.name_any(), PatchParams::default(), Patch::Strategic(patch));
    let patched = api.patch(&name, &params, &patch);
    unless_gone(request("patch", Key::of(&**object), patched).await).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::ReplicaSet;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::Value;

    fn pod(name: &str, app: &str, owner: Option<&str>, going: bool) -> Arc<Pod> {
        let mut value = json!({"metadata": {"name": name, "labels": {"app": app}}});
        if let Some(uid) = owner {
            value["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1",
                "kind": "ReplicaSet", "name": "x", "uid": uid, "controller": true}]);
        }
        if going {
            value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn owner(extra: Value) -> ReplicaSet {
        let mut value = json!({"metadata": {"name": "rs", "uid": "me"},
            "spec": {"selector": {"matchLabels": {"app": "a"}}}});
        value["metadata"]["deletionTimestamp"] = extra;
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn claims_follow_selector_and_owner() {
        let pods = [
            pod("mine", "a", Some("me"), false),
            pod("mine-going", "a", Some("me"), true),
            pod("lost", "b", Some("me"), false),
            pod("orphan", "a", None, false),
            pod("orphan-going", "a", None, true),
            pod("stranger", "b", None, false),
            pod("others", "a", Some("other"), false),
        ];
        let names = |pods: &[Arc<Pod>]| pods.iter().map(|p| p.name_any()).collect::<Vec<_>>();
        let here = owner(Value::Null);
        let selector = selector(&here.spec.clone().unwrap().selector);
        let found = claims(&here, &selector, pods.clone());
        assert_eq!(names(&found.owned), ["mine", "mine-going", "orphan"]);
        assert_eq!(names(&found.adopt), ["orphan"]);
        assert_eq!(names(&found.release), ["lost"]);

        let going = claims(&owner("2026-01-01T00:00:00Z".into()), &selector, pods.clone());
        assert_eq!(names(&going.owned), ["mine", "mine-going"]);
        assert!(going.adopt.is_empty() && going.release.is_empty());

        let nothing = claims(&here, &LabelSelector::nothing(), pods);
        assert!(nothing.owned.is_empty() && nothing.adopt.is_empty());
    }
}

//! How many pods there should be: the sum of what the owners of the pods ask for.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use api::owner;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::Api;
use kube::core::DynamicObject;
use kube::{Client, ResourceExt};

use super::Owners;
use super::plan::Scale;
use crate::informer::Key;
use crate::reconcile::{ReconcileError, request, unless_gone};
use crate::scale_target::{self, Target};

/// What an owner says.
enum Answer {
    /// So many, of the owner with this uid.
    Wants(String, i32),
    /// It does not exist.
    Gone,
    /// Its kind has no number of pods.
    NoScale(String),
}

impl Owners {
    /// Asks the owners of the pods.
    pub(super) async fn scale(
        &self,
        client: &Client,
        pods: &[Arc<Pod>],
    ) -> Result<Scale, ReconcileError> {
        let (mut wanted, mut unmanaged) = (HashMap::new(), Vec::new());
        let mut asked = BTreeSet::new();
        for pod in pods {
            let Some(reference) = owner::controller_of(&pod.metadata) else {
                unmanaged.push(pod.name_any());
                continue;
            };
            if !asked.insert(reference.uid.clone()) {
                continue;
            }
            match self.ask(client, &pod.namespace().unwrap_or_default(), reference).await? {
                Answer::Wants(uid, count) => drop(wanted.insert(uid, count)),
                Answer::NoScale(why) => return Ok(Scale::Unknown(why)),
                Answer::Gone => {
                    let why = format!("found no controllers for pod {:?}", pod.name_any());
                    return Ok(Scale::Unknown(why));
                }
            }
        }
        Ok(Scale::Known { count: wanted.values().sum(), unmanaged })
    }

    async fn ask(
        &self,
        client: &Client,
        namespace: &str,
        reference: &OwnerReference,
    ) -> Result<Answer, ReconcileError> {
        let key = Key::new(namespace, &reference.name);
        let known = |uid: Option<String>, count: Option<i32>| match uid {
            Some(uid) => Answer::Wants(uid, count.unwrap_or(1)),
            None => Answer::Gone,
        };
        Ok(match (reference.api_version.as_str(), reference.kind.as_str()) {
            ("v1", "ReplicationController") => {
                let owner = self.replication_controllers.get(&key);
                let owner = owner.filter(|owner| owner.uid().as_ref() == Some(&reference.uid));
                let count = owner.as_ref().and_then(|o| o.spec.as_ref()?.replicas);
                known(owner.and_then(|owner| owner.uid()), count)
            }
            ("apps/v1", "StatefulSet") => {
                let owner = self.stateful_sets.get(&key);
                let owner = owner.filter(|owner| owner.uid().as_ref() == Some(&reference.uid));
                let count = owner.as_ref().and_then(|o| o.spec.as_ref()?.replicas);
                known(owner.and_then(|owner| owner.uid()), count)
            }
            ("apps/v1", "ReplicaSet") => {
                let owner = self.replica_sets.get(&key);
                let Some(owner) = owner.filter(|o| o.uid().as_ref() == Some(&reference.uid)) else {
                    return Ok(Answer::Gone);
                };
                // During a rollout several ReplicaSets share the pods of one Deployment.
                match owner::controller_of(&owner.metadata).filter(|r| r.kind == "Deployment") {
                    Some(above) => {
                        let found = self.deployments.get(&Key::new(namespace, &above.name));
                        let found = found.filter(|o| o.uid().as_ref() == Some(&above.uid));
                        let count = found.as_ref().and_then(|o| o.spec.as_ref()?.replicas);
                        known(found.and_then(|found| found.uid()), count)
                    }
                    None => known(owner.uid(), owner.spec.as_ref().and_then(|spec| spec.replicas)),
                }
            }
            _ => return by_subresource(client, namespace, reference).await,
        })
    }
}

/// Asks an owner of another kind by its `scale` subresource.
async fn by_subresource(
    client: &Client,
    namespace: &str,
    reference: &OwnerReference,
) -> Result<Answer, ReconcileError> {
    let kind = &reference.kind;
    let resource = match scale_target::find(client, &reference.api_version, kind).await? {
        Target::Scales(resource) => resource,
        Target::Fixed(name) => {
            return Ok(Answer::NoScale(format!("{name} does not implement the scale subresource")));
        }
        Target::Unknown => return Ok(Answer::NoScale(format!("no matches for kind {kind:?}"))),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let subject = format!("{kind} {}", reference.name);
    let scale = request("get scale of", subject, api.get_scale(&reference.name)).await;
    Ok(match unless_gone(scale)? {
        Some(scale) => {
            let count = scale.spec.and_then(|spec| spec.replicas).unwrap_or(0);
            Answer::Wants(reference.uid.clone(), count)
        }
        None => Answer::Gone,
    })
}

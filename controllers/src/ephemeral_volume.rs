//! Claims of `ephemeral` volumes: made for their pod, owned by it, gone with it.
//!
//! The claim's name is told by pod and volume, so a claim of that name may be there already and be
//! somebody else's: it is left alone and the pod is told. [`plan`] decides.
//!
//! Source: <https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes>.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};

use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request};
use crate::workload::claim::reference;

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "ephemeral_volume";

/// The name of the claim that is made for a pod's `ephemeral` volume.
pub(crate) fn claim_name(pod: &Pod, volume: &Volume) -> String {
    format!("{}-{}", pod.name_any(), volume.name)
}

/// What to do about one volume of a pod.
#[derive(Debug, PartialEq)]
enum Step {
    /// Make this claim.
    Create { volume: String, claim: Box<PersistentVolumeClaim> },
    /// A claim of that name is not the pod's.
    Taken { volume: String, claim: String },
}

/// What the pod's volumes lack. `claim` finds one of the pod's namespace by its name.
fn plan(pod: &Pod, claim: impl Fn(&str) -> Option<Arc<PersistentVolumeClaim>>) -> Vec<Step> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let mut steps = Vec::new();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let Some(source) = &volume.ephemeral else { continue };
        let Some(template) = &source.volume_claim_template else { continue };
        let name = claim_name(pod, volume);
        match claim(&name) {
            Some(found) if is_for(&found, pod) => {}
            Some(_) => steps.push(Step::Taken { volume: volume.name.clone(), claim: name }),
            None => {
                let given = template.metadata.clone().unwrap_or_default();
                let claim = Box::new(PersistentVolumeClaim {
                    metadata: ObjectMeta {
                        name: Some(name),
                        annotations: given.annotations,
                        labels: given.labels,
                        owner_references: Some(vec![reference(pod)]),
                        ..ObjectMeta::default()
                    },
                    spec: Some(template.spec.clone()),
                    status: None,
                });
                steps.push(Step::Create { volume: volume.name.clone(), claim });
            }
        }
    }
    steps
}

fn is_for(claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    let mut owners = claim.owner_references().iter();
    owners.any(|owner| owner.controller == Some(true) && Some(&owner.uid) == pod.uid().as_ref())
}

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct EphemeralVolumes {
    client: Client,
    pods: Cache<Pod>,
    claims: Cache<PersistentVolumeClaim>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

impl EphemeralVolumes {
    /// Hooks into the informers; the queue of pods is to be served with
    /// [`EphemeralVolumes::reconcile`].
    pub(crate) fn new(
        client: Client,
        pods: &mut Informer<Pod>,
        claims: &mut Informer<PersistentVolumeClaim>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            pods: pods.cache(),
            claims: claims.cache(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        pods.on_change(move |before, now| {
            // Volumes of a pod never change.
            if let (None, Some(pod)) = (before, now)
                && has_ephemeral(pod)
            {
                queue.add(Key::of(&**pod));
            }
        });
        let (queue, pods) = (this.queue.clone(), this.pods.clone());
        claims.on_change(move |before, now| {
            // A claim that is gone may be wanted anew, or no longer be in the way.
            if let (Some(claim), None) = (before, now) {
                let concerned = |pod: &Arc<Pod>| {
                    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
                    let mut ephemeral = volumes.filter(|volume| volume.ephemeral.is_some());
                    ephemeral.any(|volume| claim_name(pod, volume) == claim.name_any())
                };
                let around = pods.in_namespace(&claim.namespace().unwrap_or_default());
                around
                    .iter()
                    .filter(|pod| concerned(pod))
                    .for_each(|pod| queue.add(Key::of(&**pod)));
            }
        });
        this
    }

    /// The queue of pods to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Makes the claims that the volumes of a pod lack.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(pod) = self.pods.get(&key) else { return Ok(Next::OnChange) };
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
        for step in plan(&pod, |name| self.claims.get(&Key::new(&key.namespace, name))) {
            let (volume, why) = match step {
                Step::Taken { volume, claim } => {
                    let named = format!("{}/{claim}", key.namespace);
                    (
                        volume,
                        format!("PVC {named} was not created for pod {key} (pod is not owner)"),
                    )
                }
                Step::Create { volume, claim } => {
                    let name = claim.name_any();
                    let params = PostParams::default();
                    let created = api.create(&params, &claim);
                    match request("create claim", Key::new(&key.namespace, &name), created).await {
                        Ok(_) => continue,
                        // It has just been made, and the watch has yet to show it.
                        Err(error) if error.code() == Some(409) => continue,
                        // The namespace is going, and the pod with it.
                        Err(error) if error.has_cause("NamespaceTerminating") => continue,
                        Err(error) => {
                            let why = format!("create PVC {name}: {}", error.message());
                            self.tell(&pod, &volume, &why);
                            return Err(error);
                        }
                    }
                }
            };
            self.tell(&pod, &volume, &why);
        }
        Ok(Next::OnChange)
    }

    fn tell(&self, pod: &Pod, volume: &str, why: &str) {
        let message = format!("ephemeral volume {volume}: {why}");
        self.recorder.warning(Subject::of(pod), "FailedBinding", message);
    }
}

fn has_ephemeral(pod: &Pod) -> bool {
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.any(|volume| volume.ephemeral.is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_gets_the_claims_it_lacks() {
        let template =
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {"storageClassName": "s"}});
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [], "volumes": [
                {"name": "e", "ephemeral": {"volumeClaimTemplate": template}},
                {"name": "d", "emptyDir": {}}]}}))
        .unwrap();
        let steps = plan(&pod, |_| None);
        let [Step::Create { claim, .. }] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!(claim.name_any(), "p-e");
        assert_eq!(claim.labels()["a"], "b");
        assert_eq!(claim.spec.as_ref().unwrap().storage_class_name.as_deref(), Some("s"));
        let owner = &claim.owner_references()[0];
        assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("Pod", "u"));
        assert_eq!(owner.controller, Some(true));

        let made = Arc::new((**claim).clone());
        assert_eq!(plan(&pod, |_| Some(made.clone())), []);
        let stranger = Arc::new(PersistentVolumeClaim::default());
        let taken = Step::Taken { volume: "e".to_owned(), claim: "p-e".to_owned() };
        assert_eq!(plan(&pod, |_| Some(stranger.clone())), [taken]);
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
        pod.metadata.deletion_timestamp = Some(now);
        assert_eq!(plan(&pod, |_| None), []);
    }
}

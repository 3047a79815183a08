//! ResourceClaims: made for pods from templates, and given back when nobody uses them any more.
//!
//! ```text
//! pod with resourceClaimTemplateName ──► claim `<pod>-<entry>-…`, owned by the pod
//!                                    └─► pod.status.resourceClaimStatuses: which claim it is
//! (the scheduler allocates, reserves for the pod, and sets the finalizer)
//! pod done or gone ──► struck from status.reservedFor
//!                      └─ the last one: allocation given back, finalizer gone, the pod's claim deleted
//! ```
//!
//! A pod and a claim are looked at separately: [`of_pod`] and [`of_claim`] decide. Deallocating and
//! striking out are bound to the version that was looked at, so that a pod that has just reserved the
//! claim does not lose it.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/>,
//! `pkg/controller/resourceclaim`.

mod of_claim;
mod of_pod;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use api::resource_claim::{self, FINALIZER, Named};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::resource::v1::{
    ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate,
};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;

use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Index, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use of_pod::{Known, Step};

/// Name of the controller in logs.
pub(crate) const NAME: &str = "resourceclaim-controller";
/// The `source.component` of its events, as in Kubernetes.
const COMPONENT: &str = "resource_claim";

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A pod that may lack claims.
    Pod(Key),
    /// A claim whose users may have ended.
    Claim(Key),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(key) => write!(f, "pod {key}"),
            Self::Claim(key) => write!(f, "resourceclaim {key}"),
        }
    }
}

/// Names of claims that were made and may not be seen yet, by the UID of their pod and the pod's entry.
type Made = Arc<Mutex<HashMap<(String, String), String>>>;

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct ResourceClaims {
    client: Client,
    pods: Cache<Pod>,
    claims: Cache<ResourceClaim>,
    templates: Cache<ResourceClaimTemplate>,
    /// Claims by the UID of the pod that controls them.
    owned: Index<ResourceClaim>,
    made: Made,
    recorder: Recorder,
    queue: Arc<WorkQueue<Work>>,
}

impl ResourceClaims {
    /// Hooks into the informers; the queue is to be served with [`ResourceClaims::reconcile`].
    pub(crate) fn new(
        client: Client,
        pods: &mut Informer<Pod>,
        claims: &mut Informer<ResourceClaim>,
        templates: &mut Informer<ResourceClaimTemplate>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            pods: pods.cache(),
            claims: claims.cache(),
            templates: templates.cache(),
            owned: claims.index(|claim| {
                let owner = resource_claim::owning_pod(claim);
                owner.map(|(_, uid)| uid.to_owned()).into_iter().collect()
            }),
            made: Made::default(),
            recorder: recorder.named(COMPONENT),
            queue: Arc::new(WorkQueue::new()),
        };
        let users = pods.index(looks_at);
        this.hear_pods(pods);
        let (queue, made, around) = (this.queue.clone(), this.made.clone(), users.clone());
        claims.on_change(move |_, now| {
            if let Some(claim) = now {
                queue.add(Work::Claim(Key::of(&**claim)));
            }
        });
        let queue = this.queue.clone();
        claims.on_change(move |before, now| {
            let Some(claim) = now.or(before) else { return };
            let namespace = claim.namespace().unwrap_or_default();
            if now.is_none() || before.is_none() {
                // From here on the cache knows whether it is there.
                made.lock().retain(|_, name| *name != claim.name_any());
            }
            for pod in around.keys(&format!("claim {namespace}/{}", claim.name_any())) {
                queue.add(Work::Pod(pod));
            }
        });
        let queue = this.queue.clone();
        templates.on_change(move |_, now| {
            let Some(template) = now else { return };
            let namespace = template.namespace().unwrap_or_default();
            for pod in users.keys(&format!("template {namespace}/{}", template.name_any())) {
                queue.add(Work::Pod(pod));
            }
        });
        this
    }

    fn hear_pods(&self, pods: &mut Informer<Pod>) {
        let (queue, made) = (self.queue.clone(), self.made.clone());
        pods.on_change(move |before, now| {
            let Some(pod) = now.or(before) else { return };
            if resource_claim::entries(pod).next().is_none() {
                return;
            }
            let namespace = pod.namespace().unwrap_or_default();
            if now.is_none() {
                let uid = pod.uid().unwrap_or_default();
                made.lock().retain(|(of, _), _| *of != uid);
            }
            if now.is_none_or(|pod| is_over(pod)) {
                for entry in resource_claim::entries(pod) {
                    if let Named::Claim { name, .. } = resource_claim::named(pod, entry) {
                        queue.add(Work::Claim(Key::new(&namespace, name)));
                    }
                }
            } else {
                queue.add(Work::Pod(Key::of(&**pod)));
            }
        });
    }

    /// The queue of pods and claims to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Work>> {
        &self.queue
    }

    /// Gives a pod what it lacks, or takes from a claim what nobody needs.
    pub(crate) async fn reconcile(self, work: Work) -> Result<Next, ReconcileError> {
        match work {
            Work::Pod(key) => self.pod(key).await?,
            Work::Claim(key) => self.claim(key).await?,
        }
        Ok(Next::OnChange)
    }

    async fn pod(&self, key: Key) -> Result<(), ReconcileError> {
        let Some(pod) = self.pods.get(&key) else { return Ok(()) };
        let uid = pod.uid().unwrap_or_default();
        let owned = self.owned.get(&uid);
        let made = |entry: &str| self.made.lock().get(&(uid.clone(), entry.to_owned())).cloned();
        let steps = of_pod::plan(
            &pod,
            &Known {
                claim: &|name| self.claims.get(&Key::new(&key.namespace, name)),
                owned: &owned,
                made: &made,
                template: &|name| self.templates.get(&Key::new(&key.namespace, name)),
            },
        );
        let mut told = Vec::new();
        let mut outcome = Ok(());
        for step in steps {
            match step {
                Step::Tell { entry, claim } => told.push((entry, claim)),
                Step::Create { entry, claim } => {
                    match self.create(&key, &uid, &entry, &claim).await {
                        Ok(name) => told.push((entry, name)),
                        // The namespace is going, and the pod with it.
                        Err(error) if error.has_cause("NamespaceTerminating") => break,
                        Err(error) => {
                            let base = claim.metadata.generate_name.unwrap_or_default();
                            let why = format!("create ResourceClaim {base}: {}", error.message());
                            self.tell(&pod, &entry, &why);
                            outcome = Err(error);
                            break;
                        }
                    }
                }
                // A template that appears brings the pod back.
                Step::Fail { entry, why } => self.tell(&pod, &entry, &why),
                Step::Reserve { claim } => self.reserve(&pod, &key.namespace, &claim).await?,
            }
        }
        if !told.is_empty() {
            let statuses: Vec<_> = told
                .iter()
                .map(|(entry, claim)| json!({"name": entry, "resourceClaimName": claim}))
                .collect();
            let patch = json!({"metadata": {"uid": uid},
                "status": {"resourceClaimStatuses": statuses}});
            let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
            let (params, patch) = (PatchParams::default(), Patch::Strategic(patch));
            let sent = api.patch_status(&key.name, &params, &patch);
            unless_gone(request("patch status of pod", &key, sent).await)?;
        }
        outcome
    }

    async fn create(
        &self,
        pod: &Key,
        uid: &str,
        entry: &str,
        claim: &ResourceClaim,
    ) -> Result<String, ReconcileError> {
        let api: Api<ResourceClaim> = Api::namespaced(self.client.clone(), &pod.namespace);
        let params = PostParams::default();
        let sent = api.create(&params, claim);
        let name = request("create resourceclaim for pod", pod, sent).await?.name_any();
        let seen = self.claims.has(&Key::new(&pod.namespace, &name));
        if !seen {
            self.made.lock().insert((uid.to_owned(), entry.to_owned()), name.clone());
        }
        Ok(name)
    }

    async fn reserve(&self, pod: &Pod, namespace: &str, name: &str) -> Result<(), ReconcileError> {
        let key = Key::new(namespace, name);
        let Some(claim) = self.claims.get(&key) else { return Ok(()) };
        let mut users = resource_claim::users(&claim).to_vec();
        users.push(resource_claim::user(&pod.name_any(), &pod.uid().unwrap_or_default()));
        let status = json!({"reservedFor": users});
        self.patch(&key, claim.resource_version(), json!({"status": status}), true).await?;
        Ok(())
    }

    async fn claim(&self, key: Key) -> Result<(), ReconcileError> {
        let Some(claim) = self.claims.get(&key) else { return Ok(()) };
        let mut over = HashSet::new();
        for user in resource_claim::users(&claim) {
            if self.is_user_over(&key.namespace, user).await? {
                over.insert(user.uid.as_str());
            }
        }
        // A pod that is not known may be yet to come; if it is gone, its garbage is collected.
        let owner = resource_claim::owning_pod(&claim);
        let owner_is_over = owner.is_some_and(|(name, uid)| {
            let pod = self.pods.get(&Key::new(&key.namespace, name));
            pod.is_some_and(|pod| pod.uid().as_deref() != Some(uid) || is_over(&pod))
        });
        let plan = of_claim::plan(&claim, |user| over.contains(user.uid.as_str()), owner_is_over);
        let mut version = claim.resource_version();
        if plan.users.is_some() || plan.deallocate {
            let mut status = json!({});
            if let Some(users) = &plan.users {
                status["reservedFor"] = if users.is_empty() { json!(null) } else { json!(users) };
            }
            if plan.deallocate {
                status["allocation"] = json!(null);
            }
            let Some(now) = self.patch(&key, version, json!({"status": status}), true).await?
            else {
                return Ok(());
            };
            version = now.resource_version();
        }
        if plan.release {
            let rest: Vec<_> = claim.finalizers().iter().filter(|f| *f != FINALIZER).collect();
            let meta =
                json!({"finalizers": if rest.is_empty() { json!(null) } else { json!(rest) }});
            if self.patch(&key, version, json!({"metadata": meta}), false).await?.is_none() {
                return Ok(());
            }
        }
        if plan.delete {
            let params = DeleteParams {
                preconditions: Some(Preconditions { uid: claim.uid(), ..Preconditions::default() }),
                ..DeleteParams::default()
            };
            let api: Api<ResourceClaim> = Api::namespaced(self.client.clone(), &key.namespace);
            let sent = api.delete(&key.name, &params);
            unless_gone(request("delete resourceclaim", &key, sent).await)?;
        }
        Ok(())
    }

    /// Whether a user is gone or will not run any more.
    async fn is_user_over(
        &self,
        namespace: &str,
        user: &ResourceClaimConsumerReference,
    ) -> Result<bool, ReconcileError> {
        let group = user.api_group.as_deref().unwrap_or_default();
        if !group.is_empty() || user.resource != "pods" {
            // Somebody else's: whoever reserved for it has to take it back.
            return Ok(false);
        }
        let key = Key::new(namespace, &user.name);
        if let Some(pod) = self.pods.get(&key) {
            return Ok(pod.uid().as_deref() != Some(&user.uid) || is_over(&pod));
        }
        // Gone, or so new that the watch has yet to show it: the scheduler is about to bind it then.
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let pod = request("get pod", &key, api.get_opt(&user.name)).await?;
        Ok(pod.is_none_or(|pod| pod.uid().as_deref() != Some(&user.uid) || is_over(&pod)))
    }

    /// Changes a claim if it is still at that version. Gives none if it is gone.
    async fn patch(
        &self,
        key: &Key,
        version: Option<String>,
        mut patch: serde_json::Value,
        status: bool,
    ) -> Result<Option<ResourceClaim>, ReconcileError> {
        patch["metadata"]["resourceVersion"] = json!(version);
        let api: Api<ResourceClaim> = Api::namespaced(self.client.clone(), &key.namespace);
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let answer = if status {
            request(
                "patch status of resourceclaim",
                key,
                api.patch_status(&key.name, &params, &patch),
            )
            .await
        } else {
            request("patch resourceclaim", key, api.patch(&key.name, &params, &patch)).await
        };
        unless_gone(answer)
    }

    fn tell(&self, pod: &Pod, entry: &str, why: &str) {
        let message = format!("PodResourceClaim {entry}: {why}");
        self.recorder.warning(Subject::of(pod), "FailedResourceClaimCreation", message);
    }
}

/// What a pod looks at: `claim namespace/name` and `template namespace/name`.
fn looks_at(pod: &Pod) -> Vec<String> {
    let namespace = pod.namespace().unwrap_or_default();
    let mut all = Vec::new();
    for entry in resource_claim::entries(pod) {
        if let Named::Claim { name, .. } = resource_claim::named(pod, entry) {
            all.push(format!("claim {namespace}/{name}"));
        }
        if let Some(template) = &entry.resource_claim_template_name {
            all.push(format!("template {namespace}/{template}"));
        }
    }
    all
}

/// Whether no container of the pod runs or ever will.
fn is_over(pod: &Pod) -> bool {
    api::pod::is_finished(pod)
        || (api::pod::is_terminating(pod) && api::pod::node_name(pod).is_none())
}

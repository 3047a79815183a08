//! Garbage collector: what belonged to an object goes with it.
//!
//! Objects name their owners in `metadata.ownerReferences`. [`graph`] keeps who belongs to whom, fed
//! by a watch on every kind, those of custom resources too. An object none of whose owners exists is deleted (*background*).
//! An owner deleted in the *foreground* carries the finalizer `foregroundDeletion` and goes after its
//! dependents; one deleted with *orphan* carries `orphan` and goes after its dependents were told to
//! forget it.
//!
//! A reference holds only in the dependent's own namespace, and at cluster scope: an owner elsewhere,
//! or one that has another kind or name than the reference says, counts as absent.
//!
//! The graph only suggests; before anything is deleted, the object and those of its owners that the
//! graph does not know are read from the API server, and the deletion is conditional on the state
//! that was read. [`plan`] makes the decision.
//!
//! Source: <https://kubernetes.io/docs/concepts/architecture/garbage-collection/>.

mod custom;
mod graph;
mod plan;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::resources::{self, Resource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use kube::core::{GroupVersionKind, PartialObjectMeta};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info};

use self::custom::Kinds;
use self::graph::{Graph, Identity, Uid};
use self::plan::{Ownership, Verdict};
use crate::events::{Recorder, Subject};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name in logs.
pub(crate) const NAME: &str = "garbage-collector-controller";

/// How soon to look again when the watch lags behind what was read.
const LAG: Duration = Duration::from_millis(200);

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Does this object still have an owner?
    Check(Uid),
    /// Have the dependents of this object, deleted in the foreground, gone?
    Foreground(Uid),
    /// Tell the dependents of this object to forget it.
    Orphan(Uid),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Check(uid) => write!(f, "check {uid}"),
            Self::Foreground(uid) => write!(f, "foreground {uid}"),
            Self::Orphan(uid) => write!(f, "orphan {uid}"),
        }
    }
}

type Meta = PartialObjectMeta<DynamicObject>;

/// Told of every change: the resource and the namespace of the object.
type Listener = Arc<dyn Fn(&Resource, &str) + Send + Sync>;

/// Everything the collector needs.
#[derive(Clone)]
pub(crate) struct Garbage {
    client: Client,
    recorder: Recorder,
    listeners: Vec<Listener>,
    graph: Arc<Mutex<Graph>>,
    kinds: Arc<Kinds>,
    queue: Arc<WorkQueue<Work>>,
}

impl Garbage {
    pub(crate) fn new(client: Client, recorder: &Recorder) -> Self {
        Self {
            client,
            recorder: recorder.named(NAME),
            listeners: Vec::new(),
            graph: Arc::default(),
            kinds: Arc::default(),
            queue: Arc::new(WorkQueue::new()),
        }
    }

    /// Adds a listener: these watches see every object of every kind but events. To be called
    /// before [`Garbage::start`]; it runs in the watching task, so it must not wait.
    pub(crate) fn on_change(&mut self, listener: impl Fn(&Resource, &str) + Send + Sync + 'static) {
        self.listeners.push(Arc::new(listener));
    }

    fn tell(&self, identity: &Identity) {
        for listener in &self.listeners {
            listener(&identity.resource, &identity.namespace);
        }
    }

    /// The queue of things to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Work>> {
        &self.queue
    }

    /// Starts the watches and waits until each has listed once: an owner that is only not listed
    /// yet must not look as if it did not exist.
    pub(crate) async fn start(&self, tracker: &TaskTracker, shutdown: &CancellationToken) {
        watch::start(self, tracker, shutdown).await;
    }

    fn add(&self, work: Vec<Work>) {
        for work in work {
            self.queue.add(work);
        }
    }

    /// Does one piece of work.
    pub(crate) async fn reconcile(self, work: Work) -> Result<Next, ReconcileError> {
        match work {
            Work::Check(uid) => self.check(&uid).await,
            Work::Foreground(uid) => self.foreground(&uid).await,
            Work::Orphan(uid) => self.orphan(&uid).await,
        }
    }

    async fn check(&self, uid: &Uid) -> Result<Next, ReconcileError> {
        let Some(identity) = self.graph.lock().identity(uid) else { return Ok(Next::OnChange) };
        let Some(live) = self.live(&identity).await? else {
            // Gone, and the watch has not said so yet.
            let work = self.graph.lock().remove(uid);
            self.add(work);
            return Ok(Next::OnChange);
        };
        let mut owners = Vec::new();
        for reference in live.owner_references() {
            if self.graph.lock().is_elsewhere(&Uid(reference.uid.clone()), uid) {
                self.tell_elsewhere(&identity, reference);
            }
            let state = self.owner_state(&identity, reference).await?;
            owners.push((reference.clone(), state));
        }
        let dependents = self.graph.lock().dependents(uid);
        match plan::check(&live.metadata, &owners, &dependents) {
            Verdict::Keep => {}
            Verdict::Disown(uids) => {
                let patch = plan::without_owners(&live.metadata, &uids);
                self.patch(&identity, &patch).await?;
            }
            Verdict::Unblock => {
                // A circle of foreground deletions: one has to stop blocking.
                let patch = plan::without_blocking(&live.metadata);
                self.patch(&identity, &patch).await?;
                return Ok(Next::After(LAG));
            }
            Verdict::Delete(policy) => {
                info!(object = %identity, ?policy, "owner is gone, deleting");
                let params =
                    DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() }
                        .preconditions(Preconditions {
                            uid: live.uid(),
                            resource_version: live.resource_version(),
                        });
                let api = self.api(&identity);
                let deleted = api.delete(&identity.name, &params);
                unless_gone(request("delete", &identity, deleted).await)?;
            }
        }
        Ok(Next::OnChange)
    }

    /// Tells that the owner is in another namespace, where nothing can own this dependent.
    fn tell_elsewhere(&self, dependent: &Identity, reference: &OwnerReference) {
        let namespace = &dependent.namespace;
        let OwnerReference { api_version, kind, name, uid, .. } = reference;
        // Not the owner's namespace: the one where the reference looks for it.
        let message = format!(
            "ownerRef [{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}] \
             does not exist in namespace {namespace:?}"
        );
        let subject = Subject {
            api_version: dependent.resource.api_version(),
            kind: dependent.resource.kind.to_string(),
            namespace: namespace.clone(),
            name: dependent.name.clone(),
            uid: dependent.uid.0.clone(),
        };
        self.recorder.warning(subject, "OwnerRefInvalidNamespace", message);
    }

    async fn foreground(&self, uid: &Uid) -> Result<Next, ReconcileError> {
        let (identity, dependents) = {
            let graph = self.graph.lock();
            let Some(identity) = graph.identity(uid) else { return Ok(Next::OnChange) };
            (identity, graph.dependents(uid))
        };
        if dependents.iter().any(|dependent| dependent.blocks) {
            for dependent in dependents.into_iter().filter(|d| !d.deleting_dependents) {
                self.queue.add(Work::Check(dependent.uid));
            }
            return Ok(Next::OnChange);
        }
        for dependent in dependents {
            self.queue.add(Work::Check(dependent.uid));
        }
        self.remove_finalizer(&identity, plan::FOREGROUND).await
    }

    async fn orphan(&self, uid: &Uid) -> Result<Next, ReconcileError> {
        let (owner, dependents) = {
            let graph = self.graph.lock();
            let Some(owner) = graph.identity(uid) else { return Ok(Next::OnChange) };
            let dependents: Vec<Identity> = graph
                .dependents(uid)
                .into_iter()
                .filter_map(|dependent| graph.identity(&dependent.uid))
                .collect();
            (owner, dependents)
        };
        for identity in dependents {
            let Some(live) = self.live(&identity).await? else { continue };
            if live.owner_references().iter().any(|reference| reference.uid == uid.0) {
                let patch = plan::without_owners(&live.metadata, std::slice::from_ref(uid));
                self.patch(&identity, &patch).await?;
            }
        }
        self.remove_finalizer(&owner, plan::ORPHAN).await
    }

    async fn remove_finalizer(
        &self,
        identity: &Identity,
        finalizer: &str,
    ) -> Result<Next, ReconcileError> {
        if let Some(live) = self.live(identity).await?
            && let Some(patch) = plan::without_finalizer(&live.metadata, finalizer)
        {
            debug!(object = %identity, finalizer, "dependents are done");
            self.patch(identity, &patch).await?;
        }
        Ok(Next::OnChange)
    }

    /// Whether and how an owner exists.
    async fn owner_state(
        &self,
        dependent: &Identity,
        reference: &OwnerReference,
    ) -> Result<Ownership, ReconcileError> {
        let uid = Uid(reference.uid.clone());
        let (api_version, kind) = (&reference.api_version, &reference.kind);
        if self.kinds.is_deleted(api_version, kind) {
            return Ok(Ownership::Absent);
        }
        let known = resource_of(api_version, kind).or_else(|| self.kinds.find(api_version, kind));
        let Some(resource) = known else {
            // A kind this server does not have: nothing can be known about the owner.
            return Ok(Ownership::Unknown);
        };
        if resource.namespaced() && dependent.namespace.is_empty() {
            debug!(object = %dependent, owner = reference.name, "owner in a namespace of its own");
            return Ok(Ownership::Unknown);
        }
        let namespace =
            if resource.namespaced() { dependent.namespace.clone() } else { String::new() };
        let identity =
            Identity { resource, namespace, name: reference.name.clone(), uid: uid.clone() };
        if let Some(state) = self.graph.lock().state(&identity) {
            return Ok(state);
        }
        Ok(match self.live(&identity).await? {
            None => Ownership::Absent,
            Some(live) => plan::ownership(&live.metadata),
        })
    }

    /// The object as it is now; none if it is gone or another one has its name.
    async fn live(&self, identity: &Identity) -> Result<Option<Meta>, ReconcileError> {
        let api = self.api(identity);
        let found = request("get", identity, api.get_opt(&identity.name)).await?;
        Ok(found.filter(|object| object.uid().as_deref() == Some(&identity.uid.0)))
    }

    async fn patch(&self, identity: &Identity, patch: &Value) -> Result<(), ReconcileError> {
        let (api, params) = (self.api(identity), PatchParams::default());
        let patch = Patch::Merge(patch);
        let patched = api.patch(&identity.name, &params, &patch);
        unless_gone(request("patch", identity, patched).await).map(|_| ())
    }

    fn api(&self, identity: &Identity) -> Api<Meta> {
        let resource = api_resource(&identity.resource);
        if identity.namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), &identity.namespace, &resource)
        }
    }
}

/// The built-in row of a kind; another version of the same group does as well.
fn resource_of(api_version: &str, kind: &str) -> Option<Arc<Resource>> {
    if let Some(row) = resources::by_kind(api_version, kind) {
        return Some(row.clone());
    }
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    resources::table().iter().find(|row| row.group == group && row.kind == kind).cloned()
}

fn api_resource(resource: &Resource) -> ApiResource {
    let kind = GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
    ApiResource::from_gvk_with_plural(&kind, &resource.plural)
}

//! EndpointSlices and Endpoints: which addresses stand behind a Service.
//!
//! For every Service with a selector, `plan` computes the slices that should exist from the pods
//! the selector matches and changes the existing ones as little as possible; `endpoints` computes
//! the one legacy Endpoints object. `hints` and `zones` say for whom an endpoint is, `trigger` since
//! when a write was due. Services without a selector are their owner's business, and
//! ExternalName Services have no endpoints.
//!
//! Slices carry generated names, so deciding on a cache that lacks the slice just created would
//! create it twice: what was written last is remembered ([`OwnedWrites`]), and nothing is decided for
//! that Service before the watch has shown it.
//!
//! Source: <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/>.

mod endpoints;
mod hints;
mod plan;
mod trigger;
mod zones;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;

use self::plan::{Change, MANAGED_BY, MANAGER, SERVICE_NAME};
use self::trigger::Told;
use self::zones::Zones;
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::workload::watch;
use crate::written::OwnedWrites;

/// Name in logs.
pub(crate) const NAME: &str = "endpointslice-controller";

/// The `source.component` of its events, as in Kubernetes.
const SOURCE: &str = "endpoint-slice-controller";
/// How long to wait at most for the watch to show what was written.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct EndpointSlices {
    client: Client,
    services: Cache<Service>,
    pods: Cache<Pod>,
    nodes: Cache<Node>,
    slices: Cache<EndpointSlice>,
    endpoints: Cache<Endpoints>,
    written: Arc<OwnedWrites>,
    told: Arc<Mutex<HashMap<Key, Told>>>,
    /// The Services whose endpoints have hints in proportion.
    shared: Arc<Mutex<HashSet<Key>>>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Key>>,
}

/// The informers this controller reads.
pub(crate) struct Sources<'a> {
    pub(crate) services: &'a mut Informer<Service>,
    pub(crate) pods: &'a mut Informer<Pod>,
    pub(crate) nodes: &'a mut Informer<Node>,
    pub(crate) slices: &'a mut Informer<EndpointSlice>,
    pub(crate) endpoints: &'a mut Informer<Endpoints>,
}

impl EndpointSlices {
    /// Hooks into the informers; the queue is to be served with [`EndpointSlices::reconcile`].
    pub(crate) fn new(client: Client, sources: Sources<'_>, recorder: &Recorder) -> Self {
        let this = Self {
            client,
            services: sources.services.cache(),
            pods: sources.pods.cache(),
            nodes: sources.nodes.cache(),
            slices: sources.slices.cache(),
            endpoints: sources.endpoints.cache(),
            written: Arc::default(),
            told: Arc::default(),
            shared: Arc::default(),
            recorder: recorder.named(SOURCE),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        sources.services.on_key(move |key, _| queue.add(key));
        let watching = this.clone();
        sources.pods.on_change(move |before, now| watching.pod_changed(before, now));
        let queue = this.queue.clone();
        sources.slices.on_change(move |before, now| {
            // Whoever changed it: the Service's own truth is put back.
            if let Some(slice) = now.or(before)
                && slice.labels().get(MANAGED_BY).map(String::as_str) == Some(MANAGER)
                && let Some(service) = slice.labels().get(SERVICE_NAME)
            {
                queue.add(Key::new(slice.namespace().unwrap_or_default(), service));
            }
        });
        let queue = this.queue.clone();
        sources.endpoints.on_key(move |key, _| queue.add(key));
        let watching = this.clone();
        sources.nodes.on_change(move |before, now| {
            let weight = |node: Option<&Arc<Node>>| {
                let (zone, cpu) = zones::weight(node?)?;
                Some((zone.to_owned(), cpu.to_owned()))
            };
            if weight(before) != weight(now) {
                watching.zones_changed();
            }
        });
        this
    }

    /// The queue of Services to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Has the Services looked at whose endpoints are shared by zones.
    fn zones_changed(&self) {
        for service in self.services.all() {
            if hints::is_proportional(&service) {
                self.queue.add(Key::of(&*service));
            }
        }
    }

    fn pod_changed(&self, before: Option<&Arc<Pod>>, now: Option<&Arc<Pod>>) {
        if let (Some(before), Some(now)) = (before, now)
            && !Arc::ptr_eq(before, now)
            && !plan::matters(before, now)
        {
            return;
        }
        for key in watch::selecting(&self.services, before, now, plan::selects) {
            self.queue.add(key);
        }
    }

    /// Brings the slices and the Endpoints of one Service up to date.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(service) = self.services.get(&key) else {
            self.written.forget(&key);
            self.told.lock().remove(&key);
            self.shared.lock().remove(&key);
            // Slices are the garbage collector's; Endpoints have no owner.
            return self.delete_endpoints(&key).await;
        };
        if !plan::is_managed(&service) || service.metadata.deletion_timestamp.is_some() {
            return Ok(Next::OnChange);
        }
        let slices: Vec<Arc<EndpointSlice>> = self
            .slices
            .in_namespace(&key.namespace)
            .into_iter()
            .filter(|slice| plan::belongs(slice, &key.name))
            .collect();
        if !self.written.is_shown(&key, &slices) {
            return Ok(Next::After(SHOWN_WITHIN));
        }
        let pods: Vec<Arc<Pod>> = self
            .pods
            .in_namespace(&key.namespace)
            .into_iter()
            .filter(|pod| plan::selects(&service, pod))
            .collect();
        let zone =
            |node: &str| self.nodes.get(&Key::new("", node))?.labels().get(zones::ZONE).cloned();
        let proportional = hints::is_proportional(&service);
        let zones = if proportional { Zones::of(&self.nodes.all()) } else { None };
        let mut shared = Vec::new();
        let share = |family: &str, mut ready: Vec<&mut Endpoint>| {
            let outcome = if proportional {
                zones::share(zones.as_ref(), &mut ready)
            } else {
                Err("Topology Aware Hints has been disabled".to_owned())
            };
            shared.push((family.to_owned(), outcome));
        };
        let changes = plan::plan(&service, &pods, &slices, zone, share);
        let since = self.told.lock().entry(key.clone()).or_default().earliest(&service, &pods);
        self.write_slices(&key, changes, since).await?;
        self.tell_shared(&key, &service, proportional, shared);
        self.write_endpoints(&key, &service, &pods, since).await?;
        Ok(Next::OnChange)
    }

    /// Tells when hints in proportion begin, and why there are none.
    fn tell_shared(
        &self,
        key: &Key,
        service: &Service,
        proportional: bool,
        outcomes: Vec<(String, Result<(), String>)>,
    ) {
        for (family, outcome) in outcomes {
            let told = |message: &str| format!("{message}, addressType: {family}");
            let subject = || Subject::of(service);
            match outcome {
                Ok(()) if self.shared.lock().insert(key.clone()) => {
                    let message = told("Topology Aware Hints has been enabled");
                    self.recorder.normal(subject(), "TopologyAwareHintsEnabled", message);
                }
                Ok(()) => {}
                Err(why) => {
                    if self.shared.lock().remove(key) || proportional {
                        let reason = "TopologyAwareHintsDisabled";
                        self.recorder.warning(subject(), reason, told(&why));
                    }
                }
            }
        }
    }

    /// Writes changes of slices, those of `since` among them.
    async fn write_slices(
        &self,
        key: &Key,
        changes: Vec<Change>,
        since: Option<Timestamp>,
    ) -> Result<(), ReconcileError> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = PostParams::default();
        for change in changes {
            match change {
                Change::Create(mut slice) => {
                    trigger::stamp(&mut slice.metadata, since);
                    let created = request("create", slice_of(key), api.create(&params, &slice));
                    self.written.wrote(key, &created.await?);
                }
                Change::Update(mut slice) => {
                    trigger::stamp(&mut slice.metadata, since);
                    let name = slice.name_any();
                    let replaced = api.replace(&name, &params, &slice);
                    self.written.wrote(key, &request("update", slice_of(key), replaced).await?);
                }
                Change::Delete(slice) => {
                    let name = slice.name_any();
                    let params = DeleteParams::default();
                    let deleted = api.delete(&name, &params);
                    unless_gone(request("delete", slice_of(key), deleted).await)?;
                    self.written.deleted(key, &*slice);
                }
            }
        }
        Ok(())
    }

    async fn write_endpoints(
        &self,
        key: &Key,
        service: &Service,
        pods: &[Arc<Pod>],
        since: Option<Timestamp>,
    ) -> Result<(), ReconcileError> {
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = PostParams::default();
        let mut wanted = endpoints::endpoints(service, pods);
        let subject = || format!("endpoints {key}");
        match self.endpoints.get(key) {
            None => {
                trigger::stamp(&mut wanted.metadata, since);
                match request("create", subject(), api.create(&params, &wanted)).await {
                    // The cache is a moment behind; the watch brings the key back.
                    Err(error) if error.code() == Some(409) => Ok(()),
                    other => other.map(|_| ()),
                }
            }
            Some(current) => {
                let Some(mut updated) = endpoints::update(&current, wanted) else {
                    return Ok(());
                };
                trigger::stamp(&mut updated.metadata, since);
                let replaced = api.replace(&key.name, &params, &updated);
                request("update", subject(), replaced).await.map(|_| ())
            }
        }
    }

    async fn delete_endpoints(&self, key: &Key) -> Result<Next, ReconcileError> {
        let managed = self.endpoints.get(key).is_some_and(|e| endpoints::is_managed(&e));
        if managed {
            let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.namespace);
            let params = DeleteParams::default();
            let deleted = api.delete(&key.name, &params);
            unless_gone(request("delete", format!("endpoints {key}"), deleted).await)?;
        }
        Ok(Next::OnChange)
    }
}

fn slice_of(key: &Key) -> String {
    format!("endpoint slice of service {key}")
}

/// Names of labels of the Service that are not copied.
fn copied_labels(service: &Service) -> std::collections::BTreeMap<String, String> {
    let own: BTreeSet<&str> = [SERVICE_NAME, MANAGED_BY, plan::HEADLESS].into();
    let labels = service.labels().iter().filter(|(name, _)| !own.contains(name.as_str()));
    labels.map(|(name, value)| (name.clone(), value.clone())).collect()
}

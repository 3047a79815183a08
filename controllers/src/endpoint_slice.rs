//! EndpointSlices and Endpoints: which addresses stand behind a Service.
//!
//! For every Service with a selector, `plan` computes the slices that should exist from the pods
//! the selector matches and changes the existing ones as little as possible; `endpoints` computes
//! the one legacy Endpoints object. Services without a selector are their owner's business, and
//! ExternalName Services have no endpoints.
//!
//! Slices carry generated names, so deciding on a cache that lacks the slice just created would
//! create it twice: what was written last is remembered ([`OwnedWrites`]), and nothing is decided for
//! that Service before the watch has shown it.
//!
//! Source: <https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/>.

mod endpoints;
mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, ResourceExt};

use self::plan::{Change, MANAGED_BY, MANAGER, SERVICE_NAME};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::workload::watch;
use crate::written::OwnedWrites;

/// Name in logs.
pub(crate) const NAME: &str = "endpointslice-controller";

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
    pub(crate) fn new(client: Client, sources: Sources<'_>) -> Self {
        let this = Self {
            client,
            services: sources.services.cache(),
            pods: sources.pods.cache(),
            nodes: sources.nodes.cache(),
            slices: sources.slices.cache(),
            endpoints: sources.endpoints.cache(),
            written: Arc::default(),
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
        this
    }

    /// The queue of Services to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
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
        let zone = |node: &str| {
            self.nodes
                .get(&Key::new("", node))?
                .labels()
                .get("topology.kubernetes.io/zone")
                .cloned()
        };
        self.write_slices(&key, plan::plan(&service, &pods, &slices, zone)).await?;
        self.write_endpoints(&key, &service, &pods).await?;
        Ok(Next::OnChange)
    }

    async fn write_slices(&self, key: &Key, changes: Vec<Change>) -> Result<(), ReconcileError> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = PostParams::default();
        for change in changes {
            match change {
                Change::Create(slice) => {
                    let created = request("create", slice_of(key), api.create(&params, &slice));
                    self.written.wrote(key, &created.await?);
                }
                Change::Update(slice) => {
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
    ) -> Result<(), ReconcileError> {
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = PostParams::default();
        let wanted = endpoints::endpoints(service, pods);
        let subject = || format!("endpoints {key}");
        match self.endpoints.get(key) {
            None => match request("create", subject(), api.create(&params, &wanted)).await {
                // The cache is a moment behind; the watch brings the key back.
                Err(error) if error.code() == Some(409) => Ok(()),
                other => other.map(|_| ()),
            },
            Some(current) => {
                let Some(updated) = endpoints::update(&current, wanted) else { return Ok(()) };
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

//! EndpointSlices of Endpoints that people write: Services without a selector.
//!
//! Proxies read slices only. So each Endpoints object of such a Service is mirrored into slices,
//! one for each of its subsets and address families. [`plan`] computes them; their names are made of
//! the object's, so that none is made twice.
//!
//! Source: <https://kubernetes.io/docs/concepts/services-networking/service/#endpointslice-mirroring>.

mod plan;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, ResourceExt};

use self::plan::Change;
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name in logs.
pub(crate) const NAME: &str = "endpointslice-mirroring-controller";

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct Mirroring {
    client: Client,
    services: Cache<Service>,
    endpoints: Cache<Endpoints>,
    slices: Cache<EndpointSlice>,
    queue: Arc<WorkQueue<Key>>,
}

impl Mirroring {
    /// Hooks into the informers; the queue is to be served with [`Mirroring::reconcile`].
    pub(crate) fn new(
        client: Client,
        services: &mut Informer<Service>,
        endpoints: &mut Informer<Endpoints>,
        slices: &mut Informer<EndpointSlice>,
    ) -> Self {
        let this = Self {
            client,
            services: services.cache(),
            endpoints: endpoints.cache(),
            slices: slices.cache(),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        services.on_change(move |before, now| {
            let selector =
                |service: Option<&Arc<Service>>| service.map(|service| plan::has_selector(service));
            if let (Some(service), true) = (now.or(before), selector(before) != selector(now)) {
                queue.add(Key::of(&**service));
            }
        });
        let queue = this.queue.clone();
        endpoints.on_key(move |key, _| queue.add(key));
        let queue = this.queue.clone();
        slices.on_change(move |before, now| {
            if let Some(slice) = now.or(before)
                && let Some(service) = plan::mirrored(slice)
            {
                queue.add(Key::new(slice.namespace().unwrap_or_default(), service));
            }
        });
        this
    }

    /// The queue of Endpoints to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Mirrors one Endpoints object.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let (service, endpoints) = (self.services.get(&key), self.endpoints.get(&key));
        let mut slices = self.slices.in_namespace(&key.namespace);
        slices.retain(|slice| plan::mirrored(slice) == Some(key.name.as_str()));
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = PostParams::default();
        for change in plan::plan(service.as_deref(), endpoints.as_deref(), &slices) {
            match change {
                Change::Create(slice) => {
                    match request("create slice for", &key, api.create(&params, &slice)).await {
                        // It is there, and the watch will show it.
                        Err(error) if error.code() == Some(409) => {}
                        other => drop(other?),
                    }
                }
                Change::Update(slice) => {
                    let name = slice.name_any();
                    let replaced = api.replace(&name, &params, &slice);
                    unless_gone(request("update slice", &name, replaced).await)?;
                }
                Change::Delete(name) => {
                    let params = DeleteParams::default();
                    unless_gone(request("delete slice", &name, api.delete(&name, &params)).await)?;
                }
            }
        }
        Ok(Next::OnChange)
    }
}

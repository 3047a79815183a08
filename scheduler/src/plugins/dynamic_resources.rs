//! A pod's claims must have devices that its node reaches, or get them there.
//!
//! Pre-enqueue: the claims are there. Filter: the node reaches the devices of those that are allocated, and
//! has devices for the others. Post-filter: a claim that only this pod uses is given back when its devices
//! are out of reach. Reserve: the devices that were found are the claim's from now on. Pre-bind: write it.
//!
//! Pods without claims are not looked at.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/>.

use std::sync::Arc;

use api::node_selector;
use api::resource_claim::{can_be_reserved, is_allocated, is_reserved_for, users};
use k8s_openapi::api::core::v1::NodeSelector;
use k8s_openapi::api::resource::v1::ResourceClaim;
use kube::{Client, ResourceExt};
use tokio_util::task::TaskTracker;

use crate::cache::Cache;
use crate::diagnosis::Remark;
use crate::dynamic_resources::allocate::{Solution, allocate};
use crate::dynamic_resources::outcome::allocation;
use crate::dynamic_resources::pools::Place;
use crate::dynamic_resources::write::{Errand, Target};
use crate::dynamic_resources::{Devices, claims};
use crate::filters::Filters;
use crate::framework::{
    Aftermath, Attempt, Change, Filter, FilterState, PostFilter, PreBind, PreEnqueue, Prepared,
    Rejection, Reserve, Work,
};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// Said of a node from which an allocated claim is out of reach.
const OUT_OF_REACH: &str = "resourceclaim not available on the node";
/// Said of a node without enough devices.
const TOO_FEW: &str = "cannot allocate all claims";

/// The plugin at all its points.
#[derive(Debug, Default)]
pub struct DynamicResources {
    /// Writes that go on although their pod is gone.
    writes: TaskTracker,
}

/// What the claims of a pod need of a node.
struct State<'a> {
    devices: &'a Devices,
    /// Where allocated claims have their devices.
    reached: Vec<&'a NodeSelector>,
    /// Claims that have none yet.
    open: Vec<&'a Arc<ResourceClaim>>,
}

impl<'a> State<'a> {
    fn of(claims: &[&'a Arc<ResourceClaim>], devices: &'a Devices) -> Self {
        let (allocated, open): (Vec<_>, Vec<_>) =
            claims.iter().copied().partition(|claim| is_allocated(claim));
        let reached = allocated.into_iter().filter_map(|claim| nodes(claim)).collect();
        Self { devices, reached, open }
    }

    fn find(&self, place: &Place<'_>) -> Result<Vec<Solution<'a>>, Rejection> {
        if self.reached.iter().any(|nodes| !is_meant(nodes, place)) {
            return Err(Rejection::unresolvable(OUT_OF_REACH));
        }
        if self.open.is_empty() {
            return Ok(Vec::new());
        }
        match allocate(self.devices, &self.open, place) {
            Ok(Some(solutions)) => Ok(solutions),
            Ok(None) => Err(Rejection::unresolvable(TOO_FEW)),
            Err(problem) => Err(Rejection::unresolvable(problem)),
        }
    }
}

fn nodes(claim: &ResourceClaim) -> Option<&NodeSelector> {
    claim.status.as_ref()?.allocation.as_ref()?.node_selector.as_ref()
}

fn is_meant(nodes: &NodeSelector, place: &Place<'_>) -> bool {
    node_selector::matches(nodes, place.name, place.labels)
}

impl FilterState for State<'_> {
    fn filter(&self, node: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        self.find(&Place { name: &node.name, labels: &offer.labels }).map(drop)
    }

    fn add(&mut self, _: &PodInfo, _: &Offer) {}

    fn remove(&mut self, _: &PodInfo, _: &Offer) {}
}

impl PreEnqueue for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn pre_enqueue(&self, pod: &PodInfo, cache: &Cache) -> bool {
        pod.demands.resource_claims.is_empty() || claims(pod, cache.devices()).is_ok()
    }
}

impl Filter for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn admit(&self, pod: &PodInfo, cache: &Cache) -> Result<(), Rejection> {
        if pod.demands.resource_claims.is_empty() {
            return Ok(());
        }
        let devices = cache.devices();
        for claim in claims(pod, devices).map_err(Rejection::unresolvable)? {
            let uid = claim.uid().unwrap_or_default();
            if is_allocated(claim) {
                if !can_be_reserved(claim) && !is_reserved_for(claim, &pod.uid.0) {
                    return Err(Rejection::unresolvable("resourceclaim in use"));
                }
            } else if devices.is_pending(&uid) {
                return Err(Rejection::unresolvable(format!(
                    "resource claim {}/{} is in the process of being allocated",
                    pod.namespace,
                    claim.name_any()
                )));
            } else if let Some(problem) = missing_class(claim, devices) {
                return Err(Rejection::unresolvable(problem));
            }
        }
        Ok(())
    }

    fn pre_filter<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        if pod.demands.resource_claims.is_empty() {
            return Prepared::Skip;
        }
        match claims(pod, cache.devices()) {
            // Without any it was found that the pod needs none; with an error it is not admitted.
            Ok(claims) if !claims.is_empty() => {
                Prepared::State(Box::new(State::of(&claims, cache.devices())))
            }
            _ => Prepared::Skip,
        }
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(
            change,
            Change::NodeAdded
                | Change::NodeLabels
                // What was decided for it is free again.
                | Change::PodRemoved
                | Change::ResourceClaim
                | Change::DeviceClass
                | Change::ResourceSlice
        )
    }
}

/// Names a class that a claim asks for and that does not exist.
fn missing_class(claim: &ResourceClaim, devices: &Devices) -> Option<String> {
    let requests = claim.spec.devices.iter().flat_map(|devices| devices.requests.iter().flatten());
    let named = requests.flat_map(|request| {
        let exactly = request.exactly.iter();
        let exactly = exactly.map(|it| (request.name.clone(), it.device_class_name.as_str()));
        let others = request.first_available.iter().flatten();
        let others = others
            .map(|it| (format!("{}/{}", request.name, it.name), it.device_class_name.as_str()));
        exactly.chain(others)
    });
    let mut missing = named.filter(|(_, class)| devices.class(class).is_none());
    missing
        .next()
        .map(|(request, class)| format!("request {request}: device class {class} does not exist"))
}

impl PostFilter for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn post_filter(&self, attempt: &Attempt<'_>) -> Aftermath {
        let pod = attempt.pod;
        if pod.demands.resource_claims.is_empty() {
            return Aftermath::Pass { remark: Some(Remark::NoClaims), deallocate: None };
        }
        let only_ours = |claim: &&&Arc<ResourceClaim>| {
            is_allocated(claim) && users(claim).iter().all(|user| user.uid == *pod.uid.0)
        };
        let claims = claims(pod, attempt.cache.devices()).unwrap_or_default();
        let found = claims.iter().filter(only_ours).find(|claim| is_in_the_way(claim, attempt));
        let found = found.map(|claim| Arc::clone(claim));
        let remark = if found.is_some() { Remark::Deallocated } else { Remark::StillNot };
        Aftermath::Pass { remark: Some(remark), deallocate: found }
    }
}

/// Whether there is a node on which nothing but the devices of an allocated claim being elsewhere keeps
/// the pod from running.
fn is_in_the_way(claim: &ResourceClaim, attempt: &Attempt<'_>) -> bool {
    let Some(nodes) = nodes(claim) else { return false };
    let filters = Filters::prepare(attempt.framework, attempt.cache, attempt.pod);
    attempt.cache.nodes().iter().any(|node| {
        let Some(offer) = &node.offer else { return false };
        if is_meant(nodes, &Place { name: &node.name, labels: &offer.labels }) {
            return false;
        }
        let asked = filters.ask(node, offer);
        asked.is_err_and(|(_, rejection)| rejection.reasons.iter().any(|why| why == OUT_OF_REACH))
    })
}

impl Reserve for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn reserve(
        &self,
        pod: &Arc<PodInfo>,
        node: &Arc<str>,
        cache: &mut Cache,
    ) -> Result<(), Rejection> {
        if pod.demands.resource_claims.is_empty() {
            return Ok(());
        }
        let labels = cache.labels_of(node);
        let devices = cache.devices();
        let claims = claims(pod, devices).map_err(Rejection::unresolvable)?;
        let solutions = State::of(&claims, devices).find(&Place { name: node, labels: &labels })?;
        let decided: Vec<_> = solutions
            .iter()
            .map(|solution| (solution.claim().clone(), allocation(solution)))
            .collect();
        drop(solutions);
        for (claim, allocation) in decided {
            cache.devices_mut().reserve(&pod.uid, &claim, allocation);
        }
        Ok(())
    }

    fn unreserve(&self, pod: &PodInfo, cache: &mut Cache) {
        if !pod.demands.resource_claims.is_empty() {
            cache.devices_mut().release(&pod.uid);
        }
    }
}

impl PreBind for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn pre_bind(
        &self,
        pod: &Arc<PodInfo>,
        _: &NodeInfo,
        cache: &Cache,
        client: &Client,
    ) -> Option<Work> {
        if pod.demands.resource_claims.is_empty() {
            return None;
        }
        let devices = cache.devices();
        let claims = claims(pod, devices).unwrap_or_default().into_iter();
        let targets: Vec<Target> = claims
            .filter(|claim| !is_reserved_for(claim, &pod.uid.0))
            .map(|claim| Target {
                claim: claim.clone(),
                decided: devices.decided(&pod.uid, &claim.uid().unwrap_or_default()),
            })
            .collect();
        if targets.is_empty() {
            return None;
        }
        let errand = Errand { pod: pod.clone(), targets, tracker: self.writes.clone() };
        Some(Box::pin(errand.run(client.clone())))
    }
}

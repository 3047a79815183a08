//! Resizing: what it takes to give a container that runs other CPU and memory.
//!
//! Three versions of a pod's resources exist at once: those that its spec *asks for*, those that the node
//! has *agreed to* ([`crate::allocation`]), and those that each running attempt *has*, which its record in
//! the runtime says. Agreed and asked differ while a resize is deferred or infeasible
//! (`PodResizePending`); had and agreed differ while it is being carried out (`PodResizeInProgress`).
//!
//! Source: KEP-1287.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use runtime::spec::Resources;

use super::containers;
use super::model::{Attempt, Have, Role, Want, WantContainer};
use crate::translate::resources::{ContainerQuantities, quantities, quantities_of};

/// `resizePolicy`: which changes need a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RestartFor {
    pub(crate) cpu: bool,
    pub(crate) memory: bool,
}

impl RestartFor {
    /// What a container says.
    pub(crate) fn of(container: &Container) -> Self {
        let restarts = |resource: &str| {
            container.resize_policy.iter().flatten().any(|policy| {
                policy.resource_name == resource && policy.restart_policy == "RestartContainer"
            })
        };
        Self { cpu: restarts("cpu"), memory: restarts("memory") }
    }
}

/// What a running container needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Nothing,
    /// Other limits while it runs.
    InPlace,
    /// A new attempt.
    Restart,
}

/// What it takes to get from what an attempt has to what its container is to have.
pub(crate) fn need(want: &WantContainer, attempt: &Attempt) -> Need {
    let (true, Some(has)) =
        (matches!(want.role, Role::Main | Role::Sidecar), attempt.resources.as_ref())
    else {
        return Need::Nothing;
    };
    let (has, wants) = (quantities_of(Some(has)), want.amounts);
    if has == wants {
        return Need::Nothing;
    }
    let limits = |q: ContainerQuantities| (q.cpu_limit_millis, q.memory_limit);
    let cpu = |q: ContainerQuantities| (q.cpu_request_millis, q.cpu_limit_millis);
    let memory = |q: ContainerQuantities| (q.memory_request, q.memory_limit);
    let restart = want.restart_for.cpu && cpu(has) != cpu(wants)
        || want.restart_for.memory && memory(has) != memory(wants)
        // Its host was started with the limits and knows of no others.
        || attempt.wasm && limits(has) != limits(wants);
    if restart { Need::Restart } else { Need::InPlace }
}

/// Whether some container that runs does not have what was agreed to.
pub(crate) fn in_progress(want: &Want, have: &Have) -> bool {
    want.containers.iter().any(|c| have.container(&c.name).resize(c) != Need::Nothing)
}

/// Whether limits have to be written: those of a container that runs, or those of the pod as a whole. The
/// latter must not fall below what a container has that still waits for its restart.
pub(crate) fn is_due(want: &Want, have: &Have) -> bool {
    let needs = |need| want.containers.iter().any(|c| have.container(&c.name).resize(c) == need);
    let reached = have.limits.as_ref().is_none_or(|has| reached(has, &want.limits));
    needs(Need::InPlace) || !reached && !needs(Need::Restart)
}

/// Whether limits are as they should be; what is wanted open says nothing.
fn reached(has: &Resources, wants: &Resources) -> bool {
    let same = |has: Option<u64>, wants: Option<u64>| wants.is_none() || has == wants;
    same(has.cpu_request_millis, wants.cpu_request_millis)
        && same(has.cpu_limit_millis, wants.cpu_limit_millis)
        && same(has.memory_limit_bytes, wants.memory_limit_bytes)
}

/// The resources of the containers that can be resized, by their names.
pub(crate) type Allocation = BTreeMap<String, ResourceRequirements>;

/// What a pod asks for.
pub(crate) fn asked(pod: &Pod) -> Allocation {
    resizable(pod).map(|c| (c.name.clone(), c.resources.clone().unwrap_or_default())).collect()
}

/// What a pod was given before this worker began: what its running containers have, else what its status
/// says, else what it asks for.
pub(crate) fn given(pod: &Pod, have: &Have) -> Allocation {
    let of = |container: &Container| {
        let latest = have.containers.get(&container.name).and_then(|c| c.latest.as_ref());
        let running = latest.filter(|latest| latest.exit().is_none());
        let told = containers::statuses(pod).find(|told| told.name == container.name);
        let told = told.and_then(|told| {
            let requests = told.allocated_resources.clone();
            let resources = told.resources.clone()?;
            Some(ResourceRequirements { requests: requests.or(resources.requests), ..resources })
        });
        running
            .and_then(|running| running.resources.clone())
            .or(told)
            .or_else(|| container.resources.clone())
            .unwrap_or_default()
    };
    resizable(pod).map(|container| (container.name.clone(), of(container))).collect()
}

/// Whether two allocations amount to the same.
pub(crate) fn same(one: &Allocation, other: &Allocation) -> bool {
    let amounts = |allocation: &Allocation| -> BTreeMap<String, ContainerQuantities> {
        allocation.iter().map(|(name, r)| (name.clone(), quantities_of(Some(r)))).collect()
    };
    amounts(one) == amounts(other)
}

/// The pod as the node has agreed to it.
pub(crate) fn with(pod: &Pod, allocation: &Allocation) -> Pod {
    let mut pod = pod.clone();
    let spec = pod.spec.iter_mut();
    let lists = spec.flat_map(|spec| {
        spec.init_containers.iter_mut().flatten().chain(spec.containers.iter_mut())
    });
    for container in lists {
        if let Some(resources) = allocation.get(&container.name)
            && quantities_of(Some(resources)) != quantities(container)
        {
            container.resources = Some(resources.clone());
        }
    }
    pod
}

/// Why a resize can never be carried out on this node: a Wasm container would have to be started again,
/// and must not be.
pub(crate) fn infeasible(pod: &Pod, have: &Have, asked: &Allocation) -> Option<String> {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    let limits = |q: ContainerQuantities| (q.cpu_limit_millis, q.memory_limit);
    let stuck = |(name, asked): (&String, &ResourceRequirements)| {
        let latest = have.containers.get(name)?.latest.as_ref()?;
        let has = quantities_of(Some(latest.resources.as_ref()?));
        let changes = limits(has) != limits(quantities_of(Some(asked)));
        (latest.wasm && latest.exit().is_none() && changes).then(|| name.clone())
    };
    let name = asked.iter().find_map(stuck).filter(|_| policy == Some("Never"))?;
    Some(format!(
        "container {name:?} is a WebAssembly component: other limits need a restart, and the pod's restartPolicy is Never"
    ))
}

fn resizable(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| {
        let inits = spec.init_containers.iter().flatten();
        inits.filter(|c| Role::of_init(c) == Role::Sidecar).chain(&spec.containers)
    })
}

/// The text of an event about a resize: what it is about comes as JSON, as from the kubelet.
pub(crate) fn event(prefix: &str, pod: &Pod, error: Option<&str>) -> String {
    let spec = pod.spec.clone().unwrap_or_default();
    let summary = |containers: &[Container]| -> Vec<serde_json::Value> {
        let one = |c: &Container| serde_json::json!({"name": c.name, "resources": c.resources.clone().unwrap_or_default()});
        containers.iter().map(one).collect()
    };
    let mut parts = serde_json::Map::new();
    for (name, list) in [
        ("initContainers", summary(&spec.init_containers.unwrap_or_default())),
        ("containers", summary(&spec.containers)),
    ] {
        if !list.is_empty() {
            parts.insert(name.to_owned(), list.into());
        }
    }
    parts.insert("generation".to_owned(), pod.metadata.generation.unwrap_or(0).into());
    if let Some(error) = error {
        parts.insert("error".to_owned(), error.into());
    }
    format!("{prefix}: {}", serde_json::Value::Object(parts))
}

#[cfg(test)]
mod tests;

//! requests and limits: what they come to for a container's cgroup and for the pod's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use runtime::spec::Resources;

use crate::pod::model::Role;
use crate::pod::qos;

/// A container's requests and limits as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ContainerQuantities {
    pub(crate) cpu_request_millis: Option<u64>,
    pub(crate) cpu_limit_millis: Option<u64>,
    pub(crate) memory_request: Option<u64>,
    pub(crate) memory_limit: Option<u64>,
}

/// Reads a container's resources; a missing request is its limit, as the API's defaulting has it.
pub(crate) fn quantities(container: &Container) -> ContainerQuantities {
    quantities_of(container.resources.as_ref())
}

/// The same of resources alone.
pub(crate) fn quantities_of(resources: Option<&ResourceRequirements>) -> ContainerQuantities {
    let limits = resources.and_then(|resources| resources.limits.as_ref());
    let requests = resources.and_then(|resources| resources.requests.as_ref());
    let cpu_limit_millis = get(limits, "cpu").and_then(millis);
    let memory_limit = get(limits, "memory").and_then(units);
    ContainerQuantities {
        cpu_request_millis: get(requests, "cpu").and_then(millis).or(cpu_limit_millis),
        cpu_limit_millis,
        memory_request: get(requests, "memory").and_then(units).or(memory_limit),
        memory_limit,
    }
}

fn get<'q>(map: Option<&'q BTreeMap<String, Quantity>>, name: &str) -> Option<&'q Quantity> {
    map.and_then(|map| map.get(name))
}

/// A quantity in thousandths, rounded up.
pub(crate) fn millis(quantity: &Quantity) -> Option<u64> {
    let parsed: api::quantity::Quantity = quantity.0.parse().ok()?;
    u64::try_from(parsed.milli_value()).ok()
}

/// A quantity in whole units, rounded up.
pub(crate) fn units(quantity: &Quantity) -> Option<u64> {
    let parsed: api::quantity::Quantity = quantity.0.parse().ok()?;
    u64::try_from(parsed.value()).ok()
}

/// Limits of one container's cgroup. `node_memory` is the node's, in bytes.
pub(crate) fn of_container(spec: &PodSpec, container: &Container, node_memory: u64) -> Resources {
    let q = quantities(container);
    Resources {
        cpu_request_millis: q.cpu_request_millis,
        cpu_limit_millis: q.cpu_limit_millis.filter(|limit| *limit > 0),
        memory_limit_bytes: q.memory_limit.filter(|limit| *limit > 0),
        pids_limit: None,
        oom_score_adj: Some(qos::oom_score_adj(qos::class(spec), container, node_memory)),
    }
}

/// What a pod asks of its node altogether.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(crate) cpu_millis: u64,
    pub(crate) memory_bytes: u64,
}

/// The sum over what runs side by side, or the largest init container if that is more, and the overhead.
pub(crate) fn requests(spec: &PodSpec) -> Requests {
    let overhead = |name| get(spec.overhead.as_ref(), name);
    let of = |pick| sum(spec, pick);
    Requests {
        cpu_millis: of(|q| q.cpu_request_millis) + overhead("cpu").and_then(millis).unwrap_or(0),
        memory_bytes: of(|q| q.memory_request) + overhead("memory").and_then(units).unwrap_or(0),
    }
}

/// One amount of all containers that run side by side, at its highest.
fn sum(spec: &PodSpec, pick: fn(ContainerQuantities) -> Option<u64>) -> u64 {
    let (mut sidecars, mut peak) = (0_u64, 0_u64);
    for container in spec.init_containers.iter().flatten() {
        let own = pick(quantities(container)).unwrap_or(0);
        if Role::of_init(container) == Role::Sidecar {
            sidecars = sidecars.saturating_add(own);
        } else {
            peak = peak.max(sidecars.saturating_add(own));
        }
    }
    let mains = spec.containers.iter().map(|c| pick(quantities(c)).unwrap_or(0));
    mains.fold(sidecars, u64::saturating_add).max(peak)
}

/// Limits of the pod's parent cgroup: the sum over what runs side by side, or the largest init
/// container if that is more. A limit exists only if every container has one.
pub(crate) fn of_pod(spec: &PodSpec) -> Resources {
    let all = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let bounded = |pick: fn(ContainerQuantities) -> Option<u64>| -> Option<u64> {
        let every = all().all(|c| pick(quantities(c)).is_some_and(|limit| limit > 0));
        every.then(|| sum(spec, pick))
    };
    Resources {
        cpu_request_millis: Some(sum(spec, |q| q.cpu_request_millis)),
        cpu_limit_millis: bounded(|q| q.cpu_limit_millis),
        memory_limit_bytes: bounded(|q| q.memory_limit),
        pids_limit: None,
        oom_score_adj: None,
    }
}

/// Of each limit the larger one; none if one of the two has none.
pub(crate) fn larger(one: &Resources, other: &Resources) -> Resources {
    let max = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.max(b));
    Resources {
        cpu_request_millis: max(one.cpu_request_millis, other.cpu_request_millis),
        cpu_limit_millis: max(one.cpu_limit_millis, other.cpu_limit_millis),
        memory_limit_bytes: max(one.memory_limit_bytes, other.memory_limit_bytes),
        pids_limit: max(one.pids_limit, other.pids_limit),
        oom_score_adj: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(value: serde_json::Value) -> PodSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn container_limits() {
        let spec = spec(json!({"containers": [
            {"name": "a", "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}, "requests": {"cpu": "0.25"}}},
            {"name": "b"}
        ]}));
        let a = of_container(&spec, &spec.containers[0], 1 << 30);
        assert_eq!(a.cpu_request_millis, Some(250));
        assert_eq!(a.cpu_limit_millis, Some(1500));
        assert_eq!(a.memory_limit_bytes, Some(64 << 20));
        assert_eq!(a.oom_score_adj, Some(1000 - 62), "64 MiB of 1 GiB were requested by default");
        let b = of_container(&spec, &spec.containers[1], 1 << 30);
        assert_eq!(b, Resources { oom_score_adj: Some(999), ..Resources::default() });
    }

    #[test]
    fn pod_limits() {
        let bounded = json!({"limits": {"cpu": "1", "memory": "10M"}});
        let both = spec(
            json!({"containers": [{"name": "a", "resources": bounded}, {"name": "b", "resources": bounded}]}),
        );
        assert_eq!(of_pod(&both).cpu_limit_millis, Some(2000));
        assert_eq!(of_pod(&both).memory_limit_bytes, Some(20_000_000));
        let one = spec(json!({"containers": [{"name": "a", "resources": bounded}, {"name": "b"}]}));
        assert_eq!(
            of_pod(&one).memory_limit_bytes,
            None,
            "one container without a limit lifts the pod's"
        );
        assert_eq!(of_pod(&one).cpu_request_millis, Some(1000));
        let init = spec(json!({
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "i", "resources": {"requests": {"cpu": "5"}}}
            ],
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]
        }));
        assert_eq!(
            of_pod(&init).cpu_request_millis,
            Some(5100),
            "the init container beside its sidecar is the peak"
        );
    }

    #[test]
    fn the_larger_of_two() {
        let of = |cpu, memory| Resources {
            cpu_limit_millis: cpu,
            memory_limit_bytes: memory,
            ..Resources::default()
        };
        assert_eq!(larger(&of(Some(1), Some(9)), &of(Some(2), Some(8))), of(Some(2), Some(9)));
        assert_eq!(larger(&of(None, Some(9)), &of(Some(2), None)), of(None, None));
    }

    #[test]
    fn requests_of_a_pod() {
        let spec = spec(json!({
            "overhead": {"cpu": "10m", "memory": "1"},
            "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "2"}}}],
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "1", "memory": "1Ki"}}},
                {"name": "b", "resources": {"limits": {"memory": "2Ki"}}}
            ]
        }));
        assert_eq!(requests(&spec), Requests { cpu_millis: 2010, memory_bytes: 3073 });
    }

    #[test]
    fn classes() {
        let of = |resources: serde_json::Value| {
            qos::class(&spec(json!({"containers": [{"name": "a", "resources": resources}]})))
        };
        assert_eq!(of(json!({})), qos::Class::BestEffort);
        assert_eq!(of(json!({"requests": {"cpu": "1"}})), qos::Class::Burstable);
        assert_eq!(of(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), qos::Class::Guaranteed);
        assert_eq!(
            of(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}})),
            qos::Class::Guaranteed
        );
        assert_eq!(
            of(json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}})),
            qos::Class::Burstable
        );
        assert_eq!(of(json!({"limits": {"cpu": "1"}})), qos::Class::Burstable);
    }
}

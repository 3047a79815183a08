//! Quality of service: the class of a pod and the OOM score that follows from it.
//!
//! Source: `pkg/apis/core/v1/helper/qos` and `pkg/kubelet/qos/policy.go`.

use k8s_openapi::api::core::v1::{Container, PodSpec};

use crate::translate::resources::{ContainerQuantities, quantities};

/// `status.qosClass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl Class {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

/// The class of a pod.
pub(crate) fn class(spec: &PodSpec) -> Class {
    let all: Vec<ContainerQuantities> =
        spec.init_containers.iter().flatten().chain(&spec.containers).map(quantities).collect();
    let asks = |q: &ContainerQuantities| {
        [q.cpu_request_millis, q.cpu_limit_millis, q.memory_request, q.memory_limit]
            .iter()
            .flatten()
            .any(|value| *value > 0)
    };
    if !all.iter().any(asks) {
        return Class::BestEffort;
    }
    let guaranteed = |q: &ContainerQuantities| {
        let fixed = |request: Option<u64>, limit: Option<u64>| {
            limit.is_some_and(|limit| limit > 0 && request.unwrap_or(limit) == limit)
        };
        fixed(q.cpu_request_millis, q.cpu_limit_millis) && fixed(q.memory_request, q.memory_limit)
    };
    if all.iter().all(guaranteed) { Class::Guaranteed } else { Class::Burstable }
}

/// `oom_score_adj` of a container on a node with `node_memory` bytes: the larger its share of the
/// node's memory that it asked for, the later it is killed.
pub(crate) fn oom_score_adj(class: Class, container: &Container, node_memory: u64) -> i32 {
    match class {
        Class::Guaranteed => -997,
        Class::BestEffort => 1000,
        Class::Burstable => {
            let request = quantities(container).memory_request.unwrap_or(0);
            let share = 1000_u128 * u128::from(request) / u128::from(node_memory.max(1));
            let score = 1000 - i32::try_from(share).unwrap_or(1000);
            score.clamp(3, 999)
        }
    }
}

//! The quality-of-service class, by which the kernel chooses whom to kill first.
//! Source: k8s.io/kubernetes/pkg/apis/core/helper/qos.

use serde_json::Value;

use crate::quantity::Quantity;

/// `Guaranteed`: every container has limits for CPU and memory, equal to its requests.
/// `BestEffort`: no container asks for either. `Burstable`: the rest.
pub(crate) fn class(spec: &Value) -> &'static str {
    let (mut guaranteed, mut best_effort) = (true, true);
    let all = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|list| spec[list].as_array().into_iter().flatten());
    for container in all {
        for resource in ["cpu", "memory"] {
            let amount = |list: &str| -> Quantity {
                let text = container["resources"][list][resource].as_str();
                text.and_then(|text| text.parse().ok()).unwrap_or(Quantity::ZERO)
            };
            let (limit, request) = (amount("limits"), amount("requests"));
            best_effort &= limit.is_zero() && request.is_zero();
            guaranteed &= !limit.is_zero() && limit == request;
        }
    }
    match (best_effort, guaranteed) {
        (true, _) => "BestEffort",
        (false, true) => "Guaranteed",
        (false, false) => "Burstable",
    }
}

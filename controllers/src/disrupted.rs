//! The condition `DisruptionTarget` of a pod: that it ends because a controller wants it gone, and not
//! by itself. Jobs tell one from the other by it.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>.

use api::pod as pods;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

const KIND: &str = "DisruptionTarget";

/// The condition for a strategic merge patch of the pod's status. None if it says so already.
pub(crate) fn condition(pod: &Pod, reason: &str, message: &str, now: Timestamp) -> Option<Value> {
    let before = pods::condition(pod, KIND).filter(|condition| condition.status == "True");
    if before.is_some_and(|before| {
        before.reason.as_deref() == Some(reason) && before.message.as_deref() == Some(message)
    }) {
        return None;
    }
    let mut condition =
        json!({"type": KIND, "status": "True", "reason": reason, "message": message});
    if before.is_none() {
        condition["lastTransitionTime"] = json!(Time(now));
    }
    if let Some(generation) = pod.metadata.generation {
        condition["observedGeneration"] = generation.into();
    }
    Some(condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn said_once_and_since_the_first_time() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let pod = |conditions: Value| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p", "generation": 3},
                "status": {"conditions": conditions}}))
            .unwrap()
        };
        let whole = json!({"type": KIND, "status": "True", "reason": "R", "message": "m",
            "lastTransitionTime": "2026-01-01T00:10:00Z", "observedGeneration": 3});
        let other = json!({"type": KIND, "status": "True", "reason": "R", "message": "m",
            "observedGeneration": 3});
        for (conditions, wanted) in [
            (json!([]), Some(whole.clone())),
            (
                json!([{"type": KIND, "status": "False", "reason": "R", "message": "m"}]),
                Some(whole),
            ),
            (json!([{"type": KIND, "status": "True", "reason": "R", "message": "m"}]), None),
            (json!([{"type": KIND, "status": "True", "reason": "Evicted"}]), Some(other)),
        ] {
            assert_eq!(condition(&pod(conditions.clone()), "R", "m", now), wanted, "{conditions}");
        }
    }
}

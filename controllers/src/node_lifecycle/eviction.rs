//! When a `NoExecute` taint evicts a pod. Pure.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};

/// What to do with a pod on a tainted node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eviction {
    /// It may stay.
    None,
    /// It has to go.
    Now,
    /// It has to go after this long, if the taint is still there.
    After(Duration),
}

/// Decides about one pod.
///
/// A taint without a matching toleration evicts at once; the shortest `tolerationSeconds` among the
/// matching ones counts, from when the taint was added; a toleration without seconds stays for ever.
pub(super) fn of(pod: &Pod, node: &Node, now: Timestamp) -> Eviction {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let tolerations =
        pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    let mut deadline: Option<Timestamp> = None;
    for taint in taints.iter().filter(|taint| taint.effect == "NoExecute") {
        let matching: Vec<&Toleration> =
            tolerations.iter().filter(|toleration| tolerates(toleration, taint)).collect();
        if matching.is_empty() {
            return Eviction::Now;
        }
        let Some(seconds) = matching.iter().filter_map(|t| t.toleration_seconds).min() else {
            continue;
        };
        if seconds <= 0 {
            return Eviction::Now;
        }
        let since = taint.time_added.as_ref().map_or(now, |time| time.0);
        let until = Timestamp::from_second(since.as_second().saturating_add(seconds))
            .unwrap_or(Timestamp::MAX);
        deadline = Some(deadline.map_or(until, |earlier| earlier.min(until)));
    }
    match deadline {
        None => Eviction::None,
        Some(until) => match Duration::try_from(until.duration_since(now)) {
            Ok(wait) if !wait.is_zero() => Eviction::After(wait),
            _ => Eviction::Now,
        },
    }
}

/// Whether a toleration is for a taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let unset = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
    if !unset(&toleration.effect) && toleration.effect.as_deref() != Some(&taint.effect) {
        return false;
    }
    if !unset(&toleration.key) && toleration.key.as_deref() != Some(&taint.key) {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("") {
        "Exists" => true,
        "" | "Equal" => {
            !unset(&toleration.key)
                && toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or("")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn decide(taints: Value, tolerations: Value) -> Eviction {
        let node: Node = serde_json::from_value(json!({"spec": {"taints": taints}})).unwrap();
        let pod: Pod =
            serde_json::from_value(json!({"spec": {"containers": [], "tolerations": tolerations}}))
                .unwrap();
        of(&pod, &node, "2026-01-01T00:01:00Z".parse().unwrap())
    }

    #[test]
    fn eviction_table() {
        let taint = json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute",
            "timeAdded": "2026-01-01T00:00:00Z"}]);
        let for_seconds = |seconds: i64| {
            json!([{"key": "node.kubernetes.io/unreachable", "operator": "Exists",
                "effect": "NoExecute", "tolerationSeconds": seconds}])
        };
        assert_eq!(decide(json!([]), json!([])), Eviction::None);
        assert_eq!(
            decide(json!([{"key": "k", "effect": "NoSchedule"}]), json!([])),
            Eviction::None
        );
        assert_eq!(decide(taint.clone(), json!([])), Eviction::Now);
        assert_eq!(decide(taint.clone(), json!([{"operator": "Exists"}])), Eviction::None);
        assert_eq!(
            decide(taint.clone(), for_seconds(300)),
            Eviction::After(Duration::from_secs(240)),
            "60 of 300 seconds are over"
        );
        assert_eq!(decide(taint.clone(), for_seconds(60)), Eviction::Now);
        assert_eq!(decide(taint.clone(), for_seconds(0)), Eviction::Now);
        let both = json!([{"operator": "Exists", "tolerationSeconds": 90},
            {"operator": "Exists", "tolerationSeconds": 300}]);
        assert_eq!(decide(taint, both), Eviction::After(Duration::from_secs(30)));
    }
}

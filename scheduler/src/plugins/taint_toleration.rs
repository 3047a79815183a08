//! Taints keep pods away, tolerations let them in.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/>.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use crate::framework::{Change, Filter, Rejection, Score, normalize_to_max};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// Filter: refuses nodes with an untolerated `NoSchedule` or `NoExecute` taint.
/// Score: prefers nodes with fewer untolerated `PreferNoSchedule` taints.
#[derive(Debug)]
pub struct TaintToleration;

/// Whether one of `tolerations` tolerates `taint`.
pub(crate) fn tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|t| tolerates(t, taint))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let effect = text(&toleration.effect);
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    let key = text(&toleration.key);
    if !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("") {
        "Exists" => true,
        // An empty key is only allowed with Exists.
        "" | "Equal" => !key.is_empty() && text(&toleration.value) == text(&taint.value),
        _ => false,
    }
}

/// Whether a hard taint keeps the pod away.
pub(crate) fn repelled(pod: &PodInfo, offer: &Offer) -> bool {
    offer.taints.iter().any(|taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
            && !tolerated(taint, &pod.demands.tolerations)
    })
}

impl Filter for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn filter(&self, pod: &PodInfo, _: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        if repelled(pod, offer) {
            // Which taint is the node's business: since 1.34 a pod's status and events no longer say.
            return Err(Rejection::unresolvable("node(s) had untolerated taint(s)"));
        }
        Ok(())
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeTaints)
    }
}

impl Score for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn score(&self, pod: &PodInfo, _: &NodeInfo, offer: &Offer) -> i64 {
        let unwelcome = offer.taints.iter().filter(|taint| {
            taint.effect == "PreferNoSchedule" && !tolerated(taint, &pod.demands.tolerations)
        });
        i64::try_from(unwelcome.count()).unwrap_or(i64::MAX)
    }

    fn normalize(&self, scores: &mut [i64]) {
        normalize_to_max(scores, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::fixtures::{node, pod};
    use serde_json::json;

    #[test]
    fn toleration_table() {
        let taint = |value: serde_json::Value| serde_json::from_value::<Taint>(value).unwrap();
        let toleration = |v: serde_json::Value| serde_json::from_value::<Toleration>(v).unwrap();
        let t = taint(json!({"key": "k", "value": "v", "effect": "NoSchedule"}));
        for (case, expected) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "k", "operator": "Exists"}), true),
            (json!({"key": "k", "value": "v"}), true),
            (json!({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}), true),
            (json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), false),
            (json!({"key": "k", "value": "w"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
            (json!({"value": "v"}), false),
            (json!({"key": "k", "operator": "Near"}), false),
        ] {
            assert_eq!(tolerates(&toleration(case.clone()), &t), expected, "{case}");
        }
    }

    #[test]
    fn refuses_hard_taints_and_ignores_soft_ones() {
        let hard = node(
            "a",
            json!({"spec": {"taints": [
            {"key": "soft", "effect": "PreferNoSchedule"},
            {"key": "gpu", "value": "yes", "effect": "NoExecute"}]}}),
        );
        let p = pod(json!({}));
        let offer = hard.offer.clone().unwrap();
        let refused = TaintToleration.filter(&p, &hard, &offer).unwrap_err();
        assert_eq!(refused.reasons, ["node(s) had untolerated taint(s)"]);
        assert_eq!(Score::score(&TaintToleration, &p, &hard, &offer), 1);
        let mut scores = [1, 0, 2];
        TaintToleration.normalize(&mut scores);
        assert_eq!(scores, [50, 100, 0]);
    }
}

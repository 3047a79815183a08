//! Keeps pods off cordoned nodes.

use k8s_openapi::api::core::v1::Taint;

use super::taint_toleration::tolerated;
use crate::framework::{Change, Filter, Rejection};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

const TAINT: &str = "node.kubernetes.io/unschedulable";

/// Refuses nodes with `spec.unschedulable`, unless the pod tolerates the taint that stands for it.
#[derive(Debug)]
pub struct NodeUnschedulable;

impl Filter for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn filter(&self, pod: &PodInfo, _: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        if !offer.unschedulable {
            return Ok(());
        }
        let taint =
            Taint { key: TAINT.to_owned(), effect: "NoSchedule".to_owned(), ..Taint::default() };
        if tolerated(&taint, &pod.demands.tolerations) {
            return Ok(());
        }
        Err(Rejection::unresolvable("node(s) were unschedulable"))
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeTaints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::fixtures::{node, pod};
    use serde_json::json;

    #[test]
    fn cordoned_nodes_take_only_tolerant_pods() {
        let cordoned = node("a", json!({"spec": {"unschedulable": true}}));
        let open = node("b", json!({}));
        let tolerant = json!({"tolerations": [{"key": TAINT, "operator": "Exists"}]});
        let verdict =
            |spec, n: &NodeInfo| NodeUnschedulable.filter(&pod(spec), n, n.offer.as_ref().unwrap());
        assert!(verdict(json!({}), &open).is_ok());
        assert!(verdict(tolerant, &cordoned).is_ok());
        let refused = verdict(json!({}), &cordoned).unwrap_err();
        assert_eq!(refused.reasons, ["node(s) were unschedulable"]);
        assert!(!refused.resolvable);
    }
}

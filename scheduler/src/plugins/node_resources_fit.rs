//! Does the pod fit into what is left, and how much would be left after it.

use crate::framework::{Change, Filter, MAX_SCORE, Rejection, Score};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::resources::Resources;

/// Filter: every requested amount, and the number of pods, must fit.
/// Score: the least allocated node is best (CPU and memory alike).
#[derive(Debug)]
pub struct NodeResourcesFit;

impl Filter for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        let mut reasons = Vec::new();
        let mut resolvable = true;
        if node.pods + 1 > offer.allowed_pods {
            reasons.push("Too many pods".to_owned());
        }
        let (want, taken, have) = (&pod.demands.requests, &node.requested, &offer.allocatable);
        let mut check = |name: &str, want: i64, taken: i64, have: i64| {
            if want > 0 && want > have - taken {
                reasons.push(format!("Insufficient {name}"));
                // More than the whole node: no pod that leaves can help.
                resolvable &= want <= have;
            }
        };
        check("cpu", want.milli_cpu, taken.milli_cpu, have.milli_cpu);
        check("memory", want.memory, taken.memory, have.memory);
        check(
            "ephemeral-storage",
            want.ephemeral_storage,
            taken.ephemeral_storage,
            have.ephemeral_storage,
        );
        for (name, amount) in &want.extended {
            let of = |map: &Resources| map.extended.get(name).copied().unwrap_or(0);
            check(name, *amount, of(taken), of(have));
        }
        if reasons.is_empty() { Ok(()) } else { Err(Rejection { reasons, resolvable }) }
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeGrew | Change::PodRemoved)
    }
}

impl Score for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> i64 {
        let free = |taken: i64, want: i64, have: i64| {
            let used = taken.saturating_add(want);
            // i128: bytes times 100 may not fit.
            if have <= 0 || used > have {
                0
            } else {
                i64::try_from(i128::from(have - used) * i128::from(MAX_SCORE) / i128::from(have))
                    .unwrap_or(0)
            }
        };
        let (want, taken, have) = (&pod.demands.scored, &node.scored, &offer.allocatable);
        let cpu = free(taken.milli_cpu, want.milli_cpu, have.milli_cpu);
        let memory = free(taken.memory, want.memory, have.memory);
        i64::midpoint(cpu, memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::fixtures::{node, pod};
    use serde_json::{Value, json};

    fn asking(requests: Value) -> PodInfo {
        pod(json!({"containers": [{"name": "c", "resources": {"requests": requests}}]}))
    }

    #[test]
    fn fit_table() {
        let mut n = node(
            "n",
            json!({"status": {"allocatable":
            {"cpu": "2", "memory": "1Gi", "pods": "2", "example.com/gpu": "1"}}}),
        );
        n.add(&asking(json!({"cpu": "1", "memory": "512Mi"})).into());
        let offer = n.offer.clone().unwrap();
        for (requests, reasons, resolvable) in [
            (json!({}), vec![], true),
            (json!({"cpu": "1", "memory": "512Mi"}), vec![], true),
            (json!({"cpu": "1001m"}), vec!["Insufficient cpu"], true),
            (
                json!({"cpu": "3", "memory": "513Mi"}),
                vec!["Insufficient cpu", "Insufficient memory"],
                false,
            ),
            (json!({"memory": "64Gi"}), vec!["Insufficient memory"], false),
            (json!({"ephemeral-storage": "1"}), vec!["Insufficient ephemeral-storage"], false),
            (json!({"example.com/gpu": "1"}), vec![], true),
            (json!({"example.com/fpga": "1"}), vec!["Insufficient example.com/fpga"], false),
        ] {
            let verdict = NodeResourcesFit.filter(&asking(requests.clone()), &n, &offer);
            let expected = if reasons.is_empty() {
                Ok(())
            } else {
                let reasons = reasons.iter().map(|r| (*r).to_owned()).collect();
                Err(Rejection { reasons, resolvable })
            };
            assert_eq!(verdict, expected, "{requests}");
        }
        n.add(&asking(json!({})).into());
        let full = NodeResourcesFit.filter(&asking(json!({})), &n, &offer).unwrap_err();
        assert_eq!(full.reasons, ["Too many pods"]);
    }

    #[test]
    fn emptier_nodes_score_higher() {
        let (mut busy, idle) = (node("busy", json!({})), node("idle", json!({})));
        busy.add(&asking(json!({"cpu": "2", "memory": "4Gi"})).into());
        let p = asking(json!({"cpu": "1", "memory": "2Gi"}));
        let score =
            |n: &NodeInfo| Score::score(&NodeResourcesFit, &p, n, n.offer.as_ref().unwrap());
        assert_eq!(score(&idle), 75);
        assert_eq!(score(&busy), 25);
    }
}

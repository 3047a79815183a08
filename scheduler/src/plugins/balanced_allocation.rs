//! Keeps the shares of CPU and memory in use on a node close to each other, so that neither is
//! left over without the other.

use crate::framework::{MAX_SCORE, Score};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// Score: 100 when the node would have the same share of CPU and memory taken, 50 when one is
/// full and the other free.
#[derive(Debug)]
pub struct BalancedAllocation;

impl Score for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "shares between 0 and 1; the result is at most 100"
    )]
    fn score(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> i64 {
        let share = |taken: i64, want: i64, have: i64| {
            if have <= 0 { 1.0 } else { ((taken + want) as f64 / have as f64).min(1.0) }
        };
        let (want, taken, have) = (&pod.demands.requests, &node.requested, &offer.allocatable);
        let cpu = share(taken.milli_cpu, want.milli_cpu, have.milli_cpu);
        let memory = share(taken.memory, want.memory, have.memory);
        // The standard deviation of two numbers is half their distance.
        ((1.0 - (cpu - memory).abs() / 2.0) * MAX_SCORE as f64) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::fixtures::{node, pod};
    use serde_json::json;

    #[test]
    fn balance_wins() {
        let p = pod(json!({"containers": [{"name": "c", "resources": {
            "requests": {"cpu": "2", "memory": "4Gi"}}}]}));
        let even = node("even", json!({}));
        let odd = node(
            "odd",
            json!({"status": {"allocatable":
            {"cpu": "2", "memory": "400Gi", "pods": "9"}}}),
        );
        let score = |n: &NodeInfo| BalancedAllocation.score(&p, n, n.offer.as_ref().unwrap());
        assert_eq!(score(&even), 100);
        assert_eq!(score(&odd), 50);
    }
}

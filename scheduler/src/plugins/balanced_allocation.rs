//! Keeps the shares of CPU and memory in use on a node close to each other, so that neither is
//! left over without the other.

use crate::cache::Cache;
use crate::framework::{Candidate, MAX_SCORE, Prepared, Score, ScoreState};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::resources::ResourceName;

/// Score: 100 when the node would have the same share of every resource taken; less by the standard
/// deviation of the shares. Pods that request none of the resources are balanced everywhere.
#[derive(Debug)]
pub struct BalancedAllocation {
    resources: Vec<ResourceName>,
}

impl Default for BalancedAllocation {
    fn default() -> Self {
        Self::new(&None)
    }
}

impl BalancedAllocation {
    /// Over the resources of these names; CPU and memory if none are given.
    #[must_use]
    pub fn new(resources: &Option<Vec<String>>) -> Self {
        let resources = match resources {
            Some(names) => names.iter().map(|name| name.as_str().into()).collect(),
            None => vec![ResourceName::Cpu, ResourceName::Memory],
        };
        Self { resources }
    }
}

impl Score for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn pre_score<'a>(
        &'a self,
        pod: &'a PodInfo,
        _: &'a Cache,
        _: &[Candidate<'a>],
    ) -> Prepared<Box<dyn ScoreState + 'a>> {
        let asks = |name: &ResourceName| pod.demands.requests.amount(name) > 0;
        if self.resources.iter().any(asks) { Prepared::Plain } else { Prepared::Skip }
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "shares between 0 and 1; the result is at most 100"
    )]
    fn score(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> i64 {
        let (want, taken, have) = (&pod.demands.requests, &node.requested, &offer.allocatable);
        let share = |name: &ResourceName| {
            let (has, used) = (have.amount(name), taken.amount(name) + want.amount(name));
            (has > 0).then(|| (used as f64 / has as f64).min(1.0))
        };
        let deviation = match self.resources.as_slice() {
            // The usual two, without a list.
            [one, other] => share(one).zip(share(other)).map_or(0.0, |(a, b)| (a - b).abs() / 2.0),
            all => deviation(&all.iter().filter_map(share).collect::<Vec<f64>>()),
        };
        ((1.0 - deviation) * MAX_SCORE as f64) as i64
    }
}

#[allow(clippy::cast_precision_loss, reason = "far fewer resources than 2^52")]
fn deviation(shares: &[f64]) -> f64 {
    if shares.is_empty() {
        return 0.0;
    }
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    let squares = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>();
    (squares / shares.len() as f64).sqrt()
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
        let plugin = BalancedAllocation::default();
        let score = |n: &NodeInfo| plugin.score(&p, n, n.offer.as_ref().unwrap());
        assert_eq!(score(&even), 100);
        assert_eq!(score(&odd), 50);
    }

    #[test]
    fn a_profile_says_which_resources_are_balanced() {
        let n = node(
            "n",
            json!({"status": {"allocatable":
            {"cpu": "4", "memory": "8Gi", "pods": "9", "example.com/gpu": "4"}}}),
        );
        let p = pod(json!({"containers": [{"name": "c", "resources": {
            "requests": {"cpu": "4", "example.com/gpu": "4"}}}]}));
        let score = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            BalancedAllocation::new(&Some(names)).score(&p, &n, n.offer.as_ref().unwrap())
        };
        assert_eq!(score(&["cpu", "memory"]), 50);
        assert_eq!(score(&["cpu", "example.com/gpu"]), 100);
        // 1, 0 and 1: the deviation is 0.47.
        assert_eq!(score(&["cpu", "memory", "example.com/gpu"]), 52);
        let plugin = BalancedAllocation::default();
        let silent = pod(json!({}));
        let cache = Cache::default();
        assert!(matches!(plugin.pre_score(&silent, &cache, &[]), Prepared::Skip));
    }
}

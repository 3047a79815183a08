//! Spreads the pods of one controller over nodes.
//!
//! This is Kubernetes' default constraint on `kubernetes.io/hostname` (`ScheduleAnyway`): a
//! preference, never a refusal. The counts per node come from the cache, so a decision costs one
//! hash lookup per candidate.

use crate::framework::{MAX_SCORE, Score};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// Score: the fewer pods of the same group on a node, the better.
#[derive(Debug)]
pub struct TopologySpread;

impl Score for TopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, _: &Offer) -> i64 {
        pod.group.as_ref().and_then(|group| node.groups.get(group)).map_or(0, |n| i64::from(*n))
    }

    fn normalize(&self, scores: &mut [i64]) {
        let max = scores.iter().copied().max().unwrap_or(0);
        let min = scores.iter().copied().min().unwrap_or(0);
        for score in scores {
            *score = if max == 0 { MAX_SCORE } else { MAX_SCORE * (max + min - *score) / max };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewest_siblings_score_highest() {
        let mut scores = [0, 1, 4];
        TopologySpread.normalize(&mut scores);
        assert_eq!(scores, [100, 75, 0]);
        let mut equal = [2, 2];
        TopologySpread.normalize(&mut equal);
        assert_eq!(equal, [100, 100]);
        let mut none = [0, 0];
        TopologySpread.normalize(&mut none);
        assert_eq!(none, [100, 100]);
    }
}

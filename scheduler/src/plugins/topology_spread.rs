//! Spreads pods over the values of node labels: hosts, zones, whatever the pod names.
//!
//! Constraints the pod states are hard (`DoNotSchedule`, [`filter`]) or a preference
//! (`ScheduleAnyway`, [`score`]). A pod that states none is spread over hosts with its siblings, by
//! counts the cache keeps per node, so that it costs one hash lookup per candidate.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/>.

mod filter;
mod score;
#[cfg(test)]
mod tests;

use super::node_affinity::NodeAffinity;
use super::taint_toleration;
use crate::cache::{Cache, Class};
use crate::framework::{
    Candidate, Change, Filter, FilterState, MAX_SCORE, Prepared, Score, ScoreState,
};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::spread::Constraint;

/// Filter: no domain gets more than `maxSkew` pods above the emptiest.
/// Score: the fewer pods in a domain, the better.
#[derive(Debug)]
pub struct TopologySpread;

impl Filter for TopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn pre_filter<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        if pod.demands.spread.iter().any(|constraint| constraint.hard) {
            Prepared::State(Box::new(filter::State::gather(pod, cache)))
        } else {
            Prepared::Skip
        }
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(
            change,
            Change::NodeAdded
                | Change::NodeRemoved
                | Change::NodeLabels
                | Change::NodeTaints
                | Change::PodAdded
                | Change::PodRemoved
        )
    }
}

impl Score for TopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn pre_score<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
        candidates: &[Candidate<'a>],
    ) -> Prepared<Box<dyn ScoreState + 'a>> {
        if pod.demands.spread.is_empty() {
            return Prepared::Plain;
        }
        if pod.demands.spread.iter().all(|constraint| constraint.hard) {
            return Prepared::Skip;
        }
        Prepared::State(Box::new(score::State::gather(pod, cache, candidates)))
    }

    /// For pods without constraints: siblings on the node.
    fn score(&self, pod: &PodInfo, node: &NodeInfo, _: &Offer) -> i64 {
        pod.group.as_ref().and_then(|group| node.groups.get(group)).map_or(0, |n| i64::from(*n))
    }

    fn normalize(&self, scores: &mut [i64]) {
        fewest_first(scores.iter_mut());
    }
}

/// Turns counts into scores: the fewest get the most.
fn fewest_first<'s>(scores: impl Iterator<Item = &'s mut i64>) {
    let scores: Vec<&mut i64> = scores.collect();
    let max = scores.iter().map(|score| **score).max().unwrap_or(0);
    let min = scores.iter().map(|score| **score).min().unwrap_or(0);
    for score in scores {
        *score = if max == 0 { MAX_SCORE } else { MAX_SCORE * (max + min - *score) / max };
    }
}

/// Whether pods of this class are counted by `constraint` of `pod`.
fn counts(constraint: &Constraint, pod: &PodInfo, class: &Class) -> bool {
    !class.deleting
        && class.namespace == pod.namespace
        && constraint.selector.matches(&class.labels)
}

/// Whether the node is in a domain of `constraint`, as its two policies say.
fn includes(constraint: &Constraint, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> bool {
    (!constraint.honors_affinity || NodeAffinity.filter(pod, node, offer).is_ok())
        && (!constraint.honors_taints || !taint_toleration::repelled(pod, offer))
}

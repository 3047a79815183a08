//! Spreads pods over the values of node labels: hosts, zones, whatever the pod names.
//!
//! Constraints the pod states are hard (`DoNotSchedule`, [`filter`]) or a preference
//! (`ScheduleAnyway`, [`score`]). A pod that states none is spread with its siblings: over hosts and
//! zones by counts that the cache keeps ([`system`]), or by the constraints of the profile.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/>.

mod filter;
mod score;
mod system;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::node_affinity;
use super::taint_toleration;
use crate::cache::{Cache, Class};
use crate::configuration::SpreadDefaults;
use crate::framework::{
    Candidate, Change, Filter, FilterState, MAX_SCORE, Prepared, Score, ScoreState,
};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::spread::Constraint;

/// Filter: no domain gets more than `maxSkew` pods above the emptiest.
/// Score: the fewer pods in a domain, the better.
#[derive(Debug, Default)]
pub struct TopologySpread {
    defaults: SpreadDefaults,
}

/// The constraints of a pod, and which pods they are about.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    constraints: &'a [Constraint],
    /// The pod's group instead of the constraints' selectors.
    group: Option<&'a Arc<str>>,
}

impl TopologySpread {
    /// With what is done for pods that state nothing.
    #[must_use]
    pub fn new(defaults: &SpreadDefaults) -> Self {
        Self { defaults: defaults.clone() }
    }

    fn wanted<'a>(&'a self, pod: &'a PodInfo) -> Wanted<'a> {
        match (&self.defaults, &pod.group) {
            (SpreadDefaults::List(constraints), group @ Some(_))
                if pod.demands.spread.is_empty() =>
            {
                Wanted { constraints, group: group.as_ref() }
            }
            _ => Wanted { constraints: &pod.demands.spread, group: None },
        }
    }
}

/// The pods that a constraint counts on a node.
enum Counted<'a> {
    Classes(Vec<bool>),
    Group(&'a Arc<str>),
}

impl<'a> Counted<'a> {
    fn new(wanted: Wanted<'a>, constraint: &Constraint, pod: &PodInfo, cache: &Cache) -> Self {
        match wanted.group {
            Some(group) => Self::Group(group),
            None => Self::Classes(cache.select(|class| counts(constraint, pod, class))),
        }
    }

    fn on(&self, node: &NodeInfo) -> i64 {
        match self {
            Self::Classes(classes) => node.count(classes),
            Self::Group(group) => node.groups.get(*group).map_or(0, |pods| i64::from(*pods)),
        }
    }
}

impl Filter for TopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn pre_filter<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        let wanted = self.wanted(pod);
        if wanted.constraints.iter().any(|constraint| constraint.hard) {
            Prepared::State(Box::new(filter::State::gather(wanted, pod, cache)))
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
                | Change::PodLabels
        )
    }
}

impl Score for TopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn pre_score<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
        candidates: &[Candidate<'a>],
    ) -> Prepared<Box<dyn ScoreState + 'a>> {
        let wanted = self.wanted(pod);
        if wanted.constraints.is_empty() {
            let system = self.defaults == SpreadDefaults::System;
            return match &pod.group {
                Some(group) if system => {
                    Prepared::State(Box::new(system::State::gather(group, cache, candidates)))
                }
                _ => Prepared::Skip,
            };
        }
        if wanted.constraints.iter().all(|constraint| constraint.hard) {
            return Prepared::Skip;
        }
        Prepared::State(Box::new(score::State::gather(wanted, pod, cache, candidates)))
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
    (!constraint.honors_affinity || node_affinity::wants(pod, node, offer))
        && (!constraint.honors_taints || !taint_toleration::repelled(pod, offer))
}

//! Keeps pods together or apart, as they ask for it and as the pods already there ask for it.
//!
//! The pods of the cluster are met as classes (one question per distinct set of labels) and the
//! terms of the pods already there as sums that the cache keeps; see [`crate::cache::Terms`].
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity>.

mod score;
mod state;
#[cfg(test)]
mod tests;

use crate::cache::{Cache, Meaning};
use crate::configuration::PodAffinityArguments;
use crate::framework::{Candidate, Change, Filter, FilterState, Prepared, Score, ScoreState};
use crate::pod::PodInfo;

/// Filter: required affinity and anti-affinity of the pod, and required anti-affinity of others.
/// Score: preferred terms of the pod, preferred and required terms of others.
#[derive(Debug, Default)]
pub struct InterPodAffinity {
    arguments: PodAffinityArguments,
}

impl InterPodAffinity {
    /// With what terms of others count.
    #[must_use]
    pub fn new(arguments: &PodAffinityArguments) -> Self {
        Self { arguments: *arguments }
    }
}

impl Filter for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn pre_filter<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        let state = state::State::gather(pod, cache);
        if state.is_idle() { Prepared::Skip } else { Prepared::State(Box::new(state)) }
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(
            change,
            Change::NodeAdded
                | Change::NodeLabels
                | Change::PodAdded
                | Change::PodRemoved
                | Change::PodLabels
                | Change::NamespaceLabels
        )
    }
}

impl Score for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn pre_score<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
        _: &[Candidate<'a>],
    ) -> Prepared<Box<dyn ScoreState + 'a>> {
        let state = score::State::gather(pod, cache, self.arguments);
        if state.is_idle() { Prepared::Skip } else { Prepared::State(Box::new(state)) }
    }
}

/// The terms of placed pods that mean this pod.
fn standing<'a>(
    pod: &'a PodInfo,
    cache: &'a Cache,
) -> impl Iterator<Item = (Meaning, &'a crate::cache::Standing)> {
    let means = |standing: &&crate::cache::Standing| {
        standing.term.matches(&pod.namespace, &pod.labels, cache.namespaces())
    };
    cache.terms().iter().filter(means).map(|standing| (standing.meaning, standing))
}

//! What the score gathers: a weight per topology key and value.

use std::collections::HashMap;

use super::standing;
use crate::affinity::PodAffinity;
use crate::cache::{Cache, Meaning};
use crate::configuration::PodAffinityArguments;
use crate::framework::{Candidate, MAX_SCORE, ScoreState};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// Weight per topology key, then per value.
pub(super) struct State<'a> {
    weights: HashMap<&'a str, HashMap<&'a str, i64>>,
}

impl<'a> State<'a> {
    pub(super) fn gather(
        pod: &'a PodInfo,
        cache: &'a Cache,
        arguments: PodAffinityArguments,
    ) -> Self {
        let prefers =
            |own: &PodAffinity| !own.preferred.is_empty() || !own.preferred_anti.is_empty();
        let ignores = arguments.ignore_preferred_of_existing
            && !pod.demands.pods.as_deref().is_some_and(prefers);
        let mut weights: HashMap<&str, HashMap<&str, i64>> = HashMap::new();
        for (meaning, standing) in standing(pod, cache) {
            let weight = match meaning {
                Meaning::Forbids => continue,
                Meaning::Attracts => arguments.hard_weight,
                Meaning::Weighs(_) if ignores => continue,
                Meaning::Weighs(weight) => weight,
            };
            let values = weights.entry(&standing.term.topology_key).or_default();
            for (value, pods) in &standing.counts {
                *values.entry(value).or_default() += i64::from(weight) * i64::from(*pods);
            }
        }
        let own = pod.demands.pods.as_deref();
        let with = own.into_iter().flat_map(|a| &a.preferred).map(|(w, term)| (*w, term));
        let without = own.into_iter().flat_map(|a| &a.preferred_anti).map(|(w, term)| (-*w, term));
        for (weight, term) in with.chain(without) {
            let wanted = cache
                .select(|class| term.matches(&class.namespace, &class.labels, cache.namespaces()));
            if !wanted.contains(&true) {
                continue;
            }
            let values = weights.entry(&term.topology_key).or_default();
            for node in cache.nodes() {
                let labels = node.offer.as_ref().map(|offer| &offer.labels);
                let Some(value) = labels.and_then(|l| l.get(&*term.topology_key)) else { continue };
                let pods = node.count(&wanted);
                if pods > 0 {
                    *values.entry(value).or_default() += i64::from(weight) * pods;
                }
            }
        }
        weights.retain(|_, values| values.values().any(|weight| *weight != 0));
        Self { weights }
    }

    /// Whether all nodes are equal.
    pub(super) fn is_idle(&self) -> bool {
        self.weights.is_empty()
    }
}

impl ScoreState for State<'_> {
    fn score(&self, _: &NodeInfo, offer: &Offer) -> i64 {
        let weight = |(key, values): (&&str, &HashMap<&str, i64>)| {
            offer.labels.get(*key).and_then(|value| values.get(value.as_str()).copied())
        };
        self.weights.iter().filter_map(weight).sum()
    }

    fn normalize(&self, _: &[Candidate<'_>], scores: &mut [i64]) {
        let max = scores.iter().copied().max().unwrap_or(0);
        let min = scores.iter().copied().min().unwrap_or(0);
        for score in scores {
            *score = if max > min { MAX_SCORE * (*score - min) / (max - min) } else { 0 };
        }
    }
}

//! The decision: a pod and the nodes in, a node or a diagnosis out. No IO, no clock.
//!
//! Looking at every node for every pod does not scale, and is not needed for a good choice: as in
//! Kubernetes, the search ends when enough nodes were found that can run the pod, and the next
//! search goes on where this one ended, so that all nodes get their turn.

use std::sync::Arc;

use crate::cache::Cache;
use crate::diagnosis::Diagnosis;
use crate::filters::Filters;
use crate::framework::{Candidate, Framework, Prepared};
use crate::node::NodeInfo;
use crate::plugins::NodeAffinity;
use crate::pod::PodInfo;

/// Clusters up to this size are always searched completely.
const MIN_FEASIBLE: usize = 100;

/// What one decision hands to the next.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// Where the next search begins.
    next: usize,
    /// State of the generator that breaks ties.
    seed: u64,
}

impl Rotation {
    /// Begins at the first node; `seed` makes the tie-breaks repeatable.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { next: 0, seed: seed | 1 }
    }

    /// xorshift64: fast and fair enough to pick among equals.
    fn below(&mut self, bound: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        usize::try_from(self.seed % bound.max(1) as u64).unwrap_or(0)
    }
}

/// How many nodes that can run the pod are enough: all up to 100, then a share that falls from
/// 50 % to 5 % as the cluster grows, but never fewer than 100.
#[must_use]
pub fn enough(nodes: usize) -> usize {
    if nodes < MIN_FEASIBLE {
        return nodes;
    }
    let percent = 50usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(MIN_FEASIBLE)
}

/// Chooses a node for `pod`.
///
/// # Errors
/// The [`Diagnosis`] over all nodes if none can run it.
pub fn decide(
    framework: &Framework,
    cache: &Cache,
    pod: &PodInfo,
    rotation: &mut Rotation,
) -> Result<Arc<str>, Diagnosis> {
    let feasible = find(framework, cache, pod, rotation)?;
    if let [(node, _)] = feasible.as_slice() {
        return Ok(node.name.clone());
    }
    let totals = score(framework, cache, pod, &feasible);
    let best = totals.iter().copied().max().expect("at least two nodes are feasible");
    let tied: Vec<usize> = (0..totals.len()).filter(|at| totals[*at] == best).collect();
    let chosen = tied[rotation.below(tied.len())];
    Ok(feasible[chosen].0.name.clone())
}

fn find<'a>(
    framework: &'a Framework,
    cache: &'a Cache,
    pod: &'a PodInfo,
    rotation: &mut Rotation,
) -> Result<Vec<Candidate<'a>>, Diagnosis> {
    let nodes = cache.nodes();
    let mut diagnosis =
        Diagnosis { never_preempts: pod.demands.never_preempts, ..Diagnosis::default() };
    let mut filters = Filters::prepare(framework, cache, pod);
    // Room was made for it here: no other node needs to be asked.
    if let Some(node) = cache.nomination(&pod.uid).and_then(|name| cache.node(name))
        && let Some(offer) = &node.offer
        && filters.ask_nominated(cache, node, offer).is_ok()
    {
        return Ok(vec![(node, offer)]);
    }
    let mut feasible = Vec::new();
    let mut look = |at: usize| {
        let node: &'a NodeInfo = &nodes[at];
        let Some(offer) = &node.offer else { return 0 };
        diagnosis.nodes += 1;
        if let Err((position, rejection)) = filters.ask_nominated(cache, node, offer) {
            if rejection.resolvable {
                diagnosis.openable.push(at);
            }
            diagnosis.count(position, rejection);
            return 0;
        }
        feasible.push((node, offer));
        1
    };

    if let Some(names) = NodeAffinity::pinned(pod) {
        for at in names.into_iter().filter_map(|name| cache.position(name)) {
            look(at);
        }
        if feasible.is_empty() {
            // The others were not asked; they would all have said the same.
            let asked = diagnosis.nodes;
            diagnosis.nodes = cache.node_names().count();
            NodeAffinity::count_unasked(framework, &mut diagnosis, asked);
        }
    } else {
        let wanted = enough(nodes.len());
        let (mut found, mut looked) = (0, 0);
        while looked < nodes.len() && found < wanted {
            found += look((rotation.next + looked) % nodes.len());
            looked += 1;
        }
        if !nodes.is_empty() {
            rotation.next = (rotation.next + looked) % nodes.len();
        }
    }
    if feasible.is_empty() { Err(diagnosis) } else { Ok(feasible) }
}

fn score<'a>(
    framework: &'a Framework,
    cache: &'a Cache,
    pod: &'a PodInfo,
    candidates: &[Candidate<'a>],
) -> Vec<i64> {
    let mut totals = vec![0; candidates.len()];
    let mut scores = Vec::with_capacity(candidates.len());
    for plugin in &framework.scores {
        scores.clear();
        match plugin.pre_score(pod, cache, candidates) {
            Prepared::Skip => continue,
            Prepared::Plain => {
                scores.extend(candidates.iter().map(|(n, offer)| plugin.score(pod, n, offer)));
                plugin.normalize(&mut scores);
            }
            Prepared::State(state) => {
                scores.extend(candidates.iter().map(|(n, offer)| state.score(n, offer)));
                state.normalize(candidates, &mut scores);
            }
        }
        for (total, score) in totals.iter_mut().zip(&scores) {
            *total += plugin.weight() * score;
        }
    }
    totals
}

#[cfg(test)]
mod tests;

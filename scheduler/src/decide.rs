//! The decision: a pod and the nodes in, a node or a diagnosis out. No IO, no clock.
//!
//! What is known of nodes from the last pods is not found out again ([`memo`]).
//!
//! Looking at every node for every pod does not scale, and is not needed for a good choice: as in
//! Kubernetes, the search ends when enough nodes were found that can run the pod, and the next
//! search goes on where this one ended, so that all nodes get their turn.

mod memo;

use std::sync::Arc;

use memo::{Memo, Memos, Said};

use crate::cache::Cache;
use crate::diagnosis::Diagnosis;
use crate::filters::{self, Filters};
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
    /// What is known of nodes.
    memos: Memos,
}

impl Rotation {
    /// Begins at the first node; `seed` makes the tie-breaks repeatable.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { next: 0, seed: seed | 1, memos: Memos::default() }
    }

    /// xorshift64: fast and fair enough to pick among equals.
    fn below(&mut self, bound: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        usize::try_from(self.seed % bound.max(1) as u64).unwrap_or(0)
    }
}

/// How many nodes that can run the pod are enough: all up to 100, then a share of them, but never
/// fewer than 100. A `percentage` of 0 is one that falls from 50 % to 5 % as the cluster grows.
#[must_use]
pub fn enough(nodes: usize, percentage: u8) -> usize {
    if nodes < MIN_FEASIBLE {
        return nodes;
    }
    let percent = match percentage {
        0 => 50usize.saturating_sub(nodes / 125).max(5),
        given => usize::from(given.min(100)),
    };
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
    let mut diagnosis = Diagnosis::default();
    if let Err((position, rejection)) = filters::admit(framework, cache, pod) {
        diagnosis.nodes = cache.node_names().count();
        diagnosis.refuse_outright(position, &rejection);
        return Err(diagnosis);
    }
    let mut search = Search {
        framework,
        cache,
        pod,
        filters: Filters::prepare(framework, cache, pod),
        memo: rotation.memos.of(pod, cache.nodes().len(), framework.scores.len()),
        found: Vec::new(),
        at: Vec::new(),
        refused: Vec::new(),
        diagnosis,
    };
    search.run(&mut rotation.next)?;
    if let [(node, _)] = search.found.as_slice() {
        return Ok(node.name.clone());
    }
    let totals = search.score();
    let best = totals.iter().copied().max().expect("at least two nodes are feasible");
    let tied: Vec<usize> = (0..totals.len()).filter(|at| totals[*at] == best).collect();
    let found = search.found;
    let chosen = tied[rotation.below(tied.len())];
    Ok(found[chosen].0.name.clone())
}

/// Whether one node can run `pod` as it is now, with the room left that is kept there for others.
#[must_use]
pub fn fits(framework: &Framework, cache: &Cache, pod: &PodInfo, node: &NodeInfo) -> bool {
    node.offer.as_ref().is_some_and(|offer| {
        filters::admit(framework, cache, pod).is_ok()
            && Filters::prepare(framework, cache, pod).ask_nominated(cache, node, offer).is_ok()
    })
}

/// One decision under way.
struct Search<'a, 'm> {
    framework: &'a Framework,
    cache: &'a Cache,
    pod: &'a PodInfo,
    filters: Filters<'a>,
    memo: &'m mut Memo,
    /// The nodes that can run the pod.
    found: Vec<Candidate<'a>>,
    /// Their positions in the cache.
    at: Vec<usize>,
    /// How many nodes were refused, by the number of the rejection in `memo`.
    refused: Vec<usize>,
    diagnosis: Diagnosis,
}

impl<'a> Search<'a, '_> {
    /// Looks for nodes from `next` on, and moves it behind the last one that was looked at.
    fn run(&mut self, next: &mut usize) -> Result<(), Diagnosis> {
        let (framework, cache, pod) = (self.framework, self.cache, self.pod);
        // Room was made for it here: no other node needs to be asked.
        if let Some(at) = cache.nomination(&pod.uid).and_then(|name| cache.position(name))
            && let Some(offer) = &cache.nodes()[at].offer
            && self.filters.ask_nominated(cache, &cache.nodes()[at], offer).is_ok()
        {
            self.found.push((&cache.nodes()[at], offer));
            return Ok(());
        }
        let pinned = framework.node_affinity.and_then(|at| Some((at, NodeAffinity::pinned(pod)?)));
        if let Some((position, names)) = pinned {
            for at in names.into_iter().filter_map(|name| cache.position(name)) {
                self.look(at);
            }
            if self.found.is_empty() {
                // The others were not asked; they would all have said the same.
                let asked = self.diagnosis.nodes;
                self.diagnosis.nodes = cache.node_names().count();
                NodeAffinity::count_unasked(position, &mut self.diagnosis, asked);
            }
        } else {
            let nodes = cache.nodes().len();
            let wanted = enough(nodes, framework.percentage_of_nodes_to_score);
            let mut looked = 0;
            while looked < nodes && self.found.len() < wanted {
                self.look((*next + looked) % nodes);
                looked += 1;
            }
            if nodes > 0 {
                *next = (*next + looked) % nodes;
            }
        }
        if !self.found.is_empty() {
            return Ok(());
        }
        let mut diagnosis = std::mem::take(&mut self.diagnosis);
        for (number, nodes) in self.refused.iter().enumerate() {
            let (position, rejection) = self.memo.rejection(number);
            diagnosis.count(*position, rejection, *nodes);
        }
        Err(diagnosis)
    }

    fn look(&mut self, at: usize) {
        let node: &'a NodeInfo = &self.cache.nodes()[at];
        let Some(offer) = &node.offer else { return };
        self.diagnosis.nodes += 1;
        let filters = &mut self.filters;
        let said = match self.memo.verdict(at, node.generation, || filters.ask_plain(node, offer)) {
            Said::Refused(number) => Err(number),
            Said::Fits => {
                let rest = if node.nominated == 0 {
                    filters.ask_states(node, offer)
                } else {
                    filters.ask_nominated(self.cache, node, offer)
                };
                rest.map_err(|refused| self.memo.intern(refused))
            }
        };
        let Err(number) = said else {
            self.found.push((node, offer));
            self.at.push(at);
            return;
        };
        if self.memo.rejection(number).1.resolvable {
            self.diagnosis.openable.push(at);
        }
        if self.refused.len() <= number {
            self.refused.resize(number + 1, 0);
        }
        self.refused[number] += 1;
    }

    /// The weighted sums for the nodes found.
    fn score(&mut self) -> Vec<i64> {
        let (pod, cache) = (self.pod, self.cache);
        let found = &self.found;
        let mut totals = vec![0; found.len()];
        let mut scores = Vec::with_capacity(found.len());
        for (number, (plugin, weight)) in self.framework.scores.iter().enumerate() {
            scores.clear();
            match plugin.pre_score(pod, cache, found) {
                Prepared::Skip => continue,
                Prepared::Plain => {
                    scores.extend(found.iter().zip(&self.at).map(|((node, offer), at)| {
                        let ask = || plugin.score(pod, node, offer);
                        self.memo.score(*at, node.generation, number, ask)
                    }));
                    plugin.normalize(&mut scores);
                }
                Prepared::State(state) => {
                    scores.extend(found.iter().map(|(n, offer)| state.score(n, offer)));
                    state.normalize(found, &mut scores);
                }
            }
            for (total, score) in totals.iter_mut().zip(&scores) {
                *total += weight * score;
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests;

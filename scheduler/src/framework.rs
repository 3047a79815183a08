//! The points where plugins take part in a decision, and the set of plugins in use.
//!
//! Two points exist so far. A [`Filter`] says whether a node can run the pod at all, and why not;
//! a [`Score`] ranks the nodes that can. Both are pure: pod and node in, verdict out. A filter also
//! says which [`Change`] of the cluster can turn its verdict around, so that a refused pod is woken
//! when it has a chance and left alone otherwise.
//!
//! Adding a plugin is a file in `plugins/` and a line in [`Framework::default`].

use crate::node::{NodeInfo, Offer};
use crate::plugins;
use crate::pod::PodInfo;

/// Highest score a plugin gives a node, before its weight.
pub const MAX_SCORE: i64 = 100;

/// Why a node was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Kubernetes' own phrases, as in `1 Insufficient memory`. Never empty.
    pub reasons: Vec<String>,
    /// Whether removing pods from the node could help.
    pub resolvable: bool,
}

impl Rejection {
    /// Nothing that happens to the node's pods changes this verdict.
    #[must_use]
    pub fn unresolvable(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], resolvable: false }
    }

    /// Fewer pods on the node could change this verdict.
    #[must_use]
    pub fn resolvable(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], resolvable: true }
    }
}

/// Something that happened in the cluster and may make a refused pod fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A node appeared.
    NodeAdded,
    /// A node offers more of a resource, or takes more pods.
    NodeGrew,
    /// A node's labels changed.
    NodeLabels,
    /// A node's taints changed, or it was (un)cordoned.
    NodeTaints,
    /// A pod left a node.
    PodRemoved,
}

/// Can this node run the pod?
pub trait Filter: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// The verdict.
    ///
    /// # Errors
    /// The [`Rejection`] that ends up in the pod's condition and event.
    fn filter(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> Result<(), Rejection>;

    /// Whether `change` can turn a rejection by this filter around.
    fn helped_by(&self, change: Change) -> bool;
}

/// How good is this node for the pod?
pub trait Score: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// How much this plugin counts against the others.
    fn weight(&self) -> i64 {
        1
    }

    /// A raw score, in the plugin's own scale if it has a [`Score::normalize`].
    fn score(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> i64;

    /// Brings the raw scores of all candidates into `0..=MAX_SCORE`.
    fn normalize(&self, _scores: &mut [i64]) {}
}

/// A set of filters, one bit per position in [`Framework::filters`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilterSet(u32);

impl FilterSet {
    /// Adds the filter at `position`.
    pub fn insert(&mut self, position: usize) {
        self.0 |= 1 << position;
    }

    /// Whether the filter at `position` is in it.
    #[must_use]
    pub fn contains(self, position: usize) -> bool {
        self.0 & (1 << position) != 0
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The plugins in use.
pub struct Framework {
    /// In the order they are asked; the first rejection ends the questioning of a node. Cheap and
    /// decisive ones come first. At most 32.
    pub filters: Vec<Box<dyn Filter>>,
    /// All are asked, sums weighted.
    pub scores: Vec<Box<dyn Score>>,
}

impl Default for Framework {
    /// Kubernetes' default profile, as far as it exists here.
    fn default() -> Self {
        Self {
            filters: vec![
                Box::new(plugins::NodeUnschedulable),
                Box::new(plugins::TaintToleration),
                Box::new(plugins::NodeAffinity),
                Box::new(plugins::NodePorts),
                Box::new(plugins::NodeResourcesFit),
            ],
            scores: vec![
                Box::new(plugins::TaintToleration),
                Box::new(plugins::NodeAffinity),
                Box::new(plugins::TopologySpread),
                Box::new(plugins::NodeResourcesFit),
                Box::new(plugins::BalancedAllocation),
            ],
        }
    }
}

impl Framework {
    /// Whether `change` may help a pod that was refused by `refused_by`. A pod refused by nothing
    /// in particular (there was no node) is helped by everything.
    #[must_use]
    pub fn helps(&self, change: Change, refused_by: FilterSet) -> bool {
        refused_by.is_empty()
            || self
                .filters
                .iter()
                .enumerate()
                .any(|(at, filter)| refused_by.contains(at) && filter.helped_by(change))
    }
}

/// Scales so that the largest score becomes [`MAX_SCORE`]; with `reverse`, the smallest is best.
pub(crate) fn normalize_to_max(scores: &mut [i64], reverse: bool) {
    let max = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        let scaled = if max == 0 { 0 } else { *score * MAX_SCORE / max };
        *score = if reverse { MAX_SCORE - scaled } else { scaled };
    }
}

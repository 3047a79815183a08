//! The points where plugins take part in a decision, and the set of plugins in use.
//!
//! A [`Filter`] says whether a node can run the pod at all, and why not; a [`Score`] ranks the nodes
//! that can. Both are pure: pod and node in, verdict out. What a plugin needs of the whole cluster it
//! gathers once per decision, in [`Filter::pre_filter`] and [`Score::pre_score`]. A filter also
//! says which [`Change`] of the cluster can turn its verdict around, so that a refused pod is woken
//! when it has a chance and left alone otherwise.
//!
//! Adding a plugin is a file in `plugins/` and a line in [`Framework::default`].

use crate::cache::Cache;
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
    /// A node is gone.
    NodeRemoved,
    /// A node offers more of a resource, or takes more pods.
    NodeGrew,
    /// A node's labels changed.
    NodeLabels,
    /// A node's taints changed, or it was (un)cordoned.
    NodeTaints,
    /// A pod left a node.
    PodRemoved,
    /// A pod came to a node.
    PodAdded,
    /// A namespace's labels changed.
    NamespaceLabels,
}

/// What a plugin does in one decision.
pub enum Prepared<T> {
    /// Nothing: the pod does not concern it.
    Skip,
    /// It looks at pod and node alone.
    Plain,
    /// It looks at what it gathered, too.
    State(T),
}

/// What a filter gathered for one decision.
pub trait FilterState {
    /// The verdict.
    ///
    /// # Errors
    /// The [`Rejection`] that ends up in the pod's condition and event.
    fn filter(&self, node: &NodeInfo, offer: &Offer) -> Result<(), Rejection>;

    /// As if `pod` were on the node that offers `offer`.
    fn add(&mut self, pod: &PodInfo, offer: &Offer);

    /// As if `pod` were not on it any more.
    fn remove(&mut self, pod: &PodInfo, offer: &Offer);
}

/// A node that can run the pod, with what it offers.
pub type Candidate<'a> = (&'a NodeInfo, &'a Offer);

/// What a score gathered for one decision.
pub trait ScoreState {
    /// A raw score.
    fn score(&self, node: &NodeInfo, offer: &Offer) -> i64;

    /// Brings the raw scores of all candidates into `0..=MAX_SCORE`.
    fn normalize(&self, candidates: &[Candidate<'_>], scores: &mut [i64]);
}

/// Can this node run the pod?
pub trait Filter: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// Gathers what the verdicts depend on besides pod and node. Default: nothing.
    fn pre_filter<'a>(
        &'a self,
        _pod: &'a PodInfo,
        _cache: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        Prepared::Plain
    }

    /// The verdict of a filter that gathers nothing. Default: every node will do.
    ///
    /// # Errors
    /// The [`Rejection`] that ends up in the pod's condition and event.
    fn filter(&self, _pod: &PodInfo, _node: &NodeInfo, _offer: &Offer) -> Result<(), Rejection> {
        Ok(())
    }

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

    /// Gathers what the scores depend on besides pod and node. Default: nothing.
    fn pre_score<'a>(
        &'a self,
        _pod: &'a PodInfo,
        _cache: &'a Cache,
        _candidates: &[Candidate<'a>],
    ) -> Prepared<Box<dyn ScoreState + 'a>> {
        Prepared::Plain
    }

    /// A raw score, in the plugin's own scale if it has a [`Score::normalize`]. Default: 0, for a
    /// plugin that gathers its scores.
    fn score(&self, _pod: &PodInfo, _node: &NodeInfo, _offer: &Offer) -> i64 {
        0
    }

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
                Box::new(plugins::TopologySpread),
                Box::new(plugins::InterPodAffinity),
            ],
            scores: vec![
                Box::new(plugins::TaintToleration),
                Box::new(plugins::NodeAffinity),
                Box::new(plugins::TopologySpread),
                Box::new(plugins::NodeResourcesFit),
                Box::new(plugins::InterPodAffinity),
                Box::new(plugins::BalancedAllocation),
                Box::new(plugins::ImageLocality),
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

//! The points where plugins take part in scheduling a pod, and the plugins in use.
//!
//! [`points`] has a trait for every extension point of Kubernetes' framework; what happens when:
//!
//! | point | when | what |
//! |---|---|---|
//! | pre-enqueue | before a pod may wait | is it to be tried at all |
//! | queue sort | in the queue | who is next |
//! | pre-filter, filter | deciding | which nodes can run the pod |
//! | post-filter | no node can | make room |
//! | pre-score, score | deciding | which of them is best |
//! | reserve | decided | take what the pod needs besides the node; given back by unreserve |
//! | permit | decided | bind now, later or never ([`Waiting`]) |
//! | pre-bind, bind, post-bind | in the background | write it |
//!
//! Everything up to reserve is pure or touches the cache only: pod and node in, verdict out. What a
//! filter or a score needs of the whole cluster it gathers once per decision. A filter also says which
//! [`Change`] of the cluster can turn its verdict around, so that a refused pod is woken when it has a
//! chance and left alone otherwise.
//!
//! A plugin is a name in the [`Registry`] with the [`Parts`] it plays; a [`Profile`] says which plugins
//! are in use at which point. Adding one is a file in `plugins/` and a line in the registry.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/>.

mod assemble;
pub mod points;
mod registry;
#[cfg(test)]
mod tests;
mod waiting;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

pub use points::{
    Aftermath, Attempt, Bind, Candidate, Filter, FilterState, Permission, Permit, PostBind,
    PostFilter, PreBind, PreEnqueue, Prepared, QueueSort, Reserve, Score, ScoreState, Work,
};
pub use registry::{Maker, Parts, Registry};
pub use waiting::{Verdict, Waiting};

use crate::cache::Cache;
use crate::configuration::{Problem, Profile};
use crate::node::NodeInfo;
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
    /// The labels of a pod on a node changed.
    PodLabels,
    /// A namespace's labels changed.
    NamespaceLabels,
    /// A claim of the pod appeared or changed.
    Claim,
    /// A volume, or what a provisioner has room for, appeared or changed.
    Volume,
    /// A storage class appeared or changed.
    StorageClass,
    /// A ResourceClaim appeared or changed, or gave its devices back.
    ResourceClaim,
    /// A device class appeared or changed.
    DeviceClass,
    /// The devices of a node changed.
    ResourceSlice,
    /// What a node or a driver says about its volumes changed, or a volume was detached.
    VolumeLimits,
}

impl Change {
    /// Whether a volume may have come within reach of a pod: bound to its claim, or made anew where the
    /// pod can be.
    #[must_use]
    pub fn is_of_reach(self) -> bool {
        matches!(
            self,
            Self::NodeAdded | Self::NodeLabels | Self::Claim | Self::Volume | Self::StorageClass
        )
    }
}

/// A set of filters, one bit per position in [`Framework::filters`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FilterSet(u32);

impl FilterSet {
    /// How many positions there are.
    pub const SIZE: usize = 32;

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

/// The plugins of one profile, point by point, in the order they are asked.
pub struct Framework {
    /// Pods that name this scheduler are scheduled by these plugins.
    pub scheduler_name: String,
    /// How many percent of the nodes that can run a pod are enough; 0 falls with the size of the
    /// cluster ([`crate::decide::enough`]).
    pub percentage_of_nodes_to_score: u8,
    /// Whoever says no keeps the pod out of the queue.
    pub pre_enqueues: Vec<Arc<dyn PreEnqueue>>,
    /// Orders the queue; the same in all profiles.
    pub queue_sort: Arc<dyn QueueSort>,
    /// The first rejection ends the questioning of a node. Cheap and decisive ones come first. At most
    /// [`FilterSet::SIZE`].
    pub filters: Vec<Arc<dyn Filter>>,
    /// The first that finds room ends the search.
    pub post_filters: Vec<Arc<dyn PostFilter>>,
    /// All are asked, sums weighted.
    pub scores: Vec<(Arc<dyn Score>, i64)>,
    /// All must succeed.
    pub reserves: Vec<Arc<dyn Reserve>>,
    /// All must allow it.
    pub permits: Vec<Arc<dyn Permit>>,
    /// All must succeed.
    pub pre_binds: Vec<Arc<dyn PreBind>>,
    /// The first that does not pass binds.
    pub binds: Vec<Arc<dyn Bind>>,
    /// All are told.
    pub post_binds: Vec<Arc<dyn PostBind>>,
    /// Where the filter is that reads required node affinity.
    pub(crate) node_affinity: Option<usize>,
}

impl Default for Framework {
    /// Kubernetes' default profile.
    fn default() -> Self {
        Self::new(&Profile::default(), &Registry::default()).expect("the default profile is valid")
    }
}

impl fmt::Debug for Framework {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filters: Vec<&str> = self.filters.iter().map(|filter| filter.name()).collect();
        let scores: Vec<(&str, i64)> = self.scores.iter().map(|(s, w)| (s.name(), *w)).collect();
        f.debug_struct("Framework")
            .field("scheduler_name", &self.scheduler_name)
            .field("filters", &filters)
            .field("scores", &scores)
            .finish_non_exhaustive()
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

    /// Whether a pod that was refused by `refused_by` may find room now that another has left `node`: it
    /// may fit there, or, if it `may_preempt`, without the pods that matter less than it.
    #[must_use]
    pub fn helps_that_left(
        &self,
        node: &NodeInfo,
        pod: &PodInfo,
        refused_by: FilterSet,
        may_preempt: bool,
    ) -> bool {
        // Without a Node object nobody fits there, but pods elsewhere may feel it.
        let Some(offer) = node.offer.as_ref().filter(|_| !refused_by.is_empty()) else {
            return true;
        };
        let opens = |node: &NodeInfo| {
            let mut filters = self.filters.iter().enumerate();
            filters.any(|(at, filter)| {
                refused_by.contains(at)
                    && filter.helped_by(Change::PodRemoved)
                    && filter.opens(pod, node, offer)
            })
        };
        let lesser = |other: &&Arc<PodInfo>| other.demands.priority < pod.demands.priority;
        let preempts = may_preempt && !pod.demands.never_preempts;
        if opens(node) {
            return true;
        }
        if !preempts || !node.residents.iter().any(|other| lesser(&other)) {
            return false;
        }
        let mut without = node.draft();
        node.residents.iter().filter(lesser).for_each(|other| without.remove(other));
        opens(&without)
    }

    /// Whether a pod may wait for a node.
    #[must_use]
    pub fn admits(&self, pod: &PodInfo, cache: &Cache) -> bool {
        self.pre_enqueues.iter().all(|plugin| plugin.pre_enqueue(pod, cache))
    }
}

/// The frameworks of one process by scheduler name. Never empty.
#[derive(Debug)]
pub struct Frameworks(BTreeMap<String, Arc<Framework>>);

impl Default for Frameworks {
    fn default() -> Self {
        let only = Framework::default();
        Self(BTreeMap::from([(only.scheduler_name.clone(), Arc::new(only))]))
    }
}

impl Frameworks {
    /// Puts the plugins of every profile together.
    ///
    /// # Errors
    /// The field of the configuration that makes no sense, from `profiles[…]` on.
    pub fn new(profiles: &[Profile], registry: &Registry) -> Result<Self, Problem> {
        let mut all: BTreeMap<String, Arc<Framework>> = BTreeMap::new();
        if profiles.is_empty() {
            return Err(Problem::new("profiles", "at least one profile is needed"));
        }
        let mut sort: Option<&'static str> = None;
        for (at, profile) in profiles.iter().enumerate() {
            let within = |problem: Problem| problem.within(&format!("profiles[{at}]"));
            let framework = Framework::new(profile, registry).map_err(within)?;
            let name = framework.queue_sort.name();
            if *sort.get_or_insert(name) != name {
                let problem = "must be the same for all profiles: they share one queue";
                return Err(within(Problem::new("plugins.queueSort", problem)));
            }
            if all.contains_key(&profile.scheduler_name) {
                let problem = format!("{:?} has a profile already", profile.scheduler_name);
                return Err(within(Problem::new("schedulerName", problem)));
            }
            all.insert(profile.scheduler_name.clone(), Arc::new(framework));
        }
        Ok(Self(all))
    }

    /// The plugins for pods that name this scheduler; none if they are another scheduler's.
    #[must_use]
    pub fn of(&self, scheduler_name: &str) -> Option<&Arc<Framework>> {
        self.0.get(scheduler_name)
    }

    /// What orders the queue.
    #[must_use]
    pub fn queue_sort(&self) -> Arc<dyn QueueSort> {
        let first = self.0.values().next().expect("never empty");
        first.queue_sort.clone()
    }

    /// The names of the schedulers.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
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

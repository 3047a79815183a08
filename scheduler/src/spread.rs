//! `spec.topologySpreadConstraints`, read once.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/>.

use api::selector::LabelSelector;
use k8s_openapi::api::core::v1::{Pod, TopologySpreadConstraint};

use crate::affinity::{Labels, selector};

/// How evenly the selected pods must lie over the values of a node label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// Node label whose values are the domains.
    pub topology_key: Box<str>,
    /// How many more pods a domain may have than the emptiest one. At least 1.
    pub max_skew: i32,
    /// `whenUnsatisfiable: DoNotSchedule`; otherwise a preference.
    pub hard: bool,
    /// With fewer domains than this the emptiest is taken to have no pod. Default: 1.
    pub min_domains: i32,
    /// Which pods of the pod's namespace are counted.
    pub selector: LabelSelector,
    /// Nodes the pod's node affinity excludes are no domain. Default: true.
    pub honors_affinity: bool,
    /// Nodes with taints the pod does not tolerate are no domain. Default: false.
    pub honors_taints: bool,
}

impl Constraint {
    /// Reads a pod's constraints.
    #[must_use]
    pub fn read_all(pod: &Pod) -> Box<[Self]> {
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let constraints = pod.spec.as_ref().and_then(|s| s.topology_spread_constraints.as_ref());
        constraints.into_iter().flatten().map(|c| Self::read(c, &labels)).collect()
    }

    /// Reads a constraint whose pods are named elsewhere: its selector means none.
    pub(crate) fn without_selector(constraint: &TopologySpreadConstraint) -> Self {
        Self::read(constraint, &Labels::new())
    }

    fn read(constraint: &TopologySpreadConstraint, labels: &Labels) -> Self {
        let keys = [("In", constraint.match_label_keys.as_deref().unwrap_or_default())];
        Self {
            topology_key: constraint.topology_key.as_str().into(),
            max_skew: constraint.max_skew,
            hard: constraint.when_unsatisfiable == "DoNotSchedule",
            min_domains: constraint.min_domains.unwrap_or(1),
            selector: selector(constraint.label_selector.as_ref(), &keys, labels),
            honors_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            honors_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
        }
    }
}

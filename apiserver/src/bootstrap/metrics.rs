//! What comes with `metrics.k8s.io`, as the add-on that serves it in Kubernetes brings it: the right of
//! everybody who may view a namespace to read the metrics of its pods, and the APIService.
//! Source: the manifests of <https://github.com/kubernetes-sigs/metrics-server>.

use serde_json::Value;

use super::{api_services, policy};

/// In the form of the policy.
pub(super) const TEXT: &str = "\
ClusterRole system:aggregated-metrics-reader
\tlabel rbac.authorization.k8s.io/aggregate-to-admin
\tlabel rbac.authorization.k8s.io/aggregate-to-edit
\tlabel rbac.authorization.k8s.io/aggregate-to-view
\tget,list,watch metrics.k8s.io pods,nodes
";

/// Below all groups of Kubernetes itself, so that `pods` means pods.
const PRIORITIES: (i64, i64) = (100, 100);

/// The role.
pub(super) fn roles() -> Vec<Value> {
    policy::read(TEXT)
}

/// The APIService.
pub(super) fn api_services() -> Vec<Value> {
    vec![api_services::of("v1beta1", "metrics.k8s.io", PRIORITIES, "onstart")]
}

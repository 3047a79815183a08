//! The rows of `metrics.k8s.io`: what nodes and pods use, measured when it is asked for. Kubernetes has
//! them from an add-on, metrics-server, whose names these are.

use super::*;

const GROUP: &str = "metrics.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(GROUP, "NodeMetrics", "nodes", "", strategy::metrics::Metrics)
            .version("v1beta1")
            .cluster()
            .verbs(GET_LIST)
            .schema("metrics.v1beta1.NodeMetrics")
            .printer(table::metrics::NODE_METRICS),
        row(GROUP, "PodMetrics", "pods", "", strategy::metrics::Metrics)
            .version("v1beta1")
            .verbs(GET_LIST)
            .schema("metrics.v1beta1.PodMetrics")
            .printer(table::metrics::POD_METRICS),
    ]
}

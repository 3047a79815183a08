//! The rows of `node.k8s.io`. (Nodes are in the core group.)

use super::*;

const GROUP: &str = "node.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(
            GROUP,
            "RuntimeClass",
            "runtimeclasses",
            "runtimeclass",
            strategy::runtime_class::RuntimeClass,
        )
        .cluster()
        .hash("WQTu1GL3T2Q=")
        .schema("node.v1.RuntimeClass")
        .printer(table::scheduling::RUNTIME_CLASS),
    ]
}

//! The rows of `scheduling.k8s.io`.

use super::*;

const GROUP: &str = "scheduling.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(
            GROUP,
            "PriorityClass",
            "priorityclasses",
            "priorityclass",
            strategy::priority_class::PriorityClass,
        )
        .cluster()
        .short("pc")
        .hash("1QwjyaZjj3Y=")
        .schema("scheduling.v1.PriorityClass")
        .printer(table::scheduling::PRIORITY_CLASS),
    ]
}

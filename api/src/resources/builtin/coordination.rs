//! The rows of `coordination.k8s.io`.

use super::*;

const GROUP: &str = "coordination.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(GROUP, "Lease", "leases", "lease", strategy::lease::Lease)
            .hash("gqkMMb/YqFM=")
            .schema("coordination.v1.Lease")
            .printer(table::core::LEASE),
    ]
}

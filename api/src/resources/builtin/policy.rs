//! The rows of `policy`.

use super::*;

const GROUP: &str = "policy";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(
            GROUP,
            "PodDisruptionBudget",
            "poddisruptionbudgets",
            "poddisruptionbudget",
            strategy::policy::PodDisruptionBudget,
        )
        .short("pdb")
        .hash("EVWiDmWqyJw=")
        .schema("policy.v1.PodDisruptionBudget")
        .printer(table::policy::POD_DISRUPTION_BUDGET)
        .sub("status", "PodDisruptionBudget", READ_WRITE),
    ]
}

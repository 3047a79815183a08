//! The rows of `authentication.k8s.io`: questions that are answered and never stored.

use super::*;
use strategy::authentication::{SelfSubjectReview, TokenReview};

const GROUP: &str = "authentication.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(
            GROUP,
            "SelfSubjectReview",
            "selfsubjectreviews",
            "selfsubjectreview",
            SelfSubjectReview,
        )
        .cluster()
        .verbs(CREATE)
        .schema("authentication.v1.SelfSubjectReview"),
        row(GROUP, "TokenReview", "tokenreviews", "tokenreview", TokenReview)
            .cluster()
            .verbs(CREATE)
            .schema("authentication.v1.TokenReview"),
    ]
}

//! The rows of `authorization.k8s.io`: questions that are answered and never stored.

use super::*;
use strategy::authorization::{Review, RulesReview};

const GROUP: &str = "authorization.k8s.io";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row(
            GROUP,
            "LocalSubjectAccessReview",
            "localsubjectaccessreviews",
            "localsubjectaccessreview",
            Review::LOCAL,
        )
        .verbs(CREATE)
        .schema("authorization.v1.LocalSubjectAccessReview"),
        row(
            GROUP,
            "SelfSubjectAccessReview",
            "selfsubjectaccessreviews",
            "selfsubjectaccessreview",
            Review::SELF,
        )
        .cluster()
        .verbs(CREATE)
        .schema("authorization.v1.SelfSubjectAccessReview"),
        row(
            GROUP,
            "SelfSubjectRulesReview",
            "selfsubjectrulesreviews",
            "selfsubjectrulesreview",
            RulesReview,
        )
        .cluster()
        .verbs(CREATE)
        .schema("authorization.v1.SelfSubjectRulesReview"),
        row(
            GROUP,
            "SubjectAccessReview",
            "subjectaccessreviews",
            "subjectaccessreview",
            Review::ANYBODY,
        )
        .cluster()
        .verbs(CREATE)
        .schema("authorization.v1.SubjectAccessReview"),
    ]
}

//! What a Deployment notes on its ReplicaSets: their revision and the sizes it last had in mind.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::ResourceExt;

use super::limits::Limits;

/// The number of the template, from 1; on the Deployment that of the present one.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
/// Earlier numbers of a ReplicaSet that became the present one again, by commas.
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The Deployment's replicas when the ReplicaSet was last scaled.
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The same with the surge.
const MOST: &str = "deployment.kubernetes.io/max-replicas";

/// The Deployment's own, not for its ReplicaSets.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED,
    MOST,
    "deprecated.deployment.rollback.to",
];

/// The history is cut, from its old end, at this many characters.
const LONGEST_HISTORY: usize = 2000;

fn number<T: std::str::FromStr>(set: &ReplicaSet, name: &str) -> Option<T> {
    set.annotations().get(name)?.parse().ok()
}

/// A ReplicaSet's revision; 0 if it has none.
pub(super) fn revision(set: &ReplicaSet) -> i64 {
    number(set, REVISION).unwrap_or(0)
}

/// The Deployment's replicas when the ReplicaSet was last scaled.
pub(super) fn desired(set: &ReplicaSet) -> Option<i32> {
    number(set, DESIRED)
}

/// The most pods the Deployment was allowed when the ReplicaSet was last scaled.
pub(super) fn most(set: &ReplicaSet) -> Option<i32> {
    number(set, MOST)
}

/// The notes about sizes.
pub(super) fn sizes(limits: Limits) -> BTreeMap<String, String> {
    BTreeMap::from([
        (DESIRED.to_owned(), limits.replicas.to_string()),
        (MOST.to_owned(), limits.most().to_string()),
    ])
}

/// What of `wanted` the ReplicaSet lacks.
pub(super) fn missing(
    set: &ReplicaSet,
    mut wanted: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    wanted.retain(|name, value| set.annotations().get(name) != Some(value));
    wanted
}

/// What the ReplicaSet of the present template carries: the Deployment's annotations, and its
/// revision unless it has a later one.
pub(super) fn present(
    deployment: &Deployment,
    set: Option<&ReplicaSet>,
    wanted: i64,
) -> BTreeMap<String, String> {
    let mut annotations = deployment.annotations().clone();
    annotations.retain(|name, _| !OWN.contains(&name.as_str()));
    let had = set.and_then(|set| set.annotations().get(REVISION));
    let before: Option<i64> = had.and_then(|text| text.parse().ok());
    if had.is_some_and(|had| !had.is_empty()) && before.is_none() {
        // Somebody else's number: left alone.
        return annotations;
    }
    if before.unwrap_or(0) < wanted {
        annotations.insert(REVISION.to_owned(), wanted.to_string());
        if let (Some(before), Some(set)) = (before, set) {
            annotations.insert(REVISION_HISTORY.to_owned(), history(set, before));
        }
    }
    annotations
}

fn history(set: &ReplicaSet, before: i64) -> String {
    let known = set.annotations().get(REVISION_HISTORY).map(String::as_str).unwrap_or_default();
    let before = before.to_string();
    let mut all: Vec<&str> = known.split(',').filter(|text| !text.is_empty()).collect();
    all.push(&before);
    while all.iter().map(|text| text.len() + 1).sum::<usize>() > LONGEST_HISTORY + 1 {
        all.remove(0);
    }
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn set(annotations: Value) -> ReplicaSet {
        serde_json::from_value(json!({"metadata": {"name": "rs", "annotations": annotations}}))
            .unwrap()
    }

    fn deployment() -> Deployment {
        serde_json::from_value(json!({"metadata": {"annotations": {
            "kubernetes.io/change-cause": "why", "deployment.kubernetes.io/revision": "9",
            "kubectl.kubernetes.io/last-applied-configuration": "{}"}}}))
        .unwrap()
    }

    #[test]
    fn revisions_rise_and_remember() {
        let cause = ("kubernetes.io/change-cause", "why");
        for (case, set, wanted, expected) in [
            ("new", None, 3, vec![(REVISION, "3"), cause]),
            ("the same", Some(set(json!({REVISION: "3"}))), 3, vec![cause]),
            ("a later one stays", Some(set(json!({REVISION: "5"}))), 3, vec![cause]),
            (
                "back again",
                Some(set(json!({REVISION: "1"}))),
                3,
                vec![(REVISION, "3"), (REVISION_HISTORY, "1"), cause],
            ),
            (
                "and again",
                Some(set(json!({REVISION: "3", REVISION_HISTORY: "1"}))),
                5,
                vec![(REVISION, "5"), (REVISION_HISTORY, "1,3"), cause],
            ),
            ("no number", Some(set(json!({REVISION: "x"}))), 3, vec![cause]),
        ] {
            let found = present(&deployment(), set.as_ref(), wanted);
            let found: Vec<(&str, &str)> =
                found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(found, expected, "{case}");
        }
    }

    #[test]
    fn a_long_history_loses_its_old_end() {
        let long = vec!["1234567"; 300].join(",");
        let annotations = json!({REVISION: "8", REVISION_HISTORY: long});
        let found = present(&deployment(), Some(&set(annotations)), 9);
        let kept = &found[REVISION_HISTORY];
        assert!(kept.len() <= LONGEST_HISTORY && kept.ends_with(",8"), "{}", kept.len());
    }
}

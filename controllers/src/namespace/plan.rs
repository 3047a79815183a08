//! What is left in a namespace, and how its conditions say so. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

const FINALIZER: &str = "kubernetes";

/// What was still there of one resource after deleting it.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// `pods.` or `deployments.apps`, as Kubernetes writes it here.
    pub(super) resource: String,
    pub(super) count: usize,
    /// Of all objects; one entry per object and finalizer.
    pub(super) finalizers: Vec<String>,
}

/// How far one run has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    left: BTreeMap<String, usize>,
    finalizers: BTreeMap<String, usize>,
    discovery: Vec<String>,
    deletion: Vec<String>,
}

impl Progress {
    pub(super) fn found(&mut self, found: Found) {
        if found.count > 0 {
            *self.left.entry(found.resource).or_default() += found.count;
        }
        for finalizer in found.finalizers {
            *self.finalizers.entry(finalizer).or_default() += 1;
        }
    }

    pub(super) fn discovery_failed(&mut self, version: &str, message: &str) {
        self.discovery.push(format!("{version}: {message}"));
    }

    pub(super) fn deletion_failed(&mut self, message: &str) {
        self.deletion.push(message.to_owned());
    }

    /// Whether everything that is known to have been there is gone.
    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty() && self.discovery.is_empty() && self.deletion.is_empty()
    }

    /// The conditions to write, with Kubernetes' types, reasons and messages.
    pub(super) fn conditions(
        &self,
        namespace: &Namespace,
        now: Timestamp,
    ) -> Vec<NamespaceCondition> {
        let left = self
            .left
            .iter()
            .map(|(resource, count)| format!("{resource} has {count} resource instances"))
            .collect::<Vec<_>>();
        let finalizers = self
            .finalizers
            .iter()
            .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
            .collect::<Vec<_>>();
        let said = [
            (
                "NamespaceDeletionDiscoveryFailure",
                self.discovery.join(", "),
                ("DiscoveryFailed", "ResourcesDiscovered"),
                "All resources successfully discovered",
                "Discovery failed for some groups, ",
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                String::new(),
                ("GroupVersionParsingFailed", "ParsedGroupVersions"),
                "All legacy kube types successfully parsed",
                "",
            ),
            (
                "NamespaceDeletionContentFailure",
                self.deletion.join(", "),
                ("ContentDeletionFailed", "ContentDeleted"),
                "All content successfully deleted, may be waiting on finalization",
                "Failed to delete all resource types, ",
            ),
            (
                "NamespaceContentRemaining",
                left.join(", "),
                ("SomeResourcesRemain", "ContentRemoved"),
                "All content successfully removed",
                "Some resources are remaining: ",
            ),
            (
                "NamespaceFinalizersRemaining",
                finalizers.join(", "),
                ("SomeFinalizersRemain", "ContentHasNoFinalizers"),
                "All content-preserving finalizers finished",
                "Some content in the namespace has finalizers remaining: ",
            ),
        ];
        let old = namespace.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        said.into_iter()
            .map(|(kind, detail, (bad, good), fine, prefix)| {
                let is_bad = !detail.is_empty();
                let status = if is_bad { "True" } else { "False" };
                let kept = old.iter().find(|c| c.type_ == kind && c.status == status);
                NamespaceCondition {
                    type_: kind.to_owned(),
                    status: status.to_owned(),
                    reason: Some(if is_bad { bad } else { good }.to_owned()),
                    message: Some(if is_bad {
                        format!("{prefix}{detail}")
                    } else {
                        fine.to_owned()
                    }),
                    last_transition_time: kept
                        .and_then(|c| c.last_transition_time.clone())
                        .or(Some(Time(now))),
                }
            })
            .collect()
    }
}

/// Whether the namespace still waits for this controller.
pub(super) fn is_ours_to_finish(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    finalizers.is_some_and(|finalizers| finalizers.iter().any(|f| f == FINALIZER))
}

/// The namespace without this controller's finalizer.
pub(super) fn finalized(namespace: &Namespace) -> Namespace {
    let mut finalized = namespace.clone();
    if let Some(finalizers) = finalized.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    finalized
}

/// Whether the deletion began only seconds ago.
pub(super) fn is_fresh(since: Timestamp, now: Timestamp) -> bool {
    now.as_second() - since.as_second() < 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn namespace() -> Namespace {
        serde_json::from_value(json!({"metadata": {"name": "n"},
            "spec": {"finalizers": ["kubernetes", "example.com/x"]}}))
        .unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn conditions_name_what_is_left() {
        let mut progress = Progress::default();
        progress.found(Found { resource: "pods.".into(), count: 2, finalizers: vec![] });
        progress.found(Found {
            resource: "configmaps.".into(),
            count: 1,
            finalizers: vec!["example.com/f".into()],
        });
        progress.found(Found { resource: "secrets.".into(), ..Found::default() });
        assert!(!progress.is_empty());
        let conditions = progress.conditions(&namespace(), at("2026-01-01T00:00:00Z"));
        let of = |kind: &str| conditions.iter().find(|c| c.type_ == kind).unwrap();
        assert_eq!(
            of("NamespaceContentRemaining").message.as_deref(),
            Some(
                "Some resources are remaining: configmaps. has 1 resource instances, pods. has 2 resource instances"
            )
        );
        assert_eq!(
            of("NamespaceFinalizersRemaining").message.as_deref(),
            Some(
                "Some content in the namespace has finalizers remaining: example.com/f in 1 resource instances"
            )
        );
        assert_eq!(of("NamespaceDeletionContentFailure").status, "False");
    }

    #[test]
    fn unchanged_conditions_keep_their_time() {
        let mut ns = namespace();
        let first = Progress::default().conditions(&ns, at("2026-01-01T00:00:00Z"));
        ns.status.get_or_insert_default().conditions = Some(first.clone());
        assert_eq!(Progress::default().conditions(&ns, at("2026-01-02T00:00:00Z")), first);
        assert!(Progress::default().is_empty());
    }

    #[test]
    fn only_our_own_finalizer_is_taken_off() {
        assert!(is_ours_to_finish(&namespace()));
        let done = finalized(&namespace());
        assert_eq!(done.spec.as_ref().unwrap().finalizers, Some(vec!["example.com/x".to_owned()]));
        assert!(!is_ours_to_finish(&done));
    }

    #[test]
    fn failures_hold_the_namespace() {
        let mut progress = Progress::default();
        progress.discovery_failed("apps/v1", "no answer");
        assert!(!progress.is_empty());
        let mut progress = Progress::default();
        progress.deletion_failed("forbidden");
        assert!(!progress.is_empty());
    }
}

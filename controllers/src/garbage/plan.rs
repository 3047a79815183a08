//! What to do with an object, given its owners. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::PropagationPolicy;
use serde_json::{Value, json};

use super::graph::{Dependent, Uid};

/// Finalizer of an object that goes after its dependents.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an object whose dependents are to forget it first.
pub(super) const ORPHAN: &str = "orphan";

/// How an object is being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deleting {
    /// Not at all.
    No,
    /// As soon as its own finalizers allow.
    Background,
    /// After its dependents.
    Foreground,
    /// After its dependents have forgotten it.
    Orphan,
}

/// Reads how an object is being deleted.
pub(super) fn deleting(meta: &ObjectMeta) -> Deleting {
    let has = |finalizer: &str| meta.finalizers.iter().flatten().any(|f| f == finalizer);
    if meta.deletion_timestamp.is_none() {
        Deleting::No
    } else if has(FOREGROUND) {
        Deleting::Foreground
    } else if has(ORPHAN) {
        Deleting::Orphan
    } else {
        Deleting::Background
    }
}

/// Whether an owner holds its dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// It exists.
    Solid,
    /// It exists and waits for its dependents to go.
    Waiting,
    /// It does not exist.
    Absent,
    /// Nobody can say: its kind is not served, or it would be in a namespace and its dependent is in
    /// none.
    Unknown,
}

/// How an existing owner holds.
pub(super) fn ownership(owner: &ObjectMeta) -> Ownership {
    if deleting(owner) == Deleting::Foreground { Ownership::Waiting } else { Ownership::Solid }
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Verdict {
    /// Nothing.
    Keep,
    /// Take these owners off: others hold it.
    Disown(Vec<Uid>),
    /// It waits for its dependents, one of which waits for its own: stop blocking the owners.
    Unblock,
    /// No owner holds it.
    Delete(PropagationPolicy),
}

/// Decides about an object by its owners and what is known of its dependents.
pub(super) fn check(
    object: &ObjectMeta,
    owners: &[(OwnerReference, Ownership)],
    dependents: &[Dependent],
) -> Verdict {
    let unknown = owners.iter().any(|(_, state)| *state == Ownership::Unknown);
    if object.deletion_timestamp.is_some() || owners.is_empty() || unknown {
        return Verdict::Keep;
    }
    let of = |wanted: &[Ownership]| -> Vec<&OwnerReference> {
        owners.iter().filter(|(_, state)| wanted.contains(state)).map(|(owner, _)| owner).collect()
    };
    if !of(&[Ownership::Solid]).is_empty() {
        let others = of(&[Ownership::Absent, Ownership::Waiting]);
        return if others.is_empty() {
            Verdict::Keep
        } else {
            Verdict::Disown(others.into_iter().map(|owner| Uid(owner.uid.clone())).collect())
        };
    }
    let waiting = of(&[Ownership::Waiting]);
    if !waiting.is_empty() && !dependents.is_empty() {
        let circle = dependents.iter().any(|dependent| dependent.deleting_dependents);
        let blocks = waiting.iter().any(|owner| owner.block_owner_deletion == Some(true));
        return if circle && blocks {
            Verdict::Unblock
        } else {
            Verdict::Delete(PropagationPolicy::Foreground)
        };
    }
    let has = |finalizer: &str| object.finalizers.iter().flatten().any(|f| f == finalizer);
    Verdict::Delete(if has(ORPHAN) {
        PropagationPolicy::Orphan
    } else if has(FOREGROUND) {
        PropagationPolicy::Foreground
    } else {
        PropagationPolicy::Background
    })
}

/// A merge patch that takes owners off; conditional on the version that was read.
pub(super) fn without_owners(meta: &ObjectMeta, uids: &[Uid]) -> Value {
    let left: Vec<&OwnerReference> = meta
        .owner_references
        .iter()
        .flatten()
        .filter(|owner| !uids.iter().any(|uid| uid.0 == owner.uid))
        .collect();
    json!({"metadata": {"resourceVersion": meta.resource_version, "ownerReferences": left}})
}

/// A merge patch that makes the object block no owner.
pub(super) fn without_blocking(meta: &ObjectMeta) -> Value {
    let mut owners = meta.owner_references.clone().unwrap_or_default();
    for owner in &mut owners {
        owner.block_owner_deletion = Some(false);
    }
    json!({"metadata": {"resourceVersion": meta.resource_version, "ownerReferences": owners}})
}

/// A merge patch that takes a finalizer off, or none if it is not there.
pub(super) fn without_finalizer(meta: &ObjectMeta, finalizer: &str) -> Option<Value> {
    let finalizers = meta.finalizers.as_ref()?;
    let left: Vec<&String> = finalizers.iter().filter(|f| *f != finalizer).collect();
    (left.len() < finalizers.len()).then(
        || json!({"metadata": {"resourceVersion": meta.resource_version, "finalizers": left}}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(value: Value) -> ObjectMeta {
        serde_json::from_value(value).unwrap()
    }

    fn owner(uid: &str) -> OwnerReference {
        OwnerReference {
            uid: uid.into(),
            block_owner_deletion: Some(true),
            ..OwnerReference::default()
        }
    }

    fn dependent(deleting_dependents: bool) -> Dependent {
        Dependent { uid: Uid("d".into()), blocks: true, deleting_dependents }
    }

    #[test]
    fn verdict_table() {
        use Ownership::{Absent, Solid, Unknown, Waiting};
        let plain = meta(json!({}));
        let going = meta(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
        let orphaning = meta(json!({"finalizers": [ORPHAN]}));
        let background = Verdict::Delete(PropagationPolicy::Background);
        let foreground = Verdict::Delete(PropagationPolicy::Foreground);
        let disown = |uid: &str| Verdict::Disown(vec![Uid(uid.into())]);
        for (case, object, owners, dependents, expected) in [
            ("no owners", &plain, vec![], vec![], Verdict::Keep),
            ("owner exists", &plain, vec![("a", Solid)], vec![], Verdict::Keep),
            ("owner gone", &plain, vec![("a", Absent)], vec![], background.clone()),
            (
                "one gone, one not known",
                &plain,
                vec![("a", Absent), ("b", Unknown), ("c", Solid)],
                vec![],
                Verdict::Keep,
            ),
            ("going already", &going, vec![("a", Absent)], vec![], Verdict::Keep),
            ("one left", &plain, vec![("a", Absent), ("b", Solid)], vec![], disown("a")),
            (
                "one waits, one stays",
                &plain,
                vec![("a", Waiting), ("b", Solid)],
                vec![],
                disown("a"),
            ),
            ("owner waits", &plain, vec![("a", Waiting)], vec![], background),
            (
                "owner waits, has own",
                &plain,
                vec![("a", Waiting)],
                vec![dependent(false)],
                foreground,
            ),
            ("circle", &plain, vec![("a", Waiting)], vec![dependent(true)], Verdict::Unblock),
            (
                "asked to orphan",
                &orphaning,
                vec![("a", Absent)],
                vec![],
                Verdict::Delete(PropagationPolicy::Orphan),
            ),
        ] {
            let owners: Vec<_> =
                owners.into_iter().map(|(uid, state)| (owner(uid), state)).collect();
            assert_eq!(check(object, &owners, &dependents), expected, "{case}");
        }
    }

    #[test]
    fn deletion_table() {
        let going = |finalizers: Value| {
            meta(json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}))
        };
        assert_eq!(deleting(&meta(json!({"finalizers": [FOREGROUND]}))), Deleting::No);
        assert_eq!(deleting(&going(json!([]))), Deleting::Background);
        assert_eq!(deleting(&going(json!(["x"]))), Deleting::Background);
        assert_eq!(deleting(&going(json!([FOREGROUND]))), Deleting::Foreground);
        assert_eq!(deleting(&going(json!([ORPHAN]))), Deleting::Orphan);
    }

    #[test]
    fn patches_are_conditional_and_leave_the_rest() {
        let object = meta(json!({"resourceVersion": "7", "finalizers": ["x", ORPHAN],
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "a"},
                {"apiVersion": "v1", "kind": "Pod", "name": "b", "uid": "b"}]}));
        let patch = without_owners(&object, &[Uid("a".into())]);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["metadata"]["ownerReferences"][0]["uid"], "b");
        assert_eq!(patch["metadata"]["ownerReferences"].as_array().unwrap().len(), 1);
        let patch = without_finalizer(&object, ORPHAN).unwrap();
        assert_eq!(patch["metadata"]["finalizers"], json!(["x"]));
        assert_eq!(without_finalizer(&object, FOREGROUND), None);
    }
}

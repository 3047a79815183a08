//! Owner references: who made an object, and who goes when.

use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

/// The reference of the controller that manages the object, if one does.
#[must_use]
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether the object with this UID controls the object.
#[must_use]
pub fn is_controlled_by(meta: &ObjectMeta, uid: &str) -> bool {
    controller_of(meta).is_some_and(|owner| owner.uid == uid)
}

/// The reference with which a controller claims an object it creates.
#[must_use]
pub fn controller_reference(
    api_version: &str,
    kind: &str,
    name: &str,
    uid: &str,
) -> OwnerReference {
    OwnerReference {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The UIDs of all owners of an untyped object.
pub fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|owner| owner["uid"].as_str())
}

/// Takes out owner references that repeat another one word for word. Returns the UIDs of those.
pub fn dedup_references(object: &mut Value) -> Vec<String> {
    let mut repeated = Vec::new();
    let list = object.get_mut("metadata").and_then(|metadata| metadata.get_mut("ownerReferences"));
    let Some(references) = list.and_then(Value::as_array_mut) else { return repeated };
    let mut seen = HashSet::with_capacity(references.len());
    references.retain(|reference| {
        let new = seen.insert(reference.clone());
        if !new {
            repeated.push(reference["uid"].as_str().unwrap_or_default().to_owned());
        }
        new
    });
    repeated
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_owner_is_named_once() {
        let (a, b) = (json!({"uid": "a", "name": "x"}), json!({"uid": "b", "name": "x"}));
        let other = json!({"uid": "a", "name": "y"});
        for (given, left, repeated) in [
            (json!([]), json!([]), vec![]),
            (json!([a, b, other]), json!([a, b, other]), vec![]),
            (json!([a, b, a, b, a]), json!([a, b]), vec!["a", "b", "a"]),
            (json!(null), json!(null), vec![]),
        ] {
            let mut object = json!({"metadata": {"ownerReferences": given}});
            assert_eq!(dedup_references(&mut object), repeated, "{given}");
            assert_eq!(object["metadata"]["ownerReferences"], left, "{given}");
        }
        let mut bare = json!({"kind": "Pod"});
        assert!(dedup_references(&mut bare).is_empty());
        assert_eq!(bare, json!({"kind": "Pod"}));
    }
}

//! `metadata`: its shape, its checks.
//!
//! Source: k8s.io/apimachinery/pkg/api/validation/objectmeta.go.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::field::{Errors, FieldError, Path};
use crate::names::{self, NameRule};
use crate::resources;

/// Total size of the keys and values of annotations, in bytes.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

/// Finalizers without a domain that Kubernetes itself knows.
const STANDARD_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// A time as in object metadata: RFC 3339, UTC, whole seconds.
#[must_use]
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time with microseconds, as in Leases and Events.
#[must_use]
pub fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Makes sure that the object and its metadata are maps.
pub fn ensure(object: &mut Value) {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(Map::new());
    }
}

/// Removes a field of a map.
pub fn remove(map: &mut Value, field: &str) {
    if let Some(map) = map.as_object_mut() {
        map.remove(field);
    }
}

/// Checks the metadata of any object.
#[must_use]
pub fn validate(object: &Value, namespaced: bool, rule: NameRule) -> Errors {
    let mut errors = Errors::new();
    let (meta, path) = (&object["metadata"], Path::new("metadata"));
    let text = |field: &str| meta[field].as_str().unwrap_or_default();

    let prefix = text("generateName");
    if !prefix.is_empty() {
        for message in rule.check(prefix, true) {
            errors.push(FieldError::invalid(&path.child("generateName"), prefix, &message));
        }
    }
    let name = text("name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "name or generateName is required"));
    } else {
        for message in rule.check(name, false) {
            errors.push(FieldError::invalid(&path.child("name"), name, &message));
        }
    }
    let namespace = text("namespace");
    if namespaced && namespace.is_empty() {
        errors.push(FieldError::required(&path.child("namespace"), ""));
    } else if namespaced {
        for message in names::dns1123_label(namespace) {
            errors.push(FieldError::invalid(&path.child("namespace"), namespace, &message));
        }
    }
    if let Some(generation) = meta["generation"].as_i64().filter(|generation| *generation < 0) {
        let path = path.child("generation");
        errors.push(FieldError::invalid(&path, generation, "must be greater than or equal to 0"));
    }
    errors.extend(validate_labels(&meta["labels"], &path.child("labels")));
    errors.extend(validate_annotations(&meta["annotations"], &path.child("annotations")));
    errors.extend(validate_owners(&meta["ownerReferences"], &path.child("ownerReferences")));
    let finalizers = path.child("finalizers");
    errors.extend(validate_finalizers(&meta["finalizers"], is_extension(object), &finalizers));
    errors
}

/// Checks what may not change in metadata.
#[must_use]
pub fn validate_update(new: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (new, old, path) = (&new["metadata"], &old["metadata"], Path::new("metadata"));
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if new[field] != old[field] {
            let value = new[field].clone();
            errors.push(FieldError::invalid(&path.child(field), value, "field is immutable"));
        }
    }
    // While an object is being deleted, nobody may add another reason to keep it.
    if old["deletionTimestamp"].is_string() {
        let had: Vec<&Value> = old["finalizers"].as_array().into_iter().flatten().collect();
        let added: Vec<&str> = new["finalizers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|finalizer| !had.contains(finalizer))
            .filter_map(Value::as_str)
            .collect();
        if !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers {}",
                go_strings(&added)
            );
            errors.push(FieldError::forbidden(&path.child("finalizers"), &detail));
        }
    }
    errors
}

/// `[]string{"a", "b"}`, as Go prints it in that message.
fn go_strings(texts: &[&str]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| crate::field::go_quote(text)).collect();
    format!("[]string{{{}}}", quoted.join(", "))
}

/// Checks a map of labels.
#[must_use]
pub fn validate_labels(labels: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        for message in names::qualified_name(key) {
            errors.push(FieldError::invalid(path, key.as_str(), &message));
        }
        let value = value.as_str().unwrap_or_default();
        for message in names::label_value(value) {
            errors.push(FieldError::invalid(path, value, &message));
        }
    }
    errors
}

/// Checks a map of annotations: keys, and the total size.
#[must_use]
pub fn validate_annotations(annotations: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut total = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        // Annotation keys are case-insensitive in their prefix.
        for message in names::qualified_name(&key.to_ascii_lowercase()) {
            errors.push(FieldError::invalid(path, key.as_str(), &message));
        }
        total += key.len() + value.as_str().unwrap_or_default().len();
    }
    if total > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long(path, ANNOTATIONS_LIMIT));
    }
    errors
}

fn validate_owners(owners: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut controller: Option<&Value> = None;
    for (n, owner) in owners.as_array().into_iter().flatten().enumerate() {
        let at = path.index(n);
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        let version = text("apiVersion").rsplit('/').next().unwrap_or_default();
        if version.is_empty() {
            let value = text("apiVersion");
            let path = at.child("apiVersion");
            errors.push(FieldError::invalid(&path, value, "version must not be empty"));
        }
        for field in ["kind", "name", "uid"] {
            if text(field).is_empty() {
                errors.push(FieldError::invalid(&at.child(field), "", "must not be empty"));
            }
        }
        if text("apiVersion") == "v1" && text("kind") == "Event" {
            let detail = "Event is disallowed from being an owner";
            errors.push(FieldError::invalid(&at, "v1, Kind=Event", detail));
        }
        if owner["controller"].as_bool() == Some(true) {
            if let Some(first) = controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                    first["name"].as_str().unwrap_or_default(),
                    text("name")
                );
                errors.push(FieldError::invalid(path, owners.clone(), &detail));
            }
            controller = Some(owner);
        }
    }
    errors
}

/// Checks the name of a finalizer, of an object or of the spec of a namespace.
#[must_use]
pub fn validate_finalizer(name: &str, path: &Path) -> Errors {
    let mut errors = FieldError::invalid_each(path, name, &names::qualified_name(name));
    if !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.push(FieldError::invalid(path, name, detail));
    }
    errors
}

/// Whether the object is a custom resource or the definition of one: there a finalizer needs no
/// domain in its name.
fn is_extension(object: &Value) -> bool {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let row = resources::by_kind(text("apiVersion"), text("kind"));
    !text("apiVersion").is_empty() && row.is_none_or(|row| row.group == "apiextensions.k8s.io")
}

fn validate_finalizers(finalizers: &Value, extension: bool, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let names = finalizers.as_array().into_iter().flatten().filter_map(Value::as_str);
    let (mut orphan, mut foreground) = (false, false);
    for (n, name) in names.enumerate() {
        let at = path.index(n);
        if extension {
            errors.extend(FieldError::invalid_each(&at, name, &names::qualified_name(name)));
        } else {
            errors.extend(validate_finalizer(name, &at));
        }
        orphan |= name == "orphan";
        foreground |= name == "foregroundDeletion";
    }
    if orphan && foreground {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, finalizers.clone(), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(meta: &Value) -> Vec<String> {
        let mut object = json!({"metadata": {"name": "a", "namespace": "d"}});
        json_patch::merge(&mut object["metadata"], meta);
        validate(&object, true, NameRule::Subdomain).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn times_have_kubernetes_precision() {
        let at: Timestamp = "2024-01-02T03:04:05.678901234Z".parse().expect("a time");
        assert_eq!(time(at), "2024-01-02T03:04:05Z");
        assert_eq!(micro_time(at), "2024-01-02T03:04:05.678901Z");
        assert_eq!(micro_time(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn every_rule_names_its_field() {
        let owner = |change: Value| {
            let mut owner = json!({"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"});
            json_patch::merge(&mut owner, &change);
            json!({"ownerReferences": [owner]})
        };
        let cases = [
            (
                json!({"generateName": "A-"}),
                "metadata.generateName: Invalid value: \"A-\": a lowercase RFC 1123",
            ),
            (json!({"name": "a".repeat(254)}), "metadata.name: Invalid value: \"aaa"),
            (json!({"namespace": "A"}), "metadata.namespace: Invalid value: \"A\""),
            (
                json!({"labels": {"a b": "c"}}),
                "metadata.labels: Invalid value: \"a b\": name part must consist of",
            ),
            (
                json!({"labels": {"a": "c d"}}),
                "metadata.labels: Invalid value: \"c d\": a valid label must be",
            ),
            (
                json!({"annotations": {"a b": "c"}}),
                "metadata.annotations: Invalid value: \"a b\": name part",
            ),
            (
                json!({"annotations": {"a": "x".repeat(ANNOTATIONS_LIMIT)}}),
                "metadata.annotations: Too long: may not be more than 262144 bytes",
            ),
            (
                json!({"finalizers": ["mine"]}),
                "metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name nor is it fully qualified",
            ),
            (
                owner(json!({"uid": ""})),
                "metadata.ownerReferences[0].uid: Invalid value: \"\": must not be empty",
            ),
            (
                owner(json!({"apiVersion": "apps/"})),
                "metadata.ownerReferences[0].apiVersion: Invalid value: \"apps/\": version must not be empty",
            ),
            (
                owner(json!({"kind": "Event"})),
                "metadata.ownerReferences[0]: Invalid value: \"v1, Kind=Event\": Event is disallowed",
            ),
        ];
        assert!(
            problems(
                &json!({"finalizers": ["kubernetes", "x.io/y"], "annotations": {"A.io/b": "any\n"}})
            )
            .is_empty()
        );
        for (change, wanted) in cases {
            let all = problems(&change);
            assert!(
                all.iter().any(|problem| problem.starts_with(wanted)),
                "wanted {wanted}, got {all:?}"
            );
        }
        let two = json!({"ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true},
            {"apiVersion": "v1", "kind": "Node", "name": "m", "uid": "w", "controller": true}]});
        assert!(problems(&two)[0].contains("Only one reference can have Controller set to true"));
    }
}

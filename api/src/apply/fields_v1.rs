//! `fieldsV1`: a [`FieldSet`] as JSON.
//!
//! `{"f:spec": {"f:replicas": {}, "f:template": {".": {}, "f:metadata": {}}}}`: a key with nothing
//! below it is a member; one with something below is a member if it also has the key `.`.
//!
//! Source: k8s.io/apimachinery/pkg/apis/meta/v1 (FieldsV1).

use serde_json::{Map, Value};

use super::element::{Element, ElementError};
use super::set::{Entry, FieldSet};

/// The key that makes a field with something below it a member.
const ITSELF: &str = ".";

impl FieldSet {
    /// Reads `fieldsV1`.
    ///
    /// # Errors
    /// [`ElementError`] naming the first key that cannot be read, or whose value is no map.
    pub fn from_fields_v1(fields: &Value) -> Result<Self, ElementError> {
        match fields {
            Value::Object(map) => read(map).map(|(set, _)| set),
            Value::Null => Ok(Self::default()),
            other => Err(ElementError { key: other.to_string() }),
        }
    }

    /// Writes `fieldsV1`.
    #[must_use]
    pub fn to_fields_v1(&self) -> Value {
        Value::Object(
            self.entries().iter().map(|entry| (entry.element.key(), write(entry))).collect(),
        )
    }
}

/// What is below a field, and whether the field itself is a member.
fn read(map: &Map<String, Value>) -> Result<(FieldSet, bool), ElementError> {
    let mut itself = false;
    let mut entries = Vec::with_capacity(map.len());
    for (key, value) in map {
        if key == ITSELF {
            itself = true;
            continue;
        }
        let Some(element) = Element::parse(key)? else { continue };
        let Value::Object(inner) = value else {
            return Err(ElementError { key: key.clone() });
        };
        let (below, member) = read(inner)?;
        entries.push(Entry { element, member, below });
    }
    entries.sort_by(|a, b| a.element.cmp(&b.element));
    // Two spellings of one element, such as numbers written differently.
    entries.dedup_by(|later, first| {
        let same = later.element == first.element;
        if same {
            first.member |= later.member;
            first.below = first.below.union(&later.below);
        }
        same
    });
    let below = FieldSet::from_unsorted(entries);
    // Whatever has nothing below it (that this version knows of) is there for itself.
    let itself = itself || below.is_empty();
    Ok((below, itself))
}

fn write(entry: &Entry) -> Value {
    let mut map: Map<String, Value> = Map::new();
    if entry.member && !entry.below.is_empty() {
        map.insert(ITSELF.to_owned(), Value::Object(Map::new()));
    }
    for below in entry.below.entries() {
        map.insert(below.element.key(), write(below));
    }
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_writes() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {
                "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:ports": {
                    "k:{\"containerPort\":443,\"protocol\":\"TCP\"}": {".": {}},
                    "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {}}}},
                "f:finalizers": {"v:\"x\"": {}},
                "f:replicas": {},
            },
        });
        let set = FieldSet::from_fields_v1(&fields).expect("readable");
        assert_eq!(
            set.to_string(),
            ".metadata.labels\n.metadata.labels.a\n.spec.replicas\n\
             .spec.containers[name=\"c\"]\n\
             .spec.containers[name=\"c\"].ports[containerPort=80,protocol=\"TCP\"]\n\
             .spec.containers[name=\"c\"].ports[containerPort=443,protocol=\"TCP\"]\n\
             .spec.finalizers[=\"x\"]\n"
        );
        let again = set.to_fields_v1();
        // A lone `.` says no more than an empty map.
        assert_eq!(
            again["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"]["f:ports"]["k:{\"containerPort\":443,\"protocol\":\"TCP\"}"],
            json!({})
        );
        assert_eq!(FieldSet::from_fields_v1(&again), Ok(set));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (fields, key) in [
            (json!({"spec": {}}), "spec"),
            (json!({"f:a": {"f:b": 1}}), "f:b"),
            (json!({"f:a": {"k:x": {}}}), "k:x"),
            (json!([1]), "[1]"),
        ] {
            let error = FieldSet::from_fields_v1(&fields).expect_err("unreadable");
            assert_eq!(error.key, key);
        }
        let later = json!({"f:a": {}, "z:b": {"f:c": {}}});
        let set = FieldSet::from_fields_v1(&later).expect("the rest is readable");
        assert_eq!(set.to_fields_v1(), json!({"f:a": {}}));
    }
}

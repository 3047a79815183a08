//! What types and fields are for: a sentence each, for the documents that `kubectl explain` reads.
//!
//! The sentences are in `schema/descriptions.tsv`, whose head tells the form. They are read when
//! a document is made, and kept while somebody makes more of them: most servers are never asked.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Field, Shape, Type, type_named, types};

/// Of `apiVersion` in every object.
pub(crate) const API_VERSION: &str =
    "Group and version that the object is written in, such as apps/v1.";
/// Of `kind` in every object.
pub(crate) const KIND: &str = "Kind of the object; never changes.";
/// Of `metadata` in every object.
pub(crate) const METADATA: &str = "Name, namespace, labels and what else every object has.";
/// Of `metadata` in every list.
pub(crate) const LIST_METADATA: &str = "State of the list and, if it was cut, where it goes on.";
const SPEC: &str = "What is asked for.";
const STATUS: &str = "What has come of it; written by the system, not by users.";

/// A type and a field of it; "" is the type itself.
type Place = (&'static str, &'static str);

/// All sentences.
#[derive(Debug)]
pub struct Descriptions(HashMap<Place, &'static str>);

impl Descriptions {
    /// All of them, read once for everybody who has them at a time.
    #[must_use]
    pub fn shared() -> Arc<Descriptions> {
        static SHARED: Mutex<Weak<Descriptions>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let all = Arc::new(Descriptions::read());
            *shared = Arc::downgrade(&all);
            all
        })
    }

    /// Reads them.
    pub(crate) fn read() -> Descriptions {
        let mut particular = HashMap::new();
        let mut general = Vec::new();
        for (name, field, sentence) in lines() {
            match name.strip_prefix('*') {
                Some(end) => general.push((end, field, sentence)),
                None => {
                    particular.insert((name, field), sentence);
                }
            }
        }
        for (end, field, sentence) in general {
            for place in places(end, field) {
                if let Entry::Vacant(vacant) = particular.entry(place) {
                    vacant.insert(sentence);
                }
            }
        }
        Descriptions(particular)
    }

    /// What a type is, such as `core.v1.Pod`; also of types that the tables of fields do not have,
    /// such as `meta.v1.Time`.
    pub(crate) fn of_type(&self, name: &'static str) -> Option<&'static str> {
        self.0.get(&(name, "")).copied()
    }

    /// What a field is for.
    pub(crate) fn of_field(&self, name: &'static str, field: &'static str) -> Option<&'static str> {
        self.0.get(&(name, field)).copied().or_else(|| {
            let of = type_named(name)?;
            of_every_object(of, field, of.fields.get(field)?)
        })
    }
}

/// What all objects have.
fn of_every_object(of: &Type, name: &str, field: &Field) -> Option<&'static str> {
    // Objects carry their kind in JSON only; elsewhere a `kind` is a field like others.
    let outside_protobuf = |field: &Field| field.number == "-";
    let is_object = of.fields.get("kind").is_some_and(outside_protobuf);
    match name {
        "apiVersion" if outside_protobuf(field) => Some(API_VERSION),
        "kind" if outside_protobuf(field) => Some(KIND),
        "metadata" if is_object && field.shape == Shape::Object("meta.v1.ObjectMeta") => {
            Some(METADATA)
        }
        "spec" if is_object => Some(SPEC),
        "status" if is_object => Some(STATUS),
        _ => None,
    }
}

/// Where a sentence about all types belongs whose names end like that.
fn places(end: &str, field: &'static str) -> impl Iterator<Item = Place> {
    types()
        .iter()
        .filter(move |(name, of)| {
            name.ends_with(end) && (field.is_empty() || of.fields.contains_key(field))
        })
        .map(move |(name, _)| (*name, field))
}

/// Every sentence with the type and the field it is about.
fn lines() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let mut names = "";
    let lines = include_str!("descriptions.tsv").lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(move |line| {
        let (first, rest) = line.split_once('\t').unwrap_or((line, ""));
        let (field, sentence) = if first.is_empty() {
            rest.split_once('\t').unwrap_or((rest, ""))
        } else {
            names = first;
            ("", rest)
        };
        let said = !sentence.is_empty();
        names.split(' ').filter(move |_| said).map(move |name| (name, field, sentence))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::openapi::Source;
    use crate::resources::table;

    #[test]
    fn they_are_read_once_while_somebody_has_them() {
        let first = Descriptions::shared();
        assert!(Arc::ptr_eq(&first, &Descriptions::shared()));
    }

    #[test]
    fn fields_are_described_where_they_are_or_by_what_all_have() {
        let all = Descriptions::read();
        for (name, field, want) in [
            ("core.v1.Probe", "periodSeconds", Some("Seconds between two probes; 10 by default.")),
            // A line for several types.
            ("core.v1.EphemeralContainer", "tty", all.of_field("core.v1.Container", "tty")),
            // All objects.
            ("core.v1.Pod", "apiVersion", Some(API_VERSION)),
            ("core.v1.Pod", "kind", Some(KIND)),
            ("core.v1.Pod", "metadata", Some(METADATA)),
            ("core.v1.Pod", "spec", Some(SPEC)),
            ("core.v1.Pod", "status", Some(STATUS)),
            // Fields of these names that are something else.
            ("rbac.v1.RoleRef", "kind", Some("Role or ClusterRole.")),
            ("core.v1.PodTemplateSpec", "spec", Some("What the pods run.")),
            ("meta.v1.Status", "status", Some("Success or Failure.")),
            // What many types have, and one that says it otherwise.
            ("apps.v1.DaemonSetCondition", "type", Some("Name of the condition, in CamelCase.")),
            (
                "apps.v1.DeploymentCondition",
                "type",
                Some("Available, Progressing or ReplicaFailure."),
            ),
            ("core.v1.Pod", "nope", None),
            ("nope.v1.Nope", "spec", None),
        ] {
            assert_eq!(all.of_field(name, field), want, "{name}.{field}");
        }
        let kind = all.of_type("core.v1.ConfigMap").expect("described");
        assert!(kind.starts_with("Settings by key"), "{kind}");
    }

    #[test]
    fn every_line_is_a_sentence_about_something_there() {
        for line in include_str!("descriptions.tsv").lines() {
            assert!(line.chars().count() <= 160, "longer than 160 characters: {line}");
            assert!(line.starts_with('#') || !line.contains("  "), "{line}");
        }
        let source = Source { rows: table(), custom: &|_| None };
        let mut document = Vec::new();
        source.write_v2(&mut document).expect("memory takes it");
        let document = String::from_utf8(document).expect("JSON");
        let mut seen = HashSet::new();
        for (name, field, sentence) in lines() {
            let at = format!("{name} {field}");
            assert!(sentence.ends_with('.') && !sentence.contains('\t'), "{at}: {sentence}");
            assert!(seen.insert((name, field)), "{at} is there twice");
            if let Some(end) = name.strip_prefix('*') {
                assert!(places(end, field).next().is_some(), "{at} is about no type");
            } else if let Some(of) = type_named(name) {
                assert!(field.is_empty() || of.fields.contains_key(field), "{at}: no such field");
            } else {
                // Some types that documents show are not in the tables of fields, such as times.
                let shown = document.contains(&format!(".{name}\":{{"));
                assert!(field.is_empty() && shown, "{at}: no such type");
            }
        }
    }

    #[test]
    fn nothing_is_left_undescribed() {
        let all = Descriptions::read();
        let mut missing = Vec::new();
        for (name, of) in types() {
            if all.of_type(name).is_none() {
                missing.push((*name).to_owned());
            }
            let fields = of.fields.keys().filter(|field| all.of_field(name, field).is_none());
            missing.extend(fields.map(|field| format!("{name}.{field}")));
        }
        assert!(missing.is_empty(), "add to schema/descriptions.tsv: {missing:?}");
    }
}

//! What the status of a definition says: whether its names are free, and whether it is served.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,finalizer}.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::field::go_quote;
use crate::meta;

/// What becomes of a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// Its status as it should be.
    pub status: Value,
    /// Whether its objects are served.
    pub served: bool,
}

/// Decides about a definition, given the other definitions (of any group).
///
/// Names are taken by whoever has them in `status.acceptedNames`; a name that another definition of
/// the group has is refused, and what was accepted before stays. A definition whose names were all
/// accepted once is established for good.
#[must_use]
pub fn accept<'a>(
    definition: &Value,
    others: impl Iterator<Item = &'a Value>,
    now: Timestamp,
) -> Acceptance {
    let group = &definition["spec"]["group"];
    let taken = Taken::of(others.filter(|other| other["spec"]["group"] == *group));
    let wanted = &definition["spec"]["names"];
    let mut accepted = definition["status"]["acceptedNames"].clone();
    if !accepted.is_object() {
        accepted = json!({});
    }
    let mut conflict = None;
    for (field, reason, kinds) in [
        ("plural", "PluralConflict", false),
        ("singular", "SingularConflict", false),
        ("shortNames", "ShortNamesConflict", false),
        ("kind", "KindConflict", true),
        ("listKind", "ListKindConflict", true),
    ] {
        let used = if kinds { &taken.kinds } else { &taken.resources };
        let clash: Vec<&str> = texts(&wanted[field])
            .into_iter()
            .filter(|name| used.iter().any(|u| u == name))
            .collect();
        if clash.is_empty() {
            set(&mut accepted, field, &wanted[field]);
        } else if conflict.is_none() {
            let said: Vec<String> =
                clash.iter().map(|name| format!("{} is already in use", go_quote(name))).collect();
            conflict = Some((reason, said.join(", ")));
        }
    }
    set(&mut accepted, "categories", &wanted["categories"]);
    for field in ["plural", "kind"] {
        if accepted[field].is_null() {
            accepted[field] = "".into();
        }
    }

    let mut status = definition["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    status["acceptedNames"] = accepted;
    let free = conflict.is_none();
    let (reason, message) = conflict.unwrap_or(("NoConflicts", "no conflicts found".to_owned()));
    put(&mut status, "NamesAccepted", free, reason, &message, now);
    let established = free || is_established(definition);
    if free && !is_established(definition) {
        let message = "the initial names have been accepted";
        put(&mut status, "Established", true, "InitialNamesAccepted", message, now);
    } else if !established {
        put(&mut status, "Established", false, "NotAccepted", "not all names are accepted", now);
    }
    Acceptance { status, served: established }
}

/// The status of a definition that is being deleted, while its objects are.
#[must_use]
pub fn terminating(definition: &Value, now: Timestamp) -> Value {
    let mut status = definition["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    let message =
        "CustomResourceDefinition marked for deletion; CustomResource deletion is in progress";
    put(&mut status, "Terminating", true, "InstanceDeletionInProgress", message, now);
    status
}

/// Whether the definition's objects are served.
#[must_use]
pub fn is_established(definition: &Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
}

/// The names that a group's definitions have.
#[derive(Default)]
struct Taken {
    resources: Vec<String>,
    kinds: Vec<String>,
}

impl Taken {
    fn of<'a>(definitions: impl Iterator<Item = &'a Value>) -> Taken {
        let mut taken = Taken::default();
        for definition in definitions {
            let names = &definition["status"]["acceptedNames"];
            let owned = |field: &str| texts(&names[field]).into_iter().map(str::to_owned);
            taken
                .resources
                .extend(owned("plural").chain(owned("singular")).chain(owned("shortNames")));
            taken.kinds.extend(owned("kind").chain(owned("listKind")));
        }
        taken
    }
}

/// A name, or several.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) if !text.is_empty() => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn set(names: &mut Value, field: &str, value: &Value) {
    if value.is_null() {
        meta::remove(names, field);
    } else {
        names[field] = value.clone();
    }
}

/// Sets a condition; its time stays while its status does.
fn put(status: &mut Value, kind: &str, holds: bool, reason: &str, message: &str, now: Timestamp) {
    let holds = if holds { "True" } else { "False" };
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else { return };
    let had = conditions.iter().position(|condition| condition["type"] == kind);
    let since = had
        .map(|at| &conditions[at])
        .filter(|had| had["status"] == holds && had["lastTransitionTime"].is_string())
        .map_or_else(|| meta::time(now).into(), |had| had["lastTransitionTime"].clone());
    let mut condition = Map::new();
    condition.insert("type".to_owned(), kind.into());
    condition.insert("status".to_owned(), holds.into());
    condition.insert("reason".to_owned(), reason.into());
    condition.insert("message".to_owned(), message.into());
    condition.insert("lastTransitionTime".to_owned(), since);
    match had {
        Some(at) => conditions[at] = condition.into(),
        None => conditions.push(condition.into()),
    }
}

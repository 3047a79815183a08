//! What the status of a definition says: whether its names are free, whether it is served, and
//! what there is to say about its schemas and its group.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish,nonstructuralschema,
//! apiapproval,finalizer}.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Schema, structural};
use crate::field::{FieldError, Path, aggregate, go_quote};
use crate::meta;

/// The condition of a definition whose schemas are not structural.
const NON_STRUCTURAL: &str = "NonStructuralSchema";

/// What becomes of a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// Its status as it should be.
    pub status: Value,
    /// Whether its objects are served.
    pub served: bool,
}

/// Decides about a definition, given the other definitions (of any group) and what is not structural
/// about its schemas ([`violations`]).
///
/// Names are taken by whoever has them in `status.acceptedNames`; a name that another definition of
/// the group has is refused, and what was accepted before stays. A definition whose names were all
/// accepted once is established for good.
#[must_use]
pub fn accept<'a>(
    definition: &Value,
    others: impl Iterator<Item = &'a Value>,
    violations: Option<&str>,
    now: Timestamp,
) -> Acceptance {
    let (accepted, conflict) = names(definition, others);
    let mut status = status_of(definition);
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
    match violations {
        None => remove(&mut status, NON_STRUCTURAL),
        Some(message) => put(&mut status, NON_STRUCTURAL, true, "Violations", message, now),
    }
    if needs_approval(definition["spec"]["group"].as_str().unwrap_or_default()) {
        let approval = Approval::of(definition);
        let (holds, reason) = (approval.is_given(), approval.reason());
        let message = approval.message(definition);
        put(&mut status, "KubernetesAPIApprovalPolicyConformant", holds, reason, &message, now);
    }
    Acceptance { status, served: established }
}

/// The accepted names of a definition as they should be, and which conflict there is. Of several
/// conflicts the last is told.
fn names<'a>(
    definition: &Value,
    others: impl Iterator<Item = &'a Value>,
) -> (Value, Option<(&'static str, String)>) {
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
        let own = texts(&accepted[field]);
        let clash: Vec<String> = texts(&wanted[field])
            .into_iter()
            .filter(|name| !own.contains(name) && used.iter().any(|used| used == name))
            .map(|name| format!("{} is already in use", go_quote(name)))
            .collect();
        match clash.as_slice() {
            [] => set(&mut accepted, field, &wanted[field]),
            [one] => conflict = Some((reason, one.clone())),
            several => conflict = Some((reason, format!("[{}]", several.join(", ")))),
        }
    }
    set(&mut accepted, "categories", &wanted["categories"]);
    for field in ["plural", "kind"] {
        if accepted[field].is_null() {
            accepted[field] = "".into();
        }
    }
    (accepted, conflict)
}

/// What is not structural about the schemas of a definition. Such are not accepted any more, but
/// may have been stored long ago. Depends on the spec alone.
#[must_use]
pub fn violations(definition: &Value) -> Option<String> {
    let spec = Path::new("spec");
    let mut errors = Vec::new();
    if definition["spec"]["preserveUnknownFields"] == true {
        let path = spec.child("preserveUnknownFields");
        errors.push(FieldError::invalid(&path, true, "must be false"));
    }
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    for (n, version) in versions.enumerate() {
        let path = spec.child("versions").index(n).child("schema").child("openAPIV3Schema");
        if let Ok(schema) = Schema::read(&version["schema"]["openAPIV3Schema"]) {
            errors.extend(structural::check(&schema, &path));
        }
    }
    (!errors.is_empty()).then(|| aggregate(&errors))
}

/// Whether definitions of the group need an approval: it is one of Kubernetes' own.
pub(crate) fn needs_approval(group: &str) -> bool {
    let inside = |domain: &str| group == domain || group.ends_with(&format!(".{domain}"));
    inside("k8s.io") || inside("kubernetes.io")
}

/// What a definition of such a group says about its approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    /// Nothing.
    Missing,
    /// That there is none, and why.
    Bypassed,
    /// Where it was given.
    Given,
    /// Something else.
    Invalid,
}

impl Approval {
    /// The annotation that says it.
    pub(crate) const ANNOTATION: &str = "api-approved.kubernetes.io";

    /// Of a definition.
    pub(crate) fn of(definition: &Value) -> Approval {
        let text = Self::text(definition);
        let is_url = text.split_once("://").is_some_and(|(scheme, rest)| {
            let host = rest.split('/').next().unwrap_or_default();
            let mut letters = scheme.chars();
            letters.next().is_some_and(|first| first.is_ascii_alphabetic())
                && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
                && !host.is_empty()
                && !rest.contains(char::is_whitespace)
        });
        match text {
            "" => Approval::Missing,
            _ if text.starts_with("unapproved") => Approval::Bypassed,
            _ if is_url => Approval::Given,
            _ => Approval::Invalid,
        }
    }

    /// What the annotation says.
    pub(crate) fn text(definition: &Value) -> &str {
        definition["metadata"]["annotations"][Self::ANNOTATION].as_str().unwrap_or_default()
    }

    fn is_given(self) -> bool {
        self == Approval::Given
    }

    fn reason(self) -> &'static str {
        match self {
            Approval::Missing => "MissingAnnotation",
            Approval::Bypassed => "UnapprovedAnnotation",
            Approval::Given => "ApprovedAnnotation",
            Approval::Invalid => "InvalidAnnotation",
        }
    }

    /// The message of the condition, and of a refusal.
    pub(crate) fn message(self, definition: &Value) -> String {
        let (text, annotation) = (Self::text(definition), go_quote(Self::ANNOTATION));
        let see = "see https://github.com/kubernetes/enhancements/pull/1111";
        match self {
            Approval::Missing => {
                format!("protected groups must have approval annotation {annotation}, {see}")
            }
            Approval::Bypassed => format!("not approved: {}", go_quote(text)),
            Approval::Given => format!("approved in {text}"),
            Approval::Invalid => format!(
                "protected groups must have approval annotation {annotation} with either a URL or a reason starting with \"unapproved\", {see}"
            ),
        }
    }
}

/// The status of a definition that is being deleted, while its objects are. One that was never
/// established has none.
#[must_use]
pub fn terminating(definition: &Value, now: Timestamp) -> Value {
    let mut status = status_of(definition);
    if is_established(definition) {
        let message = "CustomResource deletion is in progress";
        put(&mut status, "Terminating", true, "InstanceDeletionInProgress", message, now);
    } else {
        let message = "resource was never established";
        put(&mut status, "Terminating", false, "NeverEstablished", message, now);
    }
    status
}

fn status_of(definition: &Value) -> Value {
    let status = &definition["status"];
    if status.is_object() { status.clone() } else { json!({}) }
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

/// Takes a condition away.
fn remove(status: &mut Value, kind: &str) {
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != kind);
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

#[cfg(test)]
mod tests;

//! The names of a custom resource.

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::names;

/// Names that must be given in the spec.
pub(super) fn required(given: &Value, path: &Path) -> Errors {
    ["plural", "singular", "kind", "listKind"]
        .into_iter()
        .filter(|field| text(given, field).is_empty())
        .map(|field| FieldError::required(&path.child(field), ""))
        .collect()
}

/// How names must look, in the spec and in the status.
pub(super) fn validate(given: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["plural", "singular"] {
        errors.extend(label(text(given, field), &path.child(field)));
    }
    for field in ["kind", "listKind"] {
        let kind = text(given, field);
        let problem = names::kind(kind).filter(|_| !kind.is_empty());
        let refuse = |problem: String| FieldError::invalid(&path.child(field), kind, &problem);
        errors.extend(problem.map(refuse));
    }
    errors.extend(labels(&given["shortNames"], &path.child("shortNames")));
    let (kind, list_kind) = (text(given, "kind"), text(given, "listKind"));
    if !kind.is_empty() && kind == list_kind {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(&path.child("listKind"), list_kind, detail));
    }
    errors.extend(labels(&given["categories"], &path.child("categories")));
    errors
}

fn text<'a>(names: &'a Value, field: &str) -> &'a str {
    names[field].as_str().unwrap_or_default()
}

fn label(name: &str, path: &Path) -> Option<FieldError> {
    let messages = names::dns1035_label(name);
    (!name.is_empty() && !messages.is_empty())
        .then(|| FieldError::invalid(path, name, &messages.join(",")))
}

fn labels(list: &Value, path: &Path) -> Errors {
    let list = list.as_array().into_iter().flatten().enumerate();
    list.filter_map(|(n, name)| label(name.as_str()?, &path.index(n))).collect()
}

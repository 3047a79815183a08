//! Validation errors: a list of (field path, kind, detail), worded exactly as Kubernetes does.
//!
//! Validation never stops at the first problem; it returns an [`Errors`] list, which
//! [`crate::status::Status::invalid`] renders into the causes of a 422.
//! Source of the wording: k8s.io/apimachinery/pkg/util/validation/field.

use std::collections::HashSet;
use std::fmt::{self, Display, Write as _};

use serde_json::Value;

/// All problems found in one object, in the order in which they were found.
pub type Errors = Vec<FieldError>;

/// Where a field is, in Kubernetes' notation: `spec.containers[0].resources.limits[cpu]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// The path of a top-level field.
    #[must_use]
    pub fn new(field: &str) -> Self {
        Self(field.to_owned())
    }

    /// The path of the object itself, printed as `<nil>` when nothing is added to it.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// A field of the object at this path. `field` may itself be dotted.
    #[must_use]
    pub fn child(&self, field: &str) -> Self {
        if self.0.is_empty() { Self(field.to_owned()) } else { Self(format!("{}.{field}", self.0)) }
    }

    /// An element of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// A value of the map at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("<nil>") } else { f.write_str(&self.0) }
    }
}

/// What is wrong with a field. Each kind has its own wording and its own cause reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The field must be given.
    Required,
    /// The value breaks a rule.
    Invalid,
    /// The value is none of the permitted ones.
    NotSupported,
    /// The value occurs twice where it must be unique.
    Duplicate,
    /// The field must not be given (or changed) here.
    Forbidden,
    /// The value is longer than permitted.
    TooLong,
    /// The list has more items than permitted.
    TooMany,
    /// The value refers to something that does not exist.
    NotFound,
    /// The value has the wrong JSON type.
    TypeInvalid,
}

impl Kind {
    /// The `reason` of the cause in a Status.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::NotFound => "FieldValueNotFound",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

/// One problem of one field. `Display` gives `path: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// What is wrong.
    pub kind: Kind,
    /// Where, as `spec.containers[0].image`.
    pub field: String,
    /// The message without the path, such as `Required value`.
    pub message: String,
}

impl Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl FieldError {
    fn new(kind: Kind, field: &Path, message: String) -> Self {
        Self { kind, field: field.to_string(), message }
    }

    /// `Required value` with an optional explanation (pass "" for none).
    #[must_use]
    pub fn required(field: &Path, detail: &str) -> Self {
        Self::new(Kind::Required, field, with_detail("Required value".to_owned(), detail))
    }

    /// `Invalid value: VALUE: detail`.
    #[must_use]
    pub fn invalid(field: &Path, value: impl Into<Value>, detail: &str) -> Self {
        let head = format!("Invalid value: {}", shown(&value.into()));
        Self::new(Kind::Invalid, field, with_detail(head, detail))
    }

    /// `Invalid value: detail`, where the value is too large or too obvious to be shown.
    #[must_use]
    pub fn invalid_without_value(field: &Path, detail: &str) -> Self {
        Self::new(Kind::Invalid, field, with_detail("Invalid value".to_owned(), detail))
    }

    /// An [`FieldError::invalid`] for each message, as the rules of [`crate::names`] return them.
    #[must_use]
    pub fn invalid_each(field: &Path, value: &str, messages: &[String]) -> Errors {
        messages.iter().map(|message| Self::invalid(field, value, message)).collect()
    }

    /// `Unsupported value: VALUE: supported values: "A", "B"`; values are listed in the order given.
    #[must_use]
    pub fn not_supported(field: &Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let mut message = format!("Unsupported value: {}", shown(&value.into()));
        for (n, value) in supported.iter().enumerate() {
            let before = if n == 0 { ": supported values: " } else { ", " };
            let _ = write!(message, "{before}{}", go_quote(value));
        }
        Self::new(Kind::NotSupported, field, message)
    }

    /// `Duplicate value: VALUE`.
    #[must_use]
    pub fn duplicate(field: &Path, value: impl Into<Value>) -> Self {
        Self::new(Kind::Duplicate, field, format!("Duplicate value: {}", shown(&value.into())))
    }

    /// `Forbidden: detail`.
    #[must_use]
    pub fn forbidden(field: &Path, detail: &str) -> Self {
        Self::new(Kind::Forbidden, field, with_detail("Forbidden".to_owned(), detail))
    }

    /// `Too long: may not be more than LIMIT bytes`.
    #[must_use]
    pub fn too_long(field: &Path, limit: usize) -> Self {
        Self::new(Kind::TooLong, field, format!("Too long: may not be more than {limit} bytes"))
    }

    /// `Too many: ACTUAL: must have at most LIMIT items`.
    #[must_use]
    pub fn too_many(field: &Path, actual: usize, limit: usize) -> Self {
        let items = if limit == 1 { "item" } else { "items" };
        let message = format!("Too many: {actual}: must have at most {limit} {items}");
        Self::new(Kind::TooMany, field, message)
    }

    /// `Not found: VALUE`.
    #[must_use]
    pub fn not_found(field: &Path, value: impl Into<Value>) -> Self {
        Self::new(Kind::NotFound, field, format!("Not found: {}", shown(&value.into())))
    }
}

fn with_detail(head: String, detail: &str) -> String {
    if detail.is_empty() { head } else { format!("{head}: {detail}") }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => go_quote(text),
        other => other.to_string(),
    }
}

/// A string in double quotes with Go's `%q` escapes, as every Kubernetes message shows it.
#[must_use]
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `a: b` for one error, `[a: b, c: d]` for several: how Kubernetes prints a list of errors.
#[must_use]
pub fn aggregate(errors: &[FieldError]) -> String {
    // A client can make as many errors as it can send list items: no comparing all with all.
    let mut seen = HashSet::new();
    let mut texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.retain(|text| seen.insert(text.clone()));
    if texts.len() == 1 { texts.remove(0) } else { format!("[{}]", texts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording_is_kubernetes() {
        let path = Path::new("spec").child("containers").index(1).child("resources").key("cpu");
        let cases = [
            (FieldError::required(&path, ""), "Required value"),
            (FieldError::required(&path, "why"), "Required value: why"),
            (FieldError::invalid(&path, "A\"", "no"), "Invalid value: \"A\\\"\": no"),
            (FieldError::invalid(&path, 7, "no"), "Invalid value: 7: no"),
            (
                FieldError::not_supported(&path, "X", &["A", "B"]),
                "Unsupported value: \"X\": supported values: \"A\", \"B\"",
            ),
            (FieldError::duplicate(&path, "v"), "Duplicate value: \"v\""),
            (FieldError::forbidden(&path, "no"), "Forbidden: no"),
            (FieldError::too_long(&path, 63), "Too long: may not be more than 63 bytes"),
            (FieldError::too_many(&path, 5, 3), "Too many: 5: must have at most 3 items"),
        ];
        for (error, message) in cases {
            assert_eq!(error.message, message);
            assert_eq!(error.field, "spec.containers[1].resources[cpu]");
        }
    }

    #[test]
    fn aggregate_drops_repetitions_and_brackets_several() {
        let a = FieldError::required(&Path::new("a"), "");
        let b = FieldError::required(&Path::new("b"), "");
        assert_eq!(aggregate(&[a.clone(), a.clone()]), "a: Required value");
        assert_eq!(aggregate(&[a, b]), "[a: Required value, b: Required value]");
    }
}

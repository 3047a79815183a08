//! Field selectors: `spec.nodeName=n1,status.phase!=Failed`.
//!
//! Source: k8s.io/apimachinery/pkg/fields. In values, `\`, `,` and `=` are escaped with `\`.

use std::fmt;

use serde_json::Value;

use super::SelectorError;
use crate::resources::Resource;

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// The selectable field.
    pub field: String,
    /// The value compared with.
    pub value: String,
    /// True for `=`, false for `!=`.
    pub equal: bool,
}

/// Conditions that must all hold; none selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

impl FieldSelector {
    /// Selects everything.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// Parses the `fieldSelector` query parameter.
    ///
    /// # Errors
    /// [`SelectorError::Field`] or [`SelectorError::Escape`].
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for part in split_terms(text) {
            if part.is_empty() {
                continue;
            }
            let Some((field, value, equal)) = split_term(part) else {
                return Err(SelectorError::Field {
                    selector: text.to_owned(),
                    term: part.to_owned(),
                });
            };
            terms.push(FieldTerm { field: field.to_owned(), value: unescape(value)?, equal });
        }
        Ok(Self { terms })
    }

    /// Parses, and checks that the resource lets every field be selected by.
    ///
    /// # Errors
    /// Those of [`FieldSelector::parse`], and [`SelectorError::Unsupported`].
    pub fn parse_for(resource: &Resource, text: &str) -> Result<Self, SelectorError> {
        let selector = Self::parse(text)?;
        match selector.terms.iter().find(|term| !resource.is_selectable(&term.field)) {
            Some(term) => Err(SelectorError::Unsupported(term.field.clone())),
            None => Ok(selector),
        }
    }

    /// The conditions.
    #[must_use]
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// Whether every object matches.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The only value that `field` may have, when the selector demands one (`metadata.name=x`
    /// turns a list into the lookup of one object).
    #[must_use]
    pub fn required_value(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }

    /// Whether an object of the resource matches.
    #[must_use]
    pub fn matches(&self, resource: &Resource, object: &Value) -> bool {
        self.terms.iter().all(|term| {
            let value = resource.field_value(&term.field, object).unwrap_or_default();
            (value == term.value) == term.equal
        })
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, term) in self.terms.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            let operator = if term.equal { "=" } else { "!=" };
            write!(f, "{comma}{}{operator}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

/// Splits at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Splits at the first operator.
fn split_term(term: &str) -> Option<(&str, &str, bool)> {
    for at in term.char_indices().map(|(at, _)| at) {
        let rest = &term[at..];
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&term[..at], value, equal));
            }
        }
    }
    None
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=")
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => {
                    return Err(SelectorError::Escape(format!("invalid escape sequence: \\{c}")));
                }
                None => return Err(SelectorError::Escape("unterminated escape".to_owned())),
            },
            ',' | '=' => {
                return Err(SelectorError::Escape(format!("unescaped character in value: '{c}'")));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::by_path;

    #[test]
    fn selects_pods() {
        let pods = by_path("", "v1", "pods").expect("pods exist");
        let pod = json!({"metadata": {"name": "a", "namespace": "d"},
            "spec": {"nodeName": "n1", "hostNetwork": true}, "status": {"phase": "Running"}});
        let cases = [
            ("", true),
            ("metadata.name=a", true),
            ("metadata.name==a,metadata.namespace=d", true),
            ("spec.nodeName!=n1", false),
            ("spec.nodeName=", false),
            ("status.podIP=", true),
            ("spec.hostNetwork=true", true),
            ("status.phase!=Failed,status.phase!=Succeeded", true),
        ];
        for (text, expected) in cases {
            let selector = FieldSelector::parse_for(pods, text).expect(text);
            assert_eq!(selector.matches(pods, &pod), expected, "{text}");
        }
        assert!(
            !FieldSelector::parse_for(pods, "spec.hostNetwork=true")
                .expect("valid")
                .matches(pods, &json!({}))
        );
        assert!(
            FieldSelector::parse_for(pods, "spec.hostNetwork=false")
                .expect("valid")
                .matches(pods, &json!({}))
        );
    }

    #[test]
    fn refuses_and_escapes() {
        let pods = by_path("", "v1", "pods").expect("pods exist");
        let error = FieldSelector::parse_for(pods, "spec.nope=x").expect_err("not selectable");
        assert_eq!(error.to_string(), "field label not supported: spec.nope");
        for bad in ["a", "a=b\\", "a=b\\x", "a=b=c"] {
            assert!(FieldSelector::parse(bad).is_err(), "{bad}");
        }
        let selector = FieldSelector::parse(r"a=x\,y\=z\\").expect("valid");
        assert_eq!(selector.required_value("a"), Some(r"x,y=z\"));
        assert_eq!(selector.to_string(), r"a=x\,y\=z\\");
    }
}

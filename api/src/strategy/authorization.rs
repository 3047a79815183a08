//! `authorization.k8s.io`: may somebody do something?
//! Source: k8s.io/kubernetes/pkg/apis/authorization/validation.

use serde_json::Value;

use super::{Strategy, selector};
use crate::field::{Errors, FieldError, Path};

/// SubjectAccessReview and its two relatives.
#[derive(Debug)]
pub(crate) struct Review {
    /// Whether it names the user that it is about.
    names_user: bool,
    /// Whether it asks about one namespace only.
    local: bool,
}

impl Review {
    /// About any user.
    pub(crate) const ANYBODY: Self = Self { names_user: true, local: false };
    /// About any user, in one namespace.
    pub(crate) const LOCAL: Self = Self { names_user: true, local: true };
    /// About whoever asks.
    pub(crate) const SELF: Self = Self { names_user: false, local: false };
}

impl Strategy for Review {
    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Errors::new();
        let (resource, other) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
        if resource.is_object() && other.is_object() {
            let detail = "cannot be specified in combination with resourceAttributes";
            let path = path.child("nonResourceAttributes");
            errors.push(FieldError::invalid(&path, other.clone(), detail));
        }
        if !resource.is_object() && !other.is_object() {
            let detail =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            let path = path.child("resourceAttributes");
            errors.push(FieldError::invalid(&path, Value::Null, detail));
        }
        let groups = spec["groups"].as_array().map_or(0, Vec::len);
        let user = spec["user"].as_str().unwrap_or_default();
        if self.names_user && user.is_empty() && groups == 0 {
            let detail = "at least one of user or group must be specified";
            errors.push(FieldError::invalid(&path.child("user"), user, detail));
        }
        errors.extend(validate_selectors(resource, &path.child("resourceAttributes")));
        let metadata = &object["metadata"];
        let fields = metadata.as_object().into_iter().flatten();
        let told = fields.filter(|(field, _)| !(self.local && *field == "namespace"));
        if !told.map(|(_, value)| value).all(is_nothing) {
            let detail =
                if self.local { "must be empty except for namespace" } else { "must be empty" };
            errors.push(FieldError::invalid(&Path::new("metadata"), metadata.clone(), detail));
        }
        if self.local {
            let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
            let asked = resource["namespace"].as_str().unwrap_or_default();
            if resource.is_object() && asked != namespace {
                let path = path.child("resourceAttributes").child("namespace");
                errors.push(FieldError::invalid(&path, asked, "must match metadata.namespace"));
            }
            if other.is_object() {
                let detail = "disallowed on this kind of request";
                let path = path.child("nonResourceAttributes");
                errors.push(FieldError::invalid(&path, other.clone(), detail));
            }
        }
        errors
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Checks the selectors of the objects that are asked about. Operators that nobody knows yet are let
/// through: whoever decides does without them.
fn validate_selectors(attributes: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for (field, about_labels) in [("fieldSelector", false), ("labelSelector", true)] {
        let (selector, path) = (&attributes[field], path.child(field));
        if selector.is_null() {
            continue;
        }
        let raw = selector["rawSelector"].as_str().unwrap_or_default();
        let requirements = selector["requirements"].as_array().map(Vec::as_slice);
        let requirements = requirements.unwrap_or_default();
        if !raw.is_empty() && !requirements.is_empty() {
            let detail = "may not specified at the same time as requirements";
            errors.push(FieldError::invalid(&path.child("rawSelector"), raw, detail));
        }
        if raw.is_empty() && requirements.is_empty() {
            let detail =
                format!("when {path} is specified, requirements or rawSelector is required");
            errors.push(FieldError::required(&path.child("requirements"), &detail));
        }
        for (n, requirement) in requirements.iter().enumerate() {
            let at = path.child("requirements").index(n);
            errors.extend(validate_requirement(requirement, about_labels, &at));
        }
    }
    errors
}

fn validate_requirement(requirement: &Value, about_labels: bool, path: &Path) -> Errors {
    let key = requirement["key"].as_str().unwrap_or_default();
    let operator = requirement["operator"].as_str().unwrap_or_default();
    let values = requirement["values"].as_array().into_iter().flatten();
    let values: Vec<_> = values.filter_map(Value::as_str).map(str::to_owned).collect();
    let mut errors = Errors::new();
    if !about_labels && key.is_empty() {
        errors.push(FieldError::required(&path.child("key"), "must be specified"));
    }
    errors.extend(selector::validate_values(operator, &values, &path.child("values")));
    if about_labels {
        errors.extend(selector::validate_words(key, &values, path));
    }
    errors
}

/// What may whoever asks do in a namespace?
#[derive(Debug)]
pub(crate) struct RulesReview;

impl Strategy for RulesReview {
    fn validate(&self, object: &Value) -> Errors {
        if object["spec"]["namespace"].as_str().unwrap_or_default().is_empty() {
            return vec![FieldError::required(&Path::new("spec").child("namespace"), "")];
        }
        Errors::new()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_review_asks_one_thing_about_somebody() {
        let (pods, path) = (json!({"namespace": "n"}), json!({"path": "/x"}));
        for (strategy, spec, want) in [
            (Review::SELF, json!({"resourceAttributes": pods}), ""),
            (Review::SELF, json!({}), "spec.resourceAttributes"),
            (
                Review::SELF,
                json!({"resourceAttributes": pods, "nonResourceAttributes": path}),
                "spec.nonResourceAttributes",
            ),
            (Review::ANYBODY, json!({"nonResourceAttributes": path}), "spec.user"),
            (Review::ANYBODY, json!({"nonResourceAttributes": path, "groups": ["g"]}), ""),
            (Review::LOCAL, json!({"resourceAttributes": pods, "user": "u"}), ""),
            (
                Review::LOCAL,
                json!({"resourceAttributes": {"namespace": "m"}, "user": "u"}),
                "spec.resourceAttributes.namespace",
            ),
            (
                Review::LOCAL,
                json!({"nonResourceAttributes": path, "user": "u"}),
                "spec.nonResourceAttributes",
            ),
        ] {
            let namespace = if strategy.local { json!("n") } else { Value::Null };
            let object = json!({"metadata": {"namespace": namespace}, "spec": spec});
            let errors = strategy.validate(&object);
            let have = errors.first().map_or("", |error| error.field.as_str());
            assert_eq!((have, errors.len()), (want, usize::from(!want.is_empty())), "{spec}");
        }
        assert_eq!(RulesReview.validate(&json!({"spec": {}})).len(), 1);
    }

    #[test]
    fn selectors_and_metadata_of_reviews_are_checked() {
        let path = "spec.resourceAttributes";
        let review =
            |selectors: Value| json!({"spec": {"user": "u", "resourceAttributes": selectors}});
        let one = |field: &str, requirement: Value| {
            review(json!({field: {"requirements": [requirement]}}))
        };
        for (object, want) in [
            (review(json!({"fieldSelector": {"rawSelector": "a=b"}})), String::new()),
            (
                review(json!({"fieldSelector": {"rawSelector": "a", "requirements": [
                    {"key": "k", "operator": "Exists"}]}})),
                format!(
                    "{path}.fieldSelector.rawSelector: Invalid value: \"a\": may not specified at the \
                     same time as requirements"
                ),
            ),
            (
                review(json!({"labelSelector": {}})),
                format!(
                    "{path}.labelSelector.requirements: Required value: when {path}.labelSelector is \
                     specified, requirements or rawSelector is required"
                ),
            ),
            (
                one("fieldSelector", json!({"key": "", "operator": "Exists"})),
                format!(
                    "{path}.fieldSelector.requirements[0].key: Required value: must be specified"
                ),
            ),
            (
                one("fieldSelector", json!({"key": "k", "operator": "In"})),
                format!(
                    "{path}.fieldSelector.requirements[0].values: Required value: must be specified \
                     when `operator` is 'In' or 'NotIn'"
                ),
            ),
            (
                one("fieldSelector", json!({"key": "metadata.name", "operator": "New"})),
                String::new(),
            ),
            (one("labelSelector", json!({"key": "k", "operator": "New"})), String::new()),
            (
                one("labelSelector", json!({"key": "k", "operator": "Exists", "values": ["v"]})),
                format!(
                    "{path}.labelSelector.requirements[0].values: Forbidden: may not be specified when \
                     `operator` is 'Exists' or 'DoesNotExist'"
                ),
            ),
            (
                json!({"metadata": {"name": "a"}, "spec": review(json!({}))["spec"]}),
                "metadata: Invalid value: {\"name\":\"a\"}: must be empty".to_owned(),
            ),
            (
                json!({"metadata": {"creationTimestamp": null, "labels": {}},
                    "spec": review(json!({}))["spec"]}),
                String::new(),
            ),
        ] {
            let errors: Vec<_> =
                Review::ANYBODY.validate(&object).iter().map(ToString::to_string).collect();
            assert_eq!(errors.join(", "), want, "{object}");
        }
        let value = one("labelSelector", json!({"key": "-", "operator": "In", "values": ["-"]}));
        assert_eq!(Review::ANYBODY.validate(&value).len(), 2);
        let named = json!({"metadata": {"namespace": "", "name": "a"},
            "spec": review(json!({}))["spec"]});
        let errors = Review::LOCAL.validate(&named);
        assert!(errors[0].to_string().ends_with(": must be empty except for namespace"));
    }
}

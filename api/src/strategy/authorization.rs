//! `authorization.k8s.io`: may somebody do something?
//! Source: k8s.io/kubernetes/pkg/apis/authorization/validation.

use serde_json::Value;

use super::Strategy;
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
            let object = json!({"metadata": {"namespace": "n"}, "spec": spec});
            let errors = strategy.validate(&object);
            let have = errors.first().map_or("", |error| error.field.as_str());
            assert_eq!((have, errors.len()), (want, usize::from(!want.is_empty())), "{spec}");
        }
        assert_eq!(RulesReview.validate(&json!({"spec": {}})).len(), 1);
    }
}

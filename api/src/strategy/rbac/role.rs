//! Role and ClusterRole. Source: k8s.io/kubernetes/pkg/apis/rbac/validation.

use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::names::NameRule;
use crate::strategy::{Strategy, selector, set_default};

/// The strategy of both kinds.
#[derive(Debug)]
pub(crate) struct Role {
    namespaced: bool,
}

impl Role {
    /// Of ClusterRoles.
    pub(crate) const CLUSTER: Self = Self { namespaced: false };
    /// Of Roles.
    pub(crate) const NAMESPACED: Self = Self { namespaced: true };
}

impl Strategy for Role {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        // Kubernetes writes the list even when there is none.
        set_default(object, "rules", Value::Null);
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        for (n, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
            errors.extend(self.validate_rule(rule, &Path::new("rules").index(n)));
        }
        if !self.namespaced {
            errors.extend(validate_aggregation(&object["aggregationRule"]));
        }
        errors
    }
}

impl Role {
    fn validate_rule(&self, rule: &Value, path: &Path) -> Errors {
        let mut errors = Errors::new();
        let count = |field: &str| rule[field].as_array().map_or(0, Vec::len);
        if count("verbs") == 0 {
            let detail = "verbs must contain at least one value";
            errors.push(FieldError::required(&path.child("verbs"), detail));
        }
        if count("nonResourceURLs") > 0 {
            let mut refuse = |detail: &str| {
                let urls = rule["nonResourceURLs"].clone();
                errors.push(FieldError::invalid(&path.child("nonResourceURLs"), urls, detail));
            };
            if self.namespaced {
                refuse("namespaced rules cannot apply to non-resource URLs");
            }
            if ["apiGroups", "resources", "resourceNames"].iter().any(|field| count(field) > 0) {
                refuse("rules cannot apply to both regular resources and non-resource URLs");
            }
            return errors;
        }
        if count("apiGroups") == 0 {
            let detail = "resource rules must supply at least one api group";
            errors.push(FieldError::required(&path.child("apiGroups"), detail));
        }
        if count("resources") == 0 {
            let detail = "resource rules must supply at least one resource";
            errors.push(FieldError::required(&path.child("resources"), detail));
        }
        errors
    }
}

fn validate_aggregation(rule: &Value) -> Errors {
    let mut errors = Errors::new();
    if rule.is_null() {
        return errors;
    }
    let path = Path::new("aggregationRule").child("clusterRoleSelectors");
    let selectors = rule["clusterRoleSelectors"].as_array().map(Vec::as_slice).unwrap_or_default();
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(&path, detail));
    }
    for (n, selector) in selectors.iter().enumerate() {
        errors.extend(selector::validate_value(selector, &path.index(n)));
    }
    errors
}

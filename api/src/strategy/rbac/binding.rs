//! RoleBinding and ClusterRoleBinding. Source: k8s.io/kubernetes/pkg/apis/rbac/validation.

use serde_json::{Value, json};

use super::GROUP;
use crate::field::{Errors, FieldError, Path};
use crate::names::{self, NameRule};
use crate::strategy::{Strategy, each, set_default};

/// The strategy of both kinds.
#[derive(Debug)]
pub(crate) struct Binding {
    namespaced: bool,
}

impl Binding {
    /// Of ClusterRoleBindings.
    pub(crate) const CLUSTER: Self = Self { namespaced: false };
    /// Of RoleBindings.
    pub(crate) const NAMESPACED: Self = Self { namespaced: true };
}

fn text<'a>(map: &'a Value, field: &str) -> &'a str {
    map[field].as_str().unwrap_or_default()
}

fn default_group(of: &mut Value) {
    if of.is_object() && text(of, "apiGroup").is_empty() {
        of["apiGroup"] = GROUP.into();
    }
}

impl Strategy for Binding {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn creates_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "roleRef", json!({}));
        default_group(&mut object["roleRef"]);
        for subject in each(object, "/subjects") {
            if matches!(text(subject, "kind"), "User" | "Group") {
                default_group(subject);
            }
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let (role, path) = (&object["roleRef"], Path::new("roleRef"));
        let mut errors = Errors::new();
        let (group, kind, name) = (text(role, "apiGroup"), text(role, "kind"), text(role, "name"));
        if group != GROUP {
            errors.push(FieldError::not_supported(&path.child("apiGroup"), group, &[GROUP]));
        }
        let kinds: &[&str] =
            if self.namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
        if !kinds.contains(&kind) {
            errors.push(FieldError::not_supported(&path.child("kind"), kind, kinds));
        }
        let path = path.child("name");
        if name.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else {
            errors.extend(FieldError::invalid_each(&path, name, &names::path_segment(name)));
        }
        for (n, subject) in object["subjects"].as_array().into_iter().flatten().enumerate() {
            errors.extend(self.validate_subject(subject, &Path::new("subjects").index(n)));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        if new["roleRef"] != old["roleRef"] {
            let role = new["roleRef"].clone();
            errors.push(FieldError::invalid(&Path::new("roleRef"), role, "cannot change roleRef"));
        }
        errors
    }
}

impl Binding {
    fn validate_subject(&self, subject: &Value, path: &Path) -> Errors {
        let mut errors = Errors::new();
        let (group, name) = (text(subject, "apiGroup"), text(subject, "name"));
        let at = path.child("name");
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        let group_path = path.child("apiGroup");
        match text(subject, "kind") {
            "ServiceAccount" => {
                if !name.is_empty() {
                    let messages = names::dns1123_subdomain(name);
                    errors.extend(FieldError::invalid_each(&at, name, &messages));
                }
                if !group.is_empty() {
                    errors.push(FieldError::not_supported(&group_path, group, &[""]));
                }
                if !self.namespaced && text(subject, "namespace").is_empty() {
                    errors.push(FieldError::required(&path.child("namespace"), ""));
                }
            }
            kind @ ("User" | "Group") => {
                if name.is_empty() {
                    let detail = format!("{} name cannot be empty", kind.to_lowercase());
                    errors.push(FieldError::invalid(&at, name, &detail));
                }
                if group != GROUP {
                    errors.push(FieldError::not_supported(&group_path, group, &[GROUP]));
                }
            }
            other => {
                let kinds = ["ServiceAccount", "User", "Group"];
                errors.push(FieldError::not_supported(&path.child("kind"), other, &kinds));
            }
        }
        errors
    }
}

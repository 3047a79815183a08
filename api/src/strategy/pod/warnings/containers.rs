//! Each container: profiles in annotations, fractions of bytes, variables that hide others.

use std::collections::HashSet;

use serde_json::Value;

use super::{annotations, containers, text};
use crate::field::{Path, go_quote};
use crate::strategy::warnings::of_fraction;

/// The resources that are counted in bytes.
pub(super) const BYTES: [&str; 2] = ["memory", "ephemeral-storage"];

/// About the containers of a pod or template, one after the other.
pub(super) fn of_each(pod: &Value, root: &Path, template: bool) -> Vec<String> {
    let mut told = Vec::new();
    for (path, container) in containers(&pod["spec"], &root.child("spec")) {
        told.extend(annotations::of_seccomp(pod, container, root));
        if template {
            told.extend(annotations::of_profile(pod, container, root));
        }
        let resources = &container["resources"];
        if !resources.is_null() {
            let at = path.child("resources");
            for bytes in BYTES {
                for amounts in ["limits", "requests"] {
                    told.extend(of_fraction(&resources[amounts], bytes, &at.child(amounts)));
                }
            }
        }
        told.extend(of_hidden_variables(&container["env"], &path));
    }
    told
}

/// A variable may be defined again if the new value is made of the old one and something more;
/// otherwise the first definition is lost, and with an apply it may be the one that stays.
fn of_hidden_variables(variables: &Value, path: &Path) -> Vec<String> {
    let mut told = Vec::new();
    let Some(variables) = variables.as_array().filter(|all| all.len() > 1) else { return told };
    let mut seen = HashSet::new();
    for (n, variable) in variables.iter().enumerate() {
        let (name, value) = (text(variable, "name"), text(variable, "value"));
        if seen.insert(name) {
            continue;
        }
        let before = format!("$({name})");
        let extends = value.contains(&before) && value != before;
        if !extends || !variable["valueFrom"].is_null() {
            let at = path.child("env").index(n);
            told.push(format!(
                "{at}: hides previous definition of {}, which may be dropped when using apply",
                go_quote(name)
            ));
        }
    }
    told
}

//! Rows of roles and their bindings.

use super::*;

pub(crate) const ROLE: Printer = Printer::new("Role", role);
pub(crate) const CLUSTER_ROLE: Printer = Printer::new("ClusterRole", role);
pub(crate) const ROLE_BINDING: Printer = Printer::new("RoleBinding", binding);
pub(crate) const CLUSTER_ROLE_BINDING: Printer = Printer::new("ClusterRoleBinding", binding);

/// The second column is a date: clients make an age of it.
fn role(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name(object), object["metadata"]["creationTimestamp"].clone()]
}

fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let reference = &object["roleRef"];
    let subjects = |kind: &str| {
        let all = object["subjects"].as_array().into_iter().flatten();
        let names: Vec<String> = all
            .filter(|subject| subject["kind"] == kind)
            .map(|subject| match kind {
                "ServiceAccount" => {
                    format!("{}/{}", text(subject, "/namespace"), text(subject, "/name"))
                }
                _ => text(subject, "/name").to_owned(),
            })
            .collect();
        Value::from(names.join(", "))
    };
    vec![
        name(object),
        format!("{}/{}", text(reference, "/kind"), text(reference, "/name")).into(),
        age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

//! `spec.resources`: what the containers of a pod have together.
//!
//! Source: KEP-2837.

use k8s_openapi::api::core::v1::PodSpec;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use serde_json::{Map, Value, json};

use super::resources::{self, Of};
use crate::field::{Errors, FieldError, Path};
use crate::quantity::Quantity;
use crate::quota::{Amounts, amounts, container_amounts};

/// Checks the resources of a pod as a whole against themselves and against those of its containers.
pub(super) fn validate(spec: &PodSpec, path: &Path) -> Errors {
    let Some(of_pod) = &spec.resources else { return Errors::new() };
    let path = path.child("resources");
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        return vec![FieldError::forbidden(&path, "may not be set for a windows pod")];
    }
    let mut errors = Errors::new();
    if of_pod.claims.is_some() {
        let detail = "claims may not be set for Resources at pod-level";
        errors.push(FieldError::forbidden(&path.child("claims"), detail));
    }
    errors.extend(resources::validate(of_pod, Of::Pod, &path));

    let containers = json!({"containers": spec.containers, "initContainers": spec.init_containers});
    for which in ["requests", "limits"] {
        let given = if which == "requests" { &of_pod.requests } else { &of_pod.limits };
        for (name, sum) in together(&containers, which) {
            // Only what cannot be shared must fit in as a limit.
            let counts = which == "requests" || name.starts_with("hugepages-");
            let own = given.as_ref().and_then(|given| given.get(&name)).and_then(amount);
            if let Some(own) = own.filter(|own| counts && sum > *own) {
                let detail = format!(
                    "must be greater than or equal to aggregate container {which} of {sum}"
                );
                let path = path.child(which).key(&name);
                errors.push(FieldError::invalid(&path, own.to_string(), &detail));
            }
        }
    }
    for (n, container) in spec.containers.iter().enumerate() {
        let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        for (name, limit) in limits.into_iter().flatten() {
            let most = of_pod.limits.as_ref().and_then(|limits| limits.get(name));
            if let (Some(limit), Some(most)) = (amount(limit), most.and_then(amount))
                && limit > most
            {
                let path = path.child("containers").index(n).key(name).child("limits");
                let detail = format!("must be less than or equal to pod limits of {most}");
                errors.push(FieldError::invalid(&path, limit.to_string(), &detail));
            }
        }
    }
    errors
}

fn amount(text: &Text) -> Option<Quantity> {
    Quantity::try_from(text).ok()
}

/// What containers ask for together, whatever their pod says for all of them.
fn together(spec: &Value, which: &str) -> Amounts {
    let containers = json!({"spec": {
        "containers": spec["containers"], "initContainers": spec["initContainers"]}});
    container_amounts(&containers, which)
}

/// Fills in what follows for the pod from what its containers say, and its requests from its limits.
pub(super) fn default(spec: &mut Value) {
    let own = |spec: &Value, which: &str| {
        spec["resources"][which].as_object().cloned().unwrap_or_default()
    };
    let (mut limits, mut requests) = (own(spec, "limits"), own(spec, "requests"));
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    for (name, sum) in together(spec, "limits") {
        if name.starts_with("hugepages-") && !requests.contains_key(&name) {
            add(&mut limits, &name, sum);
        }
    }
    if !limits.is_empty() {
        for (name, sum) in together(spec, "requests") {
            if matches!(name.as_str(), "cpu" | "memory") {
                add(&mut requests, &name, sum);
            }
        }
        for (name, limit) in amounts(&Value::Object(limits.clone())) {
            if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
                add(&mut requests, &name, limit);
            }
        }
    }
    for (which, amounts) in [("limits", limits), ("requests", requests)] {
        if !amounts.is_empty() {
            spec["resources"][which] = Value::Object(amounts);
        }
    }
}

fn add(amounts: &mut Map<String, Value>, name: &str, amount: Quantity) {
    amounts.entry(name).or_insert_with(|| amount.to_string().into());
}

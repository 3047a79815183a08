//! Which objects a quota is about.

use serde_json::Value;

/// Whether a quota (or one that only counts some pods, by its scopes) counts an object of the core
/// resource `plural`. Scopes choose among pods; VolumeAttributesClass among claims.
pub fn covers(quota: &Value, plural: &str, object: &Value) -> bool {
    let spec = &quota["spec"];
    let plain = spec["scopes"].as_array().into_iter().flatten();
    let chosen = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    let mut plain = plain.filter_map(Value::as_str);
    plain.all(|scope| holds(scope, "Exists", &[], plural, object))
        && chosen.into_iter().all(|term| {
            let text = |field: &str| term[field].as_str().unwrap_or_default();
            let values = term["values"].as_array().into_iter().flatten();
            let values: Vec<_> = values.filter_map(Value::as_str).collect();
            holds(text("scopeName"), text("operator"), &values, plural, object)
        })
}

fn holds(scope: &str, operator: &str, values: &[&str], plural: &str, object: &Value) -> bool {
    let spec = &object["spec"];
    if plural == "persistentvolumeclaims" {
        let class = spec["volumeAttributesClassName"].as_str().unwrap_or_default();
        return scope == "VolumeAttributesClass" && named(operator, values, class);
    }
    if plural != "pods" {
        return false;
    }
    let best_effort = || crate::strategy::pod::class(spec) == "BestEffort";
    match scope {
        "Terminating" => spec["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0),
        "NotTerminating" => {
            spec["activeDeadlineSeconds"].as_i64().is_none_or(|seconds| seconds < 0)
        }
        "BestEffort" => best_effort(),
        "NotBestEffort" => !best_effort(),
        "PriorityClass" => {
            named(operator, values, spec["priorityClassName"].as_str().unwrap_or_default())
        }
        "CrossNamespacePodAffinity" => looks_across(&spec["affinity"]),
        _ => false,
    }
}

fn named(operator: &str, values: &[&str], name: &str) -> bool {
    match operator {
        "In" => values.contains(&name),
        "NotIn" => !values.contains(&name),
        "Exists" => !name.is_empty(),
        "DoesNotExist" => name.is_empty(),
        _ => false,
    }
}

/// Whether a pod's affinity has terms about pods of other namespaces.
fn looks_across(affinity: &Value) -> bool {
    let across = |term: &Value| {
        let names = term["namespaces"].as_array().is_some_and(|names| !names.is_empty());
        names || !term["namespaceSelector"].is_null()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let list = |field: &str| affinity[*kind][field].as_array().into_iter().flatten();
        list("requiredDuringSchedulingIgnoredDuringExecution").any(across)
            || list("preferredDuringSchedulingIgnoredDuringExecution")
                .any(|weighted| across(&weighted["podAffinityTerm"]))
    })
}

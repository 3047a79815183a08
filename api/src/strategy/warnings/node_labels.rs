//! Labels of nodes that have another name by now. Source: k8s.io/kubernetes/pkg/api/node.

use serde_json::Value;

use crate::field::Path;
use crate::names;

const DEPRECATED: &[(&str, &str)] = &[
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
];

/// What to use instead of a label, if it is one of those.
pub(in crate::strategy) fn deprecated_label(key: &str) -> Option<&'static str> {
    DEPRECATED.iter().find(|(label, _)| *label == key).map(|(_, message)| *message)
}

/// About the `matchExpressions` of a selector of nodes; with `values`, also about values that no
/// label has.
pub(in crate::strategy) fn of_expressions(
    selector: &Value,
    values: bool,
    path: &Path,
) -> Vec<String> {
    let mut told = Vec::new();
    let Some(all) = selector["matchExpressions"].as_array() else { return told };
    let path = path.child("matchExpressions");
    for (n, expression) in all.iter().enumerate() {
        let key = expression["key"].as_str().unwrap_or_default();
        if let Some(message) = deprecated_label(key) {
            told.push(format!("{}: {key} is {message}", path.index(n).child("key")));
        }
        if !values {
            continue;
        }
        for (m, value) in expression["values"].as_array().into_iter().flatten().enumerate() {
            let value = value.as_str().unwrap_or_default();
            for problem in names::label_value(value) {
                let at = path.index(n).child("values").index(m);
                told.push(format!("{at}: {value} is invalid, {problem}"));
            }
        }
    }
    told
}

/// About a label selector of nodes.
pub(in crate::strategy) fn of_selector(selector: &Value, path: &Path) -> Vec<String> {
    let mut told = of_expressions(selector, false, path);
    for key in selector["matchLabels"].as_object().into_iter().flat_map(|labels| labels.keys()) {
        if let Some(message) = deprecated_label(key) {
            told.push(format!("{}: {message}", path.child("matchLabels").child(key)));
        }
    }
    told
}

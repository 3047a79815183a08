//! Whether a node is among those that a `NodeSelector` means.
//!
//! Source: k8s.io/component-helpers/scheduling/corev1/nodeaffinity.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

/// Whether one of the selector's terms holds for the node of this name and these labels. A selector
/// without terms means no node.
#[must_use]
pub fn matches(selector: &NodeSelector, name: &str, labels: &BTreeMap<String, String>) -> bool {
    selector.node_selector_terms.iter().any(|term| term_matches(term, name, labels))
}

/// Whether a term holds for the node of this name and these labels. A term without any requirement
/// means no node.
#[must_use]
pub fn term_matches(
    term: &NodeSelectorTerm,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let asks = !expressions.is_empty() || !fields.is_empty();
    let label = |key: &str| labels.get(key).map(String::as_str);
    let field = |key: &str| (key == "metadata.name").then_some(name);
    asks && expressions.iter().all(|wanted| holds(wanted, label(&wanted.key)))
        && fields.iter().all(|wanted| holds(wanted, field(&wanted.key)))
}

fn holds(wanted: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = wanted.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|listed| listed == value));
    let numbers = || -> Option<(i64, i64)> {
        let [bound] = values else { return None };
        Some((value?.parse().ok()?, bound.parse().ok()?))
    };
    match wanted.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(has, bound)| has > bound),
        "Lt" => numbers().is_some_and(|(has, bound)| has < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nodes_are_meant_by_labels_and_by_name() {
        let labels = BTreeMap::from([("zone", "a"), ("cores", "8")]);
        let labels = labels.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let asks = |key: &str, operator: &str, values: Value| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let named = |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        for (terms, meant) in [
            (json!([]), false),
            (json!([{}]), false),
            (json!([asks("zone", "In", json!(["a", "b"]))]), true),
            (json!([asks("zone", "In", json!(["b"]))]), false),
            (json!([asks("zone", "NotIn", json!(["b"]))]), true),
            (json!([asks("gpu", "NotIn", json!(["b"]))]), true),
            (json!([asks("gpu", "Exists", json!(null))]), false),
            (json!([asks("gpu", "DoesNotExist", json!(null))]), true),
            (json!([asks("cores", "Gt", json!(["7"]))]), true),
            (json!([asks("cores", "Lt", json!(["8"]))]), false),
            (json!([asks("zone", "Gt", json!(["1"]))]), false),
            (json!([named("n1")]), true),
            (json!([named("n2")]), false),
            (json!([named("n2"), asks("zone", "Exists", json!(null))]), true),
        ] {
            let selector = serde_json::from_value(json!({"nodeSelectorTerms": terms})).unwrap();
            assert_eq!(matches(&selector, "n1", &labels), meant, "{terms}");
        }
    }
}

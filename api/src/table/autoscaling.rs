//! Rows of HorizontalPodAutoscalers, in both versions.

use super::*;
use crate::strategy::Strategy as _;
use crate::strategy::autoscaling::V1 as Old;

/// Metrics shown before the rest is counted.
const SHOWN: usize = 2;

pub(crate) const V2: Printer = Printer::new("HorizontalPodAutoscaler", cells);

pub(crate) const V1: Printer = Printer::new("HorizontalPodAutoscaler", |object, now| {
    cells(&Old.to_stored(object.clone()), now)
});

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let target = "/spec/scaleTargetRef";
    let minimum = object.pointer("/spec/minReplicas").and_then(Value::as_i64);
    vec![
        name(object),
        format!(
            "{}/{}",
            text(object, &format!("{target}/kind")),
            text(object, &format!("{target}/name"))
        )
        .into(),
        metrics(object).into(),
        minimum.map_or_else(|| "<unset>".to_owned(), |n| n.to_string()).into(),
        number(object, "/spec/maxReplicas"),
        number(object, "/status/currentReplicas"),
        age(object, now),
    ]
}

fn metrics(object: &Value) -> String {
    let specs = object["spec"]["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown: Vec<String> = specs
        .iter()
        .enumerate()
        .take(SHOWN)
        .map(|(n, spec)| metric(spec, &object["status"]["currentMetrics"][n]))
        .collect();
    let list = shown.join(", ");
    match specs.len() {
        0 => "<none>".to_owned(),
        n if n > SHOWN => format!("{list} + {} more...", n - SHOWN),
        _ => list,
    }
}

/// `current/wanted` of one metric; resources are named.
fn metric(spec: &Value, status: &Value) -> String {
    let (source, average) = match text(spec, "/type") {
        "External" => ("external", " (avg)"),
        "Object" => ("object", " (avg)"),
        "Pods" => ("pods", ""),
        "Resource" => ("resource", ""),
        "ContainerResource" => ("containerResource", ""),
        _ => return "<unknown type>".to_owned(),
    };
    let (target, current) = (&spec[source]["target"], &status[source]["current"]);
    let value = |of: &Value, field: &str| of[field].as_str().map(str::to_owned);
    let unknown = |text: Option<String>| text.unwrap_or_else(|| "<unknown>".to_owned());
    let percent = |of: &Value| of["averageUtilization"].as_i64().map(|n| format!("{n}%"));
    let shown = if let Some(wanted) = value(target, "averageValue") {
        format!("{}/{wanted}{average}", unknown(value(current, "averageValue")))
    } else if source.ends_with("esource") {
        let wanted = percent(target).unwrap_or_else(|| "<auto>".to_owned());
        format!("{}/{wanted}", unknown(percent(current)))
    } else {
        let wanted = value(target, "value").unwrap_or_else(|| "<nil>".to_owned());
        format!("{}/{wanted}", unknown(value(current, "value")))
    };
    match source {
        "resource" | "containerResource" => format!("{}: {shown}", text(&spec[source], "/name")),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_read_like_kubectls() {
        let metric = |kind: &str, source: &str, target: Value| json!({"type": kind, source: {"name": "cpu", "target": target}});
        let current = |source: &str, value: Value| json!({source: {"current": value}});
        let cases = [
            (json!([]), json!(null), "<none>"),
            (
                json!([metric("Resource", "resource", json!({"averageUtilization": 80}))]),
                json!([current(
                    "resource",
                    json!({"averageUtilization": 3, "averageValue": "1m"})
                )]),
                "cpu: 3%/80%",
            ),
            (
                json!([metric("Resource", "resource", json!({"averageValue": "1Gi"}))]),
                json!(null),
                "cpu: <unknown>/1Gi",
            ),
            (
                json!([metric("Pods", "pods", json!({"averageValue": "5"}))]),
                json!([current("pods", json!({"averageValue": "4"}))]),
                "4/5",
            ),
            (
                json!([metric("External", "external", json!({"averageValue": "5"}))]),
                json!(null),
                "<unknown>/5 (avg)",
            ),
            (
                json!([metric("Object", "object", json!({"value": "5"}))]),
                json!([current("object", json!({"value": "7"}))]),
                "7/5",
            ),
            (
                json!([{"type": "X"}, {"type": "Y"}, {"type": "Z"}]),
                json!(null),
                "<unknown type>, <unknown type> + 1 more...",
            ),
        ];
        for (specs, statuses, want) in cases {
            let object =
                json!({"spec": {"metrics": specs}, "status": {"currentMetrics": statuses}});
            assert_eq!(metrics(&object), want, "{object}");
        }
    }
}

//! The metrics of both versions: the same facts under other names.
//!
//! `autoscaling/v1` has no metrics of its own; in its annotations they are written flat, as in the
//! early versions of the API: `targetAverageUtilization` is `target.averageUtilization` of v2.

use k8s_openapi::api::autoscaling::v2;
use serde_json::{Map, Value, json};

/// Where a field is in v1, and in v2.
type Names = &'static [(&'static str, &'static str)];

/// Specs: a source, and its fields.
const SPECS: &[(&str, Names)] = &[
    (
        "object",
        &[
            ("target", "describedObject"),
            ("metricName", "metric.name"),
            ("selector", "metric.selector"),
            ("targetValue", "target.value"),
            ("averageValue", "target.averageValue"),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", "metric.name"),
            ("selector", "metric.selector"),
            ("targetAverageValue", "target.averageValue"),
        ],
    ),
    (
        "resource",
        &[
            ("name", "name"),
            ("targetAverageUtilization", "target.averageUtilization"),
            ("targetAverageValue", "target.averageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", "name"),
            ("container", "container"),
            ("targetAverageUtilization", "target.averageUtilization"),
            ("targetAverageValue", "target.averageValue"),
        ],
    ),
    (
        "external",
        &[
            ("metricName", "metric.name"),
            ("metricSelector", "metric.selector"),
            ("targetValue", "target.value"),
            ("targetAverageValue", "target.averageValue"),
        ],
    ),
];

/// Statuses: a source, and its fields.
const STATUSES: &[(&str, Names)] = &[
    (
        "object",
        &[
            ("target", "describedObject"),
            ("metricName", "metric.name"),
            ("selector", "metric.selector"),
            ("currentValue", "current.value"),
            ("averageValue", "current.averageValue"),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", "metric.name"),
            ("selector", "metric.selector"),
            ("currentAverageValue", "current.averageValue"),
        ],
    ),
    (
        "resource",
        &[
            ("name", "name"),
            ("currentAverageUtilization", "current.averageUtilization"),
            ("currentAverageValue", "current.averageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", "name"),
            ("container", "container"),
            ("currentAverageUtilization", "current.averageUtilization"),
            ("currentAverageValue", "current.averageValue"),
        ],
    ),
    (
        "external",
        &[
            ("metricName", "metric.name"),
            ("metricSelector", "metric.selector"),
            ("currentValue", "current.value"),
            ("currentAverageValue", "current.averageValue"),
        ],
    ),
];

/// The specs of an annotation in v2's form; none if they are no metrics.
pub(super) fn specs_to_v2(annotation: &str) -> Option<Vec<Value>> {
    let list: Vec<Value> = serde_json::from_str(annotation).ok()?;
    let mut list: Vec<Value> = list.iter().map(|metric| rename(metric, SPECS, true)).collect();
    list.iter_mut().for_each(type_targets);
    typed::<v2::MetricSpec>(list)
}

/// Specs as the annotation has them.
pub(super) fn specs_to_v1(metrics: &[&Value]) -> String {
    flat(metrics, SPECS, &[("object", "targetValue")])
}

/// The statuses of an annotation in v2's form; none if they are no metrics.
pub(super) fn statuses_to_v2(annotation: &str) -> Option<Vec<Value>> {
    let list: Vec<Value> = serde_json::from_str(annotation).ok()?;
    typed::<v2::MetricStatus>(list.iter().map(|metric| rename(metric, STATUSES, true)).collect())
}

/// Statuses as the annotation has them.
pub(super) fn statuses_to_v1(metrics: &[&Value]) -> String {
    flat(metrics, STATUSES, &[("object", "currentValue"), ("external", "currentValue")])
}

/// `always` names the amounts that are written even when there are none.
fn flat(metrics: &[&Value], table: &[(&str, Names)], always: &[(&str, &str)]) -> String {
    let flat = metrics.iter().map(|metric| {
        let mut flat = rename(metric, table, false);
        for (source, field) in always {
            if flat[*source].is_object() && flat[*source][*field].is_null() {
                flat[*source][*field] = "0".into();
            }
        }
        flat
    });
    Value::Array(flat.collect()).to_string()
}

/// Drops what the type does not know; none if the values are not of its types.
fn typed<T: serde::de::DeserializeOwned + serde::Serialize>(
    list: Vec<Value>,
) -> Option<Vec<Value>> {
    let list: Vec<T> = serde_json::from_value(Value::Array(list)).ok()?;
    list.iter().map(|item| serde_json::to_value(item).ok()).collect()
}

fn rename(metric: &Value, table: &[(&str, Names)], to_v2: bool) -> Value {
    let mut out = Map::new();
    out.insert("type".to_owned(), metric["type"].clone());
    for (source, names) in table.iter().filter(|(source, _)| metric[*source].is_object()) {
        let mut fields = json!({});
        for (old, new) in *names {
            let (from, to) = if to_v2 { (old, new) } else { (new, old) };
            let value = from.split('.').fold(&metric[*source], |at, part| &at[part]);
            if !value.is_null() {
                match to.split_once('.') {
                    Some((outer, inner)) => fields[outer][inner] = value.clone(),
                    None => fields[*to] = value.clone(),
                }
            }
        }
        out.insert((*source).to_owned(), fields);
    }
    Value::Object(out)
}

/// In v1 the amount that is given says what kind of target it is.
fn type_targets(metric: &mut Value) {
    for source in ["object", "pods", "resource", "containerResource", "external"] {
        if !metric[source].is_object() {
            continue;
        }
        let target = &mut metric[source]["target"];
        if !target.is_object() {
            *target = json!({});
        }
        let has = |field: &str| !target[field].is_null();
        let kind = match source {
            "resource" | "containerResource" if has("averageUtilization") => "Utilization",
            "object" if !has("averageValue") => "Value",
            "external" if has("value") => "Value",
            _ => "AverageValue",
        };
        // An average makes the value, which v1 always has, mean nothing.
        if source == "object" && has("averageValue") && target["value"] == "0" {
            crate::meta::remove(target, "value");
        }
        target["type"] = kind.into();
    }
}

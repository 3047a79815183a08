//! Between `autoscaling/v1` and `autoscaling/v2`, without loss.
//!
//! What v1 has no field for travels in annotations: metrics other than CPU utilization, behavior,
//! the statuses of metrics, conditions. An annotation that cannot be read is dropped, as Kubernetes
//! does; stored objects have none of them.
//! Source: k8s.io/kubernetes/pkg/apis/autoscaling/v1/conversion.go.

use k8s_openapi::api::autoscaling::v2;
use serde_json::{Map, Value, json};

use super::{DEFAULT_CPU, cpu_metric, metrics};
use crate::meta;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// Fields that are the same in both.
const SPEC: &[&str] = &["scaleTargetRef", "minReplicas", "maxReplicas"];
const STATUS: &[&str] =
    &["observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"];

/// Removes what only v1 may carry.
pub(super) fn drop_annotations(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata") else { return };
    let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else {
        return;
    };
    let before = annotations.len();
    annotations
        .retain(|key, _| ![METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS].contains(&&**key));
    if annotations.is_empty() && before > 0 {
        meta::remove(metadata, "annotations");
    }
}

/// The v2 form of a v1 object.
pub(super) fn to_v2(object: &Value) -> Value {
    let annotation = |key: &str| object["metadata"]["annotations"][key].as_str();
    let mut spec = pick(&object["spec"], SPEC);
    let mut wanted = annotation(METRICS).and_then(metrics::specs_to_v2).unwrap_or_default();
    wanted.extend(object["spec"]["targetCPUUtilizationPercentage"].as_i64().map(cpu_metric));
    if wanted.is_empty() {
        wanted.push(cpu_metric(DEFAULT_CPU));
    }
    spec.insert("metrics".to_owned(), wanted.into());
    if let Some(behavior) = annotation(BEHAVIOR).and_then(behavior_to_v2) {
        spec.insert("behavior".to_owned(), behavior);
    }
    let mut status = pick(&object["status"], STATUS);
    let current = annotation(CURRENT_METRICS).and_then(metrics::statuses_to_v2);
    let current = current.map(Value::from).unwrap_or_else(|| current_cpu(&object["status"]));
    status.insert("currentMetrics".to_owned(), current);
    if let Some(conditions) = annotation(CONDITIONS).and_then(conditions_to_v2) {
        status.insert("conditions".to_owned(), conditions);
    }
    with(object, "autoscaling/v2", spec, status)
}

/// The v1 form of a v2 object.
pub(super) fn to_v1(object: &Value) -> Value {
    let mut annotations = Map::new();
    let mut spec = pick(&object["spec"], SPEC);
    let wanted: Vec<&Value> = list(&object["spec"]["metrics"]).collect();
    let cpu = wanted.iter().find(|metric| is_cpu(metric));
    let percent = |metric: &Value| metric["resource"]["target"]["averageUtilization"].as_i64();
    if let Some(percent) = cpu.and_then(|metric| percent(metric)) {
        spec.insert("targetCPUUtilizationPercentage".to_owned(), percent.into());
    }
    let others: Vec<&Value> = wanted
        .into_iter()
        .filter(|metric| !(is_cpu(metric) && percent(metric).is_some()))
        .collect();
    if !others.is_empty() {
        annotations.insert(METRICS.to_owned(), metrics::specs_to_v1(&others).into());
    }
    let behavior = &object["spec"]["behavior"];
    if behavior.is_object() {
        annotations.insert(BEHAVIOR.to_owned(), behavior_to_v1(behavior).into());
    }
    let mut status = pick(&object["status"], STATUS);
    for field in ["currentReplicas", "desiredReplicas"] {
        status.entry(field).or_insert(json!(0));
    }
    let current: Vec<&Value> = list(&object["status"]["currentMetrics"]).collect();
    let used = current.iter().rev().filter(|metric| is_cpu(metric));
    let mut used = used.filter_map(|m| m["resource"]["current"]["averageUtilization"].as_i64());
    if let Some(used) = used.next() {
        status.insert("currentCPUUtilizationPercentage".to_owned(), used.into());
    }
    if !current.is_empty() {
        annotations.insert(CURRENT_METRICS.to_owned(), metrics::statuses_to_v1(&current).into());
    }
    let conditions = &object["status"]["conditions"];
    if list(conditions).next().is_some() {
        annotations.insert(CONDITIONS.to_owned(), conditions.to_string().into());
    }
    let mut object = with(object, "autoscaling/v1", spec, status);
    if !annotations.is_empty() {
        let metadata = &mut object["metadata"];
        super::set_default(metadata, "annotations", json!({}));
        if let Some(all) = metadata["annotations"].as_object_mut() {
            all.extend(annotations);
        }
    }
    object
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

fn pick(from: &Value, fields: &[&str]) -> Map<String, Value> {
    let given = fields.iter().filter_map(|field| {
        let value = from.get(field).filter(|value| !value.is_null())?;
        Some(((*field).to_owned(), value.clone()))
    });
    given.collect()
}

/// The object with another version, spec and status, and without the annotations of v1.
fn with(
    object: &Value,
    version: &str,
    spec: Map<String, Value>,
    status: Map<String, Value>,
) -> Value {
    let mut object = object.clone();
    drop_annotations(&mut object);
    let Some(map) = object.as_object_mut() else { return object };
    map.insert("apiVersion".to_owned(), version.into());
    map.insert("spec".to_owned(), spec.into());
    map.insert("status".to_owned(), status.into());
    let status = &mut object["status"];
    super::set_default(status, "desiredReplicas", 0);
    object
}

/// The status of the one metric that v1 has a field for; null without it.
fn current_cpu(status: &Value) -> Value {
    match status["currentCPUUtilizationPercentage"].as_i64() {
        Some(used) => json!([{"type": "Resource", "resource": {"name": "cpu",
            "current": {"averageUtilization": used}}}]),
        None => Value::Null,
    }
}

/// The names of behavior's fields, per level: in annotations they begin with capitals.
const RULES: &[&str] = &["stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"];
const POLICY: &[&str] = &["type", "value", "periodSeconds"];

fn capitalized(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

fn behavior_to_v1(behavior: &Value) -> String {
    let copy = |from: &Value, fields: &[&str]| -> Map<String, Value> {
        fields.iter().map(|field| (capitalized(field), from[*field].clone())).collect()
    };
    let mut out = Map::new();
    for direction in ["scaleUp", "scaleDown"] {
        let rules = &behavior[direction];
        let mut flat = Value::Null;
        if rules.is_object() {
            flat = copy(rules, RULES).into();
            let policies = list(&rules["policies"]).map(|policy| Value::from(copy(policy, POLICY)));
            flat["Policies"] = policies.collect();
        }
        out.insert(capitalized(direction), flat);
    }
    Value::Object(out).to_string()
}

/// None if the annotation is no behavior, or an empty one.
fn behavior_to_v2(annotation: &str) -> Option<Value> {
    let parsed: Value = serde_json::from_str(annotation).ok()?;
    // Names match whatever their case, as in Go.
    let copy = |from: &Value, fields: &[&str]| -> Map<String, Value> {
        let entries = from.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        entries
            .filter_map(|(key, value)| {
                let name = fields.iter().find(|field| field.eq_ignore_ascii_case(key))?;
                Some(((*name).to_owned(), value.clone()))
            })
            .collect()
    };
    let mut behavior = copy(&parsed, &["scaleUp", "scaleDown"]);
    for rules in behavior.values_mut() {
        *rules = copy(rules, RULES).into();
        if let Some(policies) = rules.get_mut("policies").and_then(Value::as_array_mut) {
            policies.iter_mut().for_each(|policy| *policy = copy(policy, POLICY).into());
        }
    }
    if behavior.is_empty() {
        return None;
    }
    let behavior = Value::Object(behavior);
    let typed: Result<v2::HorizontalPodAutoscalerBehavior, _> =
        serde::Deserialize::deserialize(&behavior);
    typed.is_ok().then_some(behavior)
}

fn conditions_to_v2(annotation: &str) -> Option<Value> {
    let list: Vec<Value> = serde_json::from_str(annotation).ok()?;
    let fields = ["type", "status", "lastTransitionTime", "reason", "message"];
    let list: Value = list.iter().map(|condition| Value::from(pick(condition, &fields))).collect();
    let typed: Result<Vec<v2::HorizontalPodAutoscalerCondition>, _> =
        serde::Deserialize::deserialize(&list);
    typed.is_ok().then_some(list)
}

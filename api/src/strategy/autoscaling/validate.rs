//! The rules, over the v2 form. Source: k8s.io/kubernetes/pkg/apis/autoscaling/validation.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use serde_json::Value;

use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::quantity::Quantity;
use crate::strategy::pod;

/// Longest period of a scaling policy, in seconds.
const MAX_PERIOD: i64 = 1800;
/// Longest stabilization window, in seconds.
const MAX_WINDOW: i64 = 3600;
const SELECT_POLICIES: &[&str] = &["Disabled", "Max", "Min"];
const POLICIES: &[&str] = &["Percent", "Pods"];
const METRICS: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];
/// The types of metrics, and the field of each, in the order in which Kubernetes looks at them.
const SOURCES: &[(&str, &str)] = &[
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const POSITIVE: &str = "must be greater than 0";
const RAW_OR_UTILIZATION: &str = "must set either a target raw value or a target utilization";
const NOT_BOTH: &str = "may not set both a target raw value and a target utilization";

/// How strictly the version of a referenced object is looked at.
#[derive(Clone, Copy)]
enum Version {
    /// Not at all: it was like that before.
    Any,
    /// It parses.
    Parses,
    /// It parses, and is of a group: nothing scalable is in the core group but one kind.
    Grouped,
}

fn text<'a>(map: &'a Value, field: &str) -> &'a str {
    map[field].as_str().unwrap_or_default()
}

/// Checks a new object, or a changed one.
pub(super) fn autoscaler(object: &Value, old: Option<&Value>) -> Errors {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let mut errors = Errors::new();
    let minimum = spec["minReplicas"].as_i64();
    let lowest = if old.is_some_and(|old| old["spec"]["minReplicas"] == 0) { 0 } else { 1 };
    if let Some(n) = minimum.filter(|n| *n < lowest) {
        let detail = format!("must be greater than or equal to {lowest}");
        errors.push(FieldError::invalid(&path.child("minReplicas"), n, &detail));
    }
    let maximum = spec["maxReplicas"].as_i64().unwrap_or(0);
    let at = path.child("maxReplicas");
    if maximum < 1 {
        errors.push(FieldError::invalid(&at, maximum, POSITIVE));
    }
    if minimum.is_some_and(|minimum| maximum < minimum) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(&at, maximum, detail));
    }
    let target = &spec["scaleTargetRef"];
    let same = old.is_some_and(|old| {
        let had = &old["spec"]["scaleTargetRef"];
        had["apiVersion"] == target["apiVersion"] && had["kind"] == target["kind"]
    });
    let version = match text(target, "kind") {
        _ if same => Version::Any,
        "ReplicationController" => Version::Parses,
        _ => Version::Grouped,
    };
    errors.extend(reference(target, version, &path.child("scaleTargetRef")));
    let kept = old.is_some_and(|old| old["spec"]["metrics"] == spec["metrics"]);
    let version = if kept { Version::Any } else { Version::Parses };
    let at = path.child("metrics");
    let metrics = spec["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (n, metric) in metrics.iter().enumerate() {
        errors.extend(self::metric(metric, version, &at.index(n)));
    }
    let wakes = |metric: &Value| matches!(text(metric, "type"), "Object" | "External");
    if minimum == Some(0) && !metrics.iter().any(wakes) {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(&at, detail));
    }
    for direction in ["scaleUp", "scaleDown"] {
        let rules = &spec["behavior"][direction];
        if !rules.is_null() {
            errors.extend(scaling_rules(rules, &path.child("behavior").child(direction)));
        }
    }
    errors
}

/// Checks a changed status.
pub(super) fn status(object: &Value) -> Errors {
    let mut errors = Errors::new();
    for field in ["currentReplicas", "desiredReplicas"] {
        if let Some(n) = object["status"][field].as_i64().filter(|n| *n < 0) {
            let path = Path::new("status").child(field);
            errors.push(FieldError::invalid(&path, n, "must be greater than or equal to 0"));
        }
    }
    errors
}

fn reference(reference: &Value, version: Version, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in ["kind", "name"] {
        let (value, path) = (text(reference, field), path.child(field));
        if value.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else {
            errors.extend(FieldError::invalid_each(&path, value, &names::path_segment(value)));
        }
    }
    let api_version = text(reference, "apiVersion");
    let detail = match (version, api_version.matches('/').count()) {
        (Version::Any, _) => None,
        (_, 2..) => Some(format!("unexpected GroupVersion string: {api_version}")),
        (Version::Grouped, _) if api_version.split_once('/').is_none_or(|(g, _)| g.is_empty()) => {
            Some("apiVersion must specify API group".to_owned())
        }
        _ => None,
    };
    errors.extend(detail.map(|d| FieldError::invalid(&path.child("apiVersion"), api_version, &d)));
    errors
}

fn scaling_rules(rules: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let at = path.child("stabilizationWindowSeconds");
    match rules["stabilizationWindowSeconds"].as_i64() {
        Some(n) if n < 0 => {
            errors.push(FieldError::invalid(&at, n, "must be greater than or equal to zero"));
        }
        Some(n) if n > MAX_WINDOW => {
            let detail = format!("must be less than or equal to {MAX_WINDOW}");
            errors.push(FieldError::invalid(&at, n, &detail));
        }
        _ => {}
    }
    let select = rules["selectPolicy"].as_str();
    if let Some(select) = select.filter(|select| !SELECT_POLICIES.contains(select)) {
        let path = path.child("selectPolicy");
        errors.push(FieldError::not_supported(&path, select, SELECT_POLICIES));
    }
    let tolerance = text(rules, "tolerance");
    if tolerance.parse::<Quantity>().is_ok_and(Quantity::is_negative) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&path.child("tolerance"), tolerance, detail));
    }
    let at = path.child("policies");
    let policies = rules["policies"].as_array().map(Vec::as_slice).unwrap_or_default();
    if policies.is_empty() {
        errors.push(FieldError::required(&at, "must specify at least one Policy"));
    }
    for (n, policy) in policies.iter().enumerate() {
        let path = at.index(n);
        let kind = text(policy, "type");
        if !POLICIES.contains(&kind) {
            errors.push(FieldError::not_supported(&path.child("type"), kind, POLICIES));
        }
        let number = |field: &str| policy[field].as_i64().unwrap_or(0);
        for field in ["value", "periodSeconds"] {
            if number(field) <= 0 {
                let detail = "must be greater than zero";
                errors.push(FieldError::invalid(&path.child(field), number(field), detail));
            }
        }
        if number("periodSeconds") > MAX_PERIOD {
            let (path, n) = (path.child("periodSeconds"), number("periodSeconds"));
            let detail = format!("must be less than or equal to {MAX_PERIOD}");
            errors.push(FieldError::invalid(&path, n, &detail));
        }
    }
    errors
}

/// One type, and the field of that type and no other.
fn metric(metric: &Value, version: Version, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let kind = text(metric, "type");
    if kind.is_empty() {
        let detail = "must specify a metric source type";
        errors.push(FieldError::required(&path.child("type"), detail));
    }
    if !METRICS.contains(&kind) {
        errors.push(FieldError::not_supported(&path.child("type"), kind, METRICS));
    }
    let given: Vec<&str> =
        SOURCES.iter().map(|(_, field)| *field).filter(|field| !metric[*field].is_null()).collect();
    if let Some(first) = given.first() {
        errors.extend(source(&metric[*first], first, version, &path.child(first)));
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind).map(|(_, field)| *field);
    if let Some(field) = expected.filter(|field| metric[*field].is_null()) {
        let detail = "must populate information for the given metric source";
        errors.push(FieldError::required(&path.child(field), detail));
    }
    if given.len() > 1 {
        for field in given.iter().filter(|field| Some(**field) != expected) {
            let detail = "must populate the given metric source only";
            errors.push(FieldError::forbidden(&path.child(field), detail));
        }
    }
    errors
}

fn source(source: &Value, field: &str, version: Version, path: &Path) -> Errors {
    let (wanted, at) = (&source["target"], path.child("target"));
    let has = |field: &str| !wanted[field].is_null();
    let mut errors = Errors::new();
    match field {
        "object" => {
            let described = &source["describedObject"];
            errors.extend(reference(described, version, &path.child("describedObject")));
            errors.extend(identifier(&source["metric"], &path.child("metric")));
        }
        "external" | "pods" => errors.extend(identifier(&source["metric"], &path.child("metric"))),
        _ => errors.extend(resource(source, field, path)),
    }
    errors.extend(target(wanted, &at));
    let average = at.child("averageValue");
    match field {
        "object" if !has("value") && !has("averageValue") => {
            let detail = "must set either a target value or averageValue";
            errors.push(FieldError::required(&average, detail));
        }
        "external" if !has("value") && !has("averageValue") => {
            let detail = "must set either a target value for metric or a per-pod target";
            errors.push(FieldError::required(&average, detail));
        }
        "external" if has("value") && has("averageValue") => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errors.push(FieldError::forbidden(&at.child("value"), detail));
        }
        "pods" if !has("averageValue") => {
            let detail = "must specify a positive target averageValue";
            errors.push(FieldError::required(&average, detail));
        }
        "resource" | "containerResource" => {
            match (has("averageUtilization"), has("averageValue")) {
                (false, false) => {
                    let path = at.child("averageUtilization");
                    errors.push(FieldError::required(&path, RAW_OR_UTILIZATION));
                }
                (true, true) => errors.push(FieldError::forbidden(&average, NOT_BOTH)),
                _ => {}
            }
        }
        _ => {}
    }
    errors
}

/// Which resource of which container.
fn resource(source: &Value, field: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (name, at) = (text(source, "name"), path.child("name"));
    if name.is_empty() {
        errors.push(FieldError::required(&at, "must specify a resource name"));
    } else if field == "containerResource" {
        errors.extend(pod::validate_amount(name, &Text("1".to_owned()), &at));
    }
    if field == "containerResource" {
        let (container, at) = (text(source, "container"), path.child("container"));
        if container.is_empty() {
            errors.push(FieldError::required(&at, "must specify a container"));
        } else {
            let messages = names::dns1123_label(container);
            errors.extend(FieldError::invalid_each(&at, container, &messages));
        }
    }
    errors
}

fn identifier(metric: &Value, path: &Path) -> Errors {
    let (name, path) = (text(metric, "name"), path.child("name"));
    if name.is_empty() {
        return vec![FieldError::required(&path, "must specify a metric name")];
    }
    FieldError::invalid_each(&path, name, &names::path_segment(name))
}

fn target(target: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (kind, at) = (text(target, "type"), path.child("type"));
    if kind.is_empty() {
        errors.push(FieldError::required(&at, "must specify a metric target type"));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(&at, kind, detail));
    }
    for field in ["value", "averageValue"] {
        let Some(amount) = target[field].as_str() else { continue };
        let positive = amount.parse::<Quantity>().is_ok_and(|q| !q.is_zero() && !q.is_negative());
        if !positive {
            errors.push(FieldError::invalid(&path.child(field), amount, "must be positive"));
        }
    }
    if let Some(percent) = target["averageUtilization"].as_i64().filter(|n| *n < 1) {
        errors.push(FieldError::invalid(&path.child("averageUtilization"), percent, POSITIVE));
    }
    errors
}

//! LimitRange: what pods, containers and claims of a namespace may ask for.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateLimitRange).

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value, json};

use super::{quantity, resource_name};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::quantity::{Format, Quantity};
use crate::strategy::{Strategy, each, set_default};

const TYPES: &[&str] = &["Pod", "Container", "PersistentVolumeClaim"];

#[derive(Debug)]
pub(crate) struct LimitRange;

impl Strategy for LimitRange {
    fn creates_on_update(&self) -> bool {
        true
    }

    /// For containers, what is not said follows from what is: the default limit from the maximum,
    /// the default request from the default limit, then from the minimum.
    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(&mut object["spec"], "limits", json!([]));
        for limit in each(object, "/spec/limits") {
            if limit["type"] != "Container" {
                continue;
            }
            for (from, to) in
                [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")]
            {
                let Some(amounts) = limit[from].as_object().cloned() else { continue };
                set_default(limit, to, json!({}));
                for (name, amount) in amounts {
                    set_default(&mut limit[to], &name, amount);
                }
            }
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("limits");
        let mut seen = HashSet::new();
        for (n, limit) in object["spec"]["limits"].as_array().into_iter().flatten().enumerate() {
            let path = path.index(n);
            let kind = limit["type"].as_str().unwrap_or_default();
            errors.extend(validate_type(kind, &path.child("type")));
            if !seen.insert(kind) {
                errors.push(FieldError::duplicate(&path.child("type"), kind));
            }
            errors.extend(validate_item(kind, limit, &path));
        }
        errors
    }
}

fn validate_type(kind: &str, path: &Path) -> Errors {
    let errors = FieldError::invalid_each(path, kind, &names::qualified_name(kind));
    if errors.is_empty() && !kind.contains('/') && !TYPES.contains(&kind) {
        let detail = "must be a standard limit type or fully qualified";
        return vec![FieldError::invalid(path, kind, detail)];
    }
    errors
}

fn validate_item(kind: &str, limit: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut resources = BTreeSet::new();
    let empty = Map::new();
    for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        let amounts = limit[field].as_object().unwrap_or(&empty);
        if kind == "Pod" && field.starts_with("default") {
            if !amounts.is_empty() {
                let detail = "may not be specified when `type` is 'Pod'";
                errors.push(FieldError::forbidden(&path.child(field), detail));
            }
            continue;
        }
        for name in amounts.keys() {
            let at = path.child(field).key(name);
            errors.extend(match kind {
                "Pod" | "Container" => resource_name::validate_for_container(name, &at),
                _ => resource_name::validate(name, &at),
            });
            resources.insert(name.as_str());
        }
    }
    let bounded = |field: &str| limit[field].get("storage").is_some();
    if kind == "PersistentVolumeClaim" && !bounded("min") && !bounded("max") {
        let detail =
            "either minimum or maximum storage value is required, but neither was provided";
        errors.push(FieldError::required(&path.child("limits"), detail));
    }
    for name in resources {
        errors.extend(validate_order(kind, limit, name, path));
    }
    errors
}

/// Minimum, default request, default and maximum of one resource must not contradict each other.
fn validate_order(kind: &str, limit: &Value, name: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let amount = |field: &str| match (kind, field) {
        ("Pod", "default" | "defaultRequest") => None,
        _ => limit[field].get(name).and_then(quantity),
    };
    let rules = [
        ("min", "min", "max", "max", "min"),
        ("min", "min", "default request", "defaultRequest", "defaultRequest"),
        ("default request", "defaultRequest", "max", "max", "defaultRequest"),
        ("default request", "defaultRequest", "default limit", "default", "defaultRequest"),
        ("min", "min", "default", "default", "default"),
        ("default", "default", "max", "max", "default"),
    ];
    for (low_name, low, high_name, high, at) in rules {
        let (Some(below), Some(above)) = (amount(low), amount(high)) else { continue };
        if below > above {
            let detail =
                format!("{low_name} value {below} is greater than {high_name} value {above}");
            // Kubernetes shows the bound, except where the default request is what is wrong.
            let shown = match (low, at) {
                ("min", "defaultRequest") => above,
                ("default", "default") => above,
                _ => below,
            };
            let at = path.child(at).key(name);
            errors.push(FieldError::invalid(&at, shown.to_string(), &detail));
        }
    }
    errors.extend(validate_ratio(
        amount("maxLimitRequestRatio"),
        amount("min"),
        amount("max"),
        &path.child("maxLimitRequestRatio").key(name),
    ));
    if let (false, Some(default), Some(request)) =
        (resource_name::can_be_overcommitted(name), amount("default"), amount("defaultRequest"))
        && default != request
    {
        let detail = format!(
            "default value {default} must equal to defaultRequest value {request} in {name}"
        );
        let at = path.child("defaultRequest").key(name);
        errors.push(FieldError::invalid(&at, request.to_string(), &detail));
    }
    errors
}

/// A limit cannot be more times its request than the maximum is times the minimum.
fn validate_ratio(
    ratio: Option<Quantity>,
    min: Option<Quantity>,
    max: Option<Quantity>,
    path: &Path,
) -> Errors {
    let mut errors = Errors::new();
    let Some(ratio) = ratio else { return errors };
    if ratio < Quantity::from_value(1, Format::DecimalSi) {
        let detail = format!("ratio {ratio} is less than 1");
        errors.push(FieldError::invalid(path, ratio.to_string(), &detail));
    }
    let (Some(min), Some(max)) = (min, max) else { return errors };
    #[expect(clippy::cast_precision_loss, reason = "Kubernetes compares them as floats, too")]
    let (wanted, possible) =
        (ratio.milli_value() as f64 / 1000.0, max.milli_value() as f64 / min.milli_value() as f64);
    if wanted > possible {
        let detail = format!("ratio {ratio} is greater than max/min = {possible:.6}");
        errors.push(FieldError::invalid(path, ratio.to_string(), &detail));
    }
    errors
}

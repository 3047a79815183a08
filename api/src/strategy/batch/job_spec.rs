//! The spec of a job, of its own or in a CronJob.

use serde_json::{Value, json};

use super::policy;
use crate::field::{Errors, FieldError, Path};
use crate::strategy::{bounds, each, keep_field, pod, set_default, template};

/// At most so many pods of an indexed job run at a time: their indexes are listed in the status.
const INDEXED_PARALLELISM: i64 = 100_000;
const INDEXED_FAILURES: i64 = 100_000;
/// Above so many indexes, with a backoff limit for each, parallelism and failures are limited.
const MANY_COMPLETIONS: i64 = 100_000;
const MANY_PARALLELISM: i64 = 10_000;
const MANY_FAILURES: i64 = 10_000;
/// Characters of `managedBy`.
const MANAGED_BY: usize = 63;

/// A condition that a rule names is meant to be true.
pub(super) fn default_failure_policy(spec: &mut Value) {
    for rule in each(spec, "/podFailurePolicy/rules") {
        for pattern in each(rule, "/onPodConditions") {
            set_default(pattern, "status", "True");
        }
    }
}

/// Warnings about the spec, and about the template in it.
pub(super) fn warnings(spec: &Value, path: &Path) -> Vec<String> {
    let number = |field: &str| spec[field].as_i64().unwrap_or(0);
    let many = number("completions") > MANY_COMPLETIONS && number("parallelism") > MANY_PARALLELISM;
    let mut told = Vec::new();
    if many && spec["completionMode"] == "Indexed" {
        told.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism \
             higher than 10^4, Kubernetes might not be able to track completedIndexes when a big \
             number of indexes fail"
        ));
    }
    told.extend(pod::warnings_of_template(&spec["template"], &path.child("template")));
    told
}

/// Checks all but the selector.
pub(super) fn validate(spec: &Value, path: &Path) -> Errors {
    let numbers = &[
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    let mut errors = bounds::none_negative(spec, path, numbers);
    if !spec["maxFailedIndexes"].is_null() && spec["backoffLimitPerIndex"].is_null() {
        let at = path.child("backoffLimitPerIndex");
        errors.push(FieldError::required(&at, "when maxFailedIndexes is specified"));
    }
    errors.extend(validate_manager(spec, &path.child("managedBy")));
    let mode = spec["completionMode"].as_str().unwrap_or("NonIndexed");
    if !matches!(mode, "NonIndexed" | "Indexed") {
        let at = path.child("completionMode");
        errors.push(FieldError::not_supported(&at, mode, &["NonIndexed", "Indexed"]));
    }
    if mode == "Indexed" {
        errors.extend(validate_indexed(spec, path));
    }
    if mode == "NonIndexed" {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(n) = spec[field].as_i64() {
                let detail = "requires indexed completion mode";
                errors.push(FieldError::invalid(&path.child(field), n, detail));
            }
        }
    }
    let failing = !spec["podFailurePolicy"].is_null();
    if failing {
        errors.extend(policy::validate_failure(spec, &path.child("podFailurePolicy")));
    }
    if !spec["successPolicy"].is_null() {
        let at = path.child("successPolicy");
        if mode == "Indexed" {
            errors.extend(policy::validate_success(spec, &at));
        } else {
            let (shown, detail) =
                (spec["successPolicy"].clone(), "requires indexed completion mode");
            errors.push(FieldError::invalid(&at, shown, detail));
        }
    }
    if let Some(policy) = spec["podReplacementPolicy"].as_str() {
        let at = path.child("podReplacementPolicy");
        let supported: &[&str] =
            if failing { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        if !supported.contains(&policy) {
            errors.push(FieldError::not_supported(&at, policy, supported));
        }
    }
    errors.extend(template::validate(&spec["template"], &path.child("template")));
    let at = path.child("template").child("spec").child("restartPolicy");
    match spec["template"]["spec"]["restartPolicy"].as_str().unwrap_or_default() {
        "" | "Always" => {
            errors.push(FieldError::required(&at, "valid values: \"OnFailure\", \"Never\""));
        }
        "OnFailure" if failing => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid(&at, "OnFailure", detail));
        }
        "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(&at, other, &["OnFailure", "Never"])),
    }
    errors
}

fn validate_manager(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let Some(manager) = spec["managedBy"].as_str() else { return errors };
    match manager.split_once('/') {
        None => {
            let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(path, manager, detail));
        }
        Some((domain, rest)) => {
            let messages = crate::names::dns1123_subdomain(domain);
            errors.extend(FieldError::invalid_each(path, domain, &messages));
            if rest.is_empty() {
                let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
                errors.push(FieldError::invalid(path, manager, detail));
            }
        }
    }
    if manager.len() > MANAGED_BY {
        errors.push(FieldError::too_long(path, MANAGED_BY));
    }
    errors
}

fn validate_indexed(spec: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let number = |field: &str| spec[field].as_i64();
    let mut limit = |field: &str, most: i64, why: &str| {
        if let Some(n) = number(field).filter(|n| *n > most) {
            let detail = format!("must be less than or equal to {most}{why}");
            errors.push(FieldError::invalid(&path.child(field), n, &detail));
        }
    };
    limit("parallelism", INDEXED_PARALLELISM, " when completion mode is Indexed");
    limit("maxFailedIndexes", INDEXED_FAILURES, "");
    let completions = number("completions");
    if number("backoffLimitPerIndex").is_some()
        && completions.is_some_and(|completions| completions > MANY_COMPLETIONS)
    {
        let why = format!(
            " when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
        );
        limit("parallelism", MANY_PARALLELISM, &why);
        limit("maxFailedIndexes", MANY_FAILURES, &why);
        if number("maxFailedIndexes").is_none() {
            let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
            errors.push(FieldError::required(&path.child("maxFailedIndexes"), &detail));
        }
    }
    match (completions, number("maxFailedIndexes")) {
        (None, _) => {
            let at = path.child("completions");
            errors.push(FieldError::required(&at, "when completion mode is Indexed"));
        }
        (Some(completions), Some(failures)) if failures > completions => {
            let at = path.child("maxFailedIndexes");
            let detail = "must be less than or equal to completions";
            errors.push(FieldError::invalid(&at, failures, detail));
        }
        _ => {}
    }
    errors
}

/// The old template with what the new one says about where pods run.
pub(super) fn keep_scheduling(has: &Value, had: &Value) -> Value {
    let (new, mut old) = (&has["template"], had["template"].clone());
    for field in ["annotations", "labels"] {
        keep_field(&mut old["metadata"], &new["metadata"], field);
    }
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        keep_field(&mut old["spec"], &new["spec"], field);
    }
    let mut affinity = match &old["spec"]["affinity"] {
        Value::Null => json!({}),
        affinity => affinity.clone(),
    };
    keep_field(&mut affinity, &new["spec"]["affinity"], "nodeAffinity");
    let none = affinity.as_object().is_none_or(serde_json::Map::is_empty);
    // Nothing at all and an affinity that says nothing are the same.
    if none && new["spec"]["affinity"].is_null() {
        crate::meta::remove(&mut old["spec"], "affinity");
    } else {
        old["spec"]["affinity"] = affinity;
    }
    old
}

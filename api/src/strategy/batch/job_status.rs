//! The status of a job: what it may become, whoever writes it.
//!
//! What is inconsistent is refused only if the update touched it, so that other changes pass.

use std::collections::HashSet;

use serde_json::Value;

use super::indexes;
use crate::field::{Errors, FieldError, Path};
use crate::strategy::bounds;

fn is(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == condition && c["status"] == "True")
}

fn finished(object: &Value) -> bool {
    is(object, "Complete") || is(object, "Failed")
}

fn number(object: &Value, field: &str) -> i64 {
    object["status"][field].as_i64().unwrap_or(0)
}

/// Checks an update of the status.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let (status, path) = (&new["status"], Path::new("status"));
    let counts = &["active", "succeeded", "failed", "ready", "terminating"];
    let mut errors = bounds::none_negative(status, &path, counts);
    let uncounted = path.child("uncountedTerminatedPods");
    errors.extend(validate_uncounted(&status["uncountedTerminatedPods"], &uncounted));
    errors.extend(validate_conditions(new, old, &path.child("conditions")));
    errors.extend(validate_times(new, old, &path));
    errors.extend(validate_end(new, old, &path));
    errors.extend(validate_indexes(new, old, &path));
    let changed = |field: &str| new["status"][field] != old["status"][field];
    if (changed("ready") || changed("active")) && number(new, "ready") > number(new, "active") {
        let detail = "cannot set more ready pods than active";
        errors.push(FieldError::invalid(&path.child("ready"), number(new, "ready"), detail));
    }
    // Indexed jobs that shrink forget the successes of the indexes that are gone.
    let indexed = new["spec"]["completionMode"] == "Indexed";
    let elastic = indexed && new["spec"]["completions"] == new["spec"]["parallelism"];
    for (field, may_shrink) in [("failed", false), ("succeeded", elastic)] {
        if number(new, field) < number(old, field) && !may_shrink {
            let detail = format!("cannot decrease the {field} counter");
            errors.push(FieldError::invalid(&path.child(field), number(new, field), &detail));
        }
    }
    errors
}

fn validate_uncounted(uncounted: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut seen = HashSet::new();
    for field in ["succeeded", "failed"] {
        for (n, uid) in uncounted[field].as_array().into_iter().flatten().enumerate() {
            let at = path.child(field).index(n);
            let uid = uid.as_str().unwrap_or_default();
            if uid.is_empty() {
                errors.push(FieldError::invalid(&at, uid, "must not be empty"));
            } else if !seen.insert(uid) {
                errors.push(FieldError::duplicate(&at, uid));
            }
        }
    }
    errors
}

/// Conditions that exclude or need each other, and those that never go away again.
fn validate_conditions(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut refuse = |detail: &str| errors.push(FieldError::invalid_without_value(path, detail));
    let became = |condition: &str| is(new, condition) && !is(old, condition);
    if is(new, "Complete") && is(new, "Failed") && (became("Complete") || became("Failed")) {
        refuse("cannot set Complete=True and Failed=true conditions");
    }
    if is(new, "Complete")
        && is(new, "FailureTarget")
        && (became("Complete") || became("FailureTarget"))
    {
        refuse("cannot set Complete=True and FailureTarget=true conditions");
    }
    if became("Failed") && !is(new, "FailureTarget") {
        refuse("cannot set Failed=True condition without the FailureTarget=true condition");
    }
    if became("Complete") && !is(new, "SuccessCriteriaMet") {
        refuse("cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    }
    if is(new, "SuccessCriteriaMet") && is(new, "Failed") {
        refuse("cannot set SuccessCriteriaMet=True and Failed=true conditions");
    }
    if is(new, "SuccessCriteriaMet") && is(new, "FailureTarget") {
        refuse("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    }
    for condition in ["Failed", "Complete", "FailureTarget"] {
        if is(old, condition) && !is(new, condition) {
            refuse(&format!("cannot disable the terminal {condition}=True condition"));
        }
    }
    if is(old, "SuccessCriteriaMet") && !is(new, "SuccessCriteriaMet") {
        refuse("cannot disable the SuccessCriteriaMet=True condition");
    }
    if is(old, "Complete") && became("SuccessCriteriaMet") {
        refuse("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
    }
    errors
}

fn validate_times(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (has, had) = (&new["status"], &old["status"]);
    let (start, end) = (&has["startTime"], &has["completionTime"]);
    let changed = is(new, "Complete") != is(old, "Complete")
        || end != &had["completionTime"]
        || start != &had["startTime"];
    let at = path.child("completionTime");
    if changed {
        if !end.is_null() && !is(new, "Complete") {
            let detail = "cannot set completionTime when there is no Complete=True condition";
            errors.push(FieldError::invalid(&at, end.clone(), detail));
        }
        if end.is_null() && is(new, "Complete") {
            let detail = "completionTime is required for Complete jobs";
            errors.push(FieldError::required(&at, detail));
        }
        // Times of the same form compare like their texts.
        if let (Some(start), Some(end)) = (start.as_str(), end.as_str())
            && end < start
        {
            let detail = "completionTime cannot be set before startTime";
            errors.push(FieldError::invalid(&at, end, detail));
        }
    }
    let had_end = &had["completionTime"];
    if is(old, "Complete") && !end.is_null() && !had_end.is_null() && end != had_end {
        errors.push(FieldError::invalid(&at, end.clone(), "completionTime cannot be mutated"));
    }
    let had_start = &had["startTime"];
    if !had_start.is_null() && start != had_start && new["spec"]["suspend"] != true {
        let detail = "startTime cannot be removed for unsuspended job";
        errors.push(FieldError::required(&path.child("startTime"), detail));
    }
    errors
}

/// Nothing goes on in a job that has ended.
fn validate_end(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if !finished(new) {
        return errors;
    }
    let status = &new["status"];
    let touched = |field: &str| !finished(old) || new["status"][field] != old["status"][field];
    for field in ["active", "terminating"] {
        if touched(field) && number(new, field) > 0 {
            let detail = format!("{field}>0 is invalid for finished job");
            errors.push(FieldError::invalid(&path.child(field), number(new, field), &detail));
        }
    }
    if touched("startTime") && status["startTime"].is_null() {
        let detail = "startTime is required for finished job";
        errors.push(FieldError::required(&path.child("startTime"), detail));
    }
    let uncounted = &status["uncountedTerminatedPods"];
    let some = |field: &str| uncounted[field].as_array().is_some_and(|list| !list.is_empty());
    if touched("uncountedTerminatedPods") && (some("succeeded") || some("failed")) {
        let detail = "uncountedTerminatedPods needs to be empty for finished job";
        let at = path.child("uncountedTerminatedPods");
        errors.push(FieldError::invalid(&at, uncounted.clone(), detail));
    }
    errors
}

fn validate_indexes(new: &Value, old: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let (status, spec) = (&new["status"], &new["spec"]);
    let changed = |field: &str| status[field] != old["status"][field];
    if !changed("completedIndexes") && !changed("failedIndexes") {
        return errors;
    }
    let text = |field: &str| status[field].as_str();
    let mut lists = Vec::new();
    for field in ["completedIndexes", "failedIndexes"] {
        let (Some(text), Some(completions)) = (text(field), spec["completions"].as_i64()) else {
            continue;
        };
        match indexes::parse(text, completions) {
            Ok(list) => lists.push(list),
            Err(error) => {
                let detail = format!("error parsing {field}: {error}");
                errors.push(FieldError::invalid(&path.child(field), text, &detail));
            }
        }
    }
    let completed = text("completedIndexes").unwrap_or_default();
    if !completed.is_empty() && spec["completionMode"] != "Indexed" {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(FieldError::invalid(&path.child("completedIndexes"), completed, detail));
    }
    let at = path.child("failedIndexes");
    if let (Some(failed), true) = (text("failedIndexes"), spec["backoffLimitPerIndex"].is_null()) {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid(&at, failed, detail));
    }
    if let [completed, failed] = &lists[..]
        && let Some(index) = indexes::overlap(completed, failed)
    {
        let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
        errors.push(FieldError::invalid(&at, text("failedIndexes").unwrap_or_default(), &detail));
    }
    errors
}

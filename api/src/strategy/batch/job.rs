//! Job: runs pods to their end. Its selector is made by the server, unless it says otherwise.

use serde_json::{Map, Value, json};

use super::{job_spec, job_status};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::selector::LabelSelector;
use crate::strategy::{
    Strategy, bounds, keep_field, pod, selector, set_default, template, warnings,
};

/// The labels by which a job finds its pods; each has an old and a new name.
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];

/// The failures that are forgiven.
const BACKOFF_LIMIT: i64 = 6;

#[derive(Debug)]
pub(crate) struct Job;

impl Strategy for Job {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        let spec = &mut object["spec"];
        if spec["completions"].is_null() && spec["parallelism"].is_null() {
            spec["completions"] = 1.into();
        }
        meta_remove_null(spec, "completions");
        set_default(spec, "parallelism", 1);
        // With a limit for each index, the sum of all failures does not matter.
        let per_index = !spec["backoffLimitPerIndex"].is_null();
        meta_remove_null(spec, "backoffLimitPerIndex");
        let limit = if per_index { i64::from(i32::MAX) } else { BACKOFF_LIMIT };
        set_default(spec, "backoffLimit", limit);
        set_default(spec, "completionMode", "NonIndexed");
        set_default(spec, "suspend", false);
        set_default(spec, "manualSelector", false);
        let failing = spec["podFailurePolicy"].is_object();
        let replacement = if failing { "Failed" } else { "TerminatingOrFailed" };
        set_default(spec, "podReplacementPolicy", replacement);
        job_spec::default_failure_policy(spec);
        set_default(spec, "template", json!({}));
        pod::default_template(&mut spec["template"]);
        let labels = spec["template"]["metadata"]["labels"].clone();
        let unlabelled = object["metadata"]["labels"].as_object().is_none_or(Map::is_empty);
        if unlabelled && labels.as_object().is_some_and(|labels| !labels.is_empty()) {
            object["metadata"]["labels"] = labels;
        }
        set_default(object, "status", json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({});
        if object["spec"]["manualSelector"] != true {
            generate_selector(object);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
        // Made by the server on creation: a manifest that leaves them out keeps them.
        if new["spec"]["manualSelector"] != true && old["spec"]["manualSelector"] != true {
            if new["spec"]["selector"].is_null() {
                keep_field(&mut new["spec"], &old["spec"], "selector");
            }
            let had = &old["spec"]["template"]["metadata"]["labels"];
            set_default(&mut new["spec"]["template"], "metadata", json!({}));
            let metadata = &mut new["spec"]["template"]["metadata"];
            set_default(metadata, "labels", json!({}));
            for label in UID_LABELS.iter().chain(&NAME_LABELS) {
                if let Some(value) = had.get(label) {
                    set_default(&mut metadata["labels"], label, value.clone());
                }
            }
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = validate_generated(object);
        errors.extend(job_spec::validate(spec, &path));
        let at = path.child("selector");
        if spec["selector"].is_null() {
            errors.push(FieldError::required(&at, ""));
        }
        errors.extend(selector::validate_value(&spec["selector"], &at));
        if let Ok(found) = LabelSelector::from_object(&spec["selector"]) {
            let at = path.child("template");
            errors.extend(template::matches(&found, &spec["template"], &at));
        }
        errors.extend(validate_host_names(object));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        let path = Path::new("spec");
        let (has, had) = (&new["spec"], &old["spec"]);
        errors.extend(validate_completions(has, had, &path.child("completions")));
        let same = |field: &str| bounds::immutable(&has[field], &had[field], &path.child(field));
        errors.extend(same("selector"));
        // A job that has not begun may still be told where to run.
        let waiting = had["suspend"] == true && old["status"]["startTime"].is_null();
        let template =
            if waiting { job_spec::keep_scheduling(has, had) } else { had["template"].clone() };
        let at = path.child("template");
        errors.extend(bounds::immutable(&has["template"], &template, &at));
        for field in [
            "completionMode",
            "podFailurePolicy",
            "backoffLimitPerIndex",
            "managedBy",
            "successPolicy",
        ] {
            errors.extend(same(field));
        }
        errors
    }

    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        let mut told = Vec::new();
        if old.is_null() {
            told.extend(warnings::of_workload_name(new));
        }
        if template::is_news(new, old) {
            told.extend(job_spec::warnings(&new["spec"], &Path::new("spec")));
        }
        told
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        job_status::validate(new, old)
    }
}

fn meta_remove_null(spec: &mut Value, field: &str) {
    if spec[field].is_null() {
        crate::meta::remove(spec, field);
    }
}

/// Labels the template with the job's name and UID, and selects by the UID.
fn generate_selector(object: &mut Value) {
    let (name, uid) = (object["metadata"]["name"].clone(), object["metadata"]["uid"].clone());
    let spec = &mut object["spec"];
    set_default(&mut spec["template"], "metadata", json!({}));
    let metadata = &mut spec["template"]["metadata"];
    set_default(metadata, "labels", json!({}));
    for label in NAME_LABELS {
        set_default(&mut metadata["labels"], label, name.clone());
    }
    for label in UID_LABELS {
        set_default(&mut metadata["labels"], label, uid.clone());
    }
    let labels = metadata["labels"].clone();
    set_default(spec, "selector", json!({}));
    set_default(&mut spec["selector"], "matchLabels", json!({}));
    set_default(&mut spec["selector"]["matchLabels"], UID_LABELS[1], uid);
    if object["metadata"]["labels"].as_object().is_none_or(Map::is_empty) {
        object["metadata"]["labels"] = labels;
    }
}

/// The generated labels must be there, whatever labels the client gave besides.
fn validate_generated(object: &Value) -> Errors {
    let mut errors = Errors::new();
    let spec = &object["spec"];
    if spec["manualSelector"] == true || spec["selector"].is_null() {
        return errors;
    }
    let (name, uid) = (&object["metadata"]["name"], &object["metadata"]["uid"]);
    let labels = &spec["template"]["metadata"]["labels"];
    let path = Path::new("spec").child("template").child("metadata").child("labels");
    let wanted = UID_LABELS.iter().map(|label| (label, uid));
    for (label, value) in wanted.chain(NAME_LABELS.iter().map(|label| (label, name))) {
        let expected = value.as_str().unwrap_or_default();
        match labels.get(label) {
            None => {
                let detail = format!("must be '{expected}'");
                errors.push(FieldError::required(&path.key(label), &detail));
            }
            Some(found) if found != value => {
                let detail = format!("must be '{expected}'");
                errors.push(FieldError::invalid(&path.key(label), labels.clone(), &detail));
            }
            Some(_) => {}
        }
    }
    let expected = |key: &str| {
        let of = |labels: [&str; 2], value: &Value| {
            labels.contains(&key).then(|| value.as_str().map(str::to_owned)).flatten()
        };
        of(UID_LABELS, uid).or_else(|| of(NAME_LABELS, name))
    };
    if let Ok(found) = LabelSelector::from_object(&spec["selector"]) {
        let generated: std::collections::BTreeMap<String, String> = UID_LABELS
            .iter()
            .chain(&NAME_LABELS)
            .filter_map(|label| Some(((*label).to_owned(), expected(label)?)))
            .collect();
        if !found.matches(&generated) {
            let path = Path::new("spec").child("selector");
            let shown = spec["selector"].clone();
            errors.push(FieldError::invalid(&path, shown, "`selector` not auto-generated"));
        }
    }
    errors
}

/// Pods of an indexed job are named after it and their index: the last name must be possible.
fn validate_host_names(object: &Value) -> Option<FieldError> {
    let spec = &object["spec"];
    let completions = spec["completions"].as_i64().filter(|n| *n > 0)?;
    let name =
        object["metadata"]["name"].as_str().filter(|_| spec["completionMode"] == "Indexed")?;
    let host = format!("{name}-{}", completions - 1);
    if names::dns1123_label(&host).is_empty() {
        return None;
    }
    let detail = format!("will not able to create pod with invalid DNS label: {host}");
    Some(FieldError::invalid(&Path::new("metadata").child("name"), name, &detail))
}

/// Indexed jobs grow and shrink, with as many pods at a time as there are indexes.
fn validate_completions(has: &Value, had: &Value, path: &Path) -> Option<FieldError> {
    let (new, old) = (&has["completions"], &had["completions"]);
    if has["completionMode"] != "Indexed" {
        return bounds::immutable(new, old, path);
    }
    if new == old || new.is_null() || *new == has["parallelism"] {
        return None;
    }
    let detail = "can only be modified in tandem with spec.parallelism";
    Some(FieldError::invalid(path, new.clone(), detail))
}

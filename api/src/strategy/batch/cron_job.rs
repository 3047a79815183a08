//! CronJob: makes jobs at certain times.

use serde_json::{Value, json};

use super::job_spec;
use crate::field::{Errors, FieldError, Path};
use crate::schedule::{self, Schedule};
use crate::strategy::{Strategy, bounds, keep_field, pod, set_default, template, warnings};

/// The time that the controller adds to the name of a job, with its dash, takes 11 characters of 63.
const NAME: usize = 63 - 11;

/// The path is Kubernetes' own.
const ZONE_IN_SCHEDULE: &str = "cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, \
    see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details";

#[derive(Debug)]
pub(crate) struct CronJob;

impl Strategy for CronJob {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        let spec = &mut object["spec"];
        set_default(spec, "schedule", "");
        if spec["concurrencyPolicy"].as_str().unwrap_or_default().is_empty() {
            spec["concurrencyPolicy"] = "Allow".into();
        }
        set_default(spec, "suspend", false);
        set_default(spec, "successfulJobsHistoryLimit", 3);
        set_default(spec, "failedJobsHistoryLimit", 1);
        set_default(spec, "jobTemplate", json!({}));
        let template = &mut spec["jobTemplate"];
        set_default(template, "metadata", json!({}));
        set_default(template, "spec", json!({}));
        set_default(&mut template["spec"], "template", json!({}));
        job_spec::default_failure_policy(&mut template["spec"]);
        pod::default_template(&mut template["spec"]["template"]);
        set_default(object, "status", json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({});
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = validate_spec(&object["spec"], None);
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        if name.len() > NAME {
            let detail = "must be no more than 52 characters";
            errors.push(FieldError::invalid(&Path::new("metadata").child("name"), name, detail));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        validate_spec(&new["spec"], Some(&old["spec"]))
    }

    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        let (mut told, spec) = (Vec::new(), &new["spec"]);
        if old.is_null() {
            told.extend(warnings::of_workload_name(new));
        }
        if template::is_news(new, old) {
            let path = Path::new("spec").child("jobTemplate").child("spec");
            told.extend(job_spec::warnings(&spec["jobTemplate"]["spec"], &path));
        }
        // A new CronJob with such a schedule is refused.
        let schedule = spec["schedule"].as_str().unwrap_or_default();
        if !old.is_null() && schedule.contains("TZ") {
            told.push(ZONE_IN_SCHEDULE.to_owned());
        }
        told
    }
}

fn validate_spec(spec: &Value, old: Option<&Value>) -> Errors {
    let path = Path::new("spec");
    let mut errors = Errors::new();
    let zone = spec["timeZone"].as_str();
    let at = path.child("schedule");
    match spec["schedule"].as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(&at, "")),
        text => {
            if let Err(error) = Schedule::parse(text) {
                errors.push(FieldError::invalid(&at, text, &error));
            }
            let had_zone = old.and_then(|old| old["schedule"].as_str());
            let had_zone = had_zone.is_some_and(|text| text.contains("TZ"));
            if text.contains("TZ") && !had_zone {
                let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
                errors.push(FieldError::invalid(&at, text, detail));
            } else if text.contains("TZ") && zone.is_some() {
                let detail = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
                errors.push(FieldError::invalid(&at, text, detail));
            }
        }
    }
    errors.extend(bounds::none_negative(spec, &path, &["startingDeadlineSeconds"]));
    if let Some(zone) = zone
        && old.is_none_or(|old| old["timeZone"] != zone)
        && let Err(error) = schedule::check_zone(zone)
    {
        errors.push(FieldError::invalid(&path.child("timeZone"), zone, &error));
    }
    let policy = spec["concurrencyPolicy"].as_str().unwrap_or_default();
    let supported = &["Allow", "Forbid", "Replace"];
    if !supported.contains(&policy) {
        let at = path.child("concurrencyPolicy");
        errors.push(FieldError::not_supported(&at, policy, supported));
    }
    let (template, at) = (&spec["jobTemplate"]["spec"], path.child("jobTemplate").child("spec"));
    errors.extend(job_spec::validate(template, &at));
    if !template["selector"].is_null() {
        let (at, shown) = (at.child("selector"), template["selector"].clone());
        errors.push(FieldError::invalid(&at, shown, "`selector` will be auto-generated"));
    }
    if template["manualSelector"] == true {
        let at = at.child("manualSelector");
        errors.push(FieldError::not_supported(&at, true, &["nil", "false"]));
    }
    let limits = &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"];
    errors.extend(bounds::none_negative(spec, &path, limits));
    errors
}

//! Rows of jobs and of what makes them.

use super::*;

pub(crate) const CRON_JOB: Printer = Printer::new("CronJob", |object, now| {
    let spec = &object["spec"];
    let (names, images) = containers(&spec["jobTemplate"]["spec"]["template"]["spec"]);
    let suspended = match spec["suspend"].as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let active = object["status"]["active"].as_array().map_or(0, Vec::len);
    let last = match &object["status"]["lastScheduleTime"] {
        Value::Null => "<none>".to_owned(),
        time => age::since(time, now),
    };
    vec![
        name(object),
        cell(object, "/spec/schedule"),
        or(text(object, "/spec/timeZone"), "<none>").into(),
        suspended.into(),
        active.into(),
        last.into(),
        age(object, now),
        names.into(),
        images.into(),
        selector_text(&spec["jobTemplate"]["spec"]["selector"]),
    ]
});

pub(crate) const JOB: Printer = Printer::new("Job", |object, now| {
    let (names, images) = containers(&object["spec"]["template"]["spec"]);
    vec![
        name(object),
        state(object).into(),
        completions(object).into(),
        duration(object, now).into(),
        age(object, now),
        names.into(),
        images.into(),
        selector_text(&object["spec"]["selector"]),
    ]
});

fn state(job: &Value) -> &'static str {
    let is = |condition: &str| {
        let conditions = job["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|c| c["type"] == condition && c["status"] == "True")
    };
    let deleting = job["metadata"]["deletionTimestamp"].is_string();
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if deleting => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

/// `1/3`; without a number of completions one is enough, whatever runs side by side.
fn completions(job: &Value) -> String {
    let succeeded = number(job, "/status/succeeded");
    match (job["spec"]["completions"].as_i64(), job["spec"]["parallelism"].as_i64()) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, Some(parallel)) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(job: &Value, now: Timestamp) -> String {
    let time = |field: &str| job["status"][field].as_str()?.parse::<Timestamp>().ok();
    let Some(start) = time("startTime") else { return String::new() };
    let end = time("completionTime").unwrap_or(now);
    human_duration(end.as_second().saturating_sub(start.as_second()))
}

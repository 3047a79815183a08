//! The Job a CronJob makes.

use api::owner;
use api::schedule::time_zone;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

/// Annotation of a Job: when it was due, on the CronJob's clock.
const DUE: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// The name of the Job for that time: the same however often it is asked for.
pub(super) fn name(cron_job: &CronJob, due: Timestamp) -> String {
    format!("{}-{}", cron_job.name_any(), due.as_second() / 60)
}

/// The Job as it is to be created.
pub(super) fn job(cron_job: &CronJob, due: Timestamp) -> Job {
    let template = cron_job.spec.job_template.clone();
    let zone = cron_job.spec.time_zone.as_deref().and_then(|zone| time_zone(zone).ok());
    let metadata = template.metadata.unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.insert(DUE.to_owned(), shown(due, zone.unwrap_or(TimeZone::UTC)));
    let owner = owner::controller_reference(
        "batch/v1",
        "CronJob",
        &cron_job.name_any(),
        &cron_job.uid().unwrap_or_default(),
    );
    Job {
        metadata: ObjectMeta {
            name: Some(name(cron_job, due)),
            namespace: cron_job.namespace(),
            labels: metadata.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

/// RFC 3339 with the zone's offset, `Z` for none.
fn shown(at: Timestamp, zone: TimeZone) -> String {
    let at = at.to_zoned(zone);
    let form = if at.offset().seconds() == 0 { "%FT%TZ" } else { "%FT%T%:z" };
    at.strftime(form).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn jobs_are_named_and_marked_by_the_time_they_are_due() {
        let cron_job: CronJob = serde_json::from_value(json!({
            "metadata": {"name": "c", "namespace": "n", "uid": "u"},
            "spec": {"schedule": "", "timeZone": "Europe/Berlin", "jobTemplate": {
                "metadata": {"labels": {"a": "b"}, "annotations": {"x": "y"}},
                "spec": {"parallelism": 2, "template": {}}}}}))
        .unwrap();
        let due = "2026-07-01T10:30:00Z".parse().unwrap();
        let job = serde_json::to_value(job(&cron_job, due)).unwrap();
        assert_eq!(job["metadata"]["name"], "c-29715030");
        assert_eq!(job["metadata"]["labels"], json!({"a": "b"}));
        assert_eq!(
            job["metadata"]["annotations"],
            json!({"x": "y", DUE: "2026-07-01T12:30:00+02:00"})
        );
        assert_eq!(job["metadata"]["ownerReferences"][0]["kind"], "CronJob");
        assert_eq!(job["spec"]["parallelism"], 2);
        assert_eq!(shown(due, TimeZone::UTC), "2026-07-01T10:30:00Z");
    }
}

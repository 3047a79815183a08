//! The rows of `batch`.

use super::*;

const GROUP: &str = "batch";

pub(super) fn rows() -> Vec<Resource> {
    use strategy::batch;
    vec![
        row(GROUP, "CronJob", "cronjobs", "cronjob", batch::cron_job::CronJob)
            .short("cj")
            .category("all")
            .hash("sd5LIXh4Fjs=")
            .schema("batch.v1.CronJob")
            .printer(table::batch::CRON_JOB)
            .sub("status", "CronJob", READ_WRITE),
        row(GROUP, "Job", "jobs", "job", batch::job::Job)
            .category("all")
            .hash("mudhfqk/qZY=")
            .schema("batch.v1.Job")
            .printer(table::batch::JOB)
            .sub("status", "Job", READ_WRITE)
            .fields(&[("status.successful", &["status.succeeded"])]),
    ]
}

//! CronJobs: one Job for each time that is due, and none beside another where that is forbidden.

use jiff::Timestamp;
use serde_json::Value;

use super::Laws;
use crate::facts::{find, has_condition, is_leaving, name, owned, text, uid};
use crate::world::{State, row};

/// Whether a Job has ended.
fn has_ended(job: &Value) -> bool {
    has_condition(job, "Complete") || has_condition(job, "Failed")
}

impl Laws {
    /// A CronJob makes a Job when its time has come, once, and only allows others beside it that it may:
    /// of those that its own status tells of.
    pub(super) fn scheduled(
        &mut self,
        state: &State,
        at: Timestamp,
        job: &Value,
        by: &str,
    ) -> Result<(), String> {
        let new = name(job);
        if !self.scheduled.insert((by.to_owned(), new.to_owned())) {
            return Err(format!("once: Job {new} is made again"));
        }
        let minutes = new.rsplit_once('-').and_then(|(_, minutes)| minutes.parse::<i64>().ok());
        if minutes.is_none_or(|minutes| minutes * 60 > at.as_second()) {
            return Err(format!("too early: Job {new} is made at {at}"));
        }
        let Some(cron) = find(state, row("batch", "cronjobs"), by) else { return Ok(()) };
        if text(cron, "/spec/concurrencyPolicy") == "Allow" {
            return Ok(());
        }
        let active = cron["status"]["active"].as_array().into_iter().flatten();
        let active: Vec<&str> = active.map(|of| text(of, "/uid")).collect();
        let runs = |other: &&Value| {
            uid(other) != uid(job)
                && active.contains(&uid(other))
                && !has_ended(other)
                && !is_leaving(other)
        };
        match owned(state, row("batch", "jobs"), by).find(runs) {
            None => Ok(()),
            Some(other) => {
                Err(format!("side by side: Job {new} is made, and {} runs", name(other)))
            }
        }
    }
}

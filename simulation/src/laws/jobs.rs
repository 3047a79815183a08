//! Jobs: what has ended is counted, once, and stays counted.

use serde_json::Value;

use super::{Event, Laws};
use crate::facts::{self, find, name, number, owned, owner, text, uid};
use crate::world::{State, row};

impl Laws {
    /// A Job tells of no more pods than have ended, and of no fewer than before.
    pub(super) fn job(&mut self, state: &State, event: &Event<'_>) -> Result<(), String> {
        self.wants(event, "/spec/parallelism")?;
        let Some(job) = event.now else { return Ok(()) };
        if event.before.is_none()
            && let Some(by) = owner(job)
        {
            self.scheduled(state, event.at, job, by)?;
        }
        let [succeeded, failed] = self.ended.entry(uid(job).to_owned()).or_default();
        for (told, ended) in [("succeeded", succeeded), ("failed", failed)] {
            let count = |job: &Value| job["status"][told].as_i64().unwrap_or(0);
            let (name, now, ended) = (name(job), count(job), ended.len());
            if now > ended as i64 {
                return Err(format!("Job {name} tells of {now} pods {told}, and {ended} have"));
            }
            let before = event.before.map_or(0, count);
            if now < before {
                return Err(format!("Job {name} told of {before} pods {told}, and now of {now}"));
            }
        }
        Ok(())
    }

    /// A Job makes no pod for work that it has told itself is done.
    pub(super) fn made_for_work(
        state: &State,
        pod: &Value,
        by: &str,
        unknown: i64,
    ) -> Result<(), String> {
        let Some(job) = find(state, row("batch", "jobs"), by) else { return Ok(()) };
        let Some(work) = number(job, "/spec/completions") else { return Ok(()) };
        let told = number(job, "/status/succeeded").unwrap_or(0);
        let listed = job["status"]["uncountedTerminatedPods"]["succeeded"].as_array();
        let done = told + listed.map_or(0, Vec::len) as i64;
        let active = owned(state, row("", "pods"), by).filter(|pod| facts::is_active(pod)).count();
        if active as i64 > work - done + unknown {
            let (pod, job) = (name(pod), name(job));
            return Err(format!(
                "too much work: {pod} is number {active} for Job {job}, of {work} {done} are done"
            ));
        }
        Ok(())
    }

    /// Notes how a pod of a Job has ended. One that goes is a failure, unless it succeeds in going.
    pub(super) fn note_end(&mut self, event: &Event<'_>, pod: &Value) {
        let Some(job) = owner(pod) else { return };
        if text(pod, "/metadata/ownerReferences/0/kind") != "Job" {
            return;
        }
        let [succeeded, failed] = self.ended.entry(job.to_owned()).or_default();
        let now = event.now.unwrap_or(pod);
        match text(now, "/status/phase") {
            "Succeeded" => succeeded.insert(uid(pod).to_owned()),
            "Failed" => failed.insert(uid(pod).to_owned()),
            _ if event.now.is_none_or(facts::is_leaving) => failed.insert(uid(pod).to_owned()),
            _ => false,
        };
    }
}

//! Telling the API server: the status where it differs, events of crash back-offs.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use super::{Desired, Worker};
use crate::event::Severity;
use crate::merge;
use crate::pod::apply::{self, Outcome, ReportFailed};
use crate::pod::model::Want;
use crate::pod::{plan, status};

/// How long a status that the server did not keep as it was written is not written again.
const REWRITE: SignedDuration = SignedDuration::from_secs(10);
/// Pause after a status write failed.
const WRITE_RETRY: SignedDuration = SignedDuration::from_secs(2);

impl Worker {
    /// Writes the status if it differs; returns when to try again if it must wait.
    pub(super) fn report(&mut self, want: &Want, now: Timestamp) -> Option<Timestamp> {
        if self.gone {
            return None;
        }
        let facts = status::NodeFacts { ip: self.context.config.node_ip };
        let new = status::build(&self.agreed, want, &self.have, facts, self.began, now);
        let old =
            serde_json::to_value(self.pod.status.clone().unwrap_or_default()).unwrap_or_default();
        let new = serde_json::to_value(&new).unwrap_or_default();
        let Some(difference) = merge::difference(&old, &new) else {
            self.have.reported = !self.writing;
            return None;
        };
        self.have.reported = false;
        if self.writing {
            return None;
        }
        if let Some(again) = self.write_again.filter(|again| *again > now) {
            return Some(again);
        }
        if let Some((last, at)) = &self.written {
            let again = at.checked_add(REWRITE).unwrap_or(now);
            if *last == new && again > now {
                // The server keeps it in another form than we wrote it; it does have it.
                self.have.reported = true;
                return Some(again);
            }
        }
        self.writing = true;
        self.written = Some((new, now));
        let (context, pod) = (Arc::clone(&self.context), Arc::clone(&self.pod));
        self.push(
            None,
            async move { Outcome::Reported(apply::report(context, pod, difference).await) },
        );
        None
    }

    /// One `BackOff` event per crash, when its back-off begins.
    pub(super) fn tell_crashes(&mut self, want: &Want, now: Timestamp) {
        if plan::is_ending(want, &self.have) {
            return;
        }
        for (name, container) in &self.have.containers {
            let (Some(exit), Some(latest)) = (container.exit(), &container.latest) else {
                continue;
            };
            let waits = container.crashes.retry_at(exit.finished_at).is_some_and(|at| at > now);
            if waits && self.crash_told.insert(name.clone(), latest.number) != Some(latest.number) {
                let text = format!(
                    "Back-off restarting failed container {name} in pod {}",
                    status::pod_text(&self.pod)
                );
                self.context.events.container(&self.pod, name, Severity::Warning, "BackOff", text);
            }
        }
    }

    /// Takes the answer to a status write.
    pub(super) fn reported(
        &mut self,
        result: Result<Option<Arc<Pod>>, ReportFailed>,
        now: Timestamp,
    ) {
        self.writing = false;
        match result {
            Ok(Some(pod)) => self.take(Desired { pod, gone: false }),
            Ok(None) => self.gone = true,
            Err(ReportFailed::Conflict(pod)) => {
                self.written = None;
                if let Some(pod) = pod {
                    self.take(Desired { pod, gone: false });
                }
            }
            Err(ReportFailed::Other(error)) => {
                tracing::warn!(uid = self.uid, error, "status not written; trying again");
                self.written = None;
                self.write_again = now.checked_add(WRITE_RETRY).ok();
            }
        }
    }
}

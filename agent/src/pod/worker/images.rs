//! Pull failures of a container: `ErrImagePull` first, `ImagePullBackOff` while it waits.

use jiff::{SignedDuration, Timestamp};

use super::Worker;
use crate::event::Severity;
use crate::pod::backoff::Backoff;
use crate::pod::containers;
use crate::pod::model::Waiting;

/// How long the failure itself is shown before the back-off.
const SHOWN: SignedDuration = SignedDuration::from_secs(1);

/// Back-off of one container's image.
#[derive(Debug, Default)]
pub(super) struct PullState {
    backoff: Backoff,
    failed_at: Option<Timestamp>,
    why: Option<Waiting>,
}

impl PullState {
    /// Notes a failure; returns when to pull again.
    pub(super) fn failed(&mut self, why: &Waiting, now: Timestamp) -> Timestamp {
        self.backoff.retried(now, now);
        self.failed_at = Some(now);
        self.why = Some(why.clone());
        self.backoff.retry_at(now).unwrap_or(now)
    }
}

impl Worker {
    /// Turns shown failures into back-offs; returns when the next one is due.
    pub(super) fn image_back_offs(&mut self, now: Timestamp) -> Option<Timestamp> {
        let mut next: Option<Timestamp> = None;
        for (name, state) in &mut self.images {
            let (Some(failed_at), Some(why)) = (state.failed_at, &state.why) else { continue };
            let due = failed_at.checked_add(SHOWN).unwrap_or(failed_at);
            if due > now {
                next = Some(next.map_or(due, |earlier| earlier.min(due)));
                continue;
            }
            let Some(container) = self.have.containers.get_mut(name) else { continue };
            let image = image_of(&self.pod, name);
            let reason = if why.reason == "ErrImageNeverPull" {
                "ErrImageNeverPull"
            } else {
                "ImagePullBackOff"
            };
            if reason == "ImagePullBackOff" {
                let message =
                    format!("Back-off pulling image {image:?}: {}: {}", why.reason, why.message);
                container.waiting = Some(Waiting { reason: reason.to_owned(), message });
                let events = &self.context.events;
                events.container(
                    &self.pod,
                    name,
                    Severity::Normal,
                    "BackOff",
                    format!("Back-off pulling image {image:?}"),
                );
                events.container(
                    &self.pod,
                    name,
                    Severity::Warning,
                    "Failed",
                    "Error: ImagePullBackOff".to_owned(),
                );
            }
            state.failed_at = None;
        }
        next
    }
}

fn image_of(pod: &k8s_openapi::api::core::v1::Pod, name: &str) -> String {
    let container = containers::find(pod, name);
    container.and_then(|container| container.image.clone()).unwrap_or_default()
}

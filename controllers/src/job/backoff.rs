//! How long to wait before a failed pod is replaced: 10 s, 20 s, 40 s, … up to 10 minutes.
//!
//! A success starts the count anew. The count is kept in memory, as in Kubernetes: a controller
//! that restarts is generous once.

use std::sync::Arc;
use std::time::Duration;

use api::pod as pods;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// The failures of a Job's pods since one of them succeeded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Failures {
    count: u32,
    last: Option<Timestamp>,
}

impl Failures {
    /// With the pods that have ended since.
    pub(super) fn after(self, succeeded: &[Arc<Pod>], failed: &[Arc<Pod>]) -> Self {
        let success = succeeded.iter().map(|pod| ended(pod)).max();
        let before = if success.is_some() { Self::default() } else { self };
        let new = failed.iter().map(|pod| ended(pod)).filter(|at| Some(*at) > success);
        let (mut count, mut last) = (before.count, before.last);
        for at in new {
            count += 1;
            last = last.max(Some(at));
        }
        Self { count, last }
    }

    /// How long to wait from `now` on.
    pub(super) fn wait(self, now: Timestamp) -> Duration {
        self.last.map_or(Duration::ZERO, |last| wait(self.count, last, now))
    }
}

/// How long to wait after `failures` in a row, the last of them at `last`.
pub(super) fn wait(failures: u32, last: Timestamp, now: Timestamp) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    let doubled = 2_u32.saturating_pow(failures - 1);
    let whole = FIRST.saturating_mul(doubled).min(LONGEST);
    let passed = now.duration_since(last).max(SignedDuration::ZERO).unsigned_abs();
    whole.saturating_sub(passed)
}

/// When the pod ended, as well as can be told.
pub(super) fn ended(pod: &Pod) -> Timestamp {
    let containers = containers_ended(pod);
    let unready = || {
        pods::condition(pod, "Ready")
            .filter(|c| c.status == "False")
            .and_then(|c| Some(c.last_transition_time.as_ref()?.0))
    };
    let deleted = || {
        let deadline = pod.metadata.deletion_timestamp.as_ref()?.0;
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        deadline.checked_sub(SignedDuration::from_secs(grace)).ok()
    };
    let created = || pod.metadata.creation_timestamp.as_ref().map(|t| t.0);
    containers.or_else(unready).or_else(deleted).or_else(created).unwrap_or_default()
}

fn containers_ended(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let mut latest = None;
    for status in statuses {
        let terminated = status.state.as_ref()?.terminated.as_ref()?;
        latest = latest.max(Some(terminated.finished_at.as_ref()?.0));
    }
    latest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn pod(second: i64) -> Arc<Pod> {
        Arc::new(
            serde_json::from_value(json!({"metadata": {"creationTimestamp": at(0)},
                "status": {"containerStatuses": [{"name": "c", "image": "", "imageID": "",
                    "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 1,
                    "finishedAt": at(second)}}}]}}))
            .unwrap(),
        )
    }

    #[test]
    fn waits_double_up_to_ten_minutes() {
        for (failures, passed, seconds) in [
            (0, 0, 0),
            (1, 0, 10),
            (1, 4, 6),
            (1, 11, 0),
            (2, 0, 20),
            (4, 0, 80),
            (7, 0, 600),
            (200, 0, 600),
            (1, -5, 10),
        ] {
            let waiting = wait(failures, at(0), at(passed));
            assert_eq!(waiting.as_secs(), seconds, "{failures} failures, {passed} s ago");
        }
    }

    #[test]
    fn a_success_starts_anew() {
        let none = Failures::default();
        let two = none.after(&[], &[pod(5), pod(3)]);
        assert_eq!(two, Failures { count: 2, last: Some(at(5)) });
        assert_eq!(two.wait(at(5)).as_secs(), 20);
        assert_eq!(two.after(&[], &[]), two);
        assert_eq!(two.after(&[], &[pod(9)]), Failures { count: 3, last: Some(at(9)) });
        assert_eq!(two.after(&[pod(9)], &[]), none);
        let last = two.after(&[pod(9)], &[pod(8), pod(10)]);
        assert_eq!(last, Failures { count: 1, last: Some(at(10)) }, "8 was before the success");
    }

    #[test]
    fn the_end_is_told_by_containers_condition_deletion_or_creation() {
        assert_eq!(ended(&pod(7)), at(7));
        let mut value = json!({"metadata": {"creationTimestamp": at(0)}});
        let parsed =
            |value: &serde_json::Value| -> Pod { serde_json::from_value(value.clone()).unwrap() };
        assert_eq!(ended(&parsed(&value)), at(0));
        value["metadata"]["deletionTimestamp"] = json!(at(40));
        value["metadata"]["deletionGracePeriodSeconds"] = json!(30);
        assert_eq!(ended(&parsed(&value)), at(10));
        value["status"] = json!({"conditions": [{"type": "Ready", "status": "False",
            "lastTransitionTime": at(20)}]});
        assert_eq!(ended(&parsed(&value)), at(20));
    }
}

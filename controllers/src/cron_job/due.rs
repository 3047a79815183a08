//! Which time a CronJob was last due, and which it will be due next.

use std::time::Duration;

use api::schedule::{Schedule, time_zone};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;

/// More missed times than this look like a broken clock, as in Kubernetes.
const MANY: i64 = 100;
/// Added to waits, so that a clock that is a little slow does not wake before the time.
const LATE: SignedDuration = SignedDuration::from_millis(100);

/// A schedule on the clock of a zone.
#[derive(Debug)]
pub(super) struct Clock {
    schedule: Schedule,
    zone: TimeZone,
}

/// What was due since the CronJob last made a Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// The latest time, if there is any.
    pub(super) latest: Option<Timestamp>,
    /// Whether so many were missed that something must be wrong.
    pub(super) many_missed: bool,
    /// From when on was looked.
    since: Timestamp,
    missed: bool,
}

/// Why there is no clock.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClockError {
    /// The zone is unknown.
    Zone(String),
    /// The schedule makes no sense.
    Schedule(String),
}

impl Clock {
    /// The CronJob's schedule in its zone; without one, in that of this process.
    pub(super) fn of(cron_job: &CronJob) -> Result<Self, ClockError> {
        let spec = &cron_job.spec;
        let zone = match spec.time_zone.as_deref() {
            Some(name) => time_zone(name).map_err(|error| {
                ClockError::Zone(format!("invalid timeZone: {name:?}: {error}"))
            })?,
            None => TimeZone::system(),
        };
        let text = spec.schedule.as_str();
        let schedule = Schedule::parse(text).map_err(|error| {
            ClockError::Schedule(format!("unparseable schedule: {text:?} : {error}"))
        })?;
        Ok(Self { schedule, zone })
    }

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.schedule.next(after, &self.zone)
    }

    /// What is due at `now`. None: the schedule is never due.
    pub(super) fn due(
        &self,
        cron_job: &CronJob,
        now: Timestamp,
        late_by: Option<i64>,
    ) -> Option<Due> {
        let mut since = last(cron_job, now);
        if let Some(deadline) = late_by {
            let earliest = now.checked_sub(SignedDuration::from_secs(deadline));
            since = since.max(earliest.unwrap_or(since));
        }
        let first = self.next(since)?;
        let none = Due { latest: None, many_missed: false, since, missed: false };
        if now < first {
            return Some(none);
        }
        let second = self.next(first)?;
        if now < second {
            return Some(Due { latest: Some(first), ..none });
        }
        // Roughly how many there were: the schedule need not be even.
        let step = second.duration_since(first).as_secs().max(1);
        let missed = now.duration_since(first).as_secs() / step + 1;
        let mut latest = None;
        let mut at = self.just_before(first, step, missed, now).unwrap_or(since);
        while let Some(next) = self.next(at).filter(|next| *next <= now) {
            (latest, at) = (Some(next), next);
        }
        Some(Due { latest, many_missed: missed > MANY, since, missed: true })
    }

    /// A time not long before `now` after which something is due until then. It is whole steps after
    /// `first`, because `@every` counts from there.
    fn just_before(
        &self,
        first: Timestamp,
        step: i64,
        missed: i64,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let mut back = 2;
        while missed > back {
            let skip = SignedDuration::from_secs((missed - back).saturating_mul(step));
            let at = first.checked_add(skip).ok()?;
            if self.next(at).is_some_and(|next| next <= now) {
                return Some(at);
            }
            // A pause in the schedule: look further back.
            back *= 2;
        }
        None
    }

    /// How long until the next time after what is due now.
    pub(super) fn wait(&self, cron_job: &CronJob, now: Timestamp) -> Option<Duration> {
        let due = self.due(cron_job, now, None)?;
        let from = due.latest.unwrap_or(if due.missed { now } else { due.since });
        let wait = self.next(from)?.duration_since(now) + LATE;
        Some(wait.max(LATE).unsigned_abs())
    }
}

/// When the CronJob last made a Job, or was created.
fn last(cron_job: &CronJob, now: Timestamp) -> Timestamp {
    let scheduled = cron_job.status.as_ref().and_then(|s| s.last_schedule_time.as_ref());
    let created = cron_job.metadata.creation_timestamp.as_ref();
    scheduled.or(created).map_or(now, |time| time.0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn cron_job(schedule: &str, zone: Value, last: Value) -> CronJob {
        serde_json::from_value(json!({
            "metadata": {"creationTimestamp": "2026-01-01T00:00:30Z"},
            "spec": {"schedule": schedule, "timeZone": zone, "jobTemplate": {}},
            "status": {"lastScheduleTime": last}}))
        .unwrap()
    }

    #[test]
    fn the_latest_missed_time_is_due() {
        for (schedule, last, now, late_by, latest, many) in [
            ("* * * * *", Value::Null, "2026-01-01T00:00:59Z", None, None, false),
            (
                "* * * * *",
                Value::Null,
                "2026-01-01T00:01:00Z",
                None,
                Some("2026-01-01T00:01:00Z"),
                false,
            ),
            ("* * * * *", json!("2026-01-01T00:01:00Z"), "2026-01-01T00:01:20Z", None, None, false),
            (
                "* * * * *",
                Value::Null,
                "2026-01-01T01:00:20Z",
                None,
                Some("2026-01-01T01:00:00Z"),
                false,
            ),
            (
                "* * * * *",
                Value::Null,
                "2026-01-01T03:00:20Z",
                None,
                Some("2026-01-01T03:00:00Z"),
                true,
            ),
            ("0 * * * *", Value::Null, "2026-01-01T01:30:00Z", Some(60), None, false),
            (
                "30 6-16/4 * * 1-5",
                Value::Null,
                "2026-01-05T00:00:00Z",
                None,
                Some("2026-01-02T14:30:00Z"),
                false,
            ),
            (
                "@every 1h",
                Value::Null,
                "2026-01-01T02:30:00Z",
                None,
                Some("2026-01-01T02:00:30Z"),
                false,
            ),
        ] {
            let job = cron_job(schedule, json!("UTC"), last);
            let due = Clock::of(&job).unwrap().due(&job, now.parse().unwrap(), late_by).unwrap();
            let shown = due.latest.map(|at| at.to_string());
            assert_eq!(shown.as_deref(), latest, "{schedule} at {now}");
            assert_eq!(due.many_missed, many, "{schedule} at {now}");
        }
    }

    #[test]
    fn waits_end_when_it_is_due_again() {
        for (schedule, last, now, millis) in [
            ("* * * * *", Value::Null, "2026-01-01T00:00:40Z", 20_100),
            ("* * * * *", json!("2026-01-01T00:01:00Z"), "2026-01-01T00:01:05Z", 55_100),
            ("0 * * * *", Value::Null, "2026-01-01T01:00:01Z", 3_599_100),
            ("0 * * * *", Value::Null, "2026-01-01T05:59:59Z", 1_100),
        ] {
            let job = cron_job(schedule, json!("UTC"), last);
            let wait = Clock::of(&job).unwrap().wait(&job, now.parse().unwrap()).unwrap();
            assert_eq!(wait.as_millis(), millis, "{schedule} at {now}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let error = |schedule: &str, zone: Value| {
            Clock::of(&cron_job(schedule, zone, Value::Null)).unwrap_err()
        };
        assert_eq!(
            error("* * * * *", json!("Mars/Olympus")),
            ClockError::Zone(
                "invalid timeZone: \"Mars/Olympus\": unknown time zone Mars/Olympus".to_owned()
            )
        );
        let ClockError::Schedule(why) = error("* * *", Value::Null) else { panic!("no schedule") };
        assert!(why.starts_with("unparseable schedule: \"* * *\" : expected exactly 5 fields"));
        let never = cron_job("0 0 31 2 *", json!("UTC"), Value::Null);
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        assert_eq!(Clock::of(&never).unwrap().due(&never, now, None), None);
    }
}

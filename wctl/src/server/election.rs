//! Leader election: of several servers over one datastore, one holds an office at a time.
//!
//! The office is a Lease. Who holds it renews it every two seconds; who wants it watches whether the
//! record changes, by its own clock, and takes it when it has not changed for the time that the holder
//! itself has set. A holder that could not renew for ten seconds stops what it runs before anybody else
//! can begin. Who stops gives the office up, so that the next one need not wait.
//!
//! ```text
//! standing ──took it──► holding ──lost it──► standing
//!    └──────────told to stop──────┴────────► given up
//! ```
//!
//! Source: k8s.io/client-go/tools/leaderelection; times are those of kube-controller-manager.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a record that does not change is believed, in seconds.
const LEASE_SECONDS: i32 = 15;
/// After so long without renewing the holder stops.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks.
const RETRY: Duration = Duration::from_secs(2);

const NAMESPACE: &str = "kube-system";

/// An office and who stands for it.
pub(super) struct Office {
    leases: Api<Lease>,
    name: &'static str,
    identity: String,
}

impl Office {
    /// The office `name`, for the server called `identity`.
    pub(super) fn new(client: Client, name: &'static str, identity: &str) -> Self {
        let leases = Api::namespaced(client, NAMESPACE);
        Self { leases, name, identity: identity.to_owned() }
    }

    /// Looks at the record, and writes it if that is what `plan` says. Whether we hold the office now.
    async fn look(&self, seen: &mut Seen) -> Result<bool, kube::Error> {
        let current = self.leases.get_opt(self.name).await?;
        let record = current.as_ref().and_then(|lease| lease.spec.as_ref());
        seen.note(record, Instant::now());
        let Some(spec) = plan(record, &self.identity, seen.age(Instant::now()), Timestamp::now())
        else {
            return Ok(false);
        };
        let params = PostParams::default();
        let written = match current {
            Some(mut lease) => {
                lease.spec = Some(spec);
                self.leases.replace(self.name, &params, &lease).await
            }
            None => {
                let metadata =
                    ObjectMeta { name: Some(self.name.to_owned()), ..ObjectMeta::default() };
                self.leases.create(&params, &Lease { metadata, spec: Some(spec) }).await
            }
        };
        match written {
            Ok(lease) => {
                seen.note(lease.spec.as_ref(), Instant::now());
                Ok(true)
            }
            // Somebody was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets the next one have it at once.
    async fn give_up(&self) {
        let released = async {
            let Some(mut lease) = self.leases.get_opt(self.name).await? else { return Ok(()) };
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                self.leases.replace(self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<(), kube::Error>(())
        };
        match timeout(RETRY, released).await {
            Ok(Ok(())) => tracing::info!(office = self.name, "office given up"),
            Ok(Err(error)) => tracing::info!(office = self.name, %error, "office not given up"),
            Err(_) => tracing::info!(office = self.name, "office not given up in time"),
        }
    }
}

/// The record as last seen, and since when it has not changed.
#[derive(Default)]
struct Seen {
    record: Option<LeaseSpec>,
    since: Option<Instant>,
}

impl Seen {
    fn note(&mut self, record: Option<&LeaseSpec>, now: Instant) {
        if self.since.is_none() || self.record.as_ref() != record {
            self.record = record.cloned();
            self.since = Some(now);
        }
    }

    fn age(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.duration_since(since))
    }
}

/// What to write to hold the office: to renew it, or to take it from somebody whose record has not
/// changed for `age`. None: it is somebody else's.
fn plan(
    record: Option<&LeaseSpec>,
    identity: &str,
    age: Duration,
    now: Timestamp,
) -> Option<LeaseSpec> {
    let holder = record.and_then(|record| record.holder_identity.as_deref()).unwrap_or_default();
    let seconds = record.and_then(|record| record.lease_duration_seconds).unwrap_or(0);
    let believed = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let own = holder == identity;
    if !own && !holder.is_empty() && age < believed {
        return None;
    }
    let before = record.cloned().unwrap_or_default();
    let transitions = before.lease_transitions.unwrap_or(0);
    Some(LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(LEASE_SECONDS),
        acquire_time: before.acquire_time.filter(|_| own).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(if own || record.is_none() {
            transitions
        } else {
            transitions + 1
        }),
        ..LeaseSpec::default()
    })
}

/// Stands for the office and runs something whenever it is held, until `stop`.
///
/// # Errors
/// What `run` ends with, if it ends by itself.
pub(super) async fn hold<Run>(
    office: Office,
    stop: CancellationToken,
    run: impl Fn(CancellationToken) -> Run,
) -> Result<()>
where
    Run: Future<Output = Result<()>>,
{
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            () = taken(&office, &mut seen) => {}
            () = stop.cancelled() => return Ok(()),
        }
        tracing::info!(office = office.name, identity = office.identity, "office taken");
        let term = stop.child_token();
        let running = run(term.clone());
        tokio::pin!(running);
        let lost = tokio::select! {
            ended = &mut running => {
                office.give_up().await;
                return ended;
            }
            () = renewed(&office, &mut seen) => true,
            () = stop.cancelled() => false,
        };
        term.cancel();
        running.await?;
        if !lost {
            office.give_up().await;
            return Ok(());
        }
        tracing::warn!(office = office.name, "office lost; standing for it again");
    }
}

/// Until the office is ours.
async fn taken(office: &Office, seen: &mut Seen) {
    loop {
        match timeout(RENEW_DEADLINE, office.look(seen)).await {
            Ok(Ok(true)) => return,
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::debug!(office = office.name, %error, "no look at the office")
            }
            Err(_) => tracing::debug!(office = office.name, "no look at the office in time"),
        }
        sleep(RETRY).await;
    }
}

/// Until the office is no longer ours.
async fn renewed(office: &Office, seen: &mut Seen) {
    let mut last = Instant::now();
    loop {
        sleep(RETRY).await;
        let left = RENEW_DEADLINE.saturating_sub(last.elapsed());
        match timeout(left, office.look(seen)).await {
            Ok(Ok(true)) => last = Instant::now(),
            Ok(Ok(false)) => {
                let holder = seen.record.as_ref().and_then(|record| record.holder_identity.clone());
                if holder.as_deref() != Some(&office.identity) {
                    return;
                }
            }
            Ok(Err(error)) => tracing::debug!(office = office.name, %error, "office not renewed"),
            Err(_) => {}
        }
        if last.elapsed() >= RENEW_DEADLINE {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn record(value: Value) -> LeaseSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_office_has_one_holder() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let held = |by: &str| {
            record(json!({"holderIdentity": by, "leaseDurationSeconds": 15, "leaseTransitions": 3,
                "acquireTime": "2025-12-31T00:00:00.000000Z", "renewTime": "2025-12-31T00:00:00.000000Z"}))
        };
        let at = |seconds| Duration::from_secs(seconds);
        // The record, its age, the transitions if it is ours now.
        for (record, age, want) in [
            (None, at(0), Some(0)),
            (Some(held("me")), at(0), Some(3)),
            (Some(held("me")), at(60), Some(3)),
            (Some(held("other")), at(0), None),
            (Some(held("other")), at(14), None),
            (Some(held("other")), at(15), Some(4)),
            (Some(held("")), at(0), Some(4)),
        ] {
            let planned = plan(record.as_ref(), "me", age, now);
            let got = planned.as_ref().map(|spec| spec.lease_transitions.unwrap());
            assert_eq!(got, want, "{record:?} after {age:?}");
            let Some(spec) = planned else { continue };
            assert_eq!(spec.holder_identity.as_deref(), Some("me"));
            assert_eq!(spec.renew_time, Some(MicroTime(now)));
            let own = record.as_ref().is_some_and(|r| r.holder_identity.as_deref() == Some("me"));
            assert_eq!(spec.acquire_time == Some(MicroTime(now)), !own, "{record:?}");
        }
    }

    #[test]
    fn a_record_is_as_old_as_its_last_change() {
        let mut seen = Seen::default();
        let by = |holder: &str| record(json!({"holderIdentity": holder}));
        let (one, two) = (by("a"), by("b"));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        for (record, now, age) in [
            (Some(&one), 0, 0),
            (Some(&one), 9, 9),
            (Some(&two), 10, 0),
            (None, 11, 0),
            (None, 13, 2),
        ] {
            seen.note(record, at(now));
            assert_eq!(seen.age(at(now)), Duration::from_secs(age), "after {now} s");
        }
    }
}

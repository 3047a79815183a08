//! Makes claims and Services agree, at start and every few minutes after.
//!
//! | found | done |
//! |---|---|
//! | a Service whose key nobody has claimed | claimed for it |
//! | a key claimed for another than the Service that has it | claimed for that Service |
//! | an old claim that no Service has | freed |
//! | two Services that have the same key | told; the claim stays with one of them |
//!
//! The claims are read before the Services, and every step is a compare-and-set at the revision
//! that was read: what changes meanwhile makes a step fail, and the next round looks again. So
//! every server may do this at any time, as every kube-apiserver does
//! (k8s.io/kubernetes/pkg/registry/core/service/ipallocator/controller), and no leader is needed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::status::Status;
use serde_json::Value;
use store::{KeyValue, Page, Revision, Store, WriteError};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::claim::{self, Claim};
use super::wanted::Wanted;
use super::{ADDRESSES, PORTS};
use crate::context::{Context, now};
use crate::response;

/// A claim without a Service is somebody's request in progress until it is this old, in seconds:
/// longer than any request lives.
const IN_PROGRESS: u64 = 300;

/// Repairs every so often until `shutdown`. What fails is left for the next round.
pub(crate) async fn run(context: Arc<Context>, every: Duration, shutdown: CancellationToken) {
    let work = async {
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(status) = once(&context).await {
                tracing::debug!(%status, "cannot repair the claims of Services yet");
            }
        }
    };
    shutdown.run_until_cancelled(work).await;
}

/// One round.
///
/// # Errors
/// The store's, and 429 while the caches are being filled.
pub(crate) async fn once(context: &Context) -> Result<(), Status> {
    let mut claims = Vec::new();
    for prefix in [ADDRESSES, PORTS] {
        let listing = context.store.list(prefix, Page::default()).await;
        claims.extend(listing.map_err(|error| response::store_read(&error))?.items);
    }
    context.freshness.consistent().await?;
    let services: Vec<_> =
        context.core("services").now().objects.iter().map(|o| o.encoded().parse()).collect();
    for repair in plan(&claims, &services, now().as_second()) {
        apply(&context.store, repair).await?;
    }
    Ok(())
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
enum Repair {
    /// Claim a key that nobody has.
    Claim { key: String, claim: Claim },
    /// Put a claim right.
    Correct { key: String, claim: Claim, revision: Revision },
    /// Free a key.
    Free { key: String, revision: Revision },
    /// Tell that more than one Service has a key.
    Tell { key: String, owners: Vec<String> },
}

fn plan(claims: &[KeyValue], services: &[Value], now: i64) -> Vec<Repair> {
    let mut wanted: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
    for service in services {
        let claim = Claim { time: now, ..Claim::of(service) };
        for key in Wanted::of(service).keys() {
            let owners = wanted.entry(key).or_default();
            if !owners.contains(&claim) {
                owners.push(claim.clone());
            }
        }
    }
    let mut repairs: Vec<_> = wanted
        .iter()
        .filter(|(_, owners)| owners.len() > 1)
        .map(|(key, owners)| Repair::Tell {
            key: key.clone(),
            owners: owners.iter().map(|claim| claim.owner.clone()).collect(),
        })
        .collect();
    for item in claims {
        let (key, revision) = (item.key.to_string(), item.mod_revision);
        let have = Claim::read(item);
        match wanted.remove(&key) {
            Some(owners) if owners.iter().any(|owner| owner.uid == have.uid) => {}
            Some(owners) => {
                repairs.extend(owners.into_iter().next().map(|claim| Repair::Correct {
                    key,
                    claim,
                    revision,
                }))
            }
            // A time far ahead is of a clock that was wrong.
            None if now.abs_diff(have.time) > IN_PROGRESS => {
                repairs.push(Repair::Free { key, revision });
            }
            None => {}
        }
    }
    let unclaimed = wanted.into_iter();
    repairs.extend(unclaimed.filter_map(|(key, owners)| {
        owners.into_iter().next().map(|claim| Repair::Claim { key, claim })
    }));
    repairs
}

async fn apply(store: &Store, repair: Repair) -> Result<(), Status> {
    let wrote = match repair {
        Repair::Tell { key, owners } => {
            tracing::warn!(key, ?owners, "two Services have the same; recreate one of them");
            return Ok(());
        }
        Repair::Free { key, revision } => {
            tracing::info!(key, "freeing a claim that no Service has");
            claim::free(store, &key, revision).await;
            return Ok(());
        }
        Repair::Claim { key, claim } => store.create(&key, claim.bytes()).await,
        Repair::Correct { key, claim, revision } => {
            store.update(&key, claim.bytes(), revision).await
        }
    };
    match wrote {
        Ok(_) | Err(WriteError::Exists { .. } | WriteError::Conflict { .. }) => Ok(()),
        Err(error) => Err(response::store_write(&error)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_000_000;

    fn service(name: &str, uid: &str, address: &str) -> Value {
        json!({"metadata": {"namespace": "d", "name": name, "uid": uid},
            "spec": {"clusterIP": address}})
    }

    fn claim(name: &str, uid: &str, time: i64) -> Claim {
        Claim { owner: format!("d/{name}"), uid: uid.to_owned(), time }
    }

    fn stored(address: &str, claim: &Claim) -> KeyValue {
        let revision = Revision(7);
        KeyValue {
            key: key(address).into(),
            value: claim.bytes(),
            create_revision: revision,
            mod_revision: revision,
        }
    }

    fn key(address: &str) -> String {
        format!("{ADDRESSES}{address}")
    }

    #[test]
    fn claims_and_services_are_made_to_agree() {
        let web = || service("web", "1", "10.96.0.5");
        let (old, new) = (NOW - 301, NOW - 300);
        let (key, revision) = (|| key("10.96.0.5"), Revision(7));
        for (have, services, want) in [
            (Some(claim("web", "1", old)), vec![web()], vec![]),
            (None, vec![web()], vec![Repair::Claim { key: key(), claim: claim("web", "1", NOW) }]),
            (Some(claim("web", "1", old)), vec![], vec![Repair::Free { key: key(), revision }]),
            (Some(claim("web", "1", new)), vec![], vec![]),
            (
                Some(claim("web", "0", new)),
                vec![web()],
                vec![Repair::Correct { key: key(), claim: claim("web", "1", NOW), revision }],
            ),
            (
                Some(claim("web", "1", i64::MAX)),
                vec![],
                vec![Repair::Free { key: key(), revision }],
            ),
            (
                Some(claim("b", "2", old)),
                vec![web(), service("b", "2", "10.96.0.5")],
                vec![Repair::Tell { key: key(), owners: vec!["d/web".into(), "d/b".into()] }],
            ),
            (None, vec![service("headless", "3", "None")], vec![]),
        ] {
            let claims: Vec<_> = have.iter().map(|claim| stored("10.96.0.5", claim)).collect();
            assert_eq!(plan(&claims, &services, NOW), want, "{have:?} {services:?}");
        }
    }
}

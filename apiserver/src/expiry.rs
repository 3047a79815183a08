//! Events are news: an hour after the last time one was told, it goes.
//!
//! Nobody deletes Events, and a cluster makes them for ever. kube-apiserver gives them a lease in
//! etcd (`--event-ttl`, one hour); here a task looks through the cache every few minutes. One
//! deletion at a time, so that real writes never queue behind old news. Several servers may do
//! this at once: whoever comes second finds that it is done.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::{Store, WriteError};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::cacher::Cacher;
use crate::context::{Context, now};

/// How long an Event is kept after it was last told.
const TTL: SignedDuration = SignedDuration::from_hours(1);

/// How often to look.
const EVERY: Duration = Duration::from_secs(300);

/// Events looked at before others get a turn.
const TURN: usize = 256;

/// Removes old Events until `shutdown`.
pub(crate) async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let work = async {
        loop {
            ticks.tick().await;
            sweep(&context.store, context.core("events"), now()).await;
        }
    };
    shutdown.run_until_cancelled(work).await;
}

/// Removes what is old at `now`. What fails is left for the next round.
async fn sweep(store: &Store, events: &Cacher, now: Timestamp) {
    let mut removed = 0_usize;
    for (n, event) in events.now().objects.iter().enumerate() {
        if n % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
        if !is_old(&event.encoded().parse(), now) {
            continue;
        }
        let key = format!("{}{}", events.prefix(), event.key());
        match store.delete(&key, event.revision()).await {
            Ok(_) => removed += 1,
            // Told again, or removed by somebody else.
            Err(WriteError::Conflict { .. }) => {}
            Err(error) => return tracing::debug!(%error, removed, "cannot remove old events yet"),
        }
    }
    if removed > 0 {
        tracing::debug!(removed, "removed old events");
    }
}

/// Whether the last time that an Event carries is long enough ago. Times in the future, which a
/// client may have sent, do not keep it.
fn is_old(event: &Value, now: Timestamp) -> bool {
    let last = [
        "/metadata/creationTimestamp",
        "/firstTimestamp",
        "/lastTimestamp",
        "/eventTime",
        "/series/lastObservedTime",
    ]
    .iter()
    .filter_map(|path| event.pointer(path)?.as_str()?.parse::<Timestamp>().ok())
    .filter(|time| *time <= now)
    .max();
    last.is_some_and(|last| now.duration_since(last) > TTL)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::Options;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::cacher::Feed;
    use crate::cacher::encoding::stored;

    fn at() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_last_time_counts() {
        let (old, new, future) =
            ("2026-11-21T08:59:00Z", "2026-11-21T09:01:00.000000Z", "2027-01-01T00:00:00Z");
        for (event, want) in [
            (json!({"metadata": {"creationTimestamp": old}}), true),
            (json!({"metadata": {"creationTimestamp": new}}), false),
            (json!({"metadata": {"creationTimestamp": old}, "lastTimestamp": new}), false),
            (json!({"metadata": {"creationTimestamp": old}, "lastTimestamp": null}), true),
            (json!({"metadata": {"creationTimestamp": old}, "lastTimestamp": future}), true),
            (
                json!({"metadata": {"creationTimestamp": old}, "eventTime": old,
                       "series": {"lastObservedTime": new}}),
                false,
            ),
            (json!({"metadata": {}}), false),
        ] {
            assert_eq!(is_old(&event, at()), want, "{event}");
        }
    }

    #[tokio::test]
    async fn old_events_go_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("state.db").display());
        let store = Store::open(&url, Options::default()).await.unwrap();
        let put = async |key: &str, created: &str| {
            let value = stored(&json!({"kind": "Event", "apiVersion": "v1",
                "metadata": {"name": "e", "creationTimestamp": created}}));
            store.create(key, value).await.unwrap();
        };
        put("core/events/default/old", "2026-11-21T08:00:00Z").await;
        put("core/events/default/new", "2026-11-21T09:30:00Z").await;
        put("core/pods/default/old", "2026-11-21T08:00:00Z").await;
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let table = api::resources::table();
        let (caches, _, _) =
            Feed::start(store.clone(), table, &tracker, stop.clone()).await.unwrap();
        let events = caches.iter().find(|cache| cache.prefix() == "core/events/").unwrap();
        sweep(&store, events, at()).await;
        let left = store.list("core/", store::Page::default()).await.unwrap().items;
        let left: Vec<_> = left.iter().map(|item| &*item.key).collect();
        assert_eq!(left, ["core/events/default/new", "core/pods/default/old"]);
        stop.cancel();
        store.close().await;
    }
}

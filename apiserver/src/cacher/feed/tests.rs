//! The feed's states that a healthy store never shows: too slow, and lost.
//!
//! The feed gets a runtime of its own that runs only while the test lets it, so that it falls
//! behind exactly when it should.

use bytes::Bytes;
use serde_json::json;
use store::Options;
use tokio::runtime::{Builder, Runtime};

use super::super::encoding::{EventType, stored};
use super::super::filter::Filter;
use super::super::watcher::Delivery;
use super::*;

struct Stage {
    store: Store,
    /// Runs the store and the test's writes.
    outside: Runtime,
    /// Runs the feed.
    inside: Runtime,
    maps: Arc<Cacher>,
    freshness: Freshness,
    _dir: tempfile::TempDir,
    _stop: tokio_util::sync::DropGuard,
}

fn map(name: &str) -> (String, Bytes) {
    let value = json!({"kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default"}});
    (format!("core/configmaps/default/{name}"), stored(&value))
}

impl Stage {
    /// A fed cache of config maps with one in it, on a store whose watchers may lag by two events.
    fn set() -> Stage {
        Stage::with_buffer(2)
    }

    fn with_buffer(watch_buffer: usize) -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("state.db").display());
        let outside = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let inside = Builder::new_current_thread().enable_all().build().unwrap();
        let options = Options { watch_buffer, retention: None, ..Options::default() };
        let store = outside.block_on(Store::open(&url, options)).unwrap();
        let (key, value) = map("first");
        outside.block_on(store.create(&key, value)).unwrap();
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let table = api::resources::table();
        let started = Feed::start(store.clone(), table, &tracker, stop.clone());
        let (caches, freshness, _) = inside.block_on(started).unwrap();
        let maps = caches.iter().find(|cache| cache.resource().plural == "configmaps").unwrap();
        let maps = maps.clone();
        Stage { store, outside, inside, maps, freshness, _dir: dir, _stop: stop.drop_guard() }
    }

    fn names(&self) -> Vec<String> {
        self.maps.now().objects.iter().map(|object| object.name().to_owned()).collect()
    }

    /// Writes more than the feed may lag, while it does not run.
    fn overrun(&self) {
        self.outside.block_on(async {
            for n in 0..20 {
                let (key, value) = map(&format!("n{n:02}"));
                self.store.create(&key, value).await.unwrap();
            }
        });
    }
}

#[test]
fn a_feed_that_was_too_slow_resumes_and_watchers_miss_nothing() {
    let stage = Stage::set();
    let mut watch = stage.maps.watch_from_now("", &Filter::default(), false, true);
    assert_eq!(watch.initial.len(), 1);
    stage.overrun();
    stage.inside.block_on(stage.freshness.consistent()).unwrap();
    assert_eq!(stage.names().len(), 21);
    let mut told = Vec::new();
    while let Ok(Delivery::Event(EventType::Added, object)) = watch.queue.try_recv() {
        told.push(object.name().to_owned());
    }
    assert_eq!(told.len(), 20);
    assert!(told.is_sorted(), "in the order of the writes: {told:?}");
}

#[test]
fn a_feed_that_is_lost_starts_over_and_sends_watchers_away() {
    let stage = Stage::set();
    let before = stage.maps.now().revision;
    let mut watch = stage.maps.watch_from_now("", &Filter::default(), false, false);
    stage.overrun();
    stage.outside.block_on(async {
        let revision = stage.store.revision().await.unwrap();
        stage.store.compact(revision).await.unwrap();
    });
    stage.inside.block_on(stage.freshness.consistent()).unwrap();
    assert_eq!(stage.names().len(), 21);
    // Whatever it was told, the watch is over, and its client cannot resume from where it was.
    while watch.queue.try_recv().is_ok() {}
    assert!(watch.queue.is_closed());
    assert!(stage.maps.watch_after(before, "", &Filter::default(), false).is_err());
    // The past before the loss is gone, the present is live.
    assert!(stage.maps.at(before).is_err());
    let (key, value) = map("last");
    stage.outside.block_on(stage.store.create(&key, value)).unwrap();
    stage.inside.block_on(stage.freshness.consistent()).unwrap();
    assert!(stage.names().contains(&"last".to_owned()));
}

#[test]
fn a_recent_moment_is_rebuilt_from_the_window() {
    let stage = Stage::set();
    let then = stage.maps.now();
    stage.outside.block_on(async {
        let (key, value) = map("first");
        let current = stage.store.get(&key).await.unwrap().unwrap();
        let changed = stage.store.update(&key, value, current.mod_revision).await.unwrap();
        stage.store.delete(&key, changed).await.unwrap();
        let (key, value) = map("second");
        stage.store.create(&key, value).await.unwrap();
    });
    stage.inside.block_on(stage.freshness.consistent()).unwrap();
    assert_eq!(stage.names(), ["second"]);
    let past = stage.maps.at(then.revision).unwrap();
    let have: Vec<_> = past.objects.iter().map(|o| (o.name(), o.revision())).collect();
    let want: Vec<_> = then.objects.iter().map(|o| (o.name(), o.revision())).collect();
    assert_eq!(have, want);
}

#[test]
fn a_store_that_is_away_does_not_hide_what_it_has_acknowledged() {
    let stage = Stage::with_buffer(1000);
    stage.overrun();
    stage.outside.block_on(stage.store.close());
    // The feed has not run since; it has the acknowledged writes in its queue.
    stage.inside.block_on(stage.freshness.consistent()).unwrap();
    assert_eq!(stage.names().len(), 21);
}

fn config_maps() -> Cacher {
    Cacher::new(api::resources::by_path("", "v1", "configmaps").unwrap().clone())
}

fn item((key, value): (String, Bytes), revision: i64) -> store::KeyValue {
    let revision = Revision(revision);
    let key = key.into();
    store::KeyValue { key, value, create_revision: revision, mod_revision: revision }
}

#[test]
fn while_a_lost_cache_is_filled_again_nobody_sees_half_of_it() {
    let cache = config_maps();
    cache.load(item(map("old"), 3));
    cache.live_from(Revision(5));
    let everything = Filter::default();
    for _ in 0..2 {
        cache.reset();
        cache.load(item(map("new"), 8));
        // Readers whose freshness was proven before the loss see what there was then.
        assert!(cache.get("default/old").is_some() && cache.get("default/new").is_none());
        assert_eq!((cache.now().objects.len(), cache.now().revision), (1, Revision(5)));
        // What happened between 5 and now is not known: such a watch would silently miss it.
        assert!(cache.watch_after(Revision(5), "", &everything, false).is_err());
        assert!(cache.at(Revision(5)).is_err());
        let mut watch = cache.watch_from_now("", &everything, false, true);
        assert_eq!(watch.initial.len(), 1);
        assert!(watch.queue.blocking_recv().is_none(), "the watch has ended");
    }
    cache.live_from(Revision(9));
    assert!(cache.get("default/old").is_none() && cache.get("default/new").is_some());
    assert!(cache.watch_after(Revision(5), "", &everything, false).is_err());
    assert!(cache.watch_after(Revision(9), "", &everything, false).is_ok());
}

#[test]
fn the_window_is_bounded_in_bytes() {
    let cache = config_maps();
    cache.live_from(Revision(0));
    let (key, _) = map("fat");
    let value = stored(&json!({"kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"name": "fat", "namespace": "default"}, "data": {"a": "x".repeat(1 << 20)}}));
    for n in 1..=100 {
        let kind = if n == 1 { store::EventKind::Create } else { store::EventKind::Update };
        let (key, value, revision) = (key.as_str().into(), value.clone(), Revision(n));
        let create_revision = Revision(1);
        let event = Event { revision, kind, key, value, prev: None, create_revision };
        cache.apply(&[&event]);
    }
    let everything = Filter::default();
    assert!(cache.watch_after(Revision(50), "", &everything, false).is_err());
    let recent = cache.watch_after(Revision(90), "", &everything, false).unwrap();
    assert_eq!(recent.replay.len(), 10);
}

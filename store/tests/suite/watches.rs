use store::{EventKind, Options, Revision, WatchError};
use tokio::task::JoinSet;

use super::{LIMIT, Place, next, take, value};

pub(crate) async fn live_events_arrive_in_order_with_previous_values(place: &Place) {
    let store = place.open().await;
    let mut watch = store.watch("/a", Revision(0)).await.unwrap();
    store.create("/a", value("1")).await.unwrap();
    store.update("/a", value("2"), Revision(1)).await.unwrap();
    store.delete("/a", Revision(2)).await.unwrap();
    check(&take(&mut watch, 3).await);
    // The same from the log, by a watch that starts later.
    let mut late = store.watch("/a", Revision(0)).await.unwrap();
    check(&take(&mut late, 3).await);
    store.close().await;
}

fn check(events: &[store::Event]) {
    let kinds: Vec<_> = events.iter().map(|event| (event.revision.0, event.kind)).collect();
    assert_eq!(kinds, [(1, EventKind::Create), (2, EventKind::Update), (3, EventKind::Delete)]);
    let values: Vec<_> =
        events.iter().map(|event| (event.value.clone(), event.prev.clone())).collect();
    assert_eq!(
        values,
        [
            (value("1"), None),
            (value("2"), Some(value("1"))),
            (value("2"), Some(value("2"))), // a deletion shows the last value
        ]
    );
    assert!(events.iter().all(|event| event.create_revision == Revision(1) && &*event.key == "/a"));
}

pub(crate) async fn a_watch_resumes_from_any_revision(place: &Place) {
    let store = place.open().await;
    for n in 1..=20 {
        store.create(&format!("/a/{n:02}"), value("x")).await.unwrap();
    }
    for after in [0, 1, 7, 19] {
        let mut watch = store.watch("/a/", Revision(after)).await.unwrap();
        let events = take(&mut watch, 20 - after as usize).await;
        let revisions: Vec<i64> = events.iter().map(|event| event.revision.0).collect();
        assert_eq!(revisions, (after + 1..=20).collect::<Vec<_>>());
    }
    // From the present, and from a revision that has not happened yet.
    let mut present = store.watch("/a/", Revision(20)).await.unwrap();
    let mut future = store.watch("/a/", Revision(21)).await.unwrap();
    store.create("/a/21", value("x")).await.unwrap();
    store.create("/a/22", value("x")).await.unwrap();
    assert_eq!(next(&mut present).await[0].revision, Revision(21));
    assert_eq!(next(&mut future).await[0].revision, Revision(22));
    // After a restart, from the log alone.
    store.close().await;
    let again = place.open().await;
    let mut watch = again.watch("/a/", Revision(10)).await.unwrap();
    assert_eq!(take(&mut watch, 12).await.len(), 12);
    again.close().await;
}

/// Watches start all the time while writers are at work; each sees everything once.
pub(crate) async fn history_meets_the_present_without_gap_or_duplicate(place: &Place) {
    const WRITERS: i64 = 8;
    const EACH: i64 = 100;
    let store = place.open().await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0..EACH {
                store.create(&format!("/{writer}/{n}"), value("x")).await.unwrap();
            }
        });
    }
    let mut watchers = JoinSet::new();
    let mut published = store.published();
    for start in [0, 0, 5, 100, 300, 500, 700] {
        published.wait_for(|now| now.0 >= start).await.unwrap();
        // Every one starts a little in the past, so that it reads log and queue.
        let after = (start - 50).max(0);
        let mut watch = store.watch("/", Revision(after)).await.unwrap();
        watchers.spawn(async move {
            let events = take(&mut watch, (WRITERS * EACH - after) as usize).await;
            let revisions: Vec<i64> = events.iter().map(|event| event.revision.0).collect();
            assert_eq!(revisions, (after + 1..=WRITERS * EACH).collect::<Vec<_>>());
        });
    }
    tokio::time::timeout(LIMIT, watchers.join_all()).await.expect("all watchers finish");
    writers.join_all().await;
    store.close().await;
}

pub(crate) async fn only_the_prefix_is_seen(place: &Place) {
    let store = place.open().await;
    let mut live = store.watch("/a/", Revision(0)).await.unwrap();
    for n in 0..5 {
        store.create(&format!("/a/{n}"), value("x")).await.unwrap();
        store.create(&format!("/ab/{n}"), value("x")).await.unwrap();
        store.create(&format!("/b/{n}"), value("x")).await.unwrap();
    }
    let mut late = store.watch("/a/", Revision(3)).await.unwrap();
    let live = take(&mut live, 5).await;
    assert!(live.len() == 5 && live.iter().all(|event| event.key.starts_with("/a/")));
    let late = take(&mut late, 4).await;
    assert_eq!(late, live[1..]);
    store.close().await;
}

pub(crate) async fn a_slow_watcher_is_closed(place: &Place) {
    let options = Options { watch_buffer: 8, retention: None, ..Options::default() };
    let store = place.open_with(options).await;
    let mut slow = store.watch("/", Revision(0)).await.unwrap();
    let mut other = store.watch("/other", Revision(0)).await.unwrap();
    store.create("/a/0", value("x")).await.unwrap();
    let seen = next(&mut slow).await[0].revision;
    for n in 1..=9 {
        store.create(&format!("/a/{n}"), value("x")).await.unwrap();
    }
    let ended = tokio::time::timeout(LIMIT, async {
        loop {
            if let Err(error) = slow.next().await {
                break error;
            }
        }
    });
    let error = ended.await.expect("the watch ends");
    assert!(matches!(error, WatchError::Slow { buffered: 8 }), "{error:?}");
    // It can go on where it was, from the log.
    let mut again = store.watch("/", seen).await.unwrap();
    assert_eq!(take(&mut again, 9).await.len(), 9);
    store.create("/other", value("x")).await.unwrap();
    assert_eq!(next(&mut other).await.len(), 1);
    store.close().await;
}

pub(crate) async fn progress_moves_with_other_prefixes(place: &Place) {
    let store = place.open().await;
    let mut watch = store.watch("/a/", Revision(0)).await.unwrap();
    let mut published = store.published();
    assert_eq!(watch.progress(), Revision(0));
    store.create("/b/1", value("x")).await.unwrap();
    published.wait_for(|now| now.0 >= 1).await.unwrap();
    assert_eq!(watch.progress(), Revision(1));
    store.create("/a/1", value("x")).await.unwrap();
    store.create("/b/2", value("x")).await.unwrap();
    published.wait_for(|now| now.0 >= 3).await.unwrap();
    assert_eq!(watch.progress(), Revision(1), "an event waits to be taken");
    assert_eq!(next(&mut watch).await[0].revision, Revision(2));
    assert_eq!(watch.progress(), Revision(3));
    store.close().await;
}

pub(crate) async fn watches_end_when_the_store_closes(place: &Place) {
    let store = place.open().await;
    let mut watch = store.watch("/", Revision(0)).await.unwrap();
    let waiting = async { watch.next().await };
    let (ended, ()) = tokio::join!(tokio::time::timeout(LIMIT, waiting), store.close());
    assert!(matches!(ended, Ok(Err(WatchError::Closed))), "{ended:?}");
}

use std::time::Duration;

use futures_util::future::join_all;
use store::{Error, Options, Page, Retention, Revision, Store, WatchError};

use super::{Place, eventually, take, value};

/// Creates `count` keys under `prefix`, many per transaction.
async fn fill(store: &Store, prefix: &str, count: usize) {
    let names: Vec<String> = (0..count).map(|n| format!("{prefix}{n}")).collect();
    for outcome in join_all(names.iter().map(|name| store.create(name, value("x")))).await {
        outcome.unwrap();
    }
}

pub(crate) async fn old_history_is_gone_and_says_so(place: &Place) {
    let store = place.open().await;
    fill(&store, "/a/", 20).await;
    store.compact(Revision(10)).await.unwrap();
    store.compact(Revision(5)).await.unwrap(); // backwards is nothing
    let gone = store.watch("/a/", Revision(9)).await;
    assert!(matches!(gone, Err(WatchError::Compacted { oldest: Revision(10) })), "{gone:?}");
    let gone = store.list_at("/a/", Page::default(), Revision(9)).await;
    assert!(matches!(gone, Err(Error::Compacted { oldest: Revision(10) })), "{gone:?}");
    let there = store.list_at("/a/", Page::default(), Revision(10)).await.unwrap();
    assert_eq!(there.items.len(), 10);
    let mut watch = store.watch("/a/", Revision(10)).await.unwrap();
    assert_eq!(take(&mut watch, 10).await[0].revision, Revision(11));
    assert_eq!(store.list("/a/", Page::default()).await.unwrap().items.len(), 20);
    store.close().await;
    // The point outlives a restart.
    let again = place.open().await;
    assert!(again.watch("/a/", Revision(9)).await.is_err());
    assert!(again.watch("/a/", Revision(10)).await.is_ok());
    again.close().await;
}

pub(crate) async fn the_future_cannot_be_compacted(place: &Place) {
    let store = place.open().await;
    store.create("/a", value("x")).await.unwrap();
    let refused = store.compact(Revision(2)).await;
    assert!(
        matches!(refused, Err(Error::Future { asked: Revision(2), current: Revision(1) })),
        "{refused:?}"
    );
    store.compact(Revision(1)).await.unwrap();
    store.close().await;
}

/// Far and near previous values, around a compaction that really deletes rows.
pub(crate) async fn previous_values_survive_compaction(place: &Place) {
    let store = place.open().await;
    let rested = store.create("/k/rested", value("r1")).await.unwrap();
    let deleted = store.create("/k/deleted", value("d1")).await.unwrap();
    let busy = store.create("/k/busy", value("b1")).await.unwrap();
    let busy = store.update("/k/busy", value("b2"), busy).await.unwrap();
    fill(&store, "/f/", 9000).await;
    let busy = store.update("/k/busy", value("b3"), busy).await.unwrap();
    store.compact(busy).await.unwrap();
    let rested = store.update("/k/rested", value("r2"), rested).await.unwrap();
    store.delete("/k/deleted", deleted).await.unwrap();
    store.update("/k/busy", value("b4"), busy).await.unwrap();
    store.update("/k/rested", value("r3"), rested).await.unwrap();
    let mut watch = store.watch("/k/", busy).await.unwrap();
    let events = take(&mut watch, 4).await;
    let seen: Vec<_> = events.iter().map(|e| (&*e.key, e.value.clone(), e.prev.clone())).collect();
    assert_eq!(
        seen,
        [
            ("/k/rested", value("r2"), Some(value("r1"))),
            ("/k/deleted", value("d1"), Some(value("d1"))),
            ("/k/busy", value("b4"), Some(value("b3"))),
            ("/k/rested", value("r3"), Some(value("r2"))),
        ]
    );
    let past = store.list_at("/k/", Page::default(), busy).await.unwrap();
    let past: Vec<_> = past.items.iter().map(|item| item.value.clone()).collect();
    assert_eq!(past, [value("b3"), value("d1"), value("r1")]);
    // Compacted to the very end, and watched on from there.
    let end = store.revision().await.unwrap();
    store.compact(end).await.unwrap();
    let mut watch = store.watch("/k/", end).await.unwrap();
    let now = store.get("/k/busy").await.unwrap().expect("it exists");
    store.delete("/k/busy", now.mod_revision).await.unwrap();
    assert_eq!(take(&mut watch, 1).await[0].prev, Some(value("b4")));
    store.close().await;
}

/// Objects whose last change is forgotten keep their values: written once or often, recently or not.
pub(crate) async fn what_is_now_survives_compaction(place: &Place) {
    let store = place.open().await;
    let old = store.create("/k/old", value("old")).await.unwrap();
    let empty = store.create("/k/empty", value("")).await.unwrap();
    let large = store.create("/k/large", value("l".repeat(100_000))).await.unwrap();
    let changed = store.create("/k/changed", value("c1")).await.unwrap();
    let changed = store.update("/k/changed", value("c2"), changed).await.unwrap();
    let gone = store.create("/k/gone", value("g")).await.unwrap();
    store.delete("/k/gone", gone).await.unwrap();
    let again = store.create("/k/gone", value("again")).await.unwrap();
    fill(&store, "/f/", 9000).await;
    let recent = store.create("/k/recent", value("r1")).await.unwrap();
    store.compact(recent).await.unwrap();
    let wanted = [
        ("/k/changed", value("c2"), changed),
        ("/k/empty", value(""), empty),
        ("/k/gone", value("again"), again),
        ("/k/large", value("l".repeat(100_000)), large),
        ("/k/old", value("old"), old),
        ("/k/recent", value("r1"), recent),
    ];
    let check = async |store: &Store, listing: store::Listing| {
        let seen = listing.items.iter().map(|i| (&*i.key, i.value.clone(), i.mod_revision));
        assert_eq!(seen.collect::<Vec<_>>(), wanted);
        for (key, value, _) in &wanted {
            assert_eq!(&store.get(key).await.unwrap().expect("it exists").value, value);
        }
    };
    check(&store, store.list("/k/", Page::default()).await.unwrap()).await;
    store.close().await;
    let store = place.open().await;
    check(&store, store.list("/k/", Page::default()).await.unwrap()).await;
    // Changed once more, they are what they were before in the past, and the past goes on.
    let mut watch = store.watch("/k/", recent).await.unwrap();
    store.update("/k/old", value("new"), old).await.unwrap();
    store.delete("/k/large", large).await.unwrap();
    let events = take(&mut watch, 2).await;
    assert_eq!(events[0].prev, Some(value("old")));
    assert_eq!(events[1].prev, Some(value("l".repeat(100_000))));
    let past = store.list_at("/k/", Page::default(), recent).await.unwrap();
    let past = past.items.iter().map(|i| (&*i.key, i.value.clone(), i.mod_revision));
    assert_eq!(past.collect::<Vec<_>>(), wanted);
    fill(&store, "/g/", 9000).await;
    store.compact(store.revision().await.unwrap()).await.unwrap();
    let now = store.list("/k/", Page::default()).await.unwrap();
    let now: Vec<_> = now.items.iter().map(|i| (&*i.key, i.value.clone())).collect();
    assert_eq!(
        now,
        [
            ("/k/changed", value("c2")),
            ("/k/empty", value("")),
            ("/k/gone", value("again")),
            ("/k/old", value("new")),
            ("/k/recent", value("r1")),
        ]
    );
    store.close().await;
}

pub(crate) async fn retention_compacts_in_the_background(place: &Place) {
    let retention = Retention {
        revisions: 50,
        age: Duration::from_secs(3600),
        every: Duration::from_millis(20),
    };
    let store = place.open_with(Options { retention: Some(retention), ..Options::default() }).await;
    fill(&store, "/a/", 200).await;
    eventually("all but the last 50 revisions are compacted", || async {
        match store.watch("/a/", Revision(149)).await {
            Err(WatchError::Compacted { oldest: Revision(150) }) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(store.watch("/a/", Revision(150)).await.is_ok());
    store.close().await;
}

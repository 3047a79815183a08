use std::collections::BTreeSet;

use store::{Options, Page, Revision, Store, WriteError};
use tokio::task::JoinSet;

use super::{LIMIT, Place, take, value};

pub(crate) async fn create_needs_absence(place: &Place) {
    let store = place.open().await;
    assert_eq!(store.create("/a", value("1")).await.unwrap(), Revision(1));
    match store.create("/a", value("2")).await {
        Err(WriteError::Exists { current }) => {
            assert_eq!((current.value, current.mod_revision), (value("1"), Revision(1)));
        }
        other => panic!("{other:?}"),
    }
    store.delete("/a", Revision(1)).await.unwrap();
    assert_eq!(store.create("/a", value("3")).await.unwrap(), Revision(3));
    let found = store.get("/a").await.unwrap().expect("it exists again");
    assert_eq!(found.create_revision, Revision(3));
    store.close().await;
}

pub(crate) async fn update_needs_the_expected_revision(place: &Place) {
    let store = place.open().await;
    let missing = store.update("/a", value("1"), Revision(0)).await;
    assert!(matches!(missing, Err(WriteError::Conflict { current: None })), "{missing:?}");
    let created = store.create("/a", value("1")).await.unwrap();
    let updated = store.update("/a", value("2"), created).await.unwrap();
    assert_eq!(updated, Revision(2));
    for stale in [created, Revision(0), Revision(99)] {
        match store.update("/a", value("3"), stale).await {
            Err(WriteError::Conflict { current: Some(current) }) => {
                assert_eq!((current.value, current.mod_revision), (value("2"), updated));
                assert_eq!(current.create_revision, created);
            }
            other => panic!("{other:?}"),
        }
    }
    store.close().await;
}

pub(crate) async fn delete_needs_the_expected_revision(place: &Place) {
    let store = place.open().await;
    let missing = store.delete("/a", Revision(1)).await;
    assert!(matches!(missing, Err(WriteError::Conflict { current: None })), "{missing:?}");
    let created = store.create("/a", value("1")).await.unwrap();
    let stale = store.delete("/a", Revision(7)).await;
    assert!(matches!(stale, Err(WriteError::Conflict { current: Some(_) })), "{stale:?}");
    assert_eq!(store.delete("/a", created).await.unwrap(), Revision(2));
    assert_eq!(store.get("/a").await.unwrap(), None);
    store.close().await;
}

pub(crate) async fn refused_writes_take_no_revision(place: &Place) {
    let store = place.open().await;
    store.create("/a", value("1")).await.unwrap();
    for _ in 0..5 {
        store.create("/a", value("2")).await.unwrap_err();
        store.update("/a", value("2"), Revision(9)).await.unwrap_err();
        store.delete("/b", Revision(1)).await.unwrap_err();
    }
    assert_eq!(store.revision().await.unwrap(), Revision(1));
    assert_eq!(store.create("/b", value("1")).await.unwrap(), Revision(2));
    store.close().await;
}

pub(crate) async fn keys_that_no_engine_can_hold_are_refused(place: &Place) {
    let store = place.open().await;
    for key in ["", "/a\0b", "/\u{10FFFF}"] {
        let refused = store.create(key, value("1")).await;
        assert!(matches!(refused, Err(WriteError::InvalidKey { .. })), "{refused:?}");
    }
    assert_eq!(store.list("/a\0", Page::default()).await.unwrap().items.len(), 0);
    store.close().await;
}

pub(crate) async fn large_values_are_stored(place: &Place) {
    let store = place.open().await;
    let big = bytes::Bytes::from(vec![7u8; 3 << 20]);
    let created = store.create("/big", big.clone()).await.unwrap();
    store.update("/big", big.slice(1..), created).await.unwrap();
    let mut watch = store.watch("", Revision(0)).await.unwrap();
    let events = take(&mut watch, 2).await;
    assert_eq!(events[1].value.len(), big.len() - 1);
    assert_eq!(events[1].prev, Some(big));
    store.close().await;
}

/// Sixteen writers increment eight counters, retrying on conflict: no increment is lost.
pub(crate) async fn racing_updates_have_one_winner_each(place: &Place) {
    const ROUNDS: usize = 20;
    let store = place.open().await;
    for n in 0..8 {
        store.create(&format!("/n/{n}"), value("0")).await.unwrap();
    }
    let mut writers = JoinSet::new();
    for writer in 0..16usize {
        let store = store.clone();
        writers.spawn(async move {
            for round in 0..ROUNDS {
                increment(&store, &format!("/n/{}", (writer + round) % 8)).await;
            }
        });
    }
    writers.join_all().await;
    let listing = store.list("/n/", Page::default()).await.unwrap();
    let sum: usize = listing
        .items
        .iter()
        .map(|item| std::str::from_utf8(&item.value).unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(sum, 16 * ROUNDS);
    assert_eq!(listing.revision, Revision(8 + 16 * ROUNDS as i64));
    store.close().await;
}

async fn increment(store: &Store, key: &str) {
    let mut current = store.get(key).await.unwrap().expect("it exists");
    loop {
        let number: usize = std::str::from_utf8(&current.value).unwrap().parse().unwrap();
        match store.update(key, value((number + 1).to_string()), current.mod_revision).await {
            Ok(_) => return,
            Err(WriteError::Conflict { current: Some(now) }) => current = now,
            Err(other) => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn revisions_are_gapless_under_16_writers(place: &Place) {
    const EACH: usize = 50;
    let store = place.open().await;
    let mut watch = store.watch("", Revision(0)).await.unwrap();
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let store = store.clone();
        writers.spawn(async move {
            let mut revisions = Vec::new();
            for n in 0..EACH {
                let key = format!("/w/{writer}/{n}");
                let created = store.create(&key, value(&*key)).await.unwrap();
                revisions.push(created);
                store.create(&key, value("again")).await.unwrap_err();
                if n % 3 == 0 {
                    revisions.push(store.delete(&key, created).await.unwrap());
                }
            }
            revisions
        });
    }
    let answered: Vec<Revision> = writers.join_all().await.concat();
    let expected: Vec<Revision> = (1..=answered.len() as i64).map(Revision).collect();
    let unique: BTreeSet<Revision> = answered.iter().copied().collect();
    assert_eq!(unique.into_iter().collect::<Vec<_>>(), expected);
    let seen = take(&mut watch, expected.len()).await;
    assert_eq!(seen.iter().map(|event| event.revision).collect::<Vec<_>>(), expected);
    assert_eq!(store.revision().await.unwrap().0, expected.len() as i64);
    store.close().await;
}

pub(crate) async fn a_closed_store_refuses_and_keeps_everything(place: &Place) {
    let store = place.open().await;
    store.create("/a", value("1")).await.unwrap();
    let copy = store.clone();
    store.close().await;
    copy.close().await; // twice is no harm
    let refused = copy.create("/b", value("1")).await;
    assert!(matches!(refused, Err(WriteError::Closed)), "{refused:?}");
    assert!(copy.get("/a").await.is_err());
    assert!(copy.ping().await.is_err());
    let again = place.open().await;
    assert_eq!(again.revision().await.unwrap(), Revision(1));
    assert_eq!(again.create("/b", value("1")).await.unwrap(), Revision(2));
    again.close().await;
}

pub(crate) async fn close_commits_what_is_queued(place: &Place) {
    let store =
        place.open_with(Options { group: false, retention: None, ..Options::default() }).await;
    let mut writers = JoinSet::new();
    for n in 0..100 {
        let store = store.clone();
        writers.spawn(async move { (n, store.create(&format!("/q/{n}"), value("x")).await) });
    }
    // At least one is through, most still wait.
    let first = writers.join_next().await.expect("a writer").expect("no panic");
    assert!(first.1.is_ok());
    store.close().await;
    let mut acknowledged = vec![first];
    acknowledged.extend(writers.join_all().await);
    let again = place.open().await;
    for (n, outcome) in acknowledged {
        let found = again.get(&format!("/q/{n}")).await.unwrap();
        match outcome {
            Ok(revision) => assert_eq!(found.expect("acknowledged").mod_revision, revision),
            Err(WriteError::Closed) => assert_eq!(found, None),
            Err(other) => panic!("{other:?}"),
        }
    }
    again.close().await;
}

/// Writers that never pause keep the queue full; the store closes all the same.
pub(crate) async fn close_is_not_put_off_by_constant_load(place: &Place) {
    let store =
        place.open_with(Options { group: false, retention: None, ..Options::default() }).await;
    let (first, mut written) = tokio::sync::mpsc::channel(1);
    let mut writers = JoinSet::new();
    for writer in 0..32 {
        let (store, first) = (store.clone(), first.clone());
        writers.spawn(async move {
            for n in 0.. {
                match store.create(&format!("/{writer}/{n}"), value("x")).await {
                    Ok(_) => drop(first.try_send(())),
                    Err(WriteError::Closed) => return,
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
    }
    written.recv().await.expect("a write");
    tokio::time::timeout(LIMIT, store.close()).await.expect("the store closes under load");
    writers.join_all().await;
}

pub(crate) async fn ping_answers(place: &Place) {
    let store = place.open().await;
    tokio::time::timeout(LIMIT, store.ping()).await.expect("an answer").unwrap();
    assert_eq!(store.revision().await.unwrap(), Revision(0));
    store.close().await;
}

use bytes::Bytes;

use super::*;
use crate::model::EventKind;

fn batch(revisions: std::ops::RangeInclusive<i64>, prefix: &str) -> Arc<[Event]> {
    revisions
        .map(|revision| Event {
            revision: Revision(revision),
            kind: EventKind::Create,
            key: format!("{prefix}{revision}").into(),
            value: Bytes::new(),
            prev: None,
            create_revision: Revision(revision),
        })
        .collect()
}

fn drain(queue: &Queue) -> Vec<i64> {
    let mut seen = Vec::new();
    while let Ok(Some(batch)) = queue.try_next() {
        seen.extend(batch.iter().map(|event| event.revision.0));
    }
    seen
}

#[test]
fn batches_of_others_are_waited_for_and_nothing_comes_twice() {
    let hub = Hub::new(Revision(0), 100);
    let (queue, from) = hub.subscribe("a");
    assert_eq!(from, Revision(0));
    hub.publish(batch(1..=2, "a"));
    hub.publish(batch(5..=6, "a")); // 3 and 4 are another process's
    hub.publish(batch(8..=8, "a"));
    assert_eq!(drain(&queue), [1, 2]);
    assert_eq!(hub.published(), Revision(2));
    hub.publish(batch(2..=5, "a")); // read back from the log, overlapping
    assert_eq!(drain(&queue), [3, 4, 5, 6]);
    hub.publish(batch(7..=7, "a"));
    assert_eq!(drain(&queue), [7, 8]);
    assert_eq!(hub.published(), Revision(8));
}

#[test]
fn a_watcher_sees_only_its_prefix_and_shares_whole_batches() {
    let hub = Hub::new(Revision(0), 100);
    let (a, _) = hub.subscribe("a/");
    let (b, _) = hub.subscribe("b/");
    let whole = batch(1..=3, "a/");
    hub.publish(whole.clone());
    hub.publish(batch(4..=4, "b/"));
    let got = a.try_next().expect("open").expect("a batch");
    assert!(Arc::ptr_eq(&got, &whole));
    assert_eq!(drain(&a), [0; 0]);
    assert_eq!(drain(&b), [4]);
}

#[test]
fn a_slow_watcher_is_closed_and_holds_nothing() {
    let hub = Hub::new(Revision(0), 4);
    let (queue, _) = hub.subscribe("");
    hub.publish(batch(1..=3, "a"));
    hub.publish(batch(4..=4, "a"));
    hub.publish(batch(5..=5, "a"));
    assert_eq!(queue.try_next(), Err(Closed::Slow));
    assert!(hub.state.lock().queues.is_empty());
}

#[test]
fn a_bell_for_the_own_commit_is_no_reason_to_read() {
    let hub = Hub::new(Revision(3), 4);
    hub.committing(Revision(5));
    assert!(!hub.is_missing(Revision(3)));
    assert!(!hub.is_missing(Revision(5)));
    assert!(hub.is_missing(Revision(6)));
    hub.committing(Revision(0)); // the commit failed
    assert!(hub.is_missing(Revision(5)));
}

#[tokio::test]
async fn closing_delivers_what_waits_and_then_ends() {
    let hub = Hub::new(Revision(0), 4);
    let (queue, _) = hub.subscribe("");
    hub.publish(batch(1..=1, "a"));
    hub.close();
    assert_eq!(queue.next().await.expect("a batch").len(), 1);
    assert_eq!(queue.next().await, Err(Closed::Store));
    let (late, _) = hub.subscribe("");
    assert_eq!(late.next().await, Err(Closed::Store));
}

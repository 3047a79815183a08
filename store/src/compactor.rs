//! The background compaction: forgets history that exceeds the [`Retention`].
//!
//! Ages come from memory: each round notes which revision was the newest then.
//! After a restart the notes start anew, so history is kept longer, not shorter.
//! Several processes on one Postgres may all compact: the point only moves
//! forward, and what one has deleted the other does not find.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::engine::Engine;
use crate::error::Error;
use crate::model::Revision;
use crate::options::Retention;

/// Compacts until dropped.
pub(crate) async fn run(
    engine: Arc<dyn Engine>,
    published: watch::Receiver<Revision>,
    retention: Retention,
) {
    let mut ticks = interval(retention.every.max(Duration::from_millis(10)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut notes = VecDeque::new();
    let mut done = Revision(0);
    loop {
        ticks.tick().await;
        let newest = *published.borrow();
        let Some(point) = point(&mut notes, Instant::now(), newest, retention) else { continue };
        if point <= done {
            continue;
        }
        match engine.compact(point).await {
            Ok(()) => {
                done = point;
                tracing::debug!(revision = point.0, "compacted the history");
            }
            Err(Error::Closed) => return,
            Err(error) => {
                tracing::warn!(revision = point.0, error = %error, "cannot compact the history");
            }
        }
    }
}

/// Up to where history may go now; notes `newest` for later rounds.
fn point(
    notes: &mut VecDeque<(Instant, Revision)>,
    now: Instant,
    newest: Revision,
    retention: Retention,
) -> Option<Revision> {
    if notes.back().is_none_or(|(_, revision)| *revision < newest) {
        notes.push_back((now, newest));
    }
    let kept = i64::try_from(retention.revisions).unwrap_or(i64::MAX);
    let mut point = Revision(newest.0.saturating_sub(kept));
    while let Some((seen, revision)) = notes.front() {
        if now.duration_since(*seen) < retention.age {
            break;
        }
        point = point.max(*revision);
        notes.pop_front();
    }
    (point > Revision(0)).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETENTION: Retention =
        Retention { revisions: 100, age: Duration::from_secs(60), every: Duration::from_secs(1) };

    #[test]
    fn history_goes_when_it_is_old_or_too_much() {
        let start = Instant::now();
        let mut notes = VecDeque::new();
        let mut at = |seconds: u64, newest: i64| {
            point(&mut notes, start + Duration::from_secs(seconds), Revision(newest), RETENTION)
        };
        assert_eq!(at(0, 10), None);
        assert_eq!(at(30, 20), None);
        assert_eq!(at(60, 20), Some(Revision(10)));
        assert_eq!(at(90, 30), Some(Revision(20)));
        assert_eq!(at(91, 500), Some(Revision(400)));
    }
}

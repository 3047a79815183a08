//! One suite, both engines: what the store promises, it promises on each.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod suite;

macro_rules! on_both_engines {
    ($($module:ident :: $case:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::suite::$module::$case(&crate::suite::Place::sqlite()).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::suite::$module::$case(&crate::suite::Place::postgres()).await;
                }
            )*
        }
    };
}

on_both_engines! {
    reads::an_empty_store_answers,
    reads::get_returns_what_was_stored,
    reads::list_takes_a_prefix_in_byte_order,
    reads::pages_continue_behind_the_last_key,
    reads::the_past_can_be_listed,
    writes::create_needs_absence,
    writes::update_needs_the_expected_revision,
    writes::delete_needs_the_expected_revision,
    writes::refused_writes_take_no_revision,
    writes::keys_that_no_engine_can_hold_are_refused,
    writes::large_values_are_stored,
    writes::racing_updates_have_one_winner_each,
    writes::revisions_are_gapless_under_16_writers,
    writes::a_closed_store_refuses_and_keeps_everything,
    writes::close_commits_what_is_queued,
    writes::close_is_not_put_off_by_constant_load,
    writes::ping_answers,
    watches::live_events_arrive_in_order_with_previous_values,
    watches::a_watch_resumes_from_any_revision,
    watches::history_meets_the_present_without_gap_or_duplicate,
    watches::only_the_prefix_is_seen,
    watches::a_slow_watcher_is_closed,
    watches::progress_moves_with_other_prefixes,
    watches::watches_end_when_the_store_closes,
    compaction::old_history_is_gone_and_says_so,
    compaction::the_future_cannot_be_compacted,
    compaction::previous_values_survive_compaction,
    compaction::what_is_now_survives_compaction,
    compaction::retention_compacts_in_the_background,
    model::random_operations_match_the_model,
}

/// A ping is one read: it neither waits behind writes that do not get through nor writes itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_of_sqlite_passes_writes_that_wait() {
    let place = suite::Place::sqlite();
    let store = place.open().await;
    let path = place.url.strip_prefix("sqlite://").expect("a file");
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waits = {
        let store = store.clone();
        tokio_util::task::AbortOnDropHandle::new(
            tokio_util::task::TaskTracker::new()
                .spawn(async move { store.create("/a", suite::value("1")).await }),
        )
    };
    tokio::time::timeout(suite::LIMIT, store.ping()).await.expect("an answer").unwrap();
    other.execute_batch("ROLLBACK").unwrap();
    // Written in the end, or refused after a long wait: answered in any case.
    tokio::time::timeout(suite::LIMIT, waits).await.expect("an answer").unwrap().ok();
    store.create("/b", suite::value("1")).await.unwrap();
    store.close().await;
}

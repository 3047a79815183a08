//! Waiting for a condition instead of for time to pass.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const STEP: Duration = Duration::from_millis(20);

/// Calls `probe` until it gives a value; panics after `limit` with the last thing it saw.
///
/// The limit is no assertion about speed: it only keeps a broken test from hanging.
pub fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<T, String>,
) -> T {
    let end = Instant::now() + limit;
    loop {
        match probe() {
            Ok(value) => return value,
            Err(last) if Instant::now() >= end => {
                panic!("{what}: not within {limit:?}; last seen: {last}")
            }
            Err(_) => std::thread::park_timeout(STEP),
        }
    }
}

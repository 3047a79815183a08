//! When to ask again, and how long to wait before.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::RegistryError;

/// Tries without progress before giving up: about three seconds with the delays below. The caller
/// (a pod's image back-off) tries again later anyway.
pub(super) const MOST_TRIES: u32 = 5;
const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// A registry that asks for more is told no: the error reaches the user sooner.
const LONGEST_ASKED: Duration = Duration::from_secs(20);

/// Runs `attempt` until it succeeds, fails for good, or has been tried often enough.
pub(super) async fn with<T, F>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>>,
{
    let mut tries = 0;
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => tries = pause(what, error, tries).await?,
        }
    }
}

/// Sleeps before the next try and counts it, or gives the error back.
pub(super) async fn pause(
    what: &str,
    error: RegistryError,
    tries: u32,
) -> Result<u32, RegistryError> {
    let tries = tries + 1;
    if !error.is_transient() || tries >= MOST_TRIES {
        return Err(error);
    }
    let asked = match &error {
        RegistryError::Status { retry_after, .. } => *retry_after,
        _ => None,
    };
    let delay = delay(tries, asked, RandomState::new().hash_one(tries));
    tracing::debug!(what, tries, ?delay, %error, "registry request failed, trying again");
    tokio::time::sleep(delay).await;
    Ok(tries)
}

/// Doubles per try, half of it at random so that nodes do not come back in step.
fn delay(tries: u32, asked: Option<Duration>, random: u64) -> Duration {
    let full = FIRST_DELAY.saturating_mul(1 << (tries - 1).min(8)).min(LONGEST_DELAY);
    let half = full / 2;
    let jitter = half.mul_f64(random as f64 / u64::MAX as f64);
    (half + jitter).max(asked.unwrap_or_default().min(LONGEST_ASKED))
}

/// `Retry-After` in seconds; the date form is rare enough to ignore.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_stay_bounded() {
        let millis = |tries, asked: Option<u64>, random| {
            delay(tries, asked.map(Duration::from_secs), random).as_millis()
        };
        assert_eq!(millis(1, None, 0), 100);
        assert_eq!(millis(1, None, u64::MAX), 200);
        assert_eq!(millis(4, None, u64::MAX), 1600);
        assert_eq!(millis(30, None, u64::MAX), 5000);
        assert_eq!(millis(1, Some(3), 0), 3000);
        assert_eq!(millis(1, Some(3600), 0), 20_000);
    }

    #[tokio::test(start_paused = true)]
    async fn only_transient_errors_are_tried_again() {
        let timeout = || RegistryError::Timeout { host: "h".into(), after: Duration::ZERO };
        let missing = || RegistryError::NotFound { host: "h".into(), what: "x".into() };
        let mut calls = 0;
        let result: Result<(), _> = with("x", || {
            calls += 1;
            async { Err(timeout()) }
        })
        .await;
        assert!(matches!(result, Err(RegistryError::Timeout { .. })));
        assert_eq!(calls, MOST_TRIES);
        let mut calls = 0;
        let result: Result<(), _> = with("x", || {
            calls += 1;
            async { Err(missing()) }
        })
        .await;
        assert!(matches!(result, Err(RegistryError::NotFound { .. })));
        assert_eq!(calls, 1);
    }
}

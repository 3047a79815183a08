//! Whether the store answers, asked for all who want to know at a time.
//!
//! Anybody may ask for readiness, as often as they like. One question is under way at a time, and
//! whoever waited for it, or comes soon after, gets its answer: a flood of probes costs the
//! database one small read a second.

use std::time::Duration;

use store::Store;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long the store may take to answer before readiness is denied (as kube-apiserver's
/// `--etcd-readycheck-timeout`).
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer counts.
const RECENT: Duration = Duration::from_secs(1);

type Answer = Result<(), String>;

/// The last answer of the store.
#[derive(Default)]
pub(crate) struct StoreProbe(Mutex<Option<(Instant, Answer)>>);

impl StoreProbe {
    /// Asks, unless somebody just did.
    ///
    /// # Errors
    /// Why the store cannot be relied on.
    pub(in crate::handlers) async fn ask(&self, store: &Store) -> Answer {
        let mut last = self.0.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < RECENT
        {
            return answer.clone();
        }
        let answer = match tokio::time::timeout(PATIENCE, store.ping()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use store::Options;

    use super::*;

    #[tokio::test]
    async fn an_answer_counts_for_a_moment() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("state.db").display());
        let store = Store::open(&url, Options::default()).await.unwrap();
        assert_eq!(StoreProbe::default().ask(&store).await, Ok(()));
        store.close().await;
        // A store that is closed answers at once: no time passes but what the test lets pass.
        tokio::time::pause();
        let probe = StoreProbe(Mutex::new(Some((Instant::now(), Ok(())))));
        assert_eq!(probe.ask(&store).await, Ok(()), "asked again too soon");
        tokio::time::advance(RECENT).await;
        assert_eq!(probe.ask(&store).await, Err("the store is closed".to_owned()));
    }
}

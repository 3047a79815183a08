//! The proof that the cache is not older than the store.

use std::time::Duration;

use api::status::Status;
use store::{Revision, Store};
use tokio::sync::watch;

/// How long a read waits for the cache to catch up (as kube-apiserver's cacher).
const PATIENCE: Duration = Duration::from_secs(3);

/// What has been applied while the caches are being filled: less than any revision there is.
pub(super) const LOADING: Revision = Revision(-1);

/// How far the feed has come, and how far the store is.
#[derive(Clone)]
pub(crate) struct Freshness {
    store: Store,
    applied: watch::Receiver<Revision>,
}

impl Freshness {
    pub(super) fn new(store: Store, applied: watch::Receiver<Revision>) -> Freshness {
        Freshness { store, applied }
    }

    /// Everything up to here is in the cache.
    pub(crate) fn applied(&self) -> Revision {
        *self.applied.borrow()
    }

    /// Waits until the cache shows at least what the store held when this was called.
    ///
    /// A store that cannot be asked does not stop reads: memory serves them, as of the last write
    /// that this server has heard of, its own acknowledged ones included.
    pub(crate) async fn consistent(&self) -> Result<(), Status> {
        let revision = match tokio::time::timeout(PATIENCE, self.store.revision()).await {
            Ok(Ok(revision)) => revision,
            unanswered => {
                tracing::debug!(?unanswered, "store does not answer; reading from memory");
                *self.store.published().borrow()
            }
        };
        let busy = |_| Status::too_many_requests("storage is (re)initializing", 1);
        self.wait(revision).await.map_err(busy)
    }

    /// Waits until the cache shows anything at all: it does not while it is being filled again.
    pub(crate) async fn any(&self) -> Result<(), Status> {
        let busy = |_| Status::too_many_requests("storage is (re)initializing", 1);
        self.wait(Revision(0)).await.map_err(busy)
    }

    /// Why the cache cannot be relied on now.
    pub(crate) fn problem(&self) -> Option<&'static str> {
        // The feed owns the sending half.
        if self.applied.has_changed().is_err() {
            Some("the feed has ended")
        } else if self.applied() <= LOADING {
            Some("loading")
        } else {
            None
        }
    }

    /// Waits until the cache shows at least `revision`, which a client has seen elsewhere.
    pub(crate) async fn at_least(&self, revision: Revision) -> Result<(), Status> {
        self.wait(revision)
            .await
            .map_err(|current| Status::too_large_resource_version(revision.0, current.0))
    }

    async fn wait(&self, revision: Revision) -> Result<(), Revision> {
        if self.applied() >= revision {
            return Ok(());
        }
        let mut applied = self.applied.clone();
        let reached = applied.wait_for(|applied| *applied >= revision);
        match tokio::time::timeout(PATIENCE, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(self.applied()),
        }
    }
}

//! Deletes bootstrap tokens whose time is over.
//!
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>.

use std::sync::Arc;
use std::time::Duration;

use client::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Client, ResourceExt};

use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name in logs.
pub(crate) const NAME: &str = "token-cleaner-controller";

/// The type and namespace of the Secrets to watch.
pub(crate) const TYPE: &str = "bootstrap.kubernetes.io/token";
/// Where bootstrap tokens are.
pub(crate) const NAMESPACE: &str = "kube-system";

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct TokenCleaner {
    client: Client,
    clock: Clock,
    secrets: Cache<Secret>,
    queue: Arc<WorkQueue<Key>>,
}

impl TokenCleaner {
    /// Hooks into the informer of bootstrap tokens; the queue is to be served with
    /// [`TokenCleaner::reconcile`].
    pub(crate) fn new(client: Client, clock: Clock, secrets: &mut Informer<Secret>) -> Self {
        let queue = Arc::new(WorkQueue::new());
        let this = Self { client, clock, secrets: secrets.cache(), queue };
        let queue = this.queue.clone();
        secrets.on_change(move |_, now| {
            if let Some(secret) = now {
                queue.add(Key::of(&**secret));
            }
        });
        this
    }

    /// The queue of tokens to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Deletes a token whose time is over.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(secret) = self.secrets.get(&key) else { return Ok(Next::OnChange) };
        match left(&secret, self.clock.now()) {
            None => return Ok(Next::OnChange),
            Some(wait) if !wait.is_zero() => return Ok(Next::After(wait)),
            Some(_) => {}
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        // Its time may have been prolonged a moment ago.
        let params = DeleteParams::default().preconditions(Preconditions {
            uid: secret.uid(),
            resource_version: secret.resource_version(),
        });
        let deleted = request("delete token", &key, api.delete(&key.name, &params)).await;
        unless_gone(deleted)?;
        Ok(Next::OnChange)
    }
}

/// How long the token is still good; none: for ever. What cannot be read is over.
pub(crate) fn left(secret: &Secret, now: Timestamp) -> Option<Duration> {
    let expiration = secret.data.as_ref()?.get("expiration")?;
    let end = std::str::from_utf8(&expiration.0).ok().and_then(|text| text.parse().ok());
    let left = end.map_or(SignedDuration::ZERO, |end: Timestamp| end.duration_since(now));
    Some(left.max(SignedDuration::ZERO).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    #[test]
    fn tokens_have_their_time() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        for (expiration, seconds) in [
            (None, None),
            (Some("2026-01-01T00:01:00Z"), Some(60)),
            (Some("2025-12-31T00:00:00Z"), Some(0)),
            (Some("2026-01-01T02:00:00+01:00"), Some(3600)),
            (Some("soon"), Some(0)),
        ] {
            let data = expiration.map(|text| {
                [("expiration".to_owned(), ByteString(text.as_bytes().to_vec()))].into()
            });
            let secret = Secret { data, ..Secret::default() };
            assert_eq!(left(&secret, now).map(|left| left.as_secs()), seconds, "{expiration:?}");
        }
    }
}

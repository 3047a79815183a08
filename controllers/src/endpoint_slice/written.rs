//! What was last written for a Service and may not be in the cache yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::informer::Key;

/// After this the cache is believed again: something was missed.
const EXPIRY: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Last {
    /// Written at this resourceVersion.
    Version(u64),
    Deleted,
}

/// By slice.
type Slices = HashMap<String, (Last, Instant)>;

/// By Service, then by slice.
#[derive(Debug, Default)]
pub(super) struct Written {
    by_service: Mutex<HashMap<Key, Slices>>,
}

impl Written {
    /// The API server answered with this slice.
    pub(super) fn wrote(&self, service: &Key, slice: &EndpointSlice) {
        if let Some(version) = version(slice) {
            self.note(service, slice.name_any(), Last::Version(version));
        }
    }

    /// The slice was deleted.
    pub(super) fn deleted(&self, service: &Key, slice: &str) {
        self.note(service, slice.to_owned(), Last::Deleted);
    }

    fn note(&self, service: &Key, slice: String, last: Last) {
        let mut all = self.by_service.lock();
        all.entry(service.clone()).or_default().insert(slice, (last, Instant::now()));
    }

    /// Whether the cached slices of the Service are as new as what was written.
    pub(super) fn is_shown(&self, service: &Key, cached: &[Arc<EndpointSlice>]) -> bool {
        let mut all = self.by_service.lock();
        let Some(slices) = all.get_mut(service) else { return true };
        slices.retain(|name, (last, since)| {
            let in_cache = cached.iter().find(|slice| slice.name_any() == *name);
            let shown = match last {
                Last::Deleted => in_cache.is_none(),
                // resourceVersions of one resource are ordered numbers (KEP-5504).
                Last::Version(written) => {
                    in_cache.and_then(|slice| version(slice)).is_some_and(|v| v >= *written)
                }
            };
            !shown && since.elapsed() <= EXPIRY
        });
        let shown = slices.is_empty();
        if shown {
            all.remove(service);
        }
        shown
    }

    /// The Service is gone.
    pub(super) fn forget(&self, service: &Key) {
        self.by_service.lock().remove(service);
    }
}

fn version(slice: &EndpointSlice) -> Option<u64> {
    slice.metadata.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice(name: &str, version: &str) -> EndpointSlice {
        serde_json::from_value(json!({"addressType": "IPv4",
            "metadata": {"name": name, "resourceVersion": version}}))
        .unwrap()
    }

    fn cached(name: &str, version: &str) -> Vec<Arc<EndpointSlice>> {
        vec![Arc::new(slice(name, version))]
    }

    #[tokio::test(start_paused = true)]
    async fn writes_are_awaited() {
        let (w, key) = (Written::default(), Key::new("n", "s"));
        assert!(w.is_shown(&key, &[]));
        w.wrote(&key, &slice("a", "9"));
        assert!(!w.is_shown(&key, &[]));
        assert!(!w.is_shown(&key, &cached("a", "8")));
        assert!(w.is_shown(&key, &cached("a", "10")), "numbers, not text");
        w.deleted(&key, "a");
        assert!(!w.is_shown(&key, &cached("a", "10")));
        assert!(w.is_shown(&key, &[]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_never_shown_does_not_block_for_ever() {
        let (w, key) = (Written::default(), Key::new("n", "s"));
        w.wrote(&key, &slice("a", "9"));
        tokio::time::advance(EXPIRY + Duration::from_secs(1)).await;
        assert!(w.is_shown(&key, &[]));
    }
}

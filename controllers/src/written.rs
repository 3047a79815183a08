//! Which version of an object a controller wrote last.
//!
//! Between the answer to a write and its arrival in the cache, the cache has an older version. A
//! controller that counts (pods that have ended, disruptions that were granted) would count on old
//! numbers. So it notes the version it wrote here and decides nothing before the cache has it, or
//! until that takes so long that something was missed.

mod owned;

use std::collections::HashMap;
use std::time::Duration;

use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::time::Instant;

pub(crate) use self::owned::OwnedWrites;
use crate::informer::Key;

/// After this the cache is believed again: something was missed.
const EXPIRY: Duration = Duration::from_secs(60);

/// The last written version by object.
#[derive(Debug, Default)]
pub(crate) struct Written {
    versions: Mutex<HashMap<Key, (u64, Instant)>>,
}

impl Written {
    /// The API server answered a write with this object.
    pub(crate) fn wrote(&self, object: &impl ResourceExt) {
        if let Some(version) = version(object) {
            self.versions.lock().insert(Key::of(object), (version, Instant::now()));
        }
    }

    /// Whether the cached object is as new as what was written.
    pub(crate) fn is_shown(&self, cached: &impl ResourceExt) -> bool {
        let (key, mut versions) = (Key::of(cached), self.versions.lock());
        let Some((written, since)) = versions.get(&key) else { return true };
        // resourceVersions of one resource are ordered numbers (KEP-5504).
        let shown = version(cached).is_none_or(|have| have >= *written);
        let shown = shown || since.elapsed() > EXPIRY;
        if shown {
            versions.remove(&key);
        }
        shown
    }

    /// The object is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.versions.lock().remove(key);
    }
}

fn version(object: &impl ResourceExt) -> Option<u64> {
    object.resource_version()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn map(version: &str) -> ConfigMap {
        let mut map = ConfigMap::default();
        map.metadata.name = Some("m".to_owned());
        map.metadata.resource_version = Some(version.to_owned());
        map
    }

    #[tokio::test(start_paused = true)]
    async fn older_versions_are_not_believed() {
        let written = Written::default();
        assert!(written.is_shown(&map("5")), "nothing was written");
        written.wrote(&map("10"));
        assert!(!written.is_shown(&map("9")), "9 is less than 10 as a number");
        assert!(written.is_shown(&map("10")));
        assert!(written.is_shown(&map("9")), "noted once");

        written.wrote(&map("10"));
        tokio::time::advance(EXPIRY + Duration::from_secs(1)).await;
        assert!(written.is_shown(&map("9")), "the watch has missed it");
        written.wrote(&map("10"));
        written.forget(&Key::of(&map("")));
        assert!(written.is_shown(&map("9")));
    }
}

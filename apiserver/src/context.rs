//! What every handler may use: the table, the caches, the store, the allocators.

use std::sync::Arc;

use api::resources::Resource;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Views;
use crate::allocation::Allocators;
use crate::authn::Issuer;
use crate::authz::rbac::Policies;
use crate::cacher::{Cacher, Freshness};
use crate::crd::Registry;
use crate::flow::Flow;
use crate::handlers::health::StoreProbe;
use crate::handlers::openapi::Documents;
use crate::handlers::relay::Relay;

/// Shared by all requests.
pub(crate) struct Context {
    /// The durable truth.
    pub(crate) store: Store,
    /// A cache per stored built-in resource, in table order.
    pub(crate) caches: Vec<Arc<Cacher>>,
    /// Custom resources and their caches.
    pub(crate) custom: Registry,
    /// How many requests are worked on at a time.
    pub(crate) flow: Flow,
    /// How far the caches have come.
    pub(crate) freshness: Freshness,
    /// Service addresses and node ports.
    pub(crate) allocators: Allocators,
    /// For health: asks whether the store answers.
    pub(crate) store_probe: StoreProbe,
    /// The OpenAPI documents.
    pub(crate) openapi: Documents,
    /// Calls the node agents.
    pub(crate) kubelets: Relay,
    /// Calls pods, for whoever asks through the proxy.
    pub(crate) pods: Relay,
    /// The server's tasks.
    pub(crate) tracker: TaskTracker,
    /// What admission knows of other objects.
    pub(crate) admission: Views,
    /// Whether pods run as accounts that exist, and get their tokens.
    pub(crate) service_accounts: bool,
    /// Makes and checks ServiceAccount tokens.
    pub(crate) issuer: Issuer,
    /// Roles and bindings, ready to be asked.
    pub(crate) policies: Policies,
    /// Cancelled when the server stops: watches end, readiness is withdrawn.
    pub(crate) stopping: CancellationToken,
}

impl Context {
    /// The cache of a built-in resource.
    pub(crate) fn cache(&self, resource: &Resource) -> Option<&Arc<Cacher>> {
        self.caches.iter().find(|cache| {
            let row = cache.resource();
            row.group == resource.group
                && row.plural == resource.plural
                && row.version == resource.version
        })
    }

    /// The cache of a built-in core resource.
    pub(crate) fn core(&self, plural: &str) -> &Arc<Cacher> {
        self.caches
            .iter()
            .find(|cache| cache.resource().group.is_empty() && cache.resource().plural == plural)
            .expect("the core resources are rows of the built-in table")
    }
}

/// The current time, from the one place that asks for it.
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// A random (version 4) UUID.
pub(crate) fn uuid() -> String {
    let mut bytes = [0_u8; 16];
    fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).expect("a nibble is a hex digit"));
        }
    }
    text
}

/// Sixty-four random bits.
pub(crate) fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

fn fill(bytes: &mut [u8]) {
    use ring::rand::SecureRandom as _;
    ring::rand::SystemRandom::new().fill(bytes).expect("the kernel's random source never fails");
}

#[cfg(test)]
mod tests {
    #[test]
    fn uuids_are_version_4() {
        let uuid = super::uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4", "{uuid}");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert_ne!(uuid, super::uuid());
    }
}

//! What every handler may use: the table, the caches, the store, the allocators.

use std::cell::RefCell;
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
use crate::handlers::metrics::Readings;
use crate::handlers::openapi::Documents;
use crate::handlers::relay::Relay;
use crate::telemetry::Telemetry;

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
    /// What nodes and pods use.
    pub(crate) metrics: Readings,
    /// Calls pods, for whoever asks through the proxy.
    pub(crate) pods: Relay,
    /// What was answered, and how fast.
    pub(crate) telemetry: Arc<Telemetry>,
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
    String::from_utf8_lossy(&uuid_text()).into_owned()
}

/// The text of a random (version 4) UUID.
pub(crate) fn uuid_text() -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes: [u8; 16] = random_bytes();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = [b'-'; 36];
    let mut to = 0;
    for (at, byte) in bytes.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            to += 1;
        }
        text[to] = DIGITS[usize::from(byte >> 4)];
        text[to + 1] = DIGITS[usize::from(byte & 15)];
        to += 2;
    }
    text
}

/// Sixty-four random bits.
pub(crate) fn random() -> u64 {
    u64::from_ne_bytes(random_bytes())
}

/// How many random bytes are asked of the kernel at a time: every request needs a few.
const POOL: usize = 1024;

thread_local! {
    /// Random bytes of this thread, and how many of them are left.
    static RANDOM: RefCell<([u8; POOL], usize)> = const { RefCell::new(([0; POOL], 0)) };
}

/// Takes `N` bytes (a few, not more than [`POOL`]) out of the thread's pool.
fn random_bytes<const N: usize>() -> [u8; N] {
    use ring::rand::SecureRandom as _;
    RANDOM.with_borrow_mut(|(pool, left)| {
        if *left < N {
            let filled = ring::rand::SystemRandom::new().fill(pool);
            filled.expect("the kernel's random source never fails");
            *left = POOL;
        }
        *left -= N;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&pool[*left..*left + N]);
        // Nobody learns later what was given out.
        pool[*left..*left + N].fill(0);
        bytes
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn uuids_are_version_4() {
        let uuid = super::uuid();
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4", "{uuid}");
        assert!(matches!(&uuid[19..20], "8" | "9" | "a" | "b"), "{uuid}");
        assert_eq!(uuid.match_indices('-').map(|(at, _)| at).collect::<Vec<_>>(), [8, 13, 18, 23]);
        // More than one pool of them.
        let many: std::collections::HashSet<_> = (0..1000).map(|_| super::uuid()).collect();
        assert_eq!(many.len(), 1000);
    }
}

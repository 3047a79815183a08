//! Which endpoint a connection goes to.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Balance;
use crate::plan::Backend;

/// So many clients are remembered per Service port; beyond it, the silent ones are forgotten and,
/// if all are recent, the new ones are not remembered.
const REMEMBERED: usize = 65_536;

/// Picks endpoints for one Service port. Shared by its connections; the backend can be replaced at
/// any time.
#[derive(Debug)]
pub(crate) struct Picker {
    backend: ArcSwap<Backend>,
    balance: Balance,
    next: AtomicU64,
    sticky: Mutex<HashMap<IpAddr, (SocketAddr, Instant)>>,
}

impl Picker {
    pub(crate) fn new(backend: Backend, balance: Balance) -> Self {
        // Listeners of one Service on many nodes should not all begin with the same endpoint.
        let start = match balance {
            Balance::RoundRobin => 0,
            Balance::Random => RandomState::new().build_hasher().finish(),
        };
        Self {
            backend: ArcSwap::from_pointee(backend),
            balance,
            next: AtomicU64::new(start),
            sticky: Mutex::default(),
        }
    }

    /// Where connections go from now on.
    pub(crate) fn replace(&self, backend: Backend) {
        self.backend.store(Arc::new(backend));
    }

    /// The Service port's name, for logs.
    pub(crate) fn name(&self) -> String {
        self.backend.load().name.clone()
    }

    /// The endpoints to try for a connection from `client`, best first. Empty: there is none.
    pub(crate) fn candidates(&self, client: IpAddr, now: Instant) -> Vec<SocketAddr> {
        let backend = self.backend.load();
        let count = backend.endpoints.len();
        if count == 0 {
            return Vec::new();
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let first = match self.balance {
            Balance::RoundRobin => turn,
            Balance::Random => scramble(turn),
        };
        let first = usize::try_from(first % count as u64).unwrap_or(0);
        let mut candidates: Vec<SocketAddr> =
            (0..count).map(|i| backend.endpoints[(first + i) % count]).collect();
        if let Some(timeout) = backend.affinity
            && let Some(kept) = self.kept(client, timeout, now)
            && let Some(at) = candidates.iter().position(|endpoint| *endpoint == kept)
        {
            candidates[..=at].rotate_right(1);
        }
        candidates
    }

    /// Notes which endpoint a client was connected to.
    pub(crate) fn connected(&self, client: IpAddr, endpoint: SocketAddr, now: Instant) {
        let Some(timeout) = self.backend.load().affinity else { return };
        let mut sticky = self.sticky.lock();
        if sticky.len() >= REMEMBERED && !sticky.contains_key(&client) {
            sticky.retain(|_, (_, last)| now.duration_since(*last) < timeout);
            if sticky.len() >= REMEMBERED {
                return;
            }
        }
        sticky.insert(client, (endpoint, now));
    }

    fn kept(&self, client: IpAddr, timeout: Duration, now: Instant) -> Option<SocketAddr> {
        let sticky = self.sticky.lock();
        let (endpoint, last) = sticky.get(&client)?;
        (now.duration_since(*last) < timeout).then_some(*endpoint)
    }
}

/// splitmix64: turns a counter into evenly spread numbers.
fn scramble(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn backend(count: u16, affinity: Option<u64>) -> Backend {
        Backend {
            name: "n/s:web".into(),
            endpoints: (1..=count).map(|port| ([10, 0, 0, 1], port).into()).collect(),
            affinity: affinity.map(Duration::from_secs),
        }
    }

    fn client(last: u8) -> IpAddr {
        [192, 168, 0, last].into()
    }

    fn first(picker: &Picker, from: IpAddr, now: Instant) -> u16 {
        picker.candidates(from, now)[0].port()
    }

    #[test]
    fn round_robin_takes_turns_and_keeps_all_as_fallback() {
        let picker = Picker::new(backend(3, None), Balance::RoundRobin);
        let now = Instant::now();
        let turns: Vec<u16> = (0..6).map(|_| first(&picker, client(1), now)).collect();
        assert_eq!(turns, [1, 2, 3, 1, 2, 3]);
        let ports: Vec<u16> =
            picker.candidates(client(1), now).iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [1, 2, 3]);
    }

    #[test]
    fn random_is_even_in_the_long_run() {
        let picker = Picker::new(backend(4, None), Balance::Random);
        let mut counts = BTreeMap::<u16, u32>::new();
        for _ in 0..4000 {
            *counts.entry(first(&picker, client(1), Instant::now())).or_default() += 1;
        }
        assert!(
            counts.len() == 4 && counts.values().all(|n| (850..1150).contains(n)),
            "{counts:?}"
        );
    }

    #[test]
    fn affinity_holds_expires_and_survives_changes() {
        let picker = Picker::new(backend(3, Some(60)), Balance::RoundRobin);
        let now = Instant::now();
        let chosen = picker.candidates(client(1), now)[0];
        picker.connected(client(1), chosen, now);
        for _ in 0..5 {
            assert_eq!(picker.candidates(client(1), now)[0], chosen);
        }
        assert_ne!(
            (0..3).map(|_| first(&picker, client(2), now)).collect::<Vec<_>>(),
            [chosen.port(); 3],
            "others are not bound by it"
        );
        // More endpoints: still there. Its endpoint gone: another one.
        picker.replace(backend(5, Some(60)));
        assert_eq!(picker.candidates(client(1), now)[0], chosen);
        let mut without = backend(5, Some(60));
        without.endpoints.retain(|endpoint| *endpoint != chosen);
        picker.replace(without);
        assert!(!picker.candidates(client(1), now).contains(&chosen));
        picker.replace(backend(5, Some(60)));
        let later = now + Duration::from_secs(61);
        let turns: Vec<_> = (0..5).map(|_| picker.candidates(client(1), later)[0]).collect();
        assert!(turns.iter().any(|endpoint| *endpoint != chosen), "the memory has expired");
    }

    #[test]
    fn nobody_is_nobody() {
        let picker = Picker::new(backend(0, Some(60)), Balance::Random);
        assert!(picker.candidates(client(1), Instant::now()).is_empty());
    }
}

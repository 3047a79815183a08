//! What the pods of this node may have of it: one ledger, so that two pods that grow at the same moment do
//! not get the same rest.
//!
//! A pod that was bound here is entered as it is: the scheduler has counted. One that wants to grow is
//! asked for whether it fits.
//!
//! Source: `pkg/kubelet/allocation`, `pkg/kubelet/lifecycle/predicate.go`.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::translate::resources::Requests;

/// Why a pod does not get more; the text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not now: others have it.
    Deferred(String),
    /// Never: the node does not have as much.
    Infeasible(String),
}

/// Requests by pod uid.
#[derive(Debug)]
pub(crate) struct Ledger {
    capacity: Requests,
    held: Mutex<BTreeMap<String, Requests>>,
    freed: watch::Sender<()>,
}

impl Ledger {
    /// An empty ledger of a node that can give so much.
    pub(crate) fn new(capacity: Requests) -> Self {
        Self { capacity, held: Mutex::default(), freed: watch::Sender::new(()) }
    }

    /// Enters what a pod has, whether it fits or not.
    pub(crate) fn hold(&self, uid: &str, requests: Requests) {
        self.held.lock().insert(uid.to_owned(), requests);
    }

    /// Enters what a pod asks for if it fits: each resource of which it asks for more than it has.
    pub(crate) fn resize(&self, uid: &str, asked: Requests) -> Result<(), Refusal> {
        let mut held = self.held.lock();
        let has = held.get(uid).copied().unwrap_or_default();
        let others = || held.iter().filter(|(other, _)| *other != uid).map(|(_, held)| held);
        type Pick = fn(&Requests) -> u64;
        let picks: [(&str, Pick); 2] = [("cpu", |r| r.cpu_millis), ("memory", |r| r.memory_bytes)];
        for (name, pick) in picks {
            let (asked, capacity) = (pick(&asked), pick(&self.capacity));
            if asked <= pick(&has) {
                continue;
            }
            if asked > capacity {
                return Err(Refusal::Infeasible(format!(
                    "Node didn't have enough capacity: {name}, requested: {asked}, capacity: {capacity}"
                )));
            }
            let used = others().map(pick).fold(0, u64::saturating_add);
            if asked > capacity.saturating_sub(used) {
                return Err(Refusal::Deferred(format!(
                    "Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"
                )));
            }
        }
        held.insert(uid.to_owned(), asked);
        drop(held);
        self.freed.send_replace(());
        Ok(())
    }

    /// Strikes a pod out.
    pub(crate) fn release(&self, uid: &str) {
        if self.held.lock().remove(uid).is_some() {
            self.freed.send_replace(());
        }
    }

    /// Tells whenever there may be room for somebody who was deferred.
    pub(crate) fn freed(&self) -> watch::Receiver<()> {
        self.freed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(cpu_millis: u64, memory_bytes: u64) -> Requests {
        Requests { cpu_millis, memory_bytes }
    }

    #[test]
    fn who_grows_must_fit() {
        let ledger = Ledger::new(requests(2000, 1000));
        ledger.hold("a", requests(500, 400));
        ledger.hold("b", requests(1000, 400));
        assert_eq!(ledger.resize("a", requests(1000, 600)), Ok(()));
        let deferred =
            "Node didn't have enough resource: cpu, requested: 1001, used: 1000, capacity: 2000";
        let infeasible =
            "Node didn't have enough capacity: memory, requested: 1001, capacity: 1000";
        for (asked, refusal) in [
            (requests(1001, 600), Refusal::Deferred(deferred.to_owned())),
            (requests(1000, 1001), Refusal::Infeasible(infeasible.to_owned())),
        ] {
            assert_eq!(ledger.resize("a", asked), Err(refusal));
        }
        let mut freed = ledger.freed();
        ledger.release("b");
        assert!(freed.has_changed().unwrap(), "whoever waits is told");
        freed.mark_unchanged();
        ledger.release("b");
        assert!(!freed.has_changed().unwrap());
        assert_eq!(ledger.resize("a", requests(1001, 600)), Ok(()));
    }

    #[test]
    fn who_shrinks_always_fits() {
        let ledger = Ledger::new(requests(1000, 1000));
        ledger.hold("a", requests(900, 2000));
        ledger.hold("b", requests(900, 0));
        assert_eq!(ledger.resize("a", requests(800, 1500)), Ok(()), "of each it has more");
    }
}

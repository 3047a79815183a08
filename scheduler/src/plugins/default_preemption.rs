//! Makes room by taking pods of lower priority away; the search is in [`crate::preemption`].

use parking_lot::Mutex;

use crate::configuration::PreemptionArguments;
use crate::framework::{Aftermath, Attempt, PostFilter};
use crate::preemption::{self, Memos, Reasons};

/// Looks for victims.
#[derive(Debug, Default)]
pub struct DefaultPreemption {
    candidates: PreemptionArguments,
    /// Locked by the scheduling task alone.
    memos: Mutex<Memos>,
}

impl DefaultPreemption {
    /// With how many nodes to try.
    #[must_use]
    pub fn new(candidates: &PreemptionArguments) -> Self {
        Self { candidates: *candidates, memos: Mutex::default() }
    }
}

impl PostFilter for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }

    fn post_filter(&self, attempt: &Attempt<'_>) -> Aftermath {
        if attempt.pod.demands.never_preempts {
            return Aftermath::NotEligible("not eligible due to preemptionPolicy=Never.");
        }
        if is_waiting_for_room(attempt) {
            return Aftermath::NotEligible(
                "not eligible due to a terminating pod on the nominated node.",
            );
        }
        if attempt.openable.is_empty() {
            return Aftermath::NoRoom(Reasons::new());
        }
        match preemption::preempt(attempt, self.candidates, &mut self.memos.lock()) {
            Ok(victims) => Aftermath::Room(victims),
            Err(reasons) => Aftermath::NoRoom(reasons),
        }
    }
}

/// Whether pods of lower priority are about to leave the node the pod is nominated to.
fn is_waiting_for_room(attempt: &Attempt<'_>) -> bool {
    let Attempt { cache, pod, openable, .. } = attempt;
    let nomination = cache.nomination(&pod.uid).and_then(|node| cache.position(node));
    nomination.is_some_and(|at| {
        openable.contains(&at) && preemption::is_awaiting(pod, &cache.nodes()[at])
    })
}

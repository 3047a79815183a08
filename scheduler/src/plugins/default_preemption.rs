//! Makes room by taking pods of lower priority away; the search is in [`crate::preemption`].

use std::sync::Arc;

use crate::configuration::PreemptionArguments;
use crate::framework::{Aftermath, Attempt, PostFilter};
use crate::pod::PodInfo;
use crate::preemption::{self, Reasons};

/// Looks for victims.
#[derive(Debug, Default)]
pub struct DefaultPreemption {
    candidates: PreemptionArguments,
}

impl DefaultPreemption {
    /// With how many nodes to try.
    #[must_use]
    pub fn new(candidates: &PreemptionArguments) -> Self {
        Self { candidates: *candidates }
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
        match preemption::preempt(attempt, self.candidates) {
            Ok(victims) => Aftermath::Room(victims),
            Err(reasons) => Aftermath::NoRoom(reasons),
        }
    }
}

/// Whether pods of lower priority are about to leave the node the pod is nominated to.
fn is_waiting_for_room(attempt: &Attempt<'_>) -> bool {
    let Attempt { cache, pod, openable, .. } = attempt;
    let nomination = cache.nomination(&pod.uid).and_then(|node| cache.position(node));
    let leaves =
        |other: &Arc<PodInfo>| other.deleting && other.demands.priority < pod.demands.priority;
    nomination
        .is_some_and(|at| openable.contains(&at) && cache.nodes()[at].residents.iter().any(leaves))
}

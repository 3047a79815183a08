//! PodDisruptionBudgets hold.

use api::selector::LabelSelector;
use jiff::Timestamp;
use serde_json::Value;

use super::Laws;
use crate::facts::{name, number, serves, uid};
use crate::world::{State, row};

impl Laws {
    /// No eviction leaves fewer pods than a budget wants. Excused while something else has taken pods.
    pub(super) fn evicted(
        &mut self,
        state: &State,
        at: Timestamp,
        pod: &Value,
    ) -> Result<(), String> {
        if !serves(pod) {
            return Ok(());
        }
        for budget in budgets_of(state, pod) {
            if self.is_disturbed(uid(budget), at) {
                continue;
            }
            let serving = state.all(row("", "pods")).filter(|pod| covers(budget, pod));
            let left = serving.filter(|pod| serves(pod)).count() as i64;
            let wanted = number(budget, "/spec/minAvailable").unwrap_or(0);
            if left < wanted {
                let (pod, budget) = (name(pod), name(budget));
                return Err(format!(
                    "budget {budget}: without {pod} {left} pods serve of {wanted}"
                ));
            }
        }
        Ok(())
    }

    /// Notes that budgets have lost a pod by something else than an eviction.
    pub(super) fn disturb_budgets(&mut self, state: &State, pod: &Value, at: Timestamp) {
        for budget in budgets_of(state, pod) {
            self.disturbed.insert(uid(budget).to_owned(), at);
        }
    }
}

fn covers(budget: &Value, pod: &Value) -> bool {
    budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
        && LabelSelector::from_object(&budget["spec"]["selector"])
            .is_ok_and(|selector| selector.matches_object(pod))
}

fn budgets_of<'a>(state: &'a State, pod: &Value) -> Vec<&'a Value> {
    let budgets = state.all(row("policy", "poddisruptionbudgets"));
    budgets.filter(|budget| covers(budget, pod)).collect()
}

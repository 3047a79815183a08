//! What PodDisruptionBudgets still allow.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use api::selector::LabelSelector;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::affinity::{Labels, selector};
use crate::pod::PodInfo;

/// One budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Its namespace: only pods of it are protected.
    pub namespace: String,
    /// Which pods it protects.
    pub selector: LabelSelector,
    /// `status.disruptionsAllowed`.
    pub allowed: i32,
    /// Names in `status.disruptedPods`: already taken from `allowed`.
    pub disrupted: BTreeSet<String>,
}

impl Budget {
    /// Reads a PodDisruptionBudget.
    #[must_use]
    pub fn read(budget: &PodDisruptionBudget) -> Self {
        let selected = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let status = budget.status.as_ref();
        let disrupted = status.and_then(|status| status.disrupted_pods.as_ref());
        Self {
            namespace: budget.metadata.namespace.clone().unwrap_or_default(),
            selector: selector(selected, &[], &Labels::new()),
            allowed: status.and_then(|status| status.disruptions_allowed).unwrap_or(0),
            disrupted: disrupted.into_iter().flat_map(|pods| pods.keys().cloned()).collect(),
        }
    }
}

/// All budgets by uid.
#[derive(Debug, Clone, Default)]
pub struct Budgets {
    all: HashMap<String, Budget>,
    generation: u64,
}

impl Budgets {
    /// A budget is new or has changed.
    pub fn set(&mut self, uid: String, budget: Budget) {
        if self.all.get(&uid) != Some(&budget) {
            self.all.insert(uid, budget);
            self.generation += 1;
        }
    }

    /// A budget is gone.
    pub fn remove(&mut self, uid: &str) {
        if self.all.remove(uid).is_some() {
            self.generation += 1;
        }
    }

    /// These are all the budgets there are.
    pub fn replace(&mut self, all: HashMap<String, Budget>) {
        self.all = all;
        self.generation += 1;
    }

    /// Another number after every change.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// For every pod whether taking it, after those before it in the list, breaks a budget.
    #[must_use]
    pub fn protected(&self, pods: &[Arc<PodInfo>]) -> Vec<bool> {
        let mut left: Vec<(&Budget, i32)> = self.all.values().map(|b| (b, b.allowed)).collect();
        let mut breaks = |pod: &Arc<PodInfo>| {
            let mut broken = false;
            // A pod without labels is in no budget.
            for (_, allowed) in left.iter_mut().filter(|(budget, _)| {
                budget.namespace == pod.namespace
                    && !pod.labels.is_empty()
                    && budget.selector.matches(&pod.labels)
                    && !budget.disrupted.contains(&pod.name)
            }) {
                *allowed -= 1;
                broken |= *allowed < 0;
            }
            broken
        };
        pods.iter().map(&mut breaks).collect()
    }
}

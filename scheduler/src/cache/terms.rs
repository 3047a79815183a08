//! What the pods on nodes demand of pods that come: their anti-affinity, and what they prefer.
//!
//! The sums are kept per distinct term and topology value while pods come and go, so that a decision
//! asks every distinct term once and never walks nodes or pods.

use std::collections::HashMap;
use std::sync::Arc;

use crate::affinity::{Labels, PodAffinity, Term};

/// What a term of a placed pod means to a pod that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// Keeps matching pods out of its group.
    Forbids,
    /// Draws matching pods into its group; how much is the profile's to say.
    Attracts,
    /// Adds this much to the score of its group.
    Weighs(i32),
}

/// One distinct term.
#[derive(Debug)]
pub struct Standing {
    /// The term.
    pub term: Term,
    /// What it means.
    pub meaning: Meaning,
    /// How many placed pods have it, per value of its topology key.
    pub counts: HashMap<Arc<str>, u32>,
    pods: usize,
}

/// The terms of all placed pods.
#[derive(Debug, Default)]
pub struct Terms {
    standing: HashMap<(Meaning, String), Standing>,
}

/// Every term of a pod with its meaning to others.
pub fn meanings(affinity: &PodAffinity) -> impl Iterator<Item = (Meaning, &Term)> {
    let forbids = affinity.anti.iter().map(|term| (Meaning::Forbids, term));
    let hard = affinity.required.iter().map(|term| (Meaning::Attracts, term));
    let soft = affinity.preferred.iter().map(|(weight, term)| (Meaning::Weighs(*weight), term));
    let anti =
        affinity.preferred_anti.iter().map(|(weight, term)| (Meaning::Weighs(-*weight), term));
    forbids.chain(hard).chain(soft).chain(anti)
}

impl Terms {
    /// The distinct terms.
    pub fn iter(&self) -> impl Iterator<Item = &Standing> {
        self.standing.values()
    }

    /// Counts a pod in on a node with these labels.
    pub(super) fn enter(&mut self, affinity: &PodAffinity, node: &Labels) {
        for (meaning, term) in meanings(affinity) {
            let standing = self.standing.entry(key(meaning, term)).or_insert_with(|| Standing {
                term: term.clone(),
                meaning,
                counts: HashMap::new(),
                pods: 0,
            });
            standing.pods += 1;
            if let Some(value) = node.get(&*term.topology_key) {
                match standing.counts.get_mut(value.as_str()) {
                    Some(count) => *count += 1,
                    None => drop(standing.counts.insert(value.as_str().into(), 1)),
                }
            }
        }
    }

    /// Counts it out again; pod and labels must be those of [`Terms::enter`].
    pub(super) fn leave(&mut self, affinity: &PodAffinity, node: &Labels) {
        for (meaning, term) in meanings(affinity) {
            let key = key(meaning, term);
            let Some(standing) = self.standing.get_mut(&key) else { continue };
            if let Some(value) = node.get(&*term.topology_key)
                && let Some(count) = standing.counts.get_mut(value.as_str())
            {
                *count -= 1;
                if *count == 0 {
                    standing.counts.remove(value.as_str());
                }
            }
            standing.pods -= 1;
            if standing.pods == 0 {
                self.standing.remove(&key);
            }
        }
    }
}

/// Equal terms have equal keys.
fn key(meaning: Meaning, term: &Term) -> (Meaning, String) {
    (meaning, format!("{term:?}"))
}

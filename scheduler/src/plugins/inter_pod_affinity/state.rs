//! What the filter gathers: how many pods each term finds per topology value.

use std::collections::HashMap;

use super::standing;
use crate::affinity::{Labels, Namespaces, Term};
use crate::cache::{Cache, Meaning, Standing};
use crate::framework::{FilterState, Rejection};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// A term of the pod with the pods it finds per value of its topology key.
struct Finding<'a> {
    term: &'a Term,
    found: HashMap<String, i64>,
}

impl<'a> Finding<'a> {
    fn new(term: &'a Term) -> Self {
        Self { term, found: HashMap::new() }
    }

    fn count(&mut self, labels: &Labels, pods: i64) {
        if let Some(value) = labels.get(&*self.term.topology_key) {
            match self.found.get_mut(value) {
                Some(found) => *found += pods,
                None => drop(self.found.insert(value.clone(), pods)),
            }
        }
    }

    fn finds(&self, labels: &Labels) -> bool {
        let value = labels.get(&*self.term.topology_key);
        value.and_then(|value| self.found.get(value)).is_some_and(|found| *found > 0)
    }
}

/// A term of placed pods that forbids this pod, and what a what-if adds to its counts.
struct Forbidding<'a> {
    standing: &'a Standing,
    changed: HashMap<String, i64>,
}

pub(super) struct State<'a> {
    pod: &'a PodInfo,
    namespaces: &'a Namespaces,
    /// Pods that match *every* required term count, and for every one of them.
    required: Vec<Finding<'a>>,
    anti: Vec<Finding<'a>>,
    forbidding: Vec<Forbidding<'a>>,
}

impl<'a> State<'a> {
    pub(super) fn gather(pod: &'a PodInfo, cache: &'a Cache) -> Self {
        let own = pod.demands.pods.as_deref();
        let forbids = standing(pod, cache).filter(|(meaning, _)| *meaning == Meaning::Forbids);
        let mut state = Self {
            pod,
            namespaces: cache.namespaces(),
            required: own.into_iter().flat_map(|a| &a.required).map(Finding::new).collect(),
            anti: own.into_iter().flat_map(|a| &a.anti).map(Finding::new).collect(),
            forbidding: forbids
                .map(|(_, standing)| Forbidding { standing, changed: HashMap::new() })
                .collect(),
        };
        if state.required.is_empty() && state.anti.is_empty() {
            return state;
        }
        let namespaces = cache.namespaces();
        let wanted = cache.select(|class| {
            !state.required.is_empty()
                && state
                    .required
                    .iter()
                    .all(|f| f.term.matches(&class.namespace, &class.labels, namespaces))
        });
        let unwanted: Vec<Vec<bool>> = state
            .anti
            .iter()
            .map(|f| {
                cache.select(|class| f.term.matches(&class.namespace, &class.labels, namespaces))
            })
            .collect();
        for (node, offer) in cache.nodes().iter().filter_map(|n| Some((n, n.offer.as_ref()?))) {
            let found = if state.required.is_empty() { 0 } else { node.count(&wanted) };
            if found > 0 {
                state.required.iter_mut().for_each(|f| f.count(&offer.labels, found));
            }
            for (finding, classes) in state.anti.iter_mut().zip(&unwanted) {
                let found = node.count(classes);
                if found > 0 {
                    finding.count(&offer.labels, found);
                }
            }
        }
        state
    }

    /// Whether every node will do.
    pub(super) fn is_idle(&self) -> bool {
        self.required.is_empty() && self.anti.is_empty() && self.forbidding.is_empty()
    }

    fn matches_all(&self, pod: &PodInfo) -> bool {
        let matches =
            |f: &Finding<'_>| f.term.matches(&pod.namespace, &pod.labels, self.namespaces);
        !self.required.is_empty() && self.required.iter().all(matches)
    }

    fn satisfies_affinity(&self, offer: &Offer) -> bool {
        if !self.required.iter().all(|f| offer.labels.contains_key(&*f.term.topology_key)) {
            return false;
        }
        if self.required.iter().all(|f| f.finds(&offer.labels)) {
            return true;
        }
        // The first of a group that wants to be together has nobody to go to.
        let alone = self.required.iter().all(|f| f.found.values().all(|found| *found <= 0));
        alone && self.matches_all(self.pod)
    }

    fn change(&mut self, pod: &PodInfo, offer: &Offer, by: i64) {
        if self.matches_all(pod) {
            self.required.iter_mut().for_each(|f| f.count(&offer.labels, by));
        }
        for finding in &mut self.anti {
            if finding.term.matches(&pod.namespace, &pod.labels, self.namespaces) {
                finding.count(&offer.labels, by);
            }
        }
        let terms = pod.demands.pods.iter().flat_map(|affinity| &affinity.anti);
        for term in terms
            .filter(|term| term.matches(&self.pod.namespace, &self.pod.labels, self.namespaces))
        {
            let Some(value) = offer.labels.get(&*term.topology_key) else { continue };
            if let Some(known) = self.forbidding.iter_mut().find(|f| f.standing.term == *term) {
                *known.changed.entry(value.clone()).or_default() += by;
            }
        }
    }
}

impl FilterState for State<'_> {
    fn filter(&self, _: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        if !self.required.is_empty() && !self.satisfies_affinity(offer) {
            return Err(Rejection::unresolvable("node(s) didn't match pod affinity rules"));
        }
        if self.anti.iter().any(|f| f.finds(&offer.labels)) {
            return Err(Rejection::resolvable("node(s) didn't match pod anti-affinity rules"));
        }
        let forbidden = self.forbidding.iter().any(|f| {
            let Some(value) = offer.labels.get(&*f.standing.term.topology_key) else {
                return false;
            };
            let counted = f.standing.counts.get(value.as_str()).copied().map_or(0, i64::from);
            counted + f.changed.get(value).copied().unwrap_or(0) > 0
        });
        if forbidden {
            return Err(Rejection::resolvable(
                "node(s) didn't satisfy existing pods anti-affinity rules",
            ));
        }
        Ok(())
    }

    fn add(&mut self, pod: &PodInfo, offer: &Offer) {
        self.change(pod, offer, 1);
    }

    fn remove(&mut self, pod: &PodInfo, offer: &Offer) {
        self.change(pod, offer, -1);
    }
}

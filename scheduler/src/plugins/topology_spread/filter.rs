//! `DoNotSchedule`: pods per domain, and the emptiest domain.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Counted, Wanted, counts, includes};
use crate::cache::{Cache, Class};
use crate::framework::{FilterState, Rejection};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::spread::Constraint;

const REASON: &str = "node(s) didn't match pod topology spread constraints";
const NO_LABEL: &str =
    "node(s) didn't match pod topology spread constraints (missing required label)";

/// The domains of one constraint.
struct Domains<'a> {
    constraint: &'a Constraint,
    /// Pods counted per domain.
    pods: HashMap<&'a str, i64>,
    /// How many domains have so many pods; its first key is the emptiest.
    levels: BTreeMap<i64, usize>,
    /// Whether the pod itself will be counted: 1 or 0.
    own: i64,
}

impl Domains<'_> {
    fn emptiest(&self) -> i64 {
        let wanted = usize::try_from(self.constraint.min_domains).unwrap_or(1);
        if self.pods.len() < wanted {
            return 0;
        }
        self.levels.first_key_value().map_or(0, |(pods, _)| *pods)
    }

    fn change(&mut self, domain: &str, by: i64) {
        let Some(pods) = self.pods.get_mut(domain) else { return };
        if let Some(domains) = self.levels.get_mut(pods) {
            *domains -= 1;
            if *domains == 0 {
                self.levels.remove(pods);
            }
        }
        *pods += by;
        *self.levels.entry(*pods).or_default() += 1;
    }
}

pub(super) struct State<'a> {
    pod: &'a PodInfo,
    group: Option<&'a Arc<str>>,
    all: Vec<Domains<'a>>,
}

impl<'a> State<'a> {
    pub(super) fn gather(wanted: Wanted<'a>, pod: &'a PodInfo, cache: &'a Cache) -> Self {
        let hard = wanted.constraints.iter().filter(|constraint| constraint.hard);
        let in_group = wanted.group.is_some();
        let mut all: Vec<Domains<'a>> = hard
            .map(|constraint| Domains {
                constraint,
                pods: HashMap::new(),
                levels: BTreeMap::new(),
                own: i64::from(in_group || constraint.selector.matches(&pod.labels)),
            })
            .collect();
        let counted: Vec<Counted<'_>> = all
            .iter()
            .map(|domains| Counted::new(wanted, domains.constraint, pod, cache))
            .collect();
        for (node, offer) in cache.nodes().iter().filter_map(|n| Some((n, n.offer.as_ref()?))) {
            if !all.iter().all(|d| offer.labels.contains_key(&*d.constraint.topology_key)) {
                continue;
            }
            for (domains, counted) in all.iter_mut().zip(&counted) {
                if includes(domains.constraint, pod, node, offer) {
                    let domain = offer.labels[&*domains.constraint.topology_key].as_str();
                    *domains.pods.entry(domain).or_default() += counted.on(node);
                }
            }
        }
        for domains in &mut all {
            for pods in domains.pods.values() {
                *domains.levels.entry(*pods).or_default() += 1;
            }
        }
        Self { pod, group: wanted.group, all }
    }

    fn change(&mut self, moved: &PodInfo, offer: &Offer, by: i64) {
        let class = Class {
            namespace: moved.namespace.clone(),
            labels: moved.labels.clone(),
            deleting: moved.deleting,
        };
        for domains in &mut self.all {
            let counted = match self.group {
                Some(group) => moved.group.as_ref() == Some(group),
                None => counts(domains.constraint, self.pod, &class),
            };
            if counted && let Some(domain) = offer.labels.get(&*domains.constraint.topology_key) {
                domains.change(domain, by);
            }
        }
    }
}

impl FilterState for State<'_> {
    fn filter(&self, _: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        for domains in &self.all {
            let Some(domain) = offer.labels.get(&*domains.constraint.topology_key) else {
                return Err(Rejection::unresolvable(NO_LABEL));
            };
            let pods = domains.pods.get(domain.as_str()).copied().unwrap_or(0);
            let skew = pods + domains.own - domains.emptiest();
            if skew > i64::from(domains.constraint.max_skew) {
                return Err(Rejection::resolvable(REASON));
            }
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

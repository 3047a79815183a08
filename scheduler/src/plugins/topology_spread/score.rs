//! `ScheduleAnyway`: pods per domain, weighed so that few large domains count as much as many small.

use std::collections::HashMap;

use super::{Counted, Wanted, fewest_first, includes};
use crate::cache::Cache;
use crate::framework::{Candidate, ScoreState};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::spread::Constraint;

const HOSTNAME: &str = "kubernetes.io/hostname";

struct Domains<'a> {
    constraint: &'a Constraint,
    counted: Counted<'a>,
    /// Pods counted per domain that has a candidate; unused for hosts, which are their own domain.
    pods: HashMap<&'a str, i64>,
    weight: f64,
}

impl Domains<'_> {
    fn is_host(&self) -> bool {
        &*self.constraint.topology_key == HOSTNAME
    }
}

pub(super) struct State<'a> {
    all: Vec<Domains<'a>>,
}

impl<'a> State<'a> {
    pub(super) fn gather(
        wanted: Wanted<'a>,
        pod: &'a PodInfo,
        cache: &'a Cache,
        candidates: &[Candidate<'a>],
    ) -> Self {
        let soft = wanted.constraints.iter().filter(|constraint| !constraint.hard);
        let mut state = Self {
            all: soft
                .map(|constraint| Domains {
                    constraint,
                    counted: Counted::new(wanted, constraint, pod, cache),
                    pods: HashMap::new(),
                    weight: 0.0,
                })
                .collect(),
        };
        let labelled: Vec<&Candidate<'a>> =
            candidates.iter().filter(|(_, offer)| state.has_labels(offer)).collect();
        for domains in &mut state.all {
            let size = if domains.is_host() {
                labelled.len()
            } else {
                for (_, offer) in &labelled {
                    domains.pods.insert(&offer.labels[&*domains.constraint.topology_key], 0);
                }
                domains.pods.len()
            };
            domains.weight = weight(size);
        }
        if state.all.iter().all(Domains::is_host) {
            return state;
        }
        for (node, offer) in cache.nodes().iter().filter_map(|n| Some((n, n.offer.as_ref()?))) {
            if !state.has_labels(offer) {
                continue;
            }
            for domains in state.all.iter_mut().filter(|d| !d.is_host()) {
                let domain = offer.labels[&*domains.constraint.topology_key].as_str();
                if includes(domains.constraint, pod, node, offer)
                    && let Some(pods) = domains.pods.get_mut(domain)
                {
                    *pods += domains.counted.on(node);
                }
            }
        }
        state
    }

    fn has_labels(&self, offer: &Offer) -> bool {
        self.all.iter().all(|d| offer.labels.contains_key(&*d.constraint.topology_key))
    }
}

/// Grows slowly with the number of domains, as Kubernetes does it.
#[allow(clippy::cast_precision_loss, reason = "far fewer domains than 2^52")]
pub(super) fn weight(domains: usize) -> f64 {
    (domains as f64 + 2.0).ln()
}

impl ScoreState for State<'_> {
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "pods in a domain: far below 2^52"
    )]
    fn score(&self, node: &NodeInfo, offer: &Offer) -> i64 {
        if !self.has_labels(offer) {
            return 0;
        }
        let mut sum = 0.0;
        for domains in &self.all {
            let pods = if domains.is_host() {
                domains.counted.on(node)
            } else {
                let domain = offer.labels[&*domains.constraint.topology_key].as_str();
                domains.pods.get(domain).copied().unwrap_or(0)
            };
            sum += pods as f64 * domains.weight + f64::from(domains.constraint.max_skew - 1);
        }
        sum.round() as i64
    }

    fn normalize(&self, candidates: &[Candidate<'_>], scores: &mut [i64]) {
        // A node without the labels is in no domain and gets nothing.
        let labelled = scores.iter_mut().zip(candidates).filter(|(_, (_, o))| self.has_labels(o));
        fewest_first(labelled.map(|(score, _)| score));
    }
}

//! What is done for pods that state no constraints: they are spread with their siblings over hosts
//! (`maxSkew` 3) and zones (`maxSkew` 5), as a preference.
//!
//! The cache keeps how many pods of a group are on every node and in every zone, so that a decision
//! costs one hash lookup per candidate and per zone.

use std::sync::Arc;

use super::fewest_first;
use super::score::weight;
use crate::cache::Cache;
use crate::framework::{Candidate, ScoreState};
use crate::node::{NodeInfo, Offer};

const HOST_SKEW: f64 = 3.0;
const ZONE_SKEW: f64 = 5.0;

pub(super) struct State<'a> {
    group: &'a Arc<str>,
    host_weight: f64,
    zone_weight: f64,
    /// Siblings by zone.
    zones: Vec<u32>,
}

impl<'a> State<'a> {
    pub(super) fn gather(
        group: &'a Arc<str>,
        cache: &'a Cache,
        candidates: &[Candidate<'a>],
    ) -> Self {
        let zones = cache.zones().count(group);
        let mut seen = vec![false; zones.len()];
        for zone in candidates.iter().filter_map(|(node, _)| node.zone) {
            seen[zone.0] = true;
        }
        let zones_here = seen.iter().filter(|seen| **seen).count();
        Self {
            group,
            host_weight: weight(candidates.len()),
            zone_weight: weight(zones_here),
            zones,
        }
    }
}

impl ScoreState for State<'_> {
    #[allow(clippy::cast_possible_truncation, reason = "pods in a domain: far below 2^52")]
    fn score(&self, node: &NodeInfo, _: &Offer) -> i64 {
        let here = node.groups.get(self.group).copied().unwrap_or(0);
        let mut sum = f64::from(here) * self.host_weight + HOST_SKEW - 1.0;
        if let Some(zone) = node.zone {
            sum += f64::from(self.zones[zone.0]) * self.zone_weight + ZONE_SKEW - 1.0;
        }
        sum.round() as i64
    }

    fn normalize(&self, _: &[Candidate<'_>], scores: &mut [i64]) {
        fewest_first(scores.iter_mut());
    }
}

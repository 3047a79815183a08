//! Volumes labelled with a zone or region are used there only.
//!
//! Source: <https://kubernetes.io/docs/reference/labels-annotations-taints/#topologykubernetesiozone>.

use crate::cache::Cache;
use crate::framework::{Change, Filter, FilterState, Prepared, Rejection};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";
/// The labels, each with the one that nodes may have instead.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", ZONE),
    ("failure-domain.beta.kubernetes.io/region", REGION),
    (ZONE, ZONE),
    (REGION, REGION),
];
/// Between the zones of a volume that is in several.
const SEPARATOR: &str = "__";

/// Refuses nodes outside of the zones and regions of the pod's volumes. A node without any such label
/// is in all of them.
#[derive(Debug)]
pub struct VolumeZone;

struct State<'a> {
    /// For every label of a volume: the label, the one instead, and the values.
    wanted: Vec<(&'static str, &'static str, Vec<&'a str>)>,
}

impl FilterState for State<'_> {
    fn filter(&self, _: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        if !LABELS.iter().any(|(label, _)| offer.labels.contains_key(*label)) {
            return Ok(());
        }
        let inside = |(label, instead, values): &(&str, &str, Vec<&str>)| {
            let value = offer.labels.get(*label).or_else(|| offer.labels.get(*instead));
            value.is_some_and(|value| values.contains(&value.as_str()))
        };
        if self.wanted.iter().all(inside) {
            return Ok(());
        }
        Err(Rejection::unresolvable("node(s) had no available volume zone"))
    }

    fn add(&mut self, _: &PodInfo, _: &Offer) {}

    fn remove(&mut self, _: &PodInfo, _: &Offer) {}
}

impl Filter for VolumeZone {
    fn name(&self) -> &'static str {
        "VolumeZone"
    }

    fn pre_filter<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        let volumes = cache.volumes();
        let claims = pod.claims.iter().filter_map(|claim| volumes.claim(&claim.id));
        let found = claims.filter_map(|claim| volumes.volume(&claim.volume));
        let wanted: Vec<_> = found
            .flat_map(|volume| {
                LABELS.iter().filter_map(|(label, instead)| {
                    let values = volume.labels.get(*label)?.split(SEPARATOR).collect();
                    Some((*label, *instead, values))
                })
            })
            .collect();
        if wanted.is_empty() { Prepared::Skip } else { Prepared::State(Box::new(State { wanted })) }
    }

    fn helped_by(&self, change: Change) -> bool {
        change.is_of_reach()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::fixtures::{claimant, node, stored};
    use serde_json::{Value, json};

    #[test]
    fn nodes_of_another_zone_are_refused() {
        let volume = |labels: Value| {
            json!({"apiVersion": "v1", "kind": "PersistentVolume",
                "metadata": {"name": "v", "labels": labels}, "spec": {}})
        };
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "c", "namespace": "n"}, "spec": {"volumeName": "v"}});
        let beta = "failure-domain.beta.kubernetes.io/zone";
        for (volume_labels, node_labels, fits) in [
            (json!({}), json!({ZONE: "a"}), None),
            (json!({ZONE: "a"}), json!({ZONE: "a"}), Some(true)),
            (json!({ZONE: "a"}), json!({ZONE: "b"}), Some(false)),
            (json!({ZONE: "a__b"}), json!({ZONE: "b"}), Some(true)),
            (json!({ZONE: "a", REGION: "r"}), json!({ZONE: "a"}), Some(false)),
            (json!({beta: "a"}), json!({ZONE: "a"}), Some(true)),
            (json!({ZONE: "a"}), json!({"host": "x"}), Some(true)),
        ] {
            let cache = stored(&[volume(volume_labels.clone()), claim.clone()]);
            let pod = claimant("p", &["c"]);
            let n = node("n", json!({"metadata": {"labels": node_labels}}));
            let verdict = match VolumeZone.pre_filter(&pod, &cache) {
                Prepared::State(state) => Some(state.filter(&n, n.offer.as_ref().unwrap()).is_ok()),
                _ => None,
            };
            assert_eq!(verdict, fits, "{volume_labels} {node_labels}");
        }
    }
}

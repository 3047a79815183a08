//! A node takes only so many volumes of a driver.
//!
//! Source: <https://kubernetes.io/docs/concepts/storage/storage-limits/>.

use std::collections::{BTreeMap, BTreeSet};

use crate::cache::Cache;
use crate::framework::{Change, Filter, FilterState, Prepared, Rejection};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::volumes::Volumes;

/// Refuses nodes that would have more volumes of a driver than their CSINode allows. One volume that
/// several pods of a node use counts once, and so does one that is still attached.
#[derive(Debug)]
pub struct NodeVolumeLimits;

/// A driver, and what tells its volumes apart.
type Unique = (String, String);

/// The CSI volumes of a pod: those there are and those that will be made.
fn of(pod: &PodInfo, volumes: &Volumes) -> BTreeSet<Unique> {
    let claims = pod.claims.iter().filter_map(|claim| volumes.claim(&claim.id));
    claims
        .filter_map(|claim| {
            if claim.volume.is_empty() {
                let class = volumes.class(&claim.class)?;
                return Some((class.provisioner.clone(), claim.id.clone()));
            }
            volumes.volume(&claim.volume)?.csi.clone()
        })
        .collect()
}

struct State<'a> {
    wanted: BTreeSet<Unique>,
    volumes: &'a Volumes,
}

impl FilterState for State<'_> {
    fn filter(&self, node: &NodeInfo, _: &Offer) -> Result<(), Rejection> {
        let Some(limits) = self.volumes.limits(&node.name) else { return Ok(()) };
        let mut there: BTreeSet<Unique> =
            node.residents.iter().flat_map(|pod| of(pod, self.volumes)).collect();
        there.extend(self.volumes.attached(&node.name).filter_map(|volume| volume.csi.clone()));
        let mut more: BTreeMap<&str, i64> = BTreeMap::new();
        for (driver, _) in self.wanted.difference(&there) {
            *more.entry(driver).or_default() += 1;
        }
        for (driver, more) in more {
            let Some(limit) = limits.get(driver) else { continue };
            let has = there.iter().filter(|(of, _)| of == driver).count();
            if i64::try_from(has).unwrap_or(i64::MAX) + more > *limit {
                return Err(Rejection::resolvable("node(s) exceed max volume count"));
            }
        }
        Ok(())
    }

    fn add(&mut self, _: &PodInfo, _: &Offer) {}

    fn remove(&mut self, _: &PodInfo, _: &Offer) {}
}

impl Filter for NodeVolumeLimits {
    fn name(&self) -> &'static str {
        "NodeVolumeLimits"
    }

    fn pre_filter<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        let wanted = of(pod, cache.volumes());
        if wanted.is_empty() {
            return Prepared::Skip;
        }
        Prepared::State(Box::new(State { wanted, volumes: cache.volumes() }))
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(
            change,
            Change::NodeAdded | Change::PodRemoved | Change::Claim | Change::VolumeLimits
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::fixtures::{claimant, node, stored};
    use serde_json::{Value, json};

    #[test]
    fn no_more_volumes_than_the_driver_takes() {
        let volume = |name: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                "spec": {"csi": {"driver": "d", "volumeHandle": name}}})
        };
        let claim = |name: &str, volume: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": "n"},
                "spec": {"volumeName": volume, "storageClassName": "made"}})
        };
        let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "made"}, "provisioner": "d"});
        let attached = json!({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttachment",
            "metadata": {"name": "a"}, "spec": {"attacher": "d", "nodeName": "n1",
                "source": {"persistentVolumeName": "v3"}}});
        let allows = |count: Value| {
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": "n1"},
                "spec": {"drivers": [{"name": "d", "nodeID": "n1", "allocatable": {"count": count}}]}})
        };
        // On the node: v1 of a pod and v3, which is only attached.
        for (limit, claims, fits) in [
            (json!(null), &["c2", "new"][..], true),
            (json!(2), &["c1"], true),
            (json!(2), &["c3"], true),
            (json!(2), &["c2"], false),
            (json!(3), &["c2"], true),
            (json!(3), &["c1", "c2"], true),
            (json!(3), &["c2", "new"], false),
            (json!(4), &["c2", "new"], true),
        ] {
            let cache = stored(&[
                volume("v1"),
                volume("v2"),
                volume("v3"),
                claim("c1", "v1"),
                claim("c2", "v2"),
                claim("c3", "v3"),
                claim("new", ""),
                class.clone(),
                attached.clone(),
                allows(limit.clone()),
            ]);
            let mut n = node("n1", json!({}));
            n.add(&claimant("there", &["c1"]).into());
            let pod = claimant("p", claims);
            let Prepared::State(state) = NodeVolumeLimits.pre_filter(&pod, &cache) else {
                panic!("skipped")
            };
            let verdict = state.filter(&n, n.offer.as_ref().unwrap());
            assert_eq!(verdict.is_ok(), fits, "{limit} {claims:?}");
        }
    }
}

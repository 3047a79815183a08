//! Claims for one pod alone (`ReadWriteOncePod`), and disks that only one pod of a node can write.
//!
//! Source: <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes>.

use crate::cache::Cache;
use crate::framework::{Change, Filter, FilterState, Prepared, Rejection};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::volumes::conflict;

const IN_USE: &str =
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
const NO_DISK: &str = "node(s) had no available disk";

/// Refuses every node while a placed pod has a claim that is for one pod, and nodes where a disk is
/// taken.
#[derive(Debug)]
pub struct VolumeRestrictions;

struct State<'a> {
    pod: &'a PodInfo,
    /// The pod's claims that are for one pod alone.
    exclusive: Vec<&'a str>,
    /// How often placed pods use one of them.
    users: i64,
}

impl State<'_> {
    fn uses(&self, pod: &PodInfo) -> i64 {
        let shared = pod.claims.iter().filter(|claim| self.exclusive.contains(&&*claim.id));
        i64::try_from(shared.count()).unwrap_or(i64::MAX)
    }
}

impl FilterState for State<'_> {
    fn filter(&self, node: &NodeInfo, _: &Offer) -> Result<(), Rejection> {
        let taken = |disk| {
            node.residents.iter().flat_map(|other| &other.disks).any(|other| conflict(disk, other))
        };
        if self.pod.disks.iter().any(taken) {
            return Err(Rejection::resolvable(NO_DISK));
        }
        if self.users > 0 { Err(Rejection::resolvable(IN_USE)) } else { Ok(()) }
    }

    fn add(&mut self, pod: &PodInfo, _: &Offer) {
        self.users += self.uses(pod);
    }

    fn remove(&mut self, pod: &PodInfo, _: &Offer) {
        self.users -= self.uses(pod);
    }
}

impl Filter for VolumeRestrictions {
    fn name(&self) -> &'static str {
        "VolumeRestrictions"
    }

    fn pre_filter<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        let volumes = cache.volumes();
        let is_exclusive = |id: &str| {
            let claim = volumes.claim(id);
            claim.is_some_and(|claim| claim.modes.iter().any(|mode| mode == "ReadWriteOncePod"))
        };
        let ids = pod.claims.iter().map(|claim| &*claim.id);
        let exclusive: Vec<&str> = ids.filter(|id| is_exclusive(id)).collect();
        if exclusive.is_empty() && pod.disks.is_empty() {
            return Prepared::Skip;
        }
        let users = exclusive.iter().map(|id| volumes.users(id)).sum::<usize>();
        let users = i64::try_from(users).unwrap_or(i64::MAX);
        Prepared::State(Box::new(State { pod, exclusive, users }))
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::PodRemoved | Change::Claim)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plugins::fixtures::{claimant, node, pod, stored};
    use serde_json::{Value, json};

    #[test]
    fn a_claim_for_one_pod_alone_is_used_by_one() {
        let claim = |name: &str, mode: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": "n"}, "spec": {"accessModes": [mode]}})
        };
        let objects = [claim("alone", "ReadWriteOncePod"), claim("shared", "ReadWriteOnce")];
        let mut cache = stored(&objects);
        let n = node("a", json!({}));
        let offer = n.offer.clone().unwrap();
        cache.set_node(&n.name, offer.clone());
        let verdict = |cache: &Cache, names: &[&str]| {
            let pod = claimant("p", names);
            match VolumeRestrictions.pre_filter(&pod, cache) {
                Prepared::State(state) => {
                    state.filter(&n, &offer).err().map(|r| r.reasons.concat())
                }
                _ => None,
            }
        };
        assert_eq!(verdict(&cache, &["alone"]), None);
        let first = Arc::new(claimant("first", &["alone", "shared"]));
        cache.assume(first.clone(), &n.name);
        assert_eq!(verdict(&cache, &["alone"]).as_deref(), Some(IN_USE));
        assert_eq!(verdict(&cache, &["shared"]), None);
        // Without the pod that has it there would be room.
        let other = claimant("p", &["alone"]);
        let Prepared::State(mut state) = VolumeRestrictions.pre_filter(&other, &cache) else {
            panic!("skipped")
        };
        state.remove(&first, &offer);
        assert!(state.filter(&n, &offer).is_ok());
        state.add(&first, &offer);
        assert!(state.filter(&n, &offer).is_err());
        drop(state);
        cache.forget(&first.uid);
        assert_eq!(verdict(&cache, &["alone"]), None);
    }

    #[test]
    fn disks_that_cannot_be_shared() {
        let with = |volume: Value| {
            let mut volume = volume;
            volume["name"] = json!("v");
            pod(json!({"volumes": [volume]}))
        };
        let gce = |read_only| json!({"gcePersistentDisk": {"pdName": "d", "readOnly": read_only}});
        let rbd = |monitor: &str| json!({"rbd": {"monitors": [monitor], "image": "i"}});
        let iscsi = |iqn: &str, read_only| json!({"iscsi": {"iqn": iqn, "lun": 0, "targetPortal": "t", "readOnly": read_only}});
        let aws = || json!({"awsElasticBlockStore": {"volumeID": "d"}});
        for (there, comes, fits) in [
            (gce(false), gce(true), false),
            (gce(true), gce(true), true),
            (aws(), aws(), false),
            (aws(), gce(false), true),
            (rbd("m"), rbd("m"), false),
            (rbd("m"), rbd("other"), true),
            (iscsi("q", true), iscsi("q", true), true),
            (iscsi("q", true), iscsi("q", false), false),
        ] {
            let mut n = node("n", json!({}));
            n.add(&with(there.clone()).into());
            let (cache, comes) = (Cache::default(), with(comes));
            let Prepared::State(state) = VolumeRestrictions.pre_filter(&comes, &cache) else {
                panic!("skipped")
            };
            let verdict = state.filter(&n, n.offer.as_ref().unwrap());
            assert_eq!(verdict.is_ok(), fits, "{there} {:?}", comes.disks);
        }
    }
}

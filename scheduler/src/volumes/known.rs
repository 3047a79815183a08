//! All that is known of volumes, and what was decided and is not yet to be seen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::find::Plan;
use super::objects::{CapacityInfo, ClaimInfo, ClassInfo, Kind, Object, VolumeInfo};
use crate::framework::Change;
use crate::pod::{PodInfo, PodUid};

/// What is known of volumes. A volume that was taken for a claim, and a node that was selected for one,
/// hold from the moment of the decision: until the watch shows them, or they are given back.
#[derive(Debug, Default)]
pub struct Volumes {
    claims: HashMap<String, ClaimInfo>,
    volumes: BTreeMap<String, VolumeInfo>,
    classes: HashMap<String, ClassInfo>,
    limits: HashMap<String, BTreeMap<String, i64>>,
    /// Drivers that say how much room they have.
    measured: HashSet<String>,
    capacities: HashMap<String, CapacityInfo>,
    attachments: HashMap<String, (String, String)>,
    /// Claims by the volumes taken for them.
    taken: HashMap<String, String>,
    /// Nodes by the claims they were selected for.
    selected: HashMap<String, Arc<str>>,
    plans: HashMap<PodUid, Plan>,
    /// How many placed pods use a claim.
    users: HashMap<Box<str>, usize>,
}

impl Volumes {
    /// An object as it is now. Returns what that may mean to refused pods, if it is news.
    pub fn set(&mut self, id: String, object: Object) -> Option<Change> {
        match object {
            Object::Claim(claim) => {
                if claim.bound {
                    self.selected.remove(&id);
                }
                news(&mut self.claims, id, claim).then_some(Change::Claim)
            }
            Object::Volume(volume) => {
                if volume.claimed.is_some() {
                    self.taken.remove(&id);
                }
                let same = self.volumes.get(&id).is_some_and(|old| {
                    // The version alone is no news.
                    VolumeInfo { version: volume.version.clone(), ..old.clone() } == volume
                });
                self.volumes.insert(id, volume);
                (!same).then_some(Change::Volume)
            }
            Object::Class(class) => {
                news(&mut self.classes, id, class).then_some(Change::StorageClass)
            }
            Object::Node(limits) => {
                news(&mut self.limits, id, limits).then_some(Change::VolumeLimits)
            }
            Object::Driver(measured) => {
                let changed =
                    if measured { self.measured.insert(id) } else { self.measured.remove(&id) };
                changed.then_some(Change::Volume)
            }
            Object::Capacity(capacity) => {
                news(&mut self.capacities, id, capacity).then_some(Change::Volume)
            }
            Object::Attachment(node, volume) => {
                self.attachments.insert(id, (node, volume));
                None
            }
        }
    }

    /// An object is gone. Returns what that may mean to refused pods.
    pub fn remove(&mut self, kind: Kind, id: &str) -> Option<Change> {
        match kind {
            Kind::Claim => {
                self.claims.remove(id);
                self.selected.remove(id);
                Some(Change::Claim)
            }
            Kind::Volume => {
                self.volumes.remove(id);
                self.taken.remove(id);
                None
            }
            Kind::Class => {
                self.classes.remove(id);
                None
            }
            Kind::Node => self.limits.remove(id).map(|_| Change::VolumeLimits),
            Kind::Driver => self.measured.remove(id).then_some(Change::Volume),
            Kind::Capacity => {
                self.capacities.remove(id);
                None
            }
            Kind::Attachment => self.attachments.remove(id).map(|_| Change::VolumeLimits),
        }
    }

    /// These are all the objects of a kind. Returns what that may mean to refused pods.
    pub fn replace(&mut self, kind: Kind, all: Vec<(String, Object)>) -> Vec<Change> {
        let lost: Vec<String> = {
            let listed: HashSet<&str> = all.iter().map(|(id, _)| id.as_str()).collect();
            let ids = self.ids(kind).into_iter();
            ids.filter(|id| !listed.contains(id.as_str())).collect()
        };
        let mut changes: Vec<Change> = lost.iter().filter_map(|id| self.remove(kind, id)).collect();
        changes.extend(all.into_iter().filter_map(|(id, object)| self.set(id, object)));
        changes.dedup();
        changes
    }

    fn ids(&self, kind: Kind) -> Vec<String> {
        match kind {
            Kind::Claim => self.claims.keys().cloned().collect(),
            Kind::Volume => self.volumes.keys().cloned().collect(),
            Kind::Class => self.classes.keys().cloned().collect(),
            Kind::Node => self.limits.keys().cloned().collect(),
            Kind::Driver => self.measured.iter().cloned().collect(),
            Kind::Capacity => self.capacities.keys().cloned().collect(),
            Kind::Attachment => self.attachments.keys().cloned().collect(),
        }
    }

    /// A claim by `namespace/name`.
    #[must_use]
    pub fn claim(&self, id: &str) -> Option<&ClaimInfo> {
        self.claims.get(id)
    }

    /// A volume by name.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&VolumeInfo> {
        self.volumes.get(name)
    }

    /// All volumes in the order of their names.
    pub fn volumes(&self) -> impl Iterator<Item = &VolumeInfo> {
        self.volumes.values()
    }

    /// A storage class by name.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&ClassInfo> {
        self.classes.get(name)
    }

    /// How many volumes of which driver a node takes; none if it does not say.
    #[must_use]
    pub fn limits(&self, node: &str) -> Option<&BTreeMap<String, i64>> {
        self.limits.get(node).filter(|limits| !limits.is_empty())
    }

    /// The volumes that are attached to a node.
    pub fn attached<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a VolumeInfo> {
        let here = self.attachments.values().filter(move |(to, _)| to == node);
        here.filter_map(|(_, volume)| self.volumes.get(volume))
    }

    /// The room that a driver says there is for volumes of a class; none if it says nothing at all.
    #[must_use]
    pub fn room<'a>(
        &'a self,
        driver: &str,
        class: &'a str,
    ) -> Option<impl Iterator<Item = &'a CapacityInfo>> {
        let all = self.capacities.values().filter(move |capacity| capacity.class == class);
        self.measured.contains(driver).then_some(all)
    }

    /// The claim that a volume was taken for and does not show yet.
    #[must_use]
    pub fn taken_for(&self, volume: &str) -> Option<&str> {
        self.taken.get(volume).map(String::as_str)
    }

    /// The node that was selected for a claim.
    #[must_use]
    pub fn selected<'a>(&'a self, claim: &'a ClaimInfo) -> Option<&'a str> {
        self.selected.get(&claim.id).map(|node| &**node).or(claim.selected.as_deref())
    }

    /// Holds what a plan takes.
    pub fn reserve(&mut self, pod: &PodUid, node: &Arc<str>, plan: Plan) {
        for (claim, volume) in &plan.takes {
            self.taken.insert(volume.clone(), claim.clone());
        }
        for claim in &plan.provisions {
            self.selected.insert(claim.clone(), node.clone());
        }
        self.plans.insert(pod.clone(), plan);
    }

    /// What was planned for a pod and is not done yet.
    #[must_use]
    pub fn plan(&self, pod: &PodUid) -> Option<&Plan> {
        self.plans.get(pod)
    }

    /// Gives back what was held for a pod.
    pub fn release(&mut self, pod: &PodUid) {
        let Some(plan) = self.plans.remove(pod) else { return };
        for (claim, volume) in &plan.takes {
            if self.taken.get(volume) == Some(claim) {
                self.taken.remove(volume);
            }
        }
        for claim in &plan.provisions {
            self.selected.remove(claim);
        }
    }

    /// The plan has come true; the watch will show it.
    pub fn settle(&mut self, pod: &PodUid) {
        self.plans.remove(pod);
    }

    /// How many placed pods use a claim.
    #[must_use]
    pub fn users(&self, claim: &str) -> usize {
        self.users.get(claim).copied().unwrap_or(0)
    }

    /// Counts a placed pod in.
    pub(crate) fn enter(&mut self, pod: &PodInfo) {
        for claim in &pod.claims {
            *self.users.entry(claim.id.clone()).or_default() += 1;
        }
    }

    /// Counts it out again.
    pub(crate) fn leave(&mut self, pod: &PodInfo) {
        for claim in &pod.claims {
            if let Some(users) = self.users.get_mut(&claim.id) {
                *users -= 1;
                if *users == 0 {
                    self.users.remove(&claim.id);
                }
            }
        }
    }
}

/// Puts a value in; whether it is another than before.
fn news<V: PartialEq>(map: &mut HashMap<String, V>, id: String, value: V) -> bool {
    if map.get(&id) == Some(&value) {
        return false;
    }
    map.insert(id, value);
    true
}

//! All that is known of claims, classes and devices, and what was decided and is not yet to be seen.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use api::cel::Selector;
use api::resource_claim::is_allocated;
use k8s_openapi::api::resource::v1::{
    AllocationResult, DeviceClass, ResourceClaim, ResourceSlice, ResourceSliceSpec,
};
use kube::ResourceExt;
use parking_lot::Mutex;

use super::write::Fate;
use super::{DeviceId, id};
use crate::framework::Change;
use crate::pod::PodUid;

/// Expressions of which the compiled form is kept. More than that are forgotten at once.
const COMPILED: usize = 256;

/// What the watches tell.
#[derive(Debug)]
pub enum News {
    /// A claim as it is now.
    Claim(Box<ResourceClaim>),
    /// A claim, by `namespace/name`, that is gone.
    ClaimGone(String),
    /// A list began anew: these are all the claims there are.
    Claims(Vec<ResourceClaim>),
    /// A class as it is now.
    Class(Box<DeviceClass>),
    /// A class that is gone.
    ClassGone(String),
    /// A list began anew: these are all the classes there are.
    Classes(Vec<DeviceClass>),
    /// A slice as it is now.
    Slice(Box<ResourceSlice>),
    /// A slice that is gone.
    SliceGone(String),
    /// A list began anew: these are all the slices there are.
    Slices(Vec<ResourceSlice>),
}

/// Names of a driver and of a pool.
pub(super) type PoolId = (String, String);

/// What an expression said of a device, or why it could not.
pub(super) type Said = Result<bool, String>;

/// An expression that can be asked, or why it cannot.
pub(super) type Compiled = Result<Selector, String>;

/// Devices of one pool that are reached from the same nodes.
#[derive(Debug)]
pub struct Slice {
    /// Its name.
    pub name: String,
    /// `spec`.
    pub spec: ResourceSliceSpec,
    /// The devices' names, in their order.
    pub(super) ids: Vec<DeviceId>,
    /// What expressions said of its devices, which does not change while the slice is the same.
    pub(super) said: Mutex<HashMap<(usize, Arc<str>), Said>>,
}

impl Slice {
    /// Reads a ResourceSlice.
    #[must_use]
    pub fn read(slice: ResourceSlice) -> Self {
        let (driver, pool): (Arc<str>, Arc<str>) =
            (slice.spec.driver.as_str().into(), slice.spec.pool.name.as_str().into());
        let ids = slice.spec.devices.iter().flatten().map(|device| DeviceId {
            driver: driver.clone(),
            pool: pool.clone(),
            device: device.name.as_str().into(),
        });
        let ids = ids.collect();
        Self { name: slice.name_any(), spec: slice.spec, ids, said: Mutex::default() }
    }

    fn pool(&self) -> PoolId {
        (self.spec.driver.clone(), self.spec.pool.name.clone())
    }

    /// The only node that reaches it, if it says so.
    fn node(&self) -> Option<&str> {
        self.spec.node_name.as_deref().filter(|node| !node.is_empty())
    }
}

/// What was decided for a claim and is not seen yet.
#[derive(Debug)]
struct Pending {
    pod: PodUid,
    claim: String,
    devices: Vec<DeviceId>,
    allocation: Arc<AllocationResult>,
    /// What became of writing it.
    fate: Fate,
    /// The pod is not to be bound after all.
    released: bool,
}

impl Pending {
    /// Whether its devices have to be kept from others.
    fn holds(&self) -> bool {
        !self.released || self.fate.may_be_written()
    }
}

/// What is known of devices and claims to them. A device that was decided for a claim is taken from that
/// moment: until the watch shows the claim, or it is certain that nothing was written.
#[derive(Debug, Default)]
pub struct Devices {
    claims: HashMap<String, Arc<ResourceClaim>>,
    classes: HashMap<String, Arc<DeviceClass>>,
    slices: HashMap<String, Arc<Slice>>,
    /// Names of slices by driver and pool.
    pools: BTreeMap<PoolId, BTreeSet<String>>,
    /// Pools with slices for one node alone, and how many there are of them, by the node.
    local: HashMap<String, BTreeMap<PoolId, usize>>,
    /// Pools with slices for several nodes, and how many there are of them.
    shared: BTreeMap<PoolId, usize>,
    /// How many claims have each device, as the watch shows them.
    allocated: HashMap<DeviceId, usize>,
    /// By the claim's uid.
    pending: HashMap<String, Pending>,
    /// The uids of the claims that each device was decided for.
    decided: HashMap<DeviceId, Vec<String>>,
    compiled: Mutex<HashMap<Arc<str>, Arc<Compiled>>>,
}

impl Devices {
    /// Takes note. Returns what that may mean to refused pods, with the claim it is about if only its
    /// users are concerned.
    pub fn hear(&mut self, news: News) -> Vec<(Change, Option<String>)> {
        match news {
            News::Claim(claim) => self.set_claim(*claim).into_iter().collect(),
            News::ClaimGone(id) => self.remove_claim(&id).into_iter().collect(),
            News::Claims(all) => {
                let listed: HashSet<String> = all.iter().map(id).collect();
                let lost: Vec<String> =
                    self.claims.keys().filter(|id| !listed.contains(*id)).cloned().collect();
                // What was given up and is not in a complete list was never written, or is gone.
                self.forget(|pending| pending.released && !listed.contains(&pending.claim));
                let mut changes: Vec<_> =
                    lost.iter().filter_map(|id| self.remove_claim(id)).collect();
                changes.extend(all.into_iter().filter_map(|claim| self.set_claim(claim)));
                changes
            }
            News::Class(class) => self.set_class(*class).into_iter().collect(),
            News::ClassGone(name) => {
                self.classes.remove(&name);
                Vec::new()
            }
            News::Classes(all) => {
                let before = std::mem::take(&mut self.classes);
                let news = all.iter().any(|class| {
                    before.get(&class.name_any()).is_none_or(|old| old.spec != class.spec)
                });
                for class in all {
                    self.classes.insert(class.name_any(), Arc::new(class));
                }
                news.then_some((Change::DeviceClass, None)).into_iter().collect()
            }
            News::Slice(slice) => self.set_slice(*slice).into_iter().collect(),
            News::SliceGone(name) => {
                // A pool that is complete without it may do now.
                self.remove_slice(&name);
                vec![(Change::ResourceSlice, None)]
            }
            News::Slices(all) => {
                let listed: HashSet<String> = all.iter().map(ResourceExt::name_any).collect();
                let lost: Vec<String> =
                    self.slices.keys().filter(|name| !listed.contains(*name)).cloned().collect();
                lost.iter().for_each(|name| self.remove_slice(name));
                let mut changes: Vec<_> =
                    all.into_iter().filter_map(|slice| self.set_slice(slice)).collect();
                changes.dedup();
                changes
            }
        }
    }

    fn set_claim(&mut self, claim: ResourceClaim) -> Option<(Change, Option<String>)> {
        let id = id(&claim);
        let uid = claim.uid().unwrap_or_default();
        if self.pending.get(&uid).is_some_and(|pending| is_allocated(&claim) || !pending.holds()) {
            self.forget_one(&uid);
        }
        for device in devices_of(&claim) {
            *self.allocated.entry(device).or_default() += 1;
        }
        let claim = Arc::new(claim);
        let before = self.claims.insert(id.clone(), claim.clone());
        let Some(before) = before else {
            return Some((Change::ResourceClaim, Some(id)));
        };
        self.give_back(&before);
        if is_allocated(&before) && !is_allocated(&claim) {
            return Some((Change::ResourceClaim, None));
        }
        let same = before.status == claim.status
            && before.metadata.deletion_timestamp == claim.metadata.deletion_timestamp
            && before.uid() == claim.uid();
        (!same).then_some((Change::ResourceClaim, Some(id)))
    }

    fn remove_claim(&mut self, id: &str) -> Option<(Change, Option<String>)> {
        let claim = self.claims.remove(id)?;
        self.give_back(&claim);
        self.forget_one(&claim.uid().unwrap_or_default());
        is_allocated(&claim).then_some((Change::ResourceClaim, None))
    }

    fn give_back(&mut self, claim: &ResourceClaim) {
        for device in devices_of(claim) {
            if let Some(claims) = self.allocated.get_mut(&device) {
                *claims -= 1;
                if *claims == 0 {
                    self.allocated.remove(&device);
                }
            }
        }
    }

    fn set_class(&mut self, class: DeviceClass) -> Option<(Change, Option<String>)> {
        let class = Arc::new(class);
        let before = self.classes.insert(class.name_any(), class.clone());
        before.is_none_or(|before| before.spec != class.spec).then_some((Change::DeviceClass, None))
    }

    fn set_slice(&mut self, slice: ResourceSlice) -> Option<(Change, Option<String>)> {
        let name = slice.name_any();
        if self.slices.get(&name).is_some_and(|old| old.spec == slice.spec) {
            return None;
        }
        self.remove_slice(&name);
        let slice = Slice::read(slice);
        let pool = slice.pool();
        self.pools.entry(pool.clone()).or_default().insert(name.clone());
        *self.reached(&slice).entry(pool).or_default() += 1;
        self.slices.insert(name, Arc::new(slice));
        Some((Change::ResourceSlice, None))
    }

    fn remove_slice(&mut self, name: &str) {
        let Some(slice) = self.slices.remove(name) else { return };
        let pool = slice.pool();
        if let Some(names) = self.pools.get_mut(&pool) {
            names.remove(name);
            if names.is_empty() {
                self.pools.remove(&pool);
            }
        }
        let reached = self.reached(&slice);
        if let Some(slices) = reached.get_mut(&pool) {
            *slices -= 1;
            if *slices == 0 {
                reached.remove(&pool);
            }
        }
        if reached.is_empty()
            && let Some(node) = slice.node()
        {
            self.local.remove(node);
        }
    }

    /// Where the pool of a slice is looked up.
    fn reached(&mut self, slice: &Slice) -> &mut BTreeMap<PoolId, usize> {
        match slice.node() {
            Some(node) => self.local.entry(node.to_owned()).or_default(),
            None => &mut self.shared,
        }
    }

    /// A claim by `namespace/name`.
    #[must_use]
    pub fn claim(&self, id: &str) -> Option<&Arc<ResourceClaim>> {
        self.claims.get(id)
    }

    /// A class by name.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<&Arc<DeviceClass>> {
        self.classes.get(name)
    }

    /// The slices of every pool that a node may reach, those for other nodes included: by the names of
    /// the pools, then of the slices.
    pub(super) fn pools_of<'a>(&'a self, node: &str) -> BTreeMap<&'a PoolId, Vec<&'a Arc<Slice>>> {
        let own = self.local.get(node).into_iter().flat_map(BTreeMap::keys);
        let pools = own.chain(self.shared.keys());
        pools
            .filter_map(|pool| {
                let names = self.pools.get(pool)?;
                Some((pool, names.iter().filter_map(|name| self.slices.get(name)).collect()))
            })
            .collect()
    }

    /// Whether a device is some claim's.
    #[must_use]
    pub fn is_taken(&self, device: &DeviceId) -> bool {
        self.allocated.contains_key(device)
            || self
                .decided
                .get(device)
                .is_some_and(|uids| uids.iter().any(|uid| self.is_pending(uid)))
    }

    /// Whether devices were decided for a claim that does not show them yet.
    #[must_use]
    pub fn is_pending(&self, claim_uid: &str) -> bool {
        self.pending.get(claim_uid).is_some_and(Pending::holds)
    }

    /// Holds what was decided for a claim of a pod.
    pub(crate) fn reserve(
        &mut self,
        pod: &PodUid,
        claim: &ResourceClaim,
        allocation: AllocationResult,
    ) {
        let pending = Pending {
            pod: pod.clone(),
            claim: id(claim),
            devices: devices_in(&allocation).collect(),
            allocation: Arc::new(allocation),
            fate: Fate::default(),
            released: false,
        };
        let uid = claim.uid().unwrap_or_default();
        self.forget_one(&uid);
        for device in &pending.devices {
            self.decided.entry(device.clone()).or_default().push(uid.clone());
        }
        self.pending.insert(uid, pending);
    }

    fn forget_one(&mut self, uid: &str) {
        let Some(pending) = self.pending.remove(uid) else { return };
        for device in &pending.devices {
            if let Some(uids) = self.decided.get_mut(device) {
                uids.retain(|other| other != uid);
                if uids.is_empty() {
                    self.decided.remove(device);
                }
            }
        }
    }

    fn forget(&mut self, which: impl Fn(&Pending) -> bool) {
        let gone = self.pending.iter().filter(|(_, pending)| which(pending));
        let gone: Vec<String> = gone.map(|(uid, _)| uid.clone()).collect();
        gone.iter().for_each(|uid| self.forget_one(uid));
    }

    /// What was decided for a claim of a pod, and where to note what became of writing it.
    pub(crate) fn decided(
        &self,
        pod: &PodUid,
        claim_uid: &str,
    ) -> Option<(Arc<AllocationResult>, Fate)> {
        let pending = self.pending.get(claim_uid)?;
        (pending.pod == *pod).then(|| (pending.allocation.clone(), pending.fate.clone()))
    }

    /// Gives back what was decided for a pod. What may be written is held until the watch has shown it.
    pub(crate) fn release(&mut self, pod: &PodUid) {
        for pending in self.pending.values_mut().filter(|pending| pending.pod == *pod) {
            pending.released = true;
        }
        self.forget(|pending| !pending.holds());
    }

    /// The compiled form of an expression.
    pub(super) fn selector(&self, expression: &str) -> (Arc<str>, Arc<Compiled>) {
        let mut compiled = self.compiled.lock();
        if let Some((key, selector)) = compiled.get_key_value(expression) {
            return (key.clone(), selector.clone());
        }
        let selector =
            Arc::new(Selector::compile(expression).map_err(|problem| problem.to_string()));
        if compiled.len() == COMPILED {
            compiled.clear();
        }
        let key: Arc<str> = expression.into();
        compiled.insert(key.clone(), selector.clone());
        (key, selector)
    }
}

/// The devices that a claim keeps from others.
fn devices_of(claim: &ResourceClaim) -> impl Iterator<Item = DeviceId> {
    let allocation = claim.status.as_ref().and_then(|status| status.allocation.as_ref());
    allocation.into_iter().flat_map(devices_in)
}

fn devices_in(allocation: &AllocationResult) -> impl Iterator<Item = DeviceId> {
    let results = allocation.devices.iter().flat_map(|devices| devices.results.iter().flatten());
    results.filter(|result| result.admin_access != Some(true)).map(|result| DeviceId {
        driver: result.driver.as_str().into(),
        pool: result.pool.as_str().into(),
        device: result.device.as_str().into(),
    })
}

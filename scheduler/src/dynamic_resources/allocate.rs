//! Searches devices for the claims of a pod on one node. Pure.
//!
//! Claim by claim, request by request, device by device, one candidate after the other is tried, and taken
//! back if the rest cannot be satisfied with it. The first solution is taken: of a request's alternatives
//! the earliest, of the devices those that come first by the names of pool and slice.
//!
//! A request's devices are chosen in the order in which they are published, so that no combination is
//! tried twice. A search that takes too long all the same ends after [`MOST_STEPS`].

use std::collections::HashMap;
use std::sync::Arc;

use api::cel;
use k8s_openapi::api::resource::v1::{Device, DeviceTaint, DeviceToleration, ResourceClaim};
use kube::ResourceExt;

use super::constraint::{Constraint, constraints};
use super::counters::Counters;
use super::pools::{Place, Pool, pools};
use super::requests::{Amount, Wanted, wanted};
use super::{DeviceId, Devices, Slice};

/// Devices of an allocation at most, as its validation has it.
const MOST_DEVICES: usize = 32;

/// Candidates that are tried on one node at most: far more than sensible claims need, and few enough that
/// claims without a solution do not hold up other pods for long.
const MOST_STEPS: usize = 100_000;

/// A device that was found for a request.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    /// Which of the claim's requests, by position, and which of its alternatives.
    pub(super) request: usize,
    pub(super) alternative: usize,
    pub(super) slice: Arc<Slice>,
    /// Position in the slice.
    pub(super) device: usize,
}

impl Chosen {
    pub(super) fn id(&self) -> &DeviceId {
        &self.slice.ids[self.device]
    }
}

/// A claim, and what was found for it.
pub(crate) struct Solution<'a> {
    pub(super) claim: &'a Arc<ResourceClaim>,
    pub(super) wanted: Vec<Vec<Wanted<'a>>>,
    pub(super) chosen: Vec<Chosen>,
}

impl Solution<'_> {
    /// The claim that it is for.
    pub(crate) fn claim(&self) -> &Arc<ResourceClaim> {
        self.claim
    }
}

/// Finds devices that the node reaches for all claims; none if there are not enough.
///
/// # Errors
/// What is wrong with a claim, a class or a pool, in Kubernetes' words.
pub(crate) fn allocate<'a>(
    devices: &'a Devices,
    claims: &[&'a Arc<ResourceClaim>],
    place: &Place<'_>,
) -> Result<Option<Vec<Solution<'a>>>, String> {
    let mut asks = Vec::with_capacity(claims.len());
    for claim in claims {
        asks.push((*claim, wanted(claim, devices)?));
    }
    let pools = pools(devices, place);
    let items = items(&pools, place);
    let mut search = Search {
        devices,
        asks: &asks,
        pools: &pools,
        items: &items,
        free: Vec::new(),
        counters: Counters::left(&pools, devices),
        constraints: Vec::with_capacity(claims.len()),
        chosen: vec![Vec::new(); claims.len()],
        held: HashMap::new(),
        steps: 0,
    };
    for claim in claims {
        search.constraints.push(constraints(claim)?);
    }
    search.free = items.iter().map(|item| !devices.is_taken(item.id())).collect();
    let found = search.claim(0)?;
    if !found {
        if pools.iter().any(|pool| pool.invalid) {
            return Err("invalid resource pools were encountered".to_owned());
        }
        return Ok(None);
    }
    let chosen: Vec<Vec<Chosen>> = std::mem::take(&mut search.chosen);
    let solved = asks.into_iter().zip(chosen);
    Ok(Some(solved.map(|((claim, wanted), chosen)| Solution { claim, wanted, chosen }).collect()))
}

/// A device that the node reaches.
struct Item<'p> {
    pool: usize,
    slice: &'p Arc<Slice>,
    at: usize,
    device: &'p Device,
}

impl Item<'_> {
    fn id(&self) -> &DeviceId {
        &self.slice.ids[self.at]
    }
}

fn items<'p>(pools: &'p [Pool], place: &Place<'_>) -> Vec<Item<'p>> {
    let mut items = Vec::new();
    for (number, pool) in pools.iter().enumerate() {
        for slice in pool.slices.iter().filter(|slice| place.reaches_slice(slice)) {
            for (at, device) in slice.spec.devices.iter().flatten().enumerate() {
                // What must hold before such a device may be used is not waited for.
                let conditional = device.binding_conditions.as_ref().is_some_and(|c| !c.is_empty());
                if !conditional && place.reaches(slice, device) {
                    items.push(Item { pool: number, slice, at, device });
                }
            }
        }
    }
    items
}

type Asks<'a> = [(&'a Arc<ResourceClaim>, Vec<Vec<Wanted<'a>>>)];

struct Search<'a, 's> {
    devices: &'a Devices,
    asks: &'s Asks<'a>,
    pools: &'s [Pool],
    items: &'s [Item<'s>],
    /// Whether an item was nobody's when the search began.
    free: Vec<bool>,
    counters: Counters<'s>,
    /// By claim.
    constraints: Vec<Vec<Constraint<'s>>>,
    chosen: Vec<Vec<Chosen>>,
    /// By item, the claims that it was chosen for.
    held: HashMap<usize, Vec<usize>>,
    steps: usize,
}

/// Where the search is: a device of an alternative of a request of a claim.
#[derive(Clone, Copy)]
struct At {
    claim: usize,
    request: usize,
    alternative: usize,
    /// Devices that it has already.
    have: usize,
    /// The next candidate, by position among the items.
    next: usize,
}

impl Search<'_, '_> {
    fn claim(&mut self, claim: usize) -> Result<bool, String> {
        if claim == self.asks.len() { Ok(true) } else { self.request(claim, 0) }
    }

    fn request(&mut self, claim: usize, request: usize) -> Result<bool, String> {
        let Some(alternatives) = self.asks[claim].1.get(request) else {
            return self.claim(claim + 1);
        };
        for alternative in 0..alternatives.len() {
            let at = At { claim, request, alternative, have: 0, next: 0 };
            let found = match self.wanted(at).amount {
                Amount::Exactly(count) => self.some(at, count)?,
                Amount::All => self.all(at)?,
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Chooses the devices that are still lacking, then goes on with the next request.
    fn some(&mut self, at: At, count: usize) -> Result<bool, String> {
        if at.have == count {
            return self.request(at.claim, at.request + 1);
        }
        let lacking = count - at.have;
        if self.chosen[at.claim].len().saturating_add(lacking) > MOST_DEVICES {
            return Ok(false);
        }
        for next in at.next..self.items.len() {
            if self.items.len() - next < lacking {
                break;
            }
            let pool = &self.pools[self.items[next].pool];
            if pool.incomplete || pool.invalid || !self.is_free(at, next) {
                continue;
            }
            if !self.is_selected(at, next)? || !self.take(at, next)? {
                continue;
            }
            if self.some(At { have: at.have + 1, next: next + 1, ..at }, count)? {
                return Ok(true);
            }
            self.put_back(at, next);
        }
        Ok(false)
    }

    /// Chooses every device there is.
    fn all(&mut self, at: At) -> Result<bool, String> {
        for pool in self.pools {
            let state = match pool {
                Pool { incomplete: true, .. } => "being updated",
                Pool { invalid: true, .. } => "invalid",
                _ => continue,
            };
            let (pool, why) = (&pool.name, "asks for all devices, but resource pool");
            return Err(self.failed(at, &format!("{why} {pool} is currently {state}")));
        }
        let mut taken = Vec::new();
        let mut possible = true;
        for item in 0..self.items.len() {
            if !self.is_selected(at, item)? {
                continue;
            }
            let room = self.chosen[at.claim].len() < MOST_DEVICES;
            if !room || !self.is_free(at, item) || !self.take(at, item)? {
                possible = false;
                break;
            }
            taken.push(item);
        }
        if possible && !taken.is_empty() && self.request(at.claim, at.request + 1)? {
            return Ok(true);
        }
        for item in taken.into_iter().rev() {
            self.put_back(at, item);
        }
        Ok(false)
    }

    fn wanted(&self, at: At) -> &Wanted<'_> {
        &self.asks[at.claim].1[at.request][at.alternative]
    }

    /// Whether nobody has the device. Administrators do not mind others, only themselves.
    fn is_free(&self, at: At, item: usize) -> bool {
        let holders = self.held.get(&item).map(Vec::as_slice).unwrap_or_default();
        if self.wanted(at).admin {
            !holders.contains(&at.claim)
        } else {
            self.free[item] && holders.is_empty()
        }
    }

    /// Whether the device is one of the class that the request means.
    fn is_selected(&mut self, at: At, item: usize) -> Result<bool, String> {
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(format!("search for devices given up after {MOST_STEPS} steps"));
        }
        let (wanted, item) = (self.wanted(at), &self.items[item]);
        let class = wanted.class.spec.selectors.iter().flatten().enumerate();
        let own = wanted.selectors.iter().enumerate();
        let all = class.map(|one| (true, one)).chain(own.map(|one| (false, one)));
        for (of_class, (number, selector)) in all {
            let Some(cel) = &selector.cel else {
                let why = "CEL expression empty (unsupported selector type?)";
                return Err(self.failed(at, &format!("selector #{number}: {why}")));
            };
            let said = self.ask(item, &cel.expression).map_err(|problem| {
                let claim = self.asks[at.claim].0;
                let of = if of_class {
                    format!("class {}", wanted.class.name_any())
                } else {
                    let namespace = claim.namespace().unwrap_or_default();
                    format!("claim {namespace}/{}", claim.name_any())
                };
                format!("{of}: selector #{number}{problem}")
            })?;
            if !said {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What an expression says of a device.
    fn ask(&self, item: &Item<'_>, expression: &str) -> Result<bool, String> {
        let (key, selector) = self.devices.selector(expression);
        let key = (item.at, key);
        if let Some(said) = item.slice.said.lock().get(&key) {
            return said.clone();
        }
        let said = match selector.as_ref() {
            Err(problem) => Err(format!(": CEL compile error: {problem}")),
            Ok(selector) => cel::Device::read(&item.slice.spec.driver, item.device)
                .and_then(|device| selector.matches(&device))
                .map_err(|problem| {
                    format!(" on device {}: CEL runtime error: {problem}", item.id())
                }),
        };
        item.slice.said.lock().insert(key, said.clone());
        said
    }

    /// Chooses a device that is free and selected; whether that can be.
    fn take(&mut self, at: At, number: usize) -> Result<bool, String> {
        let (items, asks) = (self.items, self.asks);
        let (item, wanted) = (&items[number], &asks[at.claim].1[at.request][at.alternative]);
        if item.device.taints.iter().flatten().any(|taint| !is_tolerated(taint, wanted.tolerations))
        {
            return Ok(false);
        }
        if !self.counters.take(item.pool, item.device) {
            return Ok(false);
        }
        let constraints = &mut self.constraints[at.claim];
        let refusing =
            constraints.iter_mut().position(|one| !one.add(wanted, item.id(), item.device));
        if let Some(refusing) = refusing {
            constraints[..refusing].iter_mut().for_each(|one| one.remove(wanted));
            self.counters.give_back(item.pool, item.device);
            if wanted.amount == Amount::All {
                let why = "because a claim constraint would not be satisfied";
                let why = format!("cannot add device {} {why}", item.id());
                return Err(self.failed(at, &why));
            }
            return Ok(false);
        }
        self.held.entry(number).or_default().push(at.claim);
        self.chosen[at.claim].push(Chosen {
            request: at.request,
            alternative: at.alternative,
            slice: item.slice.clone(),
            device: item.at,
        });
        Ok(true)
    }

    /// Takes the last choice back.
    fn put_back(&mut self, at: At, number: usize) {
        let (items, asks) = (self.items, self.asks);
        let (item, wanted) = (&items[number], &asks[at.claim].1[at.request][at.alternative]);
        self.chosen[at.claim].pop();
        if let Some(holders) = self.held.get_mut(&number) {
            holders.pop();
        }
        self.constraints[at.claim].iter_mut().for_each(|one| one.remove(wanted));
        self.counters.give_back(item.pool, item.device);
    }

    fn failed(&self, at: At, why: &str) -> String {
        let claim = self.asks[at.claim].0;
        let namespace = claim.namespace().unwrap_or_default();
        format!("claim {namespace}/{}, request {}: {why}", claim.name_any(), self.wanted(at).name())
    }
}

/// Whether a taint does not keep the device from being allocated.
fn is_tolerated(taint: &DeviceTaint, tolerations: &[DeviceToleration]) -> bool {
    if !matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute") {
        return true;
    }
    tolerations.iter().any(|toleration| {
        let unset = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
        let key = if unset(&toleration.key) {
            toleration.operator.as_deref() == Some("Exists")
        } else {
            toleration.key.as_deref() == Some(taint.key.as_str())
        };
        let effect =
            unset(&toleration.effect) || toleration.effect.as_deref() == Some(&taint.effect);
        let value = match toleration.operator.as_deref() {
            Some("Exists") => true,
            None | Some("" | "Equal") => {
                toleration.value.as_deref().unwrap_or_default()
                    == taint.value.as_deref().unwrap_or_default()
            }
            Some(_) => false,
        };
        key && effect && value
    })
}

//! Service addresses and node ports: given out once, to one Service, by any number of servers.
//!
//! What is given out is a key in the store (`ranges/clusterips/10.96.0.7`), created before the
//! Service is and deleted after it: creation of a key that exists fails, so two servers cannot give
//! the same address out, and no bitmap has to be kept in memory or rebuilt. A crash between the two
//! writes leaves a claim without a Service. Whoever makes that Service again inherits it
//! ([`claim`]), and [`repair`] removes it once it is old enough not to be somebody's half-done
//! request.
//!
//! The rules are those of k8s.io/kubernetes/pkg/registry/core/service/storage/alloc.go.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use api::field::{FieldError, Path};
use api::status::Status;
use ipnet::Ipv4Net;
use serde_json::{Value, json};
use store::{Revision, Store};

use crate::context::random;
use crate::dispatch::Target;
use crate::keep::ip_addresses;
use crate::response;
use crate::writing::full_key;

mod claim;
pub(crate) mod repair;
mod wanted;

use claim::{Claim, Claimant};
use wanted::Wanted;

const ADDRESSES: &str = "ranges/clusterips/";
const PORTS: &str = "ranges/nodeports/";
/// Random tries before the range counts as full.
const TRIES: usize = 256;

/// Gives out Service addresses and node ports.
pub(crate) struct Allocators {
    store: Store,
    /// What the keys of IPAddresses begin with.
    objects: String,
    cidr: Ipv4Net,
    ports: RangeInclusive<u16>,
}

/// What a request has claimed so far, key and revision of each claim. Say whether to
/// [`keep`](Allocated::keep) or [`undo`](Allocated::undo) it.
#[derive(Debug, Default)]
#[must_use = "claims are kept or undone"]
pub(crate) struct Allocated(Vec<(String, Revision)>);

impl Allocated {
    /// The Service has been written: the claims are its own.
    pub(crate) fn keep(self) {}

    /// The Service has not been written: the claims are free again, but for those that somebody
    /// has inherited.
    pub(crate) async fn undo(self, allocators: &Allocators) {
        for (key, revision) in self.0 {
            claim::free(&allocators.store, &key, revision).await;
        }
    }

    fn holds(&self, key: &str) -> bool {
        self.0.iter().any(|(held, _)| held == key)
    }
}

impl Allocators {
    /// Gives out addresses of `cidr` and ports of `ports`; `objects` is what the keys of IPAddresses begin
    /// with.
    pub(crate) fn new(
        store: Store,
        objects: &str,
        cidr: Ipv4Net,
        ports: RangeInclusive<u16>,
    ) -> Allocators {
        Allocators { store, objects: objects.to_owned(), cidr, ports }
    }

    /// Fills in what a new Service has not chosen and claims what it has.
    ///
    /// # Errors
    /// 422 for what is taken or out of range, 500 for a full range, 503 for the store.
    pub(crate) async fn create(
        &self,
        target: &Target,
        object: &mut Value,
        dry_run: bool,
    ) -> Result<Allocated, Status> {
        self.update(target, object, &Value::Null, dry_run).await
    }

    /// The same for a changed Service: what it has already stays its own.
    ///
    /// # Errors
    /// Those of [`Allocators::create`].
    pub(crate) async fn update(
        &self,
        target: &Target,
        new: &mut Value,
        old: &Value,
        dry_run: bool,
    ) -> Result<Allocated, Status> {
        if !is_service(target) {
            return Ok(Allocated::default());
        }
        let mut allocated = Allocated::default();
        match self.fill(target, new, old, dry_run, &mut allocated).await {
            Ok(()) => Ok(allocated),
            Err(status) => {
                allocated.undo(self).await;
                Err(status)
            }
        }
    }

    async fn fill(
        &self,
        target: &Target,
        new: &mut Value,
        old: &Value,
        dry_run: bool,
        allocated: &mut Allocated,
    ) -> Result<(), Status> {
        let name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let service_key = full_key(target, &name);
        let (store, claim) = (&self.store, Claim::of(new));
        let claim = Claimant { store, service_key: &service_key, claim, dry_run };
        let (had, mut wants) = (Wanted::of(old), Wanted::of(new));
        let invalid = |path: Path, value: Value, detail: &str| {
            let kind = target_kind();
            Status::invalid(&kind, &name, &[FieldError::invalid(&path, value, detail)])
        };
        let ips = Path::new("spec").child("clusterIPs");
        if let Some(address) =
            wants.address.as_deref().filter(|ip| had.address.as_deref() != Some(*ip))
        {
            let value = || json!([address]);
            let outside = || {
                let detail = format!(
                    "failed to allocate IP {address}: the provided IP ({address}) is not in the \
                     valid range. The range of valid IPs is {}",
                    self.cidr
                );
                invalid(ips.clone(), value(), &detail)
            };
            let parsed: Ipv4Addr = address.parse().map_err(|_| outside())?;
            if !usable(self.cidr, parsed) {
                return Err(outside());
            }
            let key = format!("{ADDRESSES}{parsed}");
            if self.is_reserved(parsed).await? || !claim.take(&key, allocated).await? {
                let detail =
                    format!("failed to allocate IP {address}: provided IP is already allocated");
                return Err(invalid(ips.clone(), value(), &detail));
            }
        }
        if wants.needs_address {
            wants.address = Some(self.any_address(&claim, allocated).await?);
        }
        for (index, port) in wants.ports.iter_mut().enumerate() {
            let Some(number) = *port else { continue };
            if number == 0 {
                *port = Some(self.any_port(&claim, allocated).await?);
                continue;
            }
            let key = format!("{PORTS}{number}");
            if had.ports.contains(&Some(number)) || allocated.holds(&key) {
                continue;
            }
            if let Some(problem) = self.take_port(number, &claim, allocated).await? {
                let path = Path::new("spec").child("ports").index(index).child("nodePort");
                return Err(invalid(path, number.into(), &problem));
            }
        }
        match wants.health_check {
            Some(0) => wants.health_check = Some(self.any_port(&claim, allocated).await?),
            Some(number) if had.health_check != Some(number) => {
                if let Some(problem) = self.take_port(number, &claim, allocated).await? {
                    // To Kubernetes this is an error that it does not classify.
                    return Err(Status::unclassified(format!(
                        "failed to allocate requested HealthCheck NodePort {number}: {problem}"
                    )));
                }
            }
            _ => {}
        }
        wants.put(new);
        Ok(())
    }

    /// Claims a port that a client has chosen. Why it cannot be had, if it cannot.
    async fn take_port(
        &self,
        number: i64,
        claim: &Claimant<'_>,
        allocated: &mut Allocated,
    ) -> Result<Option<String>, Status> {
        let in_range = u16::try_from(number).is_ok_and(|number| self.ports.contains(&number));
        if !in_range {
            return Ok(Some(format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                self.ports.start(),
                self.ports.end()
            )));
        }
        let taken = claim.take(&format!("{PORTS}{number}"), allocated).await?;
        Ok((!taken).then(|| "provided port is already allocated".to_owned()))
    }

    /// Whether the Services, and so the pods, of this cluster are on the loopback interface.
    pub(crate) fn are_on_loopback(&self) -> bool {
        self.cidr.network().is_loopback()
    }

    async fn any_address(
        &self,
        claim: &Claimant<'_>,
        allocated: &mut Allocated,
    ) -> Result<String, Status> {
        let size = 1_u64 << (32 - u32::from(self.cidr.prefix_len()));
        let base = u32::from(self.cidr.network());
        for _ in 0..TRIES {
            // The lowest sixteenth is left to Services that choose (as Kubernetes does, to make
            // collisions with chosen addresses unlikely).
            let low = (size / 16).clamp(2, 256);
            let offset = low.min(size - 1) + random() % (size - low.min(size - 1)).max(1);
            let address = Ipv4Addr::from(base.wrapping_add(u32::try_from(offset).unwrap_or(2)));
            if !usable(self.cidr, address) || self.is_reserved(address).await? {
                continue;
            }
            if claim.take(&format!("{ADDRESSES}{address}"), allocated).await? {
                return Ok(address.to_string());
            }
        }
        Err(Status::internal_error("failed to allocate a serviceIP: range is full"))
    }

    /// Whether somebody has made an IPAddress by hand, and so keeps the address to themselves.
    async fn is_reserved(&self, address: Ipv4Addr) -> Result<bool, Status> {
        let found = self.store.get(&format!("{}{address}", self.objects)).await;
        let found = found.map_err(|error| response::store_read(&error))?;
        Ok(found.is_some_and(|item| {
            let object: Value = serde_json::from_slice(&item.value).unwrap_or_default();
            !ip_addresses::is_kept(&object)
        }))
    }

    async fn any_port(
        &self,
        claim: &Claimant<'_>,
        allocated: &mut Allocated,
    ) -> Result<i64, Status> {
        let (start, end) = (u64::from(*self.ports.start()), u64::from(*self.ports.end()));
        for _ in 0..TRIES {
            let port = start + random() % (end.saturating_sub(start) + 1);
            if claim.take(&format!("{PORTS}{port}"), allocated).await? {
                return Ok(i64::try_from(port).unwrap_or_default());
            }
        }
        Err(Status::internal_error("failed to allocate a nodePort: range is full"))
    }

    /// Frees what a Service had before an update and has no more.
    pub(crate) async fn release_unused(&self, target: &Target, old: &Value, new: &[u8]) {
        if !is_service(target) {
            return;
        }
        let new: Value = serde_json::from_slice(new).unwrap_or_default();
        let kept = Wanted::of(&new).keys();
        let owner = Claim::of(old);
        for key in Wanted::of(old).keys() {
            if !kept.contains(&key) || crate::writing::gone(&new) {
                claim::release(&self.store, &key, &owner).await;
            }
        }
    }

    /// Frees what a deleted Service had.
    pub(crate) async fn release_all(&self, target: &Target, object: &Value) {
        if is_service(target) {
            let owner = Claim::of(object);
            for key in Wanted::of(object).keys() {
                claim::release(&self.store, &key, &owner).await;
            }
        }
    }
}

fn is_service(target: &Target) -> bool {
    target.resource.group.is_empty() && target.resource.plural == "services"
}

fn target_kind() -> api::resources::GroupKind {
    api::resources::GroupKind::new("", "Service")
}

/// Inside the range, and neither its network nor its broadcast address.
fn usable(cidr: Ipv4Net, address: Ipv4Addr) -> bool {
    cidr.contains(&address) && address != cidr.network() && address != cidr.broadcast()
}

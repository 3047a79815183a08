//! Service addresses and node ports: given out once, to one Service, by any number of servers.
//!
//! What is given out is a key in the store (`ranges/clusterips/10.96.0.7`), created before the
//! Service is and deleted after it: creation of a key that exists fails, so two servers cannot give
//! the same address out, and no bitmap has to be kept in memory or rebuilt. A crash between the two
//! writes leaves a claim without a Service, which [`repair`](Allocators::repair) removes once it is
//! old enough not to be somebody's half-done request.
//!
//! The rules are those of k8s.io/kubernetes/pkg/registry/core/service/storage/alloc.go.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use api::field::{FieldError, Path};
use api::status::Status;
use bytes::Bytes;
use ipnet::Ipv4Net;
use serde_json::{Value, json};
use store::{Page, Store, WriteError};

use crate::context::{now, random};
use crate::dispatch::Target;
use crate::response;

mod wanted;

use wanted::Wanted;

const ADDRESSES: &str = "ranges/clusterips/";
const PORTS: &str = "ranges/nodeports/";
/// Random tries before the range counts as full.
const TRIES: usize = 256;
/// A claim without a Service is somebody's request in progress until it is this old, in seconds.
const IN_PROGRESS: i64 = 300;

/// Gives out Service addresses and node ports.
pub(crate) struct Allocators {
    store: Store,
    cidr: Ipv4Net,
    ports: RangeInclusive<u16>,
}

/// What a request has claimed so far. Say whether to [`keep`](Allocated::keep) or
/// [`undo`](Allocated::undo) it.
#[derive(Debug, Default)]
#[must_use = "claims are kept or undone"]
pub(crate) struct Allocated(Vec<String>);

impl Allocated {
    /// The Service has been written: the claims are its own.
    pub(crate) fn keep(self) {}

    /// The Service has not been written: the claims are free again.
    pub(crate) async fn undo(self, allocators: &Allocators) {
        for key in self.0 {
            allocators.release(&key).await;
        }
    }
}

impl Allocators {
    /// Gives out addresses of `cidr` and ports of `ports`.
    pub(crate) fn new(store: Store, cidr: Ipv4Net, ports: RangeInclusive<u16>) -> Allocators {
        Allocators { store, cidr, ports }
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
        wanted::carry_over(new, old);
        let mut allocated = Allocated::default();
        match self.fill(new, old, dry_run, &mut allocated).await {
            Ok(()) => Ok(allocated),
            Err(status) => {
                allocated.undo(self).await;
                Err(status)
            }
        }
    }

    async fn fill(
        &self,
        new: &mut Value,
        old: &Value,
        dry_run: bool,
        allocated: &mut Allocated,
    ) -> Result<(), Status> {
        let name = new["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let namespace = new["metadata"]["namespace"].as_str().unwrap_or_default();
        let owner = format!("{namespace}/{name}");
        let claim = Claim { store: &self.store, owner: &owner, dry_run };
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
            if !claim.take(&key, allocated).await? {
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
            if had.ports.contains(&Some(number)) || allocated.0.contains(&key) {
                continue;
            }
            let path = Path::new("spec").child("ports").index(index).child("nodePort");
            let in_range = u16::try_from(number).is_ok_and(|number| self.ports.contains(&number));
            if !in_range {
                let detail = format!(
                    "provided port is not in the valid range. The range of valid ports is {}-{}",
                    self.ports.start(),
                    self.ports.end()
                );
                return Err(invalid(path, number.into(), &detail));
            }
            if !claim.take(&key, allocated).await? {
                return Err(invalid(path, number.into(), "provided port is already allocated"));
            }
        }
        wants.put(new);
        Ok(())
    }

    async fn any_address(
        &self,
        claim: &Claim<'_>,
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
            if !usable(self.cidr, address) {
                continue;
            }
            if claim.take(&format!("{ADDRESSES}{address}"), allocated).await? {
                return Ok(address.to_string());
            }
        }
        Err(Status::internal_error("failed to allocate a serviceIP: range is full"))
    }

    async fn any_port(&self, claim: &Claim<'_>, allocated: &mut Allocated) -> Result<i64, Status> {
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
        for key in Wanted::of(old).keys() {
            if !kept.contains(&key) || crate::writing::gone(&new) {
                self.release(&key).await;
            }
        }
    }

    /// Frees what a deleted Service had.
    pub(crate) async fn release_all(&self, target: &Target, object: &Value) {
        if is_service(target) {
            for key in Wanted::of(object).keys() {
                self.release(&key).await;
            }
        }
    }

    async fn release(&self, key: &str) {
        let released = match self.store.get(key).await {
            Ok(Some(item)) => self.store.delete(key, item.mod_revision).await.map(drop),
            Ok(None) => Ok(()),
            Err(error) => return tracing::warn!(key, %error, "cannot release a claim yet"),
        };
        if let Err(error) = released {
            tracing::warn!(key, %error, "cannot release a claim yet; a restart will");
        }
    }

    /// Makes claims and Services agree: claims what existing Services have, and frees old claims
    /// that no Service has. Called once at start.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn repair(&self, services: &[Value]) -> Result<(), Status> {
        let mut wanted = std::collections::HashMap::new();
        for service in services {
            let metadata = &service["metadata"];
            let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
            let owner = format!("{}/{}", text("namespace"), text("name"));
            for key in Wanted::of(service).keys() {
                wanted.insert(key, owner.clone());
            }
        }
        for prefix in [ADDRESSES, PORTS] {
            let listing = self.store.list(prefix, Page::default()).await;
            for item in listing.map_err(|error| response::store_read(&error))?.items {
                if wanted.remove(&*item.key).is_some() {
                    continue;
                }
                let claimed: Value = serde_json::from_slice(&item.value).unwrap_or_default();
                let age = now().as_second() - claimed["time"].as_i64().unwrap_or(0);
                if age > IN_PROGRESS {
                    tracing::info!(key = %item.key, "freeing a claim that no Service has");
                    self.release(&item.key).await;
                }
            }
        }
        let mut ignored = Allocated::default();
        for (key, owner) in wanted {
            let claim = Claim { store: &self.store, owner: &owner, dry_run: false };
            claim.take(&key, &mut ignored).await?;
        }
        ignored.keep();
        Ok(())
    }
}

/// How to claim, and for whom.
struct Claim<'a> {
    store: &'a Store,
    owner: &'a str,
    dry_run: bool,
}

impl Claim<'_> {
    /// Takes a key; false if somebody has it.
    async fn take(&self, key: &str, allocated: &mut Allocated) -> Result<bool, Status> {
        if self.dry_run {
            let found = self.store.get(key).await;
            return Ok(found.map_err(|error| response::store_read(&error))?.is_none());
        }
        let value = json!({"owner": self.owner, "time": now().as_second()});
        match self.store.create(key, Bytes::from(value.to_string())).await {
            Ok(_) => {
                allocated.0.push(key.to_owned());
                Ok(true)
            }
            Err(WriteError::Exists { .. }) => Ok(false),
            Err(error) => Err(response::store_write(&error)),
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

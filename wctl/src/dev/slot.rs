//! Which addresses a dev cluster uses, so that several can share a host.
//!
//! Slot *n* of 0..32 means bridge `wharfN`, pods in 10.244.N.0/24 and Services in 10.(96+N).0.0/16;
//! in loopback mode pods in 127.(64+N).0.0/24 and Services in 127.(128+N).0.0/16. A slot is held by a
//! lock on a file in /run/wharf. The data folder remembers its slot, because the addresses of existing
//! Services come from it, and the file names the data folder, so that a slot is kept for a cluster that
//! is stopped. A new cluster passes over such slots, and over those whose networks the host has already
//! ([`fit`]).

mod fit;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fit::{Fit, Host, Networks};
use ipnet::Ipv4Net;

/// How many clusters a host can have.
const SLOTS: u8 = 32;

/// A slot, taken until dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u8,
    bridged: bool,
    lock: File,
}

impl Slot {
    /// Takes the slot that `data_dir` remembers, or the first whose networks are free on this host.
    pub(crate) fn take(data_dir: &Path, bridged: bool) -> Result<Self> {
        let memory = data_dir.join("slot");
        let folder = locks(data_dir);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let host = if bridged { Host::read() } else { Host::default() };
        if let Some(number) = remembered(&memory) {
            let Some(lock) = try_lock(&folder, number)? else {
                bail!(
                    "the addresses of this cluster (slot {number}) are in use by another wctl dev; \
                     stop that one, or start with a new --data-dir"
                )
            };
            let slot = Self { number, bridged, lock };
            slot.keep_for(data_dir).context("note whose slot it is")?;
            if let Fit::Taken(network) = host.fit(&slot.networks()) {
                tracing::warn!(
                    %network,
                    pods = %slot.pod_cidr(),
                    services = %slot.service_cidr(),
                    "a network of this host overlaps this cluster's: one of them cannot be reached"
                );
            }
            return Ok(slot);
        }
        let slot = Self::choose(&folder, bridged, &host)?;
        std::fs::write(&memory, format!("{}\n", slot.number))
            .with_context(|| format!("write {}", memory.display()))?;
        slot.keep_for(data_dir).context("note whose slot it is")?;
        Ok(slot)
    }

    /// Writes into the lock file whose slot this is from now on.
    fn keep_for(&self, data_dir: &Path) -> std::io::Result<()> {
        let data_dir = data_dir.canonicalize()?;
        self.lock.set_len(0)?;
        self.lock.write_all_at(data_dir.as_os_str().as_bytes(), 0)
    }

    /// Whether the slot is that of another cluster, which is stopped: its data folder still names it.
    fn is_kept(&self) -> bool {
        let mut owner = Vec::new();
        (&self.lock).read_to_end(&mut owner).is_ok()
            && !owner.is_empty()
            && remembered(&Path::new(OsStr::from_bytes(&owner)).join("slot")) == Some(self.number)
    }

    /// Takes the slot that fits best, and of those the first.
    fn choose(folder: &Path, bridged: bool, host: &Host) -> Result<Self> {
        let mut best: Option<(Fit, Self)> = None;
        let mut taken = None;
        let mut kept = None;
        for number in 0..SLOTS {
            let Some(lock) = try_lock(folder, number)? else { continue };
            let slot = Self { number, bridged, lock };
            match host.fit(&slot.networks()) {
                Fit::Free if slot.is_kept() => kept = kept.or(Some(slot)),
                Fit::Free => return Ok(slot),
                Fit::Taken(network) => taken = Some(network),
                fit if best.as_ref().is_none_or(|(known, _)| fit < *known) => {
                    best = Some((fit, slot));
                }
                _ => {}
            }
        }
        if let Some(slot) = kept {
            return Ok(slot);
        }
        match (best, taken) {
            (Some((fit, slot)), _) => {
                tracing::warn!(
                    ?fit,
                    pods = %slot.pod_cidr(),
                    services = %slot.service_cidr(),
                    "no network is free on this host; pods and Services get addresses that it uses already"
                );
                Ok(slot)
            }
            (None, Some(network)) => bail!(
                "every network that pods could have overlaps one that this host has, such as {network}; \
                 remove that one, or start with --loopback"
            ),
            (None, None) => bail!("{SLOTS} dev clusters run on this host already; stop one"),
        }
    }

    fn networks(&self) -> Networks {
        Networks { bridge: self.bridge(), pods: self.pod_cidr(), services: self.service_cidr() }
    }

    /// Whether pods have a network of their own.
    pub(crate) fn bridged(&self) -> bool {
        self.bridged
    }

    /// The bridge's name.
    pub(crate) fn bridge(&self) -> String {
        format!("wharf{}", self.number)
    }

    /// The bridge's name, if pods have a network of their own.
    pub(crate) fn bridge_in_use(&self) -> Option<String> {
        self.bridged.then(|| self.bridge())
    }

    /// The node's pod addresses.
    pub(crate) fn pod_cidr(&self) -> Ipv4Net {
        let address = if self.bridged {
            Ipv4Addr::new(10, 244, self.number, 0)
        } else {
            Ipv4Addr::new(127, 64 + self.number, 0, 0)
        };
        Ipv4Net::new_assert(address, 24)
    }

    /// The Services' addresses.
    pub(crate) fn service_cidr(&self) -> Ipv4Net {
        let address = if self.bridged {
            Ipv4Addr::new(10, 96 + self.number, 0, 0)
        } else {
            Ipv4Addr::new(127, 128 + self.number, 0, 0)
        };
        Ipv4Net::new_assert(address, 16)
    }

    /// The node's own address: the one that leads out, else the bridge's, else loopback.
    pub(crate) fn node_ip(&self) -> IpAddr {
        if !self.bridged {
            return IpAddr::from(Ipv4Addr::LOCALHOST);
        }
        outward().unwrap_or_else(|| {
            IpAddr::from(self.pod_cidr().hosts().next().unwrap_or(Ipv4Addr::LOCALHOST))
        })
    }
}

/// The source address of packets that leave this host. Nothing is sent: connecting a datagram socket
/// only asks the routing table.
pub(crate) fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // TEST-NET-1 (RFC 5737): routed like the rest of the internet, owned by nobody.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

/// The slot that a data folder's file names; none if there is no such file, or no such slot.
fn remembered(memory: &Path) -> Option<u8> {
    let number = std::fs::read_to_string(memory).ok()?.trim().parse().ok()?;
    (number < SLOTS).then_some(number)
}

fn locks(data_dir: &Path) -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/run/wharf");
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) => PathBuf::from(folder).join("wharf"),
        None => data_dir.to_owned(),
    }
}

fn try_lock(folder: &Path, number: u8) -> Result<Option<File>> {
    let path = folder.join(format!("slot-{number}.lock"));
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
    let file = file.with_context(|| format!("open {}", path.display()))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("lock {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u8, bridged: bool) -> Slot {
        Slot { number, bridged, lock: File::open("/dev/null").unwrap() }
    }

    #[test]
    fn memory_of_a_slot_that_does_not_exist_is_no_memory() {
        let memory = std::env::temp_dir().join(format!("wharf-slot-{}", std::process::id()));
        assert_eq!(remembered(&memory), None);
        for (text, slot) in [
            ("7\n", Some(7)),
            ("31", Some(31)),
            ("32", None),
            ("200", None),
            ("-1", None),
            ("x", None),
        ] {
            std::fs::write(&memory, text).unwrap();
            assert_eq!(remembered(&memory), slot, "{text:?}");
        }
        std::fs::remove_file(&memory).unwrap();
    }

    #[test]
    fn a_slot_is_kept_for_a_cluster_that_is_stopped() {
        let folder = std::env::temp_dir().join(format!("wharf-slots-{}", std::process::id()));
        let data = |name: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let locks = data("locks");
        let host = Host::default();
        // As `Slot::take` does for a new cluster.
        let start = |name: &str| {
            let slot = Slot::choose(&locks, false, &host).unwrap();
            std::fs::write(data(name).join("slot"), format!("{}\n", slot.number)).unwrap();
            slot.keep_for(&data(name)).unwrap();
            slot.number
        };
        // Each is stopped (dropped) before the next starts.
        assert_eq!((start("a"), start("b"), start("c")), (0, 1, 2));
        // A data folder that is gone, or has another slot now, keeps none.
        std::fs::remove_dir_all(data("b")).unwrap();
        assert_eq!(start("d"), 1);
        std::fs::write(data("a").join("slot"), "7\n").unwrap();
        assert_eq!(start("e"), 0);
        // When all are kept, one has to give way.
        for number in 3..SLOTS {
            assert_eq!(start(&format!("more-{number}")), number);
        }
        assert_eq!(start("last"), 0);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn no_two_slots_share_an_address() {
        let mut networks = Vec::new();
        for number in 0..SLOTS {
            for bridged in [false, true] {
                let slot = slot(number, bridged);
                networks.extend([slot.pod_cidr(), slot.service_cidr()]);
                assert_eq!(slot.pod_cidr().addr().is_loopback(), !bridged);
            }
        }
        for (at, one) in networks.iter().enumerate() {
            for other in &networks[at + 1..] {
                assert!(!one.contains(other) && !other.contains(one), "{one} and {other}");
            }
        }
    }
}

//! What a sandbox's directory says.
//!
//! ```text
//! <root>/sandboxes/<id>/sandbox.json                          what was asked for
//!                       shim.pid shim.sock shim.log
//!                       hosts hostname resolv.conf nsswitch.conf shm/
//!                       containers/<name>/<attempt>/record.json   the attempt's state
//!                                                   image upper/ work/ root/
//! ```
//!
//! Files are replaced by rename, never written in place. There is no fsync: after a power failure no
//! container runs, and whatever a record says about one then becomes `ContainerStatusUnknown`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cgroup::CgroupPlan;
use crate::spec::{ContainerStatus, SandboxSpec};

/// `sandbox.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SandboxRecord {
    pub(crate) spec: SandboxSpec,
    pub(crate) created_at: Timestamp,
    /// Namespaces and cgroups; false on unprivileged hosts.
    pub(crate) isolated: bool,
    pub(crate) cgroup: CgroupPlan,
}

/// `record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub(crate) status: ContainerStatus,
    pub(crate) cgroup: CgroupPlan,
}

/// Names under a sandbox's directory.
#[derive(Debug, Clone)]
pub(crate) struct SandboxDir(PathBuf);

impl SandboxDir {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("sandbox.json")
    }

    pub(crate) fn pid(&self) -> PathBuf {
        self.0.join("shim.pid")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("shim.log")
    }

    pub(crate) fn shm(&self) -> PathBuf {
        self.0.join("shm")
    }

    pub(crate) fn containers(&self) -> PathBuf {
        self.0.join("containers")
    }

    pub(crate) fn attempt(&self, name: &str, attempt: u32) -> PathBuf {
        self.containers().join(name).join(attempt.to_string())
    }

    /// Every container record on disk; one that cannot be read is left out.
    pub(crate) fn container_records(&self) -> Vec<ContainerRecord> {
        self.attempts().filter_map(|attempt| read_json(&attempt.join(RECORD)).ok()).collect()
    }

    /// Manifest digests of the images that attempts on disk are made from, also of those that have no
    /// record yet.
    pub(crate) fn images(&self) -> Vec<String> {
        let named = |attempt: PathBuf| fs::read_to_string(attempt.join(IMAGE)).ok();
        self.attempts().filter_map(named).collect()
    }

    fn attempts(&self) -> impl Iterator<Item = PathBuf> {
        let directories = |path: &Path| {
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path())
        };
        directories(&self.containers()).flat_map(move |name| directories(&name))
    }
}

/// Name of the file in an attempt's directory that says which image it is made from, by the digest of the
/// manifest. It is there before the shim hears of the attempt.
pub(crate) const IMAGE: &str = "image";

/// Name of a container's record in its attempt's directory.
pub(crate) const RECORD: &str = "record.json";

/// Replaces a JSON file.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let bytes = serde_json::to_vec(value).map_err(io::Error::other)?;
    replace(path, &bytes)
}

/// Replaces a file.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    fs::write(&next, bytes)?;
    fs::rename(&next, path)
}

/// Reads a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}

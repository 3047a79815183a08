//! The data folder and what is opened in it.
//!
//! ```text
//! lock         held by the process that runs on it
//! pki/         the CA; of an agent, its certificates
//! wharf.db     the journal (SQLite)
//! runtime/     images, sandboxes
//! pods/ logs/  volumes and container logs
//! kubeconfig   how to reach the cluster, credentials inline
//! ```
//!
//! A control plane opens a [`Home`], a node opens its container runtime ([`runtime`]) in a [`Folder`],
//! and `wctl dev` opens both in one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use apiserver::pki::{self, Authority};
use runtime::{Runtime, RuntimeConfig};
use store::{Store, without_password};

/// A data folder that nobody else uses. The lock goes with it.
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there; fails when another process runs on it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o711).create(path);
        made.with_context(|| format!("make the data folder {}", path.display()))?;
        let path =
            std::fs::canonicalize(path).with_context(|| format!("resolve {}", path.display()))?;
        let lock = lock(&path.join("lock"))?;
        Ok(Self { path, _lock: lock })
    }

    /// Its path, absolute.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Opens the container runtime of a data folder.
pub(crate) async fn runtime(data_dir: &Path) -> Result<Runtime> {
    let opened = Runtime::open(RuntimeConfig::new(data_dir.join("runtime"))).await;
    opened.context("open the container runtime")
}

/// The data folder of a control plane, with CA and journal.
pub(crate) struct Home {
    folder: Folder,
    authority: Arc<Authority>,
    store: Store,
}

impl Home {
    /// Opens everything; fails when another process runs on the folder.
    pub(crate) async fn open(data_dir: PathBuf, datastore: Option<&str>) -> Result<Self> {
        let folder = Folder::open(&data_dir)?;
        let data_dir = folder.path();
        let authority = Authority::open(&data_dir.join("pki")).context("open the cluster's CA")?;
        let url = datastore.map_or_else(
            || format!("sqlite://{}", data_dir.join("wharf.db").display()),
            str::to_owned,
        );
        let store = Store::open(&url, store::Options::default()).await;
        let store =
            store.with_context(|| format!("open the datastore {}", without_password(&url)))?;
        Ok(Self { folder, authority: Arc::new(authority), store })
    }

    /// The folder, absolute.
    pub(crate) fn data_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The cluster's CA.
    pub(crate) fn authority(&self) -> Arc<Authority> {
        self.authority.clone()
    }

    /// The journal.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Writes the administrator's kubeconfig and gives its path.
    pub(crate) fn write_kubeconfig(&self, address: SocketAddr) -> Result<PathBuf> {
        let admin = self.authority.client("kubernetes-admin", Some(pki::MASTERS_GROUP));
        let admin = admin.context("issue the administrator's certificate")?;
        let server = format!("https://{}", reachable(address));
        let text = pki::kubeconfig("wharf", &server, self.authority.ca_pem(), &admin);
        let path = self.data_dir().join("kubeconfig");
        // Written beside and renamed: a reader sees the old one or the new one.
        let new = self.data_dir().join("kubeconfig.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .with_context(|| format!("write {}", new.display()))?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&new, &path).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Closes the journal.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}

fn lock(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = file.with_context(|| format!("open {}", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).with_context(
        || format!("another wctl runs on {}; stop it or choose another --data-dir", path.display()),
    )?;
    Ok(file)
}

/// Where a client on this host reaches a server that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_reached_on_loopback() {
        let text = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(text("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(text("10.0.0.1:1"), "10.0.0.1:1");
    }
}

//! The data folder and what is opened in it.
//!
//! ```text
//! lock         held by the running cluster
//! pki/         the CA
//! wharf.db     the journal (SQLite)
//! runtime/     images, sandboxes
//! pods/ logs/  volumes and container logs
//! kubeconfig   how to reach the cluster, credentials inline
//! ```

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

/// An open data folder. The lock goes with it.
pub(crate) struct Home {
    data_dir: PathBuf,
    authority: Arc<Authority>,
    store: Store,
    runtime: Runtime,
    _lock: File,
}

impl Home {
    /// Opens everything; fails when another cluster uses the folder.
    pub(crate) async fn open(data_dir: PathBuf, datastore: Option<&str>) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o711).create(&data_dir);
        made.with_context(|| format!("make the data folder {}", data_dir.display()))?;
        let data_dir = std::fs::canonicalize(&data_dir)
            .with_context(|| format!("resolve {}", data_dir.display()))?;
        let lock = lock(&data_dir.join("lock"))?;
        let authority = Authority::open(&data_dir.join("pki")).context("open the cluster's CA")?;
        let url = datastore.map_or_else(
            || format!("sqlite://{}", data_dir.join("wharf.db").display()),
            str::to_owned,
        );
        let store = Store::open(&url, store::Options::default()).await;
        let store =
            store.with_context(|| format!("open the datastore {}", without_password(&url)))?;
        let runtime = Runtime::open(RuntimeConfig::new(data_dir.join("runtime"))).await;
        let runtime = runtime.context("open the container runtime")?;
        Ok(Self { data_dir, authority: Arc::new(authority), store, runtime, _lock: lock })
    }

    /// The folder, absolute.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The cluster's CA.
    pub(crate) fn authority(&self) -> Arc<Authority> {
        self.authority.clone()
    }

    /// The journal.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The container runtime.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Writes the administrator's kubeconfig and gives its path.
    pub(crate) fn write_kubeconfig(&self, address: SocketAddr) -> Result<PathBuf> {
        let admin = self.authority.client("kubernetes-admin", Some(pki::MASTERS_GROUP));
        let admin = admin.context("issue the administrator's certificate")?;
        let server = format!("https://{}", reachable(address));
        let text = pki::kubeconfig("wharf", &server, self.authority.ca_pem(), &admin);
        let path = self.data_dir.join("kubeconfig");
        // Written beside and renamed: a reader sees the old one or the new one.
        let new = self.data_dir.join("kubeconfig.new");
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
        || {
            format!(
                "another wctl dev uses {}; stop it or choose another --data-dir",
                path.display()
            )
        },
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

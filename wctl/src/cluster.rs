//! Which cluster a command talks to, and where this host's cluster keeps its files.
//!
//! `--kubeconfig`, then `$KUBECONFIG`, then the running dev cluster's file, then `~/.kube/config`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cli::Global;
use crate::dev::running;

/// A connection to a cluster and the namespace that commands default to.
pub(crate) struct Cluster {
    /// Speaks to the API server.
    pub(crate) client: Client,
    /// Namespace of namespaced resources unless a command says otherwise.
    pub(crate) namespace: String,
}

impl Cluster {
    /// Finds the cluster that `global` means.
    pub(crate) async fn connect(global: &Global) -> Result<Self> {
        let path = kubeconfig(global)?;
        let kubeconfig = Kubeconfig::read_from(&path)
            .with_context(|| format!("read kubeconfig {}", path.display()))?;
        let options =
            KubeConfigOptions { context: global.context.clone(), ..KubeConfigOptions::default() };
        let config = Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .with_context(|| format!("use kubeconfig {}", path.display()))?;
        let namespace =
            global.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("make an API client")?;
        Ok(Self { client, namespace })
    }
}

fn kubeconfig(global: &Global) -> Result<PathBuf> {
    if let Some(path) = &global.kubeconfig {
        return Ok(path.clone());
    }
    if let Some(paths) = std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty()) {
        // kubectl merges a list; the first file that exists serves here.
        let first = std::env::split_paths(&paths).find(|path| path.exists());
        return first
            .with_context(|| format!("no file of $KUBECONFIG exists: {}", paths.display()));
    }
    if let Some(dev) = running::find() {
        return Ok(dev.kubeconfig());
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let path = home.join(".kube/config");
    if path.exists() {
        return Ok(path);
    }
    bail!(
        "no cluster: start one with `wctl dev`, or name one with --kubeconfig FILE or $KUBECONFIG"
    )
}

/// The folder with this host's images and pods: `--data-dir`, the one beside a dev cluster's
/// kubeconfig, the running dev cluster's, else the default.
pub(crate) fn data_dir(global: &Global) -> PathBuf {
    if let Some(path) = &global.data_dir {
        return path.clone();
    }
    let environment = std::env::var_os("KUBECONFIG").map(PathBuf::from);
    let beside = global.kubeconfig.clone().or(environment);
    if let Some(folder) = beside.as_deref().and_then(Path::parent)
        && running::is_data_dir(folder)
    {
        return folder.to_owned();
    }
    running::find().map_or_else(default_data_dir, |dev| dev.data_dir)
}

/// `/var/lib/wharf` as root, else `$XDG_DATA_HOME/wharf`.
pub(crate) fn default_data_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/wharf");
    }
    let data_home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).unwrap_or_else(|| {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        home.join(".local/share")
    });
    data_home.join("wharf")
}

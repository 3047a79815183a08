//! How a cluster on this host, or a node, ends.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Mutex;

/// How long containers get to end when the cluster stops.
const GRACE: Duration = Duration::from_secs(2);

/// SIGINT and SIGTERM, caught from the moment this exists.
pub(crate) struct Signals {
    both: Mutex<(Signal, Signal)>,
}

impl Signals {
    /// Starts listening.
    pub(crate) fn listen() -> Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        Ok(Self { both: Mutex::new((interrupt, terminate)) })
    }

    /// Waits for either.
    pub(crate) async fn received(&self) {
        let mut both = self.both.lock().await;
        let (interrupt, terminate) = &mut *both;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

/// Stops and removes every sandbox, then what volumes are mounted on, then the bridge, if there is one: nothing of ours stays on the host but files.
pub(crate) async fn pods(runtime: &Runtime, bridge: Option<&str>, data_dir: &Path) {
    let sandboxes = runtime.sandboxes().await;
    join_all(sandboxes.into_iter().map(async |sandbox| {
        let id = &sandbox.spec.id;
        join_all(sandbox.containers.iter().map(async |container| {
            let name = &container.spec.name;
            if let Err(error) = runtime.stop_container(id, name, GRACE).await {
                tracing::warn!(sandbox = %id, container = %name, %error, "container does not stop");
            }
        }))
        .await;
        if let Err(error) = runtime.remove_sandbox(id).await {
            tracing::warn!(sandbox = %id, %error, "sandbox cannot be removed");
        }
    }))
    .await;
    let data_dir = data_dir.to_owned();
    match tokio::task::spawn_blocking(move || agent::unmount_volumes(&data_dir)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(?error, "volumes stay mounted"),
        Err(error) => tracing::warn!(%error, "unmounting volumes panicked"),
    }
    if let Some(bridge) = bridge.map(str::to_owned) {
        match tokio::task::spawn_blocking(move || runtime::net::remove_bridge(&bridge)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "bridge cannot be removed"),
            Err(error) => tracing::warn!(%error, "removing the bridge panicked"),
        }
    }
}

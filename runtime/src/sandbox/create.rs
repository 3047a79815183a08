//! Making a sandbox: files, cgroup, shim.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use jiff::Timestamp;
use rustix::process::{Pid, Signal};

use super::view::Sandbox;
use super::{GREETING, Sandboxes, is_name};
use crate::cgroup::{self, CgroupPlan};
use crate::runtime::SandboxError;
use crate::shim::record::{SandboxDir, SandboxRecord, write_json};
use crate::shim::{Client, ClientError, SpawnError, spawn};
use crate::spec::{Network, SandboxSpec, SandboxStatus};

impl Sandboxes {
    /// Makes a sandbox, or gives the one of this id.
    pub(crate) async fn create(
        &self,
        mut spec: SandboxSpec,
    ) -> Result<SandboxStatus, SandboxError> {
        // The shim works in `/`.
        if let Ok(path) = std::path::absolute(&spec.log_dir) {
            spec.log_dir = path;
        }
        if !is_name(&spec.id) {
            return Err(SandboxError::Id { id: spec.id });
        }
        let _gate = self.gate(&spec.id).await;
        if let Some(sandbox) = self.get(&spec.id) {
            return Ok(sandbox.status());
        }
        if let (Network::Pod { .. }, Some(why_not)) =
            (&spec.network, self.host.pod_network_why_not())
        {
            return Err(SandboxError::NotPermitted { what: "pod networks", why_not });
        }
        if let Some(why_not) = self.sysctls_why_not(&spec) {
            return Err(SandboxError::NotPermitted { what: "sysctls", why_not });
        }
        let directory = self.directory(&spec.id);
        let isolated = self.host.isolates();
        let cgroup = if isolated {
            let layout = &self.host.cgroup_layout;
            cgroup::sandbox_plan(layout, &self.config.cgroup_root, &spec.id, &spec.resources)
        } else {
            CgroupPlan::default()
        };
        let record = SandboxRecord { spec, created_at: Timestamp::now(), isolated, cgroup };
        let made = self.make(&record, &directory).await;
        match made {
            Ok(sandbox) => {
                let status = sandbox.status();
                self.known.lock().insert(record.spec.id, sandbox);
                Ok(status)
            }
            Err(error) => {
                self.undo(record, directory).await;
                Err(error)
            }
        }
    }

    /// Settings of namespaces that are the host's would be the host's.
    fn sysctls_why_not(&self, spec: &SandboxSpec) -> Option<String> {
        let of_host = |(name, _): &&(String, String)| match name.split('.').next() {
            Some("net") => !matches!(spec.network, Network::Pod { .. }),
            _ => spec.namespaces.host_ipc,
        };
        if spec.sysctls.is_empty() {
            return None;
        }
        self.host.native_why_not().or_else(|| {
            let (name, _) = spec.sysctls.iter().find(of_host)?;
            Some(format!("{name} would be a setting of the host's"))
        })
    }

    async fn make(
        &self,
        record: &SandboxRecord,
        directory: &SandboxDir,
    ) -> Result<std::sync::Arc<Sandbox>, SandboxError> {
        let root = cgroup::root_plan(&self.host.cgroup_layout, &self.config.cgroup_root);
        let (new, place) = (record.clone(), directory.clone());
        tokio::task::spawn_blocking(move || {
            write_files(&new, &place)?;
            if new.isolated {
                cgroup::create(&root)
                    .and_then(|()| cgroup::create(&new.cgroup))
                    .map_err(|source| SandboxError::Cgroup { source })?;
            }
            Ok(())
        })
        .await
        .map_err(|e| SandboxError::Shim { message: e.to_string() })??;
        spawn(&self.config.executable, directory).await.map_err(|error| match error {
            SpawnError::Start(source) => {
                SandboxError::SpawnShim { executable: self.config.executable.clone(), source }
            }
            SpawnError::GaveUp(message) => SandboxError::Shim { message },
        })?;
        let sandbox = Sandbox::new(record.clone(), directory.clone(), self.events.clone());
        let connect = Client::connect(directory, &self.tracker, sandbox.observer(&self.tracker));
        let connected = tokio::time::timeout(GREETING, connect).await;
        let (shim, containers) = connected
            .unwrap_or(Err(ClientError::Protocol))
            .map_err(|error| SandboxError::Shim { message: error.to_string() })?;
        sandbox.set_shim(shim, containers);
        Ok(sandbox)
    }

    /// Leaves nothing of a sandbox that could not be made.
    async fn undo(&self, record: SandboxRecord, directory: SandboxDir) {
        // Where there is no cgroup to kill, nothing else reaches a shim that did not greet.
        let pid = fs::read_to_string(directory.pid()).ok().and_then(|pid| pid.parse().ok());
        if let Some(pid) = pid.and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let cleaned =
            tokio::task::spawn_blocking(move || super::remove::clean_up(&record, &directory)).await;
        if let Ok(Err(error)) = cleaned {
            tracing::warn!(%error, "cannot clean up after a sandbox that failed");
        }
    }
}

fn write_files(record: &SandboxRecord, directory: &SandboxDir) -> Result<(), SandboxError> {
    let failed = |operation, path: &Path| {
        let path = path.to_path_buf();
        move |source| SandboxError::File { operation, path, source }
    };
    let path = directory.path();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("make directory", path))?;
    // What an earlier shim has left would name a process of somebody else's.
    let _ = fs::remove_file(directory.pid());
    fs::create_dir_all(&record.spec.log_dir)
        .map_err(failed("make directory", &record.spec.log_dir))?;
    let hostname = format!("{}\n", record.spec.hostname);
    // Without this file libc asks DNS before /etc/hosts.
    let nsswitch = "hosts: files dns\n";
    for (name, text) in [
        ("hosts", record.spec.hosts.as_str()),
        ("resolv.conf", &record.spec.resolv_conf),
        ("hostname", &hostname),
        ("nsswitch.conf", nsswitch),
    ] {
        let file = path.join(name);
        fs::write(&file, text)
            // For every user of the containers, whatever the agent's umask is.
            .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o644)))
            .map_err(failed("write", &file))?;
    }
    let file = directory.record();
    write_json(&file, record).map_err(failed("write", &file))
}

//! Debian's docker-registry on a free loopback port.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Guard;
use crate::{program, wait};

/// A running registry; stopped and emptied when dropped.
///
/// It runs in the network namespace of the thread that starts it.
#[derive(Debug)]
pub struct Registry {
    port: u16,
    _server: Guard,
    folder: TempDir,
}

impl Registry {
    /// Starts an empty registry and waits until it answers.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wharf-registry-").tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.path().join("config.yml");
        std::fs::write(
            &config,
            format!(
                "version: 0.1\nlog: {{level: warn, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: '127.0.0.1:{port}'}}\n",
                folder.path().join("data").display()
            ),
        )?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(program::find("docker-registry")?);
        command.arg("serve").arg(&config).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let server = Guard::spawn(&mut command)?;
        let registry = Self { port, _server: server, folder };
        wait::eventually("docker-registry answers", Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", port))
                .map_err(|error| format!("{error}; {}", registry.log()))
        });
        Ok(registry)
    }

    /// `127.0.0.1:PORT`, the first part of a reference.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The file that a blob or manifest is kept in, for tests that damage it.
    pub fn blob(&self, digest: &str) -> std::path::PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let folder = self.folder.path().join("data/docker/registry/v2/blobs/sha256");
        folder.join(&hex[..2]).join(hex).join("data")
    }

    /// What the registry has printed.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

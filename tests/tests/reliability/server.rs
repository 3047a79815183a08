//! An API server as a process of its own, on a datastore that others may share.

use std::fs::OpenOptions;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use kube::Client;
use tempfile::TempDir;
use tests::cluster::PATIENCE;
use tests::process::Guard;
use tests::program;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::client::{Door, connect};

/// One API server, killed when dropped.
pub(crate) struct ApiServer {
    folder: TempDir,
    datastore: String,
    /// The same after every start, so that clients find it again.
    listen: String,
    /// What its environment has besides the test's.
    environment: Vec<(String, PathBuf)>,
    process: Option<Guard>,
    behind: Option<watch::Sender<Client>>,
    door: Option<Door>,
}

impl ApiServer {
    /// Starts a server on a datastore; `None` is an SQLite file of its own.
    pub(crate) async fn start(datastore: Option<&str>) -> Self {
        Self::start_with(datastore, None, Vec::new()).await
    }

    /// Starts a second server of the same cluster: same datastore, same certificates.
    pub(crate) async fn beside(&self) -> Self {
        Self::start_with(Some(&self.datastore), Some(self.folder.path()), Vec::new()).await
    }

    /// Starts a server with some more variables in its environment.
    pub(crate) async fn start_in(environment: Vec<(String, PathBuf)>) -> Self {
        Self::start_with(None, None, environment).await
    }

    async fn start_with(
        datastore: Option<&str>,
        peer: Option<&Path>,
        environment: Vec<(String, PathBuf)>,
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("wharf-apiserver-").tempdir().unwrap();
        if let Some(peer) = peer {
            symlink(peer.join("pki"), folder.path().join("pki")).unwrap();
        }
        let file = || format!("sqlite://{}", folder.path().join("state.db").display());
        let datastore = datastore.map_or_else(file, str::to_owned);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let (process, behind, door) = (None, None, None);
        let mut server = Self { folder, datastore, listen, environment, process, behind, door };
        server.launch().await;
        server
    }

    /// The URL of its datastore.
    pub(crate) fn datastore(&self) -> &str {
        &self.datastore
    }

    /// The way in, also after later starts.
    pub(crate) fn door(&self) -> Door {
        self.door.clone().expect("the server has been started")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process = None;
        // A panic of before must not be forgotten.
        self.check_log();
    }

    /// Starts it (again) and waits until it says that it is ready.
    pub(crate) async fn launch(&mut self) {
        let kubeconfig = self.folder.path().join("kubeconfig");
        let _ = std::fs::remove_file(&kubeconfig);
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new(program::example("serve").unwrap());
        command.arg(self.folder.path()).args([&self.listen, &self.datastore]);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut process = Guard::spawn(&mut command).unwrap();
        let end = Instant::now() + PATIENCE;
        let client = loop {
            let ended = process.child().try_wait().unwrap();
            assert!(ended.is_none(), "the API server ended:\n{}", self.log());
            match ready(&kubeconfig).await {
                Ok(client) => break client,
                Err(why) => assert!(Instant::now() < end, "not ready: {why}\n{}", self.log()),
            }
            sleep(Duration::from_millis(20)).await;
        };
        self.process = Some(process);
        match &self.behind {
            Some(behind) => drop(behind.send_replace(client)),
            None => {
                let (behind, door) = Door::to(client);
                (self.behind, self.door) = (Some(behind), Some(door));
            }
        }
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn check_log(&self) {
        let log = self.log();
        assert!(!log.contains("panicked at"), "the API server panicked:\n{log}");
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.process = None;
        if !std::thread::panicking() {
            self.check_log();
        }
    }
}

/// A client of the server that wrote this file, once it is ready.
async fn ready(kubeconfig: &Path) -> Result<Client, String> {
    let client = connect(kubeconfig).await?;
    let (_, door) = Door::to(client.clone());
    match door.get("/readyz").await?.code {
        200 => Ok(client),
        code => Err(format!("/readyz answers {code}")),
    }
}

//! One node for one case: API server, runtime and agent over a temporary directory.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Capacity, Config, PodNetwork, ServingTls};
use anyhow::{Context, Result, bail};
use apiserver::{Server, User, pki::Authority};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, DeleteParams, LogParams, PostParams};
use runtime::{Runtime, RuntimeConfig};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long anything may take; the machine may be busy with compiling.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A running agent: what stops it, its end, and the runtime it drives.
type Agent = (CancellationToken, JoinHandle<Result<(), agent::Error>>, Runtime);

pub(crate) struct Node {
    dir: tempfile::TempDir,
    pub(crate) client: kube::Client,
    authority: Arc<Authority>,
    network: PodNetwork,
    tracker: TaskTracker,
    server: CancellationToken,
    agent: Option<Agent>,
}

impl Node {
    /// A node whose pods have addresses of the loopback interface.
    pub(crate) async fn loopback() -> Result<Self> {
        Self::start(PodNetwork::Loopback { cidr: "127.64.0.0/16".parse()? }).await
    }

    /// A node with a bridge.
    pub(crate) async fn bridge() -> Result<Self> {
        Self::start(PodNetwork::Bridge { name: "wharf0".into(), cidr: "10.244.0.0/24".parse()? })
            .await
    }

    async fn start(network: PodNetwork) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("wharf-agent-").tempdir()?;
        let url = format!("sqlite://{}", dir.path().join("store.db").display());
        let store = store::Store::open(&url, store::Options::default()).await?;
        let authority = Arc::new(Authority::open(&dir.path().join("pki"))?);
        let server = Server::bind(apiserver::Config::new(store, Arc::clone(&authority))).await?;
        let user = User::new("system:node:test", vec!["system:masters".into()]);
        let client = kube::Client::new(server.local(user), "default");
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        tracker.spawn(server.run(stop.clone()));
        let mut node = Self { dir, client, authority, network, tracker, server: stop, agent: None };
        node.start_agent().await?;
        Ok(node)
    }

    pub(crate) async fn start_agent(&mut self) -> Result<()> {
        let runtime = Runtime::open(RuntimeConfig {
            cgroup_root: cgroup_root(),
            ..RuntimeConfig::new(self.dir.path().join("runtime"))
        })
        .await?;
        let identity = self.authority.node("n1", &["127.0.0.1".into()])?;
        let config = Config {
            node_name: "n1".into(),
            node_labels: Default::default(),
            node_taints: Vec::new(),
            node_ip: Ipv4Addr::LOCALHOST.into(),
            network: self.network.clone(),
            routes: false,
            cluster_dns: vec!["10.96.0.10".parse()?],
            cluster_domain: "cluster.local".into(),
            data_dir: self.dir.path().join("agent"),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: ServingTls {
                certificate_pem: identity.certificate_pem,
                key_pem: identity.key_pem,
                client_ca_pem: self.authority.ca_pem().to_owned(),
            }
            .for_good(),
            capacity: Capacity::default(),
            pod_pids_limit: None,
            api_server: None,
            version: "v1.36.0+wharf-test".into(),
        };
        let stop = CancellationToken::new();
        let run = agent::run(config, runtime.clone(), self.client.clone(), stop.clone());
        self.agent = Some((stop, self.tracker.spawn(run), runtime));
        Ok(())
    }

    /// Ends the agent as a shutdown would, leaving the containers alone.
    pub(crate) async fn stop_agent(&mut self) -> Result<()> {
        if let Some((stop, running, _)) = self.agent.take() {
            stop.cancel();
            running.await?.context("the agent")?;
        }
        Ok(())
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.agent.as_ref().expect("the agent runs").2
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Loads one of the repository's Wasm fixtures under its own name.
    pub(crate) async fn load_wasm(&self, name: &str) -> Result<()> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../fixtures/wasm")
            .join(format!("{name}.wasm"));
        self.runtime().images().load(&path, Some(name)).await?;
        Ok(())
    }

    /// Loads an image of Debian's static busybox as `busybox:test`.
    pub(crate) async fn load_busybox(&self) -> Result<()> {
        let layout = tokio::task::spawn_blocking(|| -> Result<_> {
            let layout = tests::images::Layout::new()?;
            layout.busybox("busybox")?;
            Ok(layout)
        })
        .await??;
        self.runtime().images().load(&layout.path(), Some("busybox:test")).await?;
        Ok(())
    }

    /// The certificate authority of the cluster.
    pub(crate) fn ca_pem(&self) -> &str {
        self.authority.ca_pem()
    }

    /// Where the node's own endpoint is.
    pub(crate) async fn kubelet_url(&self) -> Result<String> {
        let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(self.client.clone());
        let status = nodes.get("n1").await?.status.unwrap_or_default();
        let port = status
            .daemon_endpoints
            .and_then(|endpoints| endpoints.kubelet_endpoint)
            .context("the node's endpoint")?
            .port;
        Ok(format!("https://127.0.0.1:{port}"))
    }

    /// A client of the node's own endpoint with a certificate of the cluster CA.
    pub(crate) async fn kubelet_client(&self, user: &str, group: &str) -> Result<kube::Client> {
        let identity = self.authority.client(user, Some(group))?;
        let url = self.kubelet_url().await?;
        let text = apiserver::pki::kubeconfig("n1", &url, self.authority.ca_pem(), &identity);
        let config = kube::Config::from_custom_kubeconfig(
            kube::config::Kubeconfig::from_yaml(&text)?,
            &Default::default(),
        )
        .await?;
        Ok(kube::Client::try_from(config)?)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    /// Creates a pod bound to this node.
    pub(crate) async fn create(&self, name: &str, mut spec: Value) -> Result<Pod> {
        spec["nodeName"] = json!("n1");
        let pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        Ok(self.pods().create(&PostParams::default(), &serde_json::from_value(pod)?).await?)
    }

    /// Waits until the pod is as it should be; says what it was like at last if it never is.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let pod = self.pods().get_opt(name).await?;
            let value = serde_json::to_value(&pod)?;
            if pod.is_some() && fits(&value) {
                return Ok(value);
            }
            if Instant::now() > deadline {
                let events = self.events(name).await.unwrap_or_default().join("\n");
                bail!("pod {name} never {what}:\n{:#}\n{events}", value["status"]);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn until_gone(&self, name: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(pod) = self.pods().get_opt(name).await? {
            if Instant::now() > deadline {
                bail!("pod {name} is still there: {:#}", serde_json::to_value(pod)?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        self.pods().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    pub(crate) async fn logs(&self, name: &str, params: &LogParams) -> Result<String> {
        Ok(self.pods().logs(name, params).await?)
    }

    /// `Reason: message` of the pod's events.
    pub(crate) async fn events(&self, name: &str) -> Result<Vec<String>> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), "default");
        let list = events.list(&Default::default()).await?;
        let own = list
            .items
            .into_iter()
            .filter(|event| event.involved_object.name.as_deref() == Some(name));
        Ok(own
            .map(|event| {
                format!(
                    "{}: {}",
                    event.reason.unwrap_or_default(),
                    event.message.unwrap_or_default()
                )
            })
            .collect())
    }

    /// Waits for an event of the pod, given as `Reason: message`.
    pub(crate) async fn until_event(&self, name: &str, wanted: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.events(name).await?;
            if events.iter().any(|event| event == wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("no event {wanted:?} of pod {name} in {events:#?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the pod has events of all these reasons; gives all that it has.
    pub(crate) async fn until_events(&self, name: &str, reasons: &[&str]) -> Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = self.events(name).await?;
            let has =
                |reason: &&str| events.iter().any(|event| event.split(':').next() == Some(*reason));
            if reasons.iter().all(has) {
                return Ok(events);
            }
            if Instant::now() > deadline {
                bail!("not all of {reasons:?} of pod {name} are in {events:#?}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for the last sandbox to go.
    pub(crate) async fn until_no_sandbox(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.runtime().sandboxes().await.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the pod's log is as it should be; until the container runs, there is none.
    pub(crate) async fn until_logs(&self, name: &str, fits: impl Fn(&str) -> bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let logs = self.logs(name, &LogParams::default()).await;
            if logs.as_ref().is_ok_and(|logs| fits(logs)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let events = self.events(name).await.unwrap_or_default().join("\n");
                bail!("the log of {name} is {logs:?}\n{events}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Deletes all pods, stops everything, and checks that nothing is left.
    pub(crate) async fn finish(mut self) -> Result<()> {
        for pod in self.pods().list(&Default::default()).await?.items {
            self.delete(&pod.metadata.name.unwrap_or_default()).await?;
        }
        for pod in self.pods().list(&Default::default()).await?.items {
            self.until_gone(&pod.metadata.name.unwrap_or_default()).await?;
        }
        self.until_no_sandbox().await;
        let left = self.runtime().sandboxes().await;
        anyhow::ensure!(left.is_empty(), "sandboxes are left: {left:#?}");
        let folders = ["agent/pods", "agent/logs"].map(|name| self.dir().join(name));
        let deadline = Instant::now() + PATIENCE;
        let list = || {
            folders
                .iter()
                .flat_map(std::fs::read_dir)
                .flatten()
                .flatten()
                .map(|entry| entry.path())
                .collect::<Vec<_>>()
        };
        while !list().is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let files = list();
        anyhow::ensure!(files.is_empty(), "files of pods are left: {files:?}");
        self.stop_agent().await?;
        self.server.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        Ok(())
    }
}

/// The cgroup above the sandboxes of this process.
pub(crate) fn cgroup_root() -> String {
    format!("wharf-test-{}", std::process::id())
}

/// Removes the (empty) cgroup above this process' sandboxes in every hierarchy.
pub(crate) fn remove_cgroups() {
    let mounts = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    for place in mounts.map(|entry| entry.path()).chain([PathBuf::from("/sys/fs/cgroup")]) {
        let _ = std::fs::remove_dir(place.join(cgroup_root()));
    }
}

impl Drop for Node {
    /// A case that failed must not leave containers behind.
    fn drop(&mut self) {
        let Some((stop, _, runtime)) = self.agent.take() else { return };
        stop.cancel();
        self.server.cancel();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for sandbox in runtime.sandboxes().await {
                    let _ = runtime.remove_sandbox(&sandbox.spec.id).await;
                }
            });
        });
    }
}

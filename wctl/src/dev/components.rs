//! The parts of a dev cluster as tasks of this process, and the order in which they end.

use anyhow::{Context, Result, anyhow};
use apiserver::Server;
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::home::Home;
use super::slot::Slot;

/// Tasks per pod: far more than programs have, far fewer than a host has.
const POD_PIDS_LIMIT: u64 = 4096;

/// What the components are made of.
pub(crate) struct Wiring<'a> {
    pub(crate) home: &'a Home,
    pub(crate) slot: &'a Slot,
    pub(crate) node: &'a str,
    pub(crate) scheduler: Client,
    pub(crate) controllers: Client,
    pub(crate) proxy: Client,
    pub(crate) agent: Client,
}

/// Running components.
pub(crate) struct Components {
    /// Everything but the API server: clients end before the server does.
    clients: JoinSet<(&'static str, Result<()>)>,
    server: JoinSet<Result<()>>,
    stop_clients: CancellationToken,
}

impl Components {
    /// Starts scheduler, controllers, proxy and agent.
    pub(crate) fn start(wiring: Wiring<'_>) -> Result<Self> {
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        let Wiring { home, slot, node, .. } = wiring;

        let (client, token) = (wiring.scheduler, stop.child_token());
        clients.spawn(async move {
            let ended = scheduler::run(scheduler::Config::default(), client, token).await;
            ("scheduler", ended.context("scheduler"))
        });

        let config = controllers::Config {
            root_ca: Some(home.authority().ca_pem().to_owned()),
            local_path: Some(controllers::LocalPath {
                folder: home.data_dir().join("volumes"),
                node: node.to_owned(),
            }),
            ..controllers::Config::default()
        };
        let (client, token) = (wiring.controllers, stop.child_token());
        clients.spawn(async move {
            let ended = controllers::run(config, client, token).await;
            ("controllers", ended.context("controllers"))
        });

        let config = proxy_config(slot, node);
        let (client, token) = (wiring.proxy, stop.child_token());
        clients.spawn(async move {
            ("proxy", proxy::run(config, client, token).await.context("proxy"))
        });

        let config = agent_config(home, slot, node)?;
        let (client, token, runtime) = (wiring.agent, stop.child_token(), home.runtime().clone());
        clients.spawn(async move {
            ("agent", agent::run(config, runtime, client, token).await.context("agent"))
        });
        Ok(Self { clients, server: JoinSet::new(), stop_clients: stop })
    }

    /// Starts answering connections.
    pub(crate) fn start_server(&mut self, server: Server, stop: CancellationToken) {
        self.server.spawn(async move { server.run(stop).await.context("API server") });
    }

    /// Waits for the first component that ends although nobody asked it to.
    pub(crate) async fn first_to_end(&mut self) -> anyhow::Error {
        tokio::select! {
            Some(ended) = self.clients.join_next() => match ended {
                Ok((name, Ok(()))) => anyhow!("the {name} ended by itself"),
                Ok((_, Err(error))) => error,
                Err(panic) => anyhow!(panic).context("a component panicked"),
            },
            Some(ended) = self.server.join_next() => match ended {
                Ok(Ok(())) => anyhow!("the API server ended by itself"),
                Ok(Err(error)) => error,
                Err(panic) => anyhow!(panic).context("the API server panicked"),
            },
        }
    }

    /// Ends the clients, then the server; the first error of any.
    pub(crate) async fn stop(mut self, stop_server: CancellationToken) -> Result<()> {
        self.stop_clients.cancel();
        let mut outcome = Ok(());
        while let Some(ended) = self.clients.join_next().await {
            let ended = ended.context("a component panicked").and_then(|(_, ended)| ended);
            outcome = outcome.and(ended);
        }
        stop_server.cancel();
        while let Some(ended) = self.server.join_next().await {
            outcome = outcome.and(ended.context("the API server panicked").and_then(|ended| ended));
        }
        outcome
    }
}

fn agent_config(home: &Home, slot: &Slot, node: &str) -> Result<agent::Config> {
    let ip = slot.node_ip();
    let authority = home.authority();
    let identity = authority.node(node, &[node.to_owned(), ip.to_string()]);
    let identity = identity.context("issue the node's certificate")?;
    let network = if slot.bridged() {
        agent::PodNetwork::Bridge { name: slot.bridge(), cidr: slot.pod_cidr() }
    } else {
        agent::PodNetwork::Loopback { cidr: slot.pod_cidr() }
    };
    Ok(agent::Config {
        node_name: node.to_owned(),
        node_labels: Default::default(),
        node_taints: Vec::new(),
        node_ip: ip,
        network,
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".to_owned(),
        data_dir: home.data_dir().to_owned(),
        listen: (ip, 0).into(),
        tls: agent::ServingTls {
            certificate_pem: identity.certificate_pem,
            key_pem: identity.key_pem,
            client_ca_pem: authority.ca_pem().to_owned(),
        },
        capacity: agent::Capacity::default(),
        pod_pids_limit: Some(POD_PIDS_LIMIT),
        api_server: None,
        version: format!(
            "{}+wharf{}",
            api::discovery::KUBERNETES_VERSION,
            env!("CARGO_PKG_VERSION")
        ),
    })
}

fn proxy_config(slot: &Slot, node: &str) -> proxy::Config {
    let mode = if slot.bridged() { proxy::Mode::AnyIp } else { proxy::Mode::Loopback };
    proxy::Config::new(node, slot.service_cidr().into(), mode)
}

//! `wctl dev`: a whole cluster in this process, on this host.
//!
//! From start to shutdown, each line a file:
//!
//! 1. [`home`]: the data folder, locked, with CA, store and runtime opened.
//! 2. [`slot`]: which addresses pods and Services get, so that several clusters share a host.
//! 3. The API server is bound; everything else reaches it in process, each with its own identity.
//! 4. [`components`]: scheduler, controllers, proxy, agent start.
//! 5. [`ready`]: when the node is Ready, `ready` is printed.
//! 6. [`trim`]: what only the start needed is given back.
//! 7. SIGINT or SIGTERM: components stop, pods stop unless `--keep-pods`, the store closes.
//!
//! `kill -9` at any moment loses nothing: the journal is durable and the shims hold the containers;
//! the next `wctl dev` on the same folder adopts them.

pub(crate) mod components;
pub(crate) mod home;
pub(crate) mod ready;
pub(crate) mod running;
pub(crate) mod slot;
pub(crate) mod stop;
pub(crate) mod storage;
pub(crate) mod trim;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use apiserver::Server;
use runtime::Runtime;
use rustix::process::{Resource, Rlimit};
use tokio_util::sync::CancellationToken;

use crate::cli;
use components::Components;
use home::Home;
use slot::Slot;

/// Runs the cluster until SIGINT or SIGTERM.
pub(crate) async fn run(arguments: cli::Dev, data_dir: PathBuf) -> Result<()> {
    let scheduler = scheduler_config(arguments.scheduler_config.as_deref())?;
    let signals = stop::Signals::listen()?;
    raise_descriptor_limit();
    let home = Home::open(data_dir, arguments.datastore.as_deref()).await?;
    let runtime = home::runtime(home.data_dir()).await?;
    let node = arguments.node_name.clone().unwrap_or_else(host_name);
    let slot = Slot::take(home.data_dir(), bridged(&arguments, &runtime))?;

    let authority = home.authority();
    let server = Server::bind(apiserver::Config {
        listen: arguments.listen,
        names: vec![node.clone()],
        advertise: Some(slot.node_ip()),
        service_cidr: slot.service_cidr(),
        service_accounts: true,
        ..apiserver::Config::new(home.store().clone(), authority.clone())
    })
    .await
    .context("start the API server")?;
    let kubeconfig = home.write_kubeconfig(server.local_addr())?;

    let stop = CancellationToken::new();
    let client = |component: &str, user: &str, groups: &[&str]| {
        components::local(&server, component, user, groups)
    };
    storage::ensure_class(client("wctl", "wctl", &["system:masters"])).await?;
    let node_client = client("kubelet", &format!("system:node:{node}"), &["system:nodes"]);
    let mut components = Components::default();
    components.scheduler(scheduler, client("kube-scheduler", "system:kube-scheduler", &[]));
    components.controllers(
        controllers::Config {
            local_path: Some(controllers::LocalPath {
                folder: home.data_dir().join("volumes"),
                node: node.clone(),
            }),
            ..components::controllers_config(&authority)
        },
        client("kube-controller-manager", "system:kube-controller-manager", &[]),
    );
    components.proxy(proxy_config(&slot, &node), client("kube-proxy", "system:kube-proxy", &[]));
    let config = agent_config(&home, &slot, &node)?;
    components.agent(config, runtime.clone(), node_client.clone());
    let url = format!("https://{}", server.local_addr());
    components.start_server(server, stop.child_token());

    let life = async {
        ready::node(node_client, &node).await?;
        let _announcement = running::say_ready(home.data_dir(), &url, &kubeconfig, &[])?;
        trim::after_start().await;
        std::future::pending().await
    };
    let outcome = components.until_stopped(&signals, life).await;
    let stopped = components.stop(stop).await;
    if !arguments.keep_pods {
        stop::pods(&runtime, slot.bridge_in_use().as_deref(), home.data_dir()).await;
    }
    home.close().await;
    outcome.and(stopped)
}

/// What the file of `--scheduler-config` says.
pub(crate) fn scheduler_config(file: Option<&Path>) -> Result<scheduler::Config> {
    Ok(file.map_or_else(|| Ok(scheduler::Config::default()), scheduler::Config::read)?)
}

/// Takes all the file descriptors that the host grants: a proxied connection costs two, and the soft
/// limit is 1024 only for programs that call select(2). Containers get limits of their own.
pub(crate) fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Whether pods get a network of their own; says why not.
fn bridged(arguments: &cli::Dev, runtime: &Runtime) -> bool {
    if arguments.loopback {
        return false;
    }
    match runtime.host().pod_network_why_not() {
        None => true,
        Some(reason) => {
            tracing::info!(reason, "pods share the host's network, on addresses from 127.0.0.0/8");
            false
        }
    }
}

/// The host's name as a node name: lower case, only what a DNS name may hold.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']).to_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
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
        // The cluster has one node.
        routes: false,
        cluster_dns: Vec::new(),
        cluster_domain: components::CLUSTER_DOMAIN.to_owned(),
        data_dir: home.data_dir().to_owned(),
        listen: (ip, 0).into(),
        tls: agent::ServingTls {
            certificate_pem: identity.certificate_pem,
            key_pem: identity.key_pem,
            client_ca_pem: authority.ca_pem().to_owned(),
        }
        .for_good(),
        capacity: agent::Capacity::default(),
        pod_pids_limit: Some(components::POD_PIDS_LIMIT),
        api_server: None,
        version: components::version(),
    })
}

fn proxy_config(slot: &Slot, node: &str) -> proxy::Config {
    let mode = if slot.bridged() { proxy::Mode::AnyIp } else { proxy::Mode::Loopback };
    proxy::Config::new(node, slot.service_cidr().into(), mode)
}

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

mod components;
mod home;
mod ready;
pub(crate) mod running;
mod slot;
mod stop;
mod storage;
mod trim;

use std::path::PathBuf;

use anyhow::{Context, Result};
use apiserver::{Server, User};
use rustix::process::{Resource, Rlimit};
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::output::line;
use components::Components;
use home::Home;
use slot::Slot;

/// Runs the cluster until SIGINT or SIGTERM.
pub(crate) async fn run(arguments: cli::Dev, data_dir: PathBuf) -> Result<()> {
    let signals = stop::Signals::listen()?;
    raise_descriptor_limit();
    let home = Home::open(data_dir, arguments.datastore.as_deref()).await?;
    let node = arguments.node_name.clone().unwrap_or_else(host_name);
    let slot = Slot::take(home.data_dir(), bridged(&arguments, &home))?;

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
    let client = |name: &str, groups: &[&str]| {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        kube::Client::new(server.local(User::new(name, groups)), "default")
    };
    storage::ensure_class(client("wctl", &["system:masters"])).await?;
    let node_client = client(&format!("system:node:{node}"), &["system:nodes"]);
    let mut components = Components::start(components::Wiring {
        home: &home,
        slot: &slot,
        node: &node,
        scheduler: client("system:kube-scheduler", &[]),
        controllers: client("system:kube-controller-manager", &[]),
        proxy: client("system:kube-proxy", &[]),
        agent: node_client.clone(),
    })?;
    let address = server.local_addr();
    components.start_server(server, stop.child_token());

    let outcome = tokio::select! {
        outcome = until_stopped(&home, node_client, &node, address, &kubeconfig, &signals) => outcome,
        ended = components.first_to_end() => Err(ended),
    };
    tracing::info!("stopping");
    let stopped = components.stop(stop).await;
    if !arguments.keep_pods {
        stop::pods(home.runtime(), &slot, home.data_dir()).await;
    }
    home.close().await;
    outcome.and(stopped)
}

/// Says when the cluster is ready, then waits for a signal.
async fn until_stopped(
    home: &Home,
    client: kube::Client,
    node: &str,
    address: std::net::SocketAddr,
    kubeconfig: &std::path::Path,
    signals: &stop::Signals,
) -> Result<()> {
    let _announcement = tokio::select! {
        became = ready::node(client, node) => {
            became?;
            let announcement = running::announce(home.data_dir())?;
            line(format!("API server  https://{address}"))?;
            line(format!("kubeconfig  {}", kubeconfig.display()))?;
            line("ready")?;
            announcement
        }
        () = signals.received() => return Ok(()),
    };
    let trimmed = async {
        trim::after_start().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = trimmed => {}
        () = signals.received() => {}
    }
    Ok(())
}

/// Takes all the file descriptors that the host grants: a proxied connection costs two, and the soft
/// limit is 1024 only for programs that call select(2). Containers get limits of their own.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Whether pods get a network of their own; says why not.
fn bridged(arguments: &cli::Dev, home: &Home) -> bool {
    if arguments.loopback {
        return false;
    }
    match home.runtime().host().pod_network_why_not() {
        None => true,
        Some(reason) => {
            tracing::info!(reason, "pods share the host's network, on addresses from 127.0.0.0/8");
            false
        }
    }
}

/// The host's name as a node name: lower case, only what a DNS name may hold.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']).to_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

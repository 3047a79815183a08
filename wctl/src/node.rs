//! `wctl agent`: this host as a node of a cluster whose control plane is `wctl server`.
//!
//! From start to shutdown:
//!
//! 1. The data folder is locked, the container runtime opened. Pods get a network of their own or
//!    nothing starts: addresses that only this host knows are of no use to other nodes.
//! 2. [`authority`]: which CA the server has, by its hash or a file, and from then on by memory.
//! 3. [`certificate`]: the node's client certificate, asked for with the token, once.
//! 4. The node says where it is and gets a range of pod addresses; then its serving certificate.
//! 5. Agent and proxy run, routes lead to the other nodes' pods, certificates are renewed ([`renewal`]).
//! 6. When the node is Ready, `ready` is printed.
//! 7. SIGINT or SIGTERM: components stop; pods, routes and bridge go unless `--keep-pods`.

mod authority;
mod certificate;
mod connection;
mod renewal;

use std::net::{IpAddr, ToSocketAddrs as _, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use http::Uri;
use ipnet::Ipv4Net;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::dev::components::{self, Components};
use crate::dev::home::{self, Folder};
use crate::dev::{host_name, raise_descriptor_limit, ready, stop, trim};
use crate::output::line;
use certificate::{Files, Purpose};
use connection::Connection;
use renewal::Renewal;

/// Runs the node until SIGINT or SIGTERM.
pub(crate) async fn run(arguments: cli::Agent, data_dir: PathBuf) -> Result<()> {
    let signals = stop::Signals::listen()?;
    raise_descriptor_limit();
    let folder = Folder::open(&data_dir)?;
    let runtime = home::runtime(folder.path()).await?;
    if let Some(reason) = runtime.host().pod_network_why_not() {
        bail!("a node needs a network for its pods, and this host refuses: {reason}");
    }
    let node = Node::new(&arguments, folder.path())?;
    let joined = tokio::select! {
        joined = node.join(&arguments) => joined?,
        () = signals.received() => return Ok(()),
    };
    let bridge = bridge(joined.range);
    leave_old_range(folder.path(), &bridge)?;

    let mut components = Components::default();
    let mode = proxy::Mode::AnyIp;
    let proxy = proxy::Config::new(&node.name, joined.services.into(), mode);
    components.proxy(proxy, joined.connection.client("kube-proxy")?);
    let client = joined.connection.client("kubelet")?;
    let config = node.agent_config(&arguments, &joined, folder.path(), &bridge);
    components.agent(config, runtime.clone(), client.clone());
    let renewal = Renewal {
        node: node.name.clone(),
        ip: node.ip,
        files: node.files.clone(),
        connection: joined.connection,
        serving: joined.serving,
    };
    components.spawn("renewal of certificates", |stop| async move {
        tokio::select! {
            () = renewal.run() => {}
            () = stop.cancelled() => {}
        }
        Ok(())
    });

    let life = async {
        ready::node(client, &node.name).await?;
        line(format!("node        {} at {}, pods in {}", node.name, node.ip, joined.range))?;
        line("ready")?;
        trim::after_start().await;
        std::future::pending().await
    };
    let outcome = components.until_stopped(&signals, life).await;
    let stopped = components.stop(CancellationToken::new()).await;
    if !arguments.keep_pods {
        stop::pods(&runtime, Some(&bridge), folder.path()).await;
        let removed = tokio::task::spawn_blocking(move || agent::remove_routes(&bridge)).await;
        match removed.context("removing routes panicked")? {
            Ok(()) => {}
            Err(error) => tracing::warn!(?error, "routes to other nodes stay"),
        }
    }
    outcome.and(stopped)
}

/// This host as the cluster is to know it.
struct Node {
    name: String,
    ip: IpAddr,
    server: Uri,
    files: Files,
}

/// What came of joining.
struct Joined {
    connection: Connection,
    range: Ipv4Net,
    services: Ipv4Net,
    serving: watch::Sender<agent::ServingTls>,
}

impl Node {
    fn new(arguments: &cli::Agent, data_dir: &Path) -> Result<Self> {
        let server = &arguments.server;
        let host = server.host().context("--server has no host, like https://192.0.2.1:6443")?;
        let port = server.port_u16().unwrap_or(443);
        let ip = match arguments.node_ip {
            Some(ip) => ip,
            None => toward(host, port).with_context(|| {
                format!("find this host's address towards {host}; --node-ip names it")
            })?,
        };
        Ok(Self {
            name: arguments.node_name.clone().unwrap_or_else(host_name),
            ip,
            server: server.clone(),
            files: Files::new(data_dir)?,
        })
    }

    /// Everything between a start and a running agent. Trouble with the server is waited out; what
    /// waiting cannot mend is an error.
    async fn join(&self, arguments: &cli::Agent) -> Result<Joined> {
        let ca_pem = authority::of(arguments, &self.server, &self.files).await?;
        let client_name = Purpose::Client.describe();
        let identity = match self.files.load(&Purpose::Client, &self.name)? {
            Some(identity) => identity,
            None => {
                let token = arguments.token.as_deref().with_context(|| {
                    format!(
                        "this host has no {client_name} yet: give --token, which wctl server prints"
                    )
                })?;
                let bootstrap = connection::with_token(&self.server, &ca_pem, token)?;
                let identity =
                    certificate::request(&bootstrap, &self.name, &Purpose::Client).await?;
                self.files.save(&Purpose::Client, &self.name, &identity)?;
                identity
            }
        };
        let connection = Connection::new(&self.server, &ca_pem, &identity)?;
        let client = connection.client("kubelet")?;
        let range = agent::announce(client.clone(), &self.name, self.ip).await;
        let services = services(client.clone()).await?;
        let purpose = Purpose::serving(&self.name, self.ip);
        let identity = match self.files.load(&purpose, &self.name)? {
            Some(identity) => identity,
            None => {
                let identity = certificate::request(&client, &self.name, &purpose).await?;
                self.files.save(&purpose, &self.name, &identity)?;
                identity
            }
        };
        let serving = watch::Sender::new(agent::ServingTls {
            certificate_pem: identity.certificate_pem,
            key_pem: identity.key_pem,
            client_ca_pem: ca_pem,
        });
        Ok(Joined { connection, range, services, serving })
    }

    fn agent_config(
        &self,
        arguments: &cli::Agent,
        joined: &Joined,
        data_dir: &Path,
        bridge: &str,
    ) -> agent::Config {
        agent::Config {
            node_name: self.name.clone(),
            node_labels: Default::default(),
            node_taints: Vec::new(),
            node_ip: self.ip,
            network: agent::PodNetwork::Bridge { name: bridge.to_owned(), cidr: joined.range },
            routes: true,
            cluster_dns: Vec::new(),
            cluster_domain: components::CLUSTER_DOMAIN.to_owned(),
            data_dir: data_dir.to_owned(),
            listen: (self.ip, arguments.kubelet_port).into(),
            tls: joined.serving.subscribe(),
            capacity: agent::Capacity::default(),
            pod_pids_limit: Some(components::POD_PIDS_LIMIT),
            api_server: None,
            version: components::version(),
        }
    }
}

/// The source address of packets to the server. Nothing is sent: connecting a datagram socket only asks
/// the routing table.
fn toward(host: &str, port: u16) -> Result<IpAddr> {
    let host = host.trim_matches(['[', ']']);
    let server = (host, port).to_socket_addrs()?.next().context("the name has no address")?;
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

/// From which network Services have their addresses.
async fn services(client: kube::Client) -> Result<Ipv4Net> {
    let all = Api::<ServiceCIDR>::all(client).list(&ListParams::default()).await;
    let all = all.context("ask for the network of Services")?;
    let own = all.items.into_iter().find(|range| range.name_any() == "kubernetes");
    let cidrs = own.and_then(|range| range.spec).and_then(|spec| spec.cidrs).unwrap_or_default();
    let first = cidrs.iter().find_map(|cidr| cidr.parse().ok());
    first.context("the cluster names no IPv4 network of Services")
}

/// The name of the bridge of a range: the same range always has the same.
fn bridge(range: Ipv4Net) -> String {
    format!("wharf-{:08x}", u32::from(range.network()))
}

/// Remembers the bridge, and takes away the one of a range that the node had before: what is left of it
/// would hide another node's pods.
fn leave_old_range(data_dir: &Path, bridge: &str) -> Result<()> {
    let memory = data_dir.join("bridge");
    let before = std::fs::read_to_string(&memory).unwrap_or_default();
    let before = before.trim();
    if before != bridge && !before.is_empty() {
        tracing::info!(before, bridge, "the node has another range of pod addresses");
        runtime::net::remove_bridge(before).context("remove the bridge of the former range")?;
        agent::remove_routes(before).context("remove the routes of the former range")?;
    }
    std::fs::write(&memory, format!("{bridge}\n"))
        .with_context(|| format!("write {}", memory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_are_named_after_their_range() {
        assert_eq!(bridge("10.42.1.0/24".parse().unwrap()), "wharf-0a2a0100");
        assert_ne!(
            bridge("10.42.2.0/24".parse().unwrap()),
            bridge("10.42.1.0/24".parse().unwrap())
        );
    }

    #[test]
    fn the_way_to_a_server_has_a_source() {
        assert_eq!(toward("127.0.0.1", 6443).unwrap().to_string(), "127.0.0.1");
        assert!(toward("", 6443).is_err());
    }
}

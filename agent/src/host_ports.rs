//! `hostPort`: ports of the node that lead into a pod, carried in user space like the addresses of
//! Services.
//!
//! A port is open as long as the pod has a sandbox, on the node's address and on `localhost`, or on the
//! `hostIP` that the pod names. One that somebody else holds is tried again; the scheduler keeps two pods
//! with the same port apart, so that somebody is on its way out or no pod. Connections end with their pod.
//! Only TCP is carried; a pod that asks for another protocol is told so.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerPort, Pod};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::context::Context;
use crate::event::Severity;
use crate::pod::containers;

/// Pause before a port that is taken is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(1);
/// How long a connection to the pod may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Pause after the kernel refused a connection (no descriptors left).
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// What a pod asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// Where to listen, and which port of the pod it leads to.
    ports: BTreeMap<SocketAddr, u16>,
    /// Ports that cannot be opened, as texts of events.
    refused: BTreeSet<String>,
}

/// The ports of a pod with its own network; one in the host's network has them without our doing.
fn wanted(pod: &Pod, node_ip: IpAddr) -> Wanted {
    let mut wanted = Wanted::default();
    if pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true) {
        return wanted;
    }
    for container in containers::all(pod) {
        for port in container.ports.iter().flatten() {
            let number = |value: i32| u16::try_from(value).ok().filter(|number| *number != 0);
            let (Some(host), Some(inside)) =
                (port.host_port.and_then(number), number(port.container_port))
            else {
                continue;
            };
            match port.protocol.as_deref() {
                None | Some("TCP") => {
                    let addresses = addresses(port, node_ip);
                    wanted.ports.extend(addresses.map(|ip| (SocketAddr::new(ip, host), inside)));
                }
                Some(protocol) => {
                    wanted.refused.insert(format!(
                        "host port {host}/{protocol} of container {:?} is not opened: only TCP is carried",
                        container.name
                    ));
                }
            }
        }
    }
    wanted
}

/// The one that is named, unless it stands for all; else the node's and `localhost`.
fn addresses(port: &ContainerPort, node_ip: IpAddr) -> impl Iterator<Item = IpAddr> + use<> {
    let named = port.host_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
    let named = named.filter(|ip| !ip.is_unspecified());
    let all = match named {
        Some(ip) => BTreeSet::from([ip]),
        None => BTreeSet::from([node_ip, Ipv4Addr::LOCALHOST.into()]),
    };
    all.into_iter()
}

/// The open ports of one pod; dropping them closes them.
#[derive(Debug, Default)]
pub(crate) struct HostPorts {
    open: BTreeMap<SocketAddr, (SocketAddr, DropGuard)>,
    told: BTreeSet<String>,
}

impl HostPorts {
    /// Opens what the pod asks for while it has an address, and closes what it does not. Gives when to try
    /// again what could not be opened.
    pub(crate) fn sync(
        &mut self,
        context: &Arc<Context>,
        pod: &Pod,
        pod_ip: Option<IpAddr>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let Some(pod_ip) = pod_ip else {
            self.open.clear();
            return None;
        };
        let Wanted { ports, refused } = wanted(pod, context.config.node_ip);
        for text in refused {
            self.tell(context, pod, "HostPortUnsupported", text);
        }
        let target = |inside: u16| SocketAddr::new(pod_ip, inside);
        self.open.retain(|address, (to, _)| ports.get(address).copied().map(target) == Some(*to));
        let mut again = None;
        for (address, inside) in ports {
            if self.open.contains_key(&address) {
                continue;
            }
            match listen(address) {
                Ok(listener) => {
                    let stop = context.shutdown.child_token();
                    let carry = carry(Arc::clone(context), listener, target(inside), stop.clone());
                    context.tracker.spawn(carry);
                    self.open.insert(address, (target(inside), stop.drop_guard()));
                }
                Err(error) => {
                    let text = format!("cannot open host port {address}, trying again: {error}");
                    self.tell(context, pod, "HostPortConflict", text);
                    again = now.checked_add(RETRY).ok();
                }
            }
        }
        again
    }

    fn tell(&mut self, context: &Context, pod: &Pod, reason: &'static str, text: String) {
        if self.told.insert(text.clone()) {
            context.events.pod(pod, Severity::Warning, reason, text);
        }
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Accepts until told to stop. What has been accepted goes on until one of both sides ends it.
async fn carry(
    context: Arc<Context>,
    listener: TcpListener,
    to: SocketAddr,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((client, _)) => {
                let end = context.shutdown.clone();
                context.tracker.spawn(async move {
                    tokio::select! {
                        () = connect(client, to) => {}
                        () = end.cancelled() => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, %to, "a host port could not accept");
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
        }
    }
}

/// Carries bytes both ways. Whoever reaches nobody is cut off at once.
async fn connect(mut client: TcpStream, to: SocketAddr) {
    let _ = client.set_nodelay(true);
    let outcome = match tokio::time::timeout(CONNECT, TcpStream::connect(to)).await {
        Ok(Ok(mut server)) => {
            let _ = server.set_nodelay(true);
            tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, %to, "a connection through a host port ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(more: Value, ports: Value) -> Pod {
        let mut spec = json!({"containers": [{"name": "c", "ports": ports}]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    #[test]
    fn what_is_opened() {
        let node = "192.0.2.1".parse().unwrap();
        let of = |more: Value, ports: Value| {
            let wanted = wanted(&pod(more, ports), node);
            let ports = wanted.ports.iter().map(|(at, to)| format!("{at}>{to}"));
            ports.chain(wanted.refused).collect::<Vec<_>>()
        };
        let none: [&str; 0] = [];
        let plain = json!([{"containerPort": 80, "hostPort": 8080}, {"containerPort": 81}]);
        assert_eq!(of(json!({}), plain.clone()), ["127.0.0.1:8080>80", "192.0.2.1:8080>80"]);
        assert_eq!(of(json!({"hostNetwork": true}), plain), none);
        for (ip, expected) in [
            ("192.0.2.7", vec!["192.0.2.7:1>2"]),
            ("0.0.0.0", vec!["127.0.0.1:1>2", "192.0.2.1:1>2"]),
            ("", vec!["127.0.0.1:1>2", "192.0.2.1:1>2"]),
        ] {
            let named =
                json!([{"containerPort": 2, "hostPort": 1, "hostIP": ip, "protocol": "TCP"}]);
            assert_eq!(of(json!({}), named), expected, "{ip}");
        }
        let udp = json!([{"containerPort": 53, "hostPort": 53, "protocol": "UDP"}]);
        assert_eq!(
            of(json!({}), udp),
            ["host port 53/UDP of container \"c\" is not opened: only TCP is carried"]
        );
    }
}

//! A connection to a port of a pod, made inside its network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use nix::sched::CloneFlags;
use tokio::sync::oneshot;

use super::Sandboxes;
use crate::spec::Network;

/// Everything is on this host: who does not accept by then has a full backlog.
const PATIENCE: Duration = Duration::from_secs(10);

impl Sandboxes {
    /// Connects to a TCP port as a process of the pod would connect to `localhost`.
    pub(crate) async fn connect(&self, id: &str, port: u16) -> io::Result<tokio::net::TcpStream> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the pod has no sandbox any more");
        let sandbox = self.get(id).ok_or_else(gone)?;
        let shim = sandbox.shim().ok_or_else(gone)?;
        let at = |address: IpAddr| SocketAddr::new(address, port);
        let localhost = [at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into())];
        let (namespace, addresses) = match &sandbox.record.spec.network {
            Network::Pod { .. } => {
                (Some(Arc::clone(shim.process().ok_or_else(gone)?)), localhost.to_vec())
            }
            Network::Host => (None, localhost.to_vec()),
            Network::Loopback { address } => (None, vec![at(*address)]),
        };
        let (send, connected) = oneshot::channel();
        // A thread of its own, which ends in the pod's network: no other task must find itself there.
        std::thread::Builder::new().name("pod-connect".to_owned()).spawn(move || {
            let entered = namespace.map_or(Ok(()), |shim| {
                nix::sched::setns(&*shim, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
            });
            // Whoever asked may be gone.
            let _ = send.send(entered.and_then(|()| first(&addresses)));
        })?;
        let stream = connected.await.map_err(|_| gone())??;
        stream.set_nonblocking(true)?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// A connection to the first address that accepts one; else the first address's error.
fn first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut refused = None;
    for address in addresses {
        match TcpStream::connect_timeout(address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(e) => refused = refused.or(Some(e)),
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

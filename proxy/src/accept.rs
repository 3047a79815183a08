//! Accepting connections of one Service port and finding an endpoint for each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::copy;
use crate::pick::Picker;

/// Connections the kernel may complete before they are accepted.
const BACKLOG: i32 = 4096;
/// After so much silence the kernel asks whether the peer still lives, and then this often.
const SILENCE: Duration = Duration::from_secs(60);
const PROBE_AGAIN: Duration = Duration::from_secs(15);
/// After a failed accept (out of descriptors), others are given time to end.
const PAUSE: Duration = Duration::from_millis(50);

/// Listens on a Service address.
///
/// # Errors
/// What the kernel said; typically that another process listens on that port on all addresses.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    // Connections of a proxy that ran before may still be closing.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// What the connections of a listener need.
#[derive(Clone)]
pub(crate) struct Connections {
    pub(crate) tracker: TaskTracker,
    /// Ends every connection, when the drain is over.
    pub(crate) cut_off: CancellationToken,
    pub(crate) connect_timeout: Duration,
}

/// Accepts until `stop`. Connections live on.
pub(crate) async fn accept(
    listener: TcpListener,
    picker: Arc<Picker>,
    connections: Connections,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((client, from)) => {
                let (picker, cut_off) = (picker.clone(), connections.cut_off.clone());
                let connect_timeout = connections.connect_timeout;
                connections.tracker.spawn(async move {
                    tokio::select! {
                        () = cut_off.cancelled() => {}
                        () = carry(&client, from, &picker, connect_timeout) => {}
                    }
                });
            }
            // The client gave up before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(service = picker.name(), %error, "accept failed");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn carry(client: &TcpStream, from: SocketAddr, picker: &Picker, connect_timeout: Duration) {
    let Some(server) = connect(from, picker, connect_timeout).await else {
        // As near to "connection refused" as an accepted connection can get.
        copy::reset(client);
        return;
    };
    tune(client);
    tune(&server);
    if let Err(error) = copy::both_ways(client, &server).await {
        debug!(service = picker.name(), client = %from, %error, "connection ended");
    }
}

/// Options of both sockets of a connection; refusing them is no reason to refuse the connection.
fn tune(stream: &TcpStream) {
    // Small messages must not wait for more.
    stream.set_nodelay(true).ok();
    // A peer whose host or network namespace vanished says no goodbye: without this its connection,
    // and the other side's with it, would stay for ever.
    let probes = TcpKeepalive::new().with_time(SILENCE).with_interval(PROBE_AGAIN);
    SockRef::from(stream).set_tcp_keepalive(&probes).ok();
}

/// Tries the candidates in order.
async fn connect(
    client: SocketAddr,
    picker: &Picker,
    connect_timeout: Duration,
) -> Option<TcpStream> {
    for endpoint in picker.candidates(client.ip(), Instant::now()) {
        match timeout(connect_timeout, TcpStream::connect(endpoint)).await {
            Ok(Ok(server)) => {
                picker.connected(client.ip(), endpoint, Instant::now());
                return Some(server);
            }
            Ok(Err(error)) => {
                debug!(service = picker.name(), %endpoint, %error, "endpoint refused");
            }
            Err(_) => debug!(service = picker.name(), %endpoint, "endpoint did not answer"),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_ends_are_asked_whether_they_live() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tune(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), SILENCE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), PROBE_AGAIN);
    }
}

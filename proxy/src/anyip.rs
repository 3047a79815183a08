//! The route that makes every Service address an address of this host.
//!
//! `ip route add local <cidr> dev lo`: with it the kernel delivers packets to any address of the
//! network locally, from this host and from pods behind its bridge, and lets sockets bind to them.

use std::io;

use ipnet::IpNet;
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol, RouteScope, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::Error;

/// The kernel's table of local addresses (RT_TABLE_LOCAL).
const LOCAL_TABLE: u32 = 255;
/// `lo` has index 1 in every network namespace.
const LOOPBACK: u32 = 1;

const EEXIST: i32 = 17;
const ESRCH: i32 = 3;

/// The route of one Service network.
pub(crate) struct Route {
    cidr: IpNet,
}

impl Route {
    /// Adds the route. One that is there already (of a proxy that was killed) is taken over.
    pub(crate) async fn add(cidr: IpNet) -> Result<Self, Error> {
        let fail = |operation| move |source| Error::Route { cidr, operation, source };
        let message = message(cidr).map_err(fail("building the route"))?;
        let added =
            with_netlink(|handle| async move { handle.route().add(message).execute().await });
        match added.await {
            Ok(()) => Ok(Self { cidr }),
            Err(error) if error.raw_os_error() == Some(EEXIST) => {
                debug!(%cidr, "route was there");
                Ok(Self { cidr })
            }
            Err(error) => Err(fail("adding the route")(error)),
        }
    }

    /// Takes the route away.
    pub(crate) async fn remove(self) {
        let cidr = self.cidr;
        let removed = match message(cidr) {
            Ok(message) => {
                with_netlink(|handle| async move { handle.route().del(message).execute().await })
                    .await
            }
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.raw_os_error() != Some(ESRCH) => {
                warn!(%cidr, %error, "route left behind");
            }
            _ => {}
        }
    }
}

fn message(cidr: IpNet) -> io::Result<RouteMessage> {
    let builder = RouteMessageBuilder::<std::net::IpAddr>::new()
        .destination_prefix(cidr.network(), cidr.prefix_len())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    Ok(builder
        .output_interface(LOOPBACK)
        .table_id(LOCAL_TABLE)
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .protocol(RouteProtocol::Static)
        .build())
}

/// Makes one request over a netlink socket of its own: the socket belongs to the network namespace
/// of the calling thread.
async fn with_netlink<Run>(request: impl FnOnce(Handle) -> Run) -> io::Result<()>
where
    Run: Future<Output = Result<(), rtnetlink::Error>>,
{
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let tracker = TaskTracker::new();
    tracker.spawn(connection);
    let result = request(handle).await;
    tracker.close();
    // The handle is gone with the request, which ends the connection.
    tracker.wait().await;
    result.map_err(|error| match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    })
}

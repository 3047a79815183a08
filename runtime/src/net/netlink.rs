//! Blocking rtnetlink: one request, one answer.

mod routes;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use ipnet::IpNet;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rtnetlink::{
    AddressMessageBuilder, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth,
    RouteMessageBuilder,
};
use rustix::net::{AddressFamily, SocketType};

use crate::runtime::NetworkError;

/// A socket in the network namespace that it was opened in.
pub(crate) struct Netlink {
    route: Socket,
    /// For the ioctls that ask about interfaces by name.
    ioctl: OwnedFd,
}

impl Netlink {
    pub(crate) fn open() -> Result<Self, NetworkError> {
        let failed = |operation| move |source| NetworkError::Socket { operation, source };
        let mut route = Socket::new(NETLINK_ROUTE).map_err(failed("open"))?;
        route.bind_auto().map_err(failed("bind"))?;
        route.connect(&SocketAddr::new(0, 0)).map_err(failed("connect"))?;
        let ioctl = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::DGRAM,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|e| failed("open")(e.into()))?;
        Ok(Self { route, ioctl })
    }

    /// The interface's index, if there is one of this name.
    pub(crate) fn index(&self, name: &str) -> Result<Option<u32>, NetworkError> {
        match rustix::net::netdevice::name_to_index(&self.ioctl, name) {
            Ok(index) => Ok(Some(index)),
            Err(rustix::io::Errno::NODEV) => Ok(None),
            Err(e) => Err(refused("find", name, e.into())),
        }
    }

    pub(crate) fn must_index(&self, name: &str) -> Result<u32, NetworkError> {
        self.index(name)?
            .ok_or_else(|| refused("find interface", name, io::ErrorKind::NotFound.into()))
    }

    /// The interface's MTU.
    pub(crate) fn mtu(&self, name: &str) -> Result<Option<u32>, NetworkError> {
        let message = LinkUnspec::new_with_name(name).build();
        let flags = NLM_F_REQUEST;
        let answer = self
            .exchange(RouteNetlinkMessage::GetLink(message), flags)
            .map_err(|e| refused("ask about", name, e))?;
        let Some(RouteNetlinkMessage::NewLink(link)) = answer else { return Ok(None) };
        Ok(link.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        }))
    }

    pub(crate) fn add_bridge(&self, name: &str, address: Vec<u8>) -> Result<(), NetworkError> {
        let message = LinkBridge::new(name).address(address).build();
        self.change(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
            .or_else(already_there)
            .map_err(|e| refused("make bridge", name, e))
    }

    /// A veth pair: `name` here, in the bridge and up; `peer` in the other namespace.
    pub(crate) fn add_veth(
        &self,
        name: &str,
        bridge: u32,
        peer: &str,
        namespace: BorrowedFd<'_>,
        mtu: Option<u32>,
    ) -> Result<(), NetworkError> {
        let mut other: LinkMessageBuilder<LinkUnspec> =
            LinkMessageBuilder::<LinkUnspec>::new().name(peer).setns_by_fd(namespace.as_raw_fd());
        let mut link = LinkVeth::new(name, peer).controller(bridge).up();
        if let Some(mtu) = mtu {
            other = other.mtu(mtu);
            link = link.mtu(mtu);
        }
        let link = link.set_info_data(InfoData::Veth(InfoVeth::Peer(other.build())));
        self.change(RouteNetlinkMessage::NewLink(link.build()), NLM_F_CREATE | NLM_F_EXCL)
            .map_err(|e| refused("make veth", name, e))
    }

    pub(crate) fn set_up(&self, index: u32, name: &str) -> Result<(), NetworkError> {
        let message: LinkMessage = LinkUnspec::new_with_index(index).up().build();
        self.change(RouteNetlinkMessage::SetLink(message), 0)
            .map_err(|e| refused("bring up", name, e))
    }

    /// Adds the address unless the interface has it.
    pub(crate) fn add_address(
        &self,
        index: u32,
        address: IpNet,
        name: &str,
    ) -> Result<(), NetworkError> {
        let length = address.prefix_len();
        let message = match address.addr() {
            IpAddr::V4(v4) => {
                AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(v4, length).build()
            }
            IpAddr::V6(v6) => {
                AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(v6, length).build()
            }
        };
        self.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL)
            .or_else(already_there)
            .map_err(|e| refused("add address", format!("{address} to {name}"), e))
    }

    pub(crate) fn add_default_route(&self, index: u32, via: IpAddr) -> Result<(), NetworkError> {
        let message = match via {
            IpAddr::V4(v4) => {
                RouteMessageBuilder::<Ipv4Addr>::new().gateway(v4).output_interface(index).build()
            }
            IpAddr::V6(v6) => {
                RouteMessageBuilder::<Ipv6Addr>::new().gateway(v6).output_interface(index).build()
            }
        };
        self.change(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map_err(|e| refused("add default route", format!("via {via}"), e))
    }

    /// Removes the interface if there is one of this name.
    pub(crate) fn remove(&self, name: &str) -> Result<(), NetworkError> {
        let Some(index) = self.index(name)? else { return Ok(()) };
        let message = LinkUnspec::new_with_index(index).build();
        match self.change(RouteNetlinkMessage::DelLink(message), 0) {
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            other => other.map_err(|e| refused("remove", name, e)),
        }
    }

    fn change(&self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags).map(drop)
    }

    fn exchange(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        request.header.sequence_number = 1;
        request.finalize();
        let mut buffer = vec![0; request.buffer_len()];
        request.serialize(&mut buffer);
        self.route.send(&buffer, 0)?;
        let (answer, _) = self.route.recv_from_full()?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
            .map_err(|e| io::Error::other(e.to_string()))?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
            _ => Ok(None),
        }
    }
}

fn already_there(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::EEXIST) { Ok(()) } else { Err(error) }
}

fn refused(operation: &'static str, subject: impl Into<String>, source: io::Error) -> NetworkError {
    NetworkError::Refused { operation, subject: subject.into(), source }
}

//! The routing table, by blocking rtnetlink.

use std::io;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_core::{
    NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};

use super::{Netlink, already_there, refused};
use crate::net::routes::Route;
use crate::runtime::NetworkError;

/// Who has made a route, for the kernel: a number that no routing daemon has (rt_protos).
const PROTOCOL: RouteProtocol = RouteProtocol::Other(119);

impl Netlink {
    /// The routes of ours with this metric.
    pub(crate) fn routes(&self, metric: u32) -> Result<Vec<Route>, NetworkError> {
        let all = self.all_routes().map_err(|e| refused("list", "routes", e))?;
        Ok(all.iter().filter_map(|message| ours(message, metric)).collect())
    }

    /// Adds a route unless it is there.
    pub(crate) fn add_route(&self, route: Route, metric: u32) -> Result<(), NetworkError> {
        let message = RouteNetlinkMessage::NewRoute(message(route, metric));
        self.change(message, NLM_F_CREATE | NLM_F_EXCL)
            .or_else(already_there)
            .map_err(|e| refused("add route", text(route), e))
    }

    /// Removes a route if it is there.
    pub(crate) fn remove_route(&self, route: Route, metric: u32) -> Result<(), NetworkError> {
        match self.change(RouteNetlinkMessage::DelRoute(message(route, metric)), 0) {
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            other => other.map_err(|e| refused("remove route", text(route), e)),
        }
    }

    /// Asks for the whole table; the answer is many messages in several packets.
    fn all_routes(&self) -> io::Result<Vec<RouteMessage>> {
        let question = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(question));
        request.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        request.header.sequence_number = 1;
        request.finalize();
        let mut buffer = vec![0; request.buffer_len()];
        request.serialize(&mut buffer);
        self.route.send(&buffer, 0)?;
        let mut found = Vec::new();
        loop {
            let (packet, _) = self.route.recv_from_full()?;
            let mut rest = packet.as_slice();
            while !rest.is_empty() {
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|e| io::Error::other(e.to_string()))?;
                let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(found),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
                        found.push(route);
                    }
                    _ => {}
                }
                // Messages begin at multiples of four bytes.
                rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
                if length == 0 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
    }
}

fn message(route: Route, metric: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(route.to.network(), route.to.prefix_len())
        .gateway(route.via)
        .priority(metric)
        .protocol(PROTOCOL)
        .build()
}

fn ours(message: &RouteMessage, metric: u32) -> Option<Route> {
    let attributes = &message.attributes;
    let has = attributes.contains(&RouteAttribute::Priority(metric));
    if message.header.protocol != PROTOCOL || !has {
        return None;
    }
    let address = |pick: fn(&RouteAttribute) -> Option<&RouteAddress>| match attributes
        .iter()
        .find_map(pick)?
    {
        RouteAddress::Inet(address) => Some(*address),
        _ => None,
    };
    let to = address(|attribute| match attribute {
        RouteAttribute::Destination(to) => Some(to),
        _ => None,
    })?;
    let via = address(|attribute| match attribute {
        RouteAttribute::Gateway(via) => Some(via),
        _ => None,
    })?;
    Some(Route { to: Ipv4Net::new(to, message.header.destination_prefix_length).ok()?, via })
}

fn text(route: Route) -> String {
    format!("to {} via {}", route.to, route.via)
}

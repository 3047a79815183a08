//! Routes to the pods of other nodes: each node's range of pod addresses is behind its InternalIP.
//!
//! The nodes are watched; what the kernel has is compared with what they say, and corrected. A node
//! that is silent keeps its route, for its pods may well live; one that is deleted loses it. When the
//! agent ends the routes stay, as the pods do, until [`remove_all`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use runtime::NetworkError;
use runtime::net::{self, Route};
use tokio_util::sync::CancellationToken;

/// Routes that the kernel refused are tried again after this, and all are looked at this often.
const RETRY: Duration = Duration::from_secs(30);

/// A node as far as routes go: where it is, and the range of its pods.
type Behind = (Ipv4Addr, Ipv4Net);

/// What is to be done to the routing table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// First, so that a range that moved to another node is never in two places.
    Remove(Route),
    Add(Route),
}

/// Keeps the routes in step with the nodes until `stop`. `own` is the name of this node, `owner` marks
/// its routes.
pub(crate) async fn run(client: kube::Client, own: String, owner: String, stop: CancellationToken) {
    let nodes = Api::<Node>::all(client);
    let changes = watcher(nodes, watcher::Config::default()).default_backoff();
    pin_mut!(changes);
    let mut known: BTreeMap<String, Behind> = BTreeMap::new();
    let mut listed: BTreeMap<String, Behind> = BTreeMap::new();
    let mut here = None;
    let mut complete = false;
    let mut again = tokio::time::interval(RETRY);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            next = changes.next() => match next {
                Some(Ok(watcher::Event::Init)) => {
                    listed.clear();
                    false
                }
                Some(Ok(watcher::Event::InitApply(node))) => {
                    note(&mut listed, &mut here, &own, &node);
                    false
                }
                Some(Ok(watcher::Event::InitDone)) => {
                    known = std::mem::take(&mut listed);
                    complete = true;
                    true
                }
                Some(Ok(watcher::Event::Apply(node))) => note(&mut known, &mut here, &own, &node),
                Some(Ok(watcher::Event::Delete(node))) => {
                    known.remove(&node.name_any()).is_some()
                }
                Some(Err(error)) => {
                    tracing::debug!(%error, "watch of the nodes failed; trying again");
                    false
                }
                None => return,
            },
            _ = again.tick() => true,
            () = stop.cancelled() => return,
        };
        // On half a list routes would go that are still needed.
        if changed && complete {
            let (wanted, owner) = (wanted(&known, here), owner.clone());
            let applied = tokio::task::spawn_blocking(move || apply(&owner, &wanted)).await;
            match applied {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(?error, "the routes to other nodes are not as they should be");
                }
                Err(error) => tracing::error!(%error, "setting routes panicked"),
            }
        }
    }
}

/// Removes every route that an agent with this bridge has made.
///
/// # Errors
/// What the kernel refused.
pub fn remove_all(bridge: &str) -> Result<(), NetworkError> {
    apply(bridge, &BTreeSet::new())
}

/// Takes a node in; whether that changes anything.
fn note(
    nodes: &mut BTreeMap<String, Behind>,
    here: &mut Option<Ipv4Addr>,
    own: &str,
    node: &Node,
) -> bool {
    let (name, behind) = (node.name_any(), behind(node));
    if name == own {
        let address = address(node);
        return std::mem::replace(here, address) != address;
    }
    match behind {
        Some(behind) => nodes.insert(name, behind) != Some(behind),
        None => nodes.remove(&name).is_some(),
    }
}

fn behind(node: &Node) -> Option<Behind> {
    let range = node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()?;
    Some((address(node)?, range))
}

fn address(node: &Node) -> Option<Ipv4Addr> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().find(|address| address.type_ == "InternalIP")?;
    match internal.address.parse().ok()? {
        IpAddr::V4(v4) if !v4.is_loopback() => Some(v4),
        _ => None,
    }
}

/// The routes there should be. A node on this very host is reached without one.
fn wanted(nodes: &BTreeMap<String, Behind>, here: Option<Ipv4Addr>) -> BTreeSet<Route> {
    let others = nodes.values().filter(|(via, _)| Some(*via) != here);
    others.map(|(via, to)| Route { to: *to, via: *via }).collect()
}

fn plan(wanted: &BTreeSet<Route>, have: &BTreeSet<Route>) -> Vec<Step> {
    let gone = have.difference(wanted).map(|route| Step::Remove(*route));
    gone.chain(wanted.difference(have).map(|route| Step::Add(*route))).collect()
}

/// Does what the kernel lets be done; the first refusal.
fn apply(owner: &str, wanted: &BTreeSet<Route>) -> Result<(), NetworkError> {
    let have = net::routes(owner)?.into_iter().collect();
    let mut outcome = Ok(());
    for step in plan(wanted, &have) {
        let done = match step {
            Step::Remove(route) => net::remove_route(owner, route),
            Step::Add(route) => net::add_route(owner, route),
        };
        match &done {
            Ok(()) => tracing::info!(?step, "route to another node's pods"),
            Err(error) => tracing::debug!(?step, ?error, "a route was refused"),
        }
        outcome = outcome.and(done);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, address: &str, range: &str) -> Node {
        let range = Some(range).filter(|range| !range.is_empty());
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"podCIDR": range},
            "status": {"addresses": [{"type": "Hostname", "address": name},
                {"type": "InternalIP", "address": address}]}}))
        .unwrap()
    }

    fn route(to: &str, via: &str) -> Route {
        Route { to: to.parse().unwrap(), via: via.parse().unwrap() }
    }

    #[test]
    fn every_other_node_has_a_route() {
        let (mut nodes, mut here) = (BTreeMap::new(), None);
        for (name, address, range, changes) in [
            ("a", "192.0.2.1", "10.42.0.0/24", true),
            ("b", "192.0.2.2", "10.42.1.0/24", true),
            ("b", "192.0.2.2", "10.42.1.0/24", false),
            ("c", "192.0.2.3", "", false),
            ("d", "127.0.0.1", "10.42.3.0/24", false),
            ("beside", "192.0.2.1", "10.42.4.0/24", true),
            ("e", "2001:db8::1", "10.42.5.0/24", false),
            ("f", "192.0.2.6", "10.42.6.0/24", true),
            ("f", "192.0.2.6", "", true),
        ] {
            let noted = note(&mut nodes, &mut here, "a", &node(name, address, range));
            assert_eq!(noted, changes, "{name} {address} {range}");
        }
        let wanted: Vec<Route> = wanted(&nodes, here).into_iter().collect();
        assert_eq!(wanted, [route("10.42.1.0/24", "192.0.2.2")]);
    }

    #[test]
    fn what_is_gone_goes_first() {
        let (old, new) = (route("10.42.1.0/24", "192.0.2.2"), route("10.42.1.0/24", "192.0.2.3"));
        let kept = route("10.42.2.0/24", "192.0.2.4");
        let steps = plan(&[new, kept].into(), &[old, kept].into());
        assert_eq!(steps, [Step::Remove(old), Step::Add(new)]);
        assert_eq!(plan(&[kept].into(), &[kept].into()), []);
    }
}

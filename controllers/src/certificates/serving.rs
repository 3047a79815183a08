//! Whether a node may have a certificate to serve under these names. Pure.
//!
//! Kubernetes leaves this to the operator, because what a node is called is known to the network and
//! not to the API. Here a node gets it for the names and addresses that its Node object says, if no
//! other node says them too (docs/adr/0007).

use std::sync::Arc;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use super::plan::{NODE_PREFIX, NODES_GROUP, Step};
use super::request::{Name, Request};

const MESSAGE: &str = "Auto approving kubelet serving certificate: its names are the node's own.";

/// What a node is called, and its addresses.
pub(super) fn names(node: &Node) -> Vec<String> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let addresses = addresses.map(|address| address.address.clone());
    let mut names: Vec<String> = addresses.chain([node.name_any()]).collect();
    names.sort();
    names.dedup();
    names
}

/// The node that a request says it is from, and those that have what it asks for: `named` finds nodes
/// by their [names].
pub(super) fn concerned(
    wanted: &Request,
    named: impl Fn(&str) -> Vec<Arc<Node>>,
) -> Vec<Arc<Node>> {
    let itself = wanted.common_name.strip_prefix(NODE_PREFIX).map(str::to_owned);
    let names = itself.into_iter().chain(wanted.names.iter().map(text));
    names.flat_map(|name| named(&name)).collect()
}

fn text(name: &Name) -> String {
    match name {
        Name::Dns(text) | Name::Email(text) | Name::Uri(text) => text.clone(),
        Name::Address(address) => address.to_string(),
    }
}

/// Decides about a request that has the form of one for a serving certificate of a node. `nodes` are
/// those that it [concerns](concerned).
pub(super) fn step(
    asked: &CertificateSigningRequest,
    wanted: &Request,
    nodes: &[Arc<Node>],
) -> Step {
    let groups = asked.spec.groups.as_deref().unwrap_or_default();
    let itself = asked.spec.username.as_deref() == Some(&wanted.common_name);
    let Some(name) = wanted.common_name.strip_prefix(NODE_PREFIX).filter(|_| itself) else {
        return Step::Leave;
    };
    if !groups.iter().any(|group| group == NODES_GROUP) {
        return Step::Leave;
    }
    let Some(node) = nodes.iter().find(|node| node.name_any() == name) else {
        return Step::Wait(format!("node {name} is not registered"));
    };
    for wanted in wanted.names.iter().map(text) {
        if !has(node, &wanted) {
            return Step::Wait(format!("{wanted} is not among the addresses of node {name}"));
        }
        let other = nodes.iter().find(|other| other.name_any() != name && has(other, &wanted));
        if let Some(other) = other {
            let other = other.name_any();
            return Step::Wait(format!(
                "{wanted} is also an address of node {other}: delete that node if it is gone, or \
                 decide with kubectl certificate approve"
            ));
        }
    }
    Step::Approve(MESSAGE)
}

/// Whether a node is called this, or has this address.
fn has(node: &Node, text: &str) -> bool {
    names(node).iter().any(|name| name == text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, address: &str) -> Arc<Node> {
        let node = json!({"metadata": {"name": name}, "status": {"addresses": [
            {"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}]}});
        Arc::new(serde_json::from_value(node).unwrap())
    }

    #[test]
    fn a_node_serves_under_its_own_names() {
        let nodes = [node("a", "192.0.2.1"), node("b", "192.0.2.2"), node("c", "192.0.2.2")];
        let wait = |text: &str| Err(text.to_owned());
        for (user, group, names, want) in [
            ("system:node:a", NODES_GROUP, &["a", "192.0.2.1"][..], Ok(true)),
            ("system:node:a", NODES_GROUP, &["192.0.2.1"][..], Ok(true)),
            ("system:node:b", NODES_GROUP, &["192.0.2.1"][..], Ok(false)),
            ("system:node:a", "system:masters", &["192.0.2.1"][..], Ok(false)),
            (
                "system:node:a",
                NODES_GROUP,
                &["a", "kubernetes"][..],
                wait("kubernetes is not among the addresses of node a"),
            ),
            (
                "system:node:b",
                NODES_GROUP,
                &["192.0.2.2"][..],
                wait(
                    "192.0.2.2 is also an address of node c: delete that node if it is gone, or \
                     decide with kubectl certificate approve",
                ),
            ),
            ("system:node:d", NODES_GROUP, &["d"][..], wait("node d is not registered")),
        ] {
            // Whoever asks, the subject is node a's where it is not the node of the row.
            let subject = if want == Ok(false) { "system:node:a" } else { user };
            let wanted = Request {
                common_name: subject.to_owned(),
                names: names
                    .iter()
                    .map(|name| match name.parse() {
                        Ok(address) => Name::Address(address),
                        Err(_) => Name::Dns((*name).to_owned()),
                    })
                    .collect(),
                ..Request::default()
            };
            let asked: CertificateSigningRequest = serde_json::from_value(json!({"spec": {
                "request": "", "signerName": "", "username": user, "groups": [group]}}))
            .unwrap();
            let named = |text: &str| {
                nodes.iter().filter(|node| has(node, text)).cloned().collect::<Vec<_>>()
            };
            let got = match step(&asked, &wanted, &concerned(&wanted, named)) {
                Step::Approve(_) => Ok(true),
                Step::Leave => Ok(false),
                Step::Wait(why) => Err(why),
                other => panic!("{other:?}"),
            };
            assert_eq!(got, want, "{user} {group} {names:?}");
        }
    }
}

//! The ports of all containers of a pod: they share one network.

use std::collections::HashMap;

use serde_json::Value;

use super::{COMPARED, MOST, containers, items, text};
use crate::field::{Path, go_quote};

struct Port<'a> {
    path: Path,
    name: &'a str,
    number: i64,
    protocol: &'a str,
    /// 0 for none.
    host_port: i64,
    host_ip: &'a str,
}

/// About ports that are there twice, and names of ports that are.
pub(super) fn of_all(spec: &Value, path: &Path) -> Vec<String> {
    let ports: Vec<Port<'_>> = containers(spec, path)
        .flat_map(|(path, container)| {
            let at = path.child("ports");
            items(&container["ports"]).enumerate().map(move |(n, port)| read(port, at.index(n)))
        })
        .collect();
    let mut told = of_numbers(&ports);
    told.extend(of_names(&ports));
    told
}

fn read(port: &Value, path: Path) -> Port<'_> {
    Port {
        path,
        name: text(port, "name"),
        number: port["containerPort"].as_i64().unwrap_or(0),
        protocol: text(port, "protocol"),
        host_port: port["hostPort"].as_i64().unwrap_or(0),
        host_ip: text(port, "hostIP"),
    }
}

fn of_numbers(ports: &[Port<'_>]) -> Vec<String> {
    let mut told = Vec::new();
    let mut before: HashMap<(i64, &str), Vec<&Port<'_>>> = HashMap::new();
    for port in ports {
        if told.len() >= MOST {
            break;
        }
        let Port { path, name, number, protocol, host_port, host_ip } = port;
        if !host_ip.is_empty() && *host_port == 0 {
            told.push(format!(
                "{path}: hostIP set without hostPort: {{Name:{name} HostPort:{host_port} \
                 ContainerPort:{number} Protocol:{protocol} HostIP:{host_ip}}}"
            ));
        }
        let others = before.entry((*number, protocol)).or_default();
        let clashes = others.iter().filter_map(|other| Some((clash(port, other)?, &other.path)));
        told.extend(
            clashes.map(|(what, other)| format!("{path}: {what} port definition with {other}")),
        );
        if others.len() < COMPARED {
            others.push(port);
        }
    }
    told.truncate(MOST);
    told
}

/// How two ports of the same number and protocol are in each other's way, if they are.
fn clash(port: &Port<'_>, other: &Port<'_>) -> Option<&'static str> {
    let same_port = port.host_port == other.host_port;
    if same_port && port.host_ip == other.host_ip {
        Some("duplicate")
    } else if port.host_port == 0 || other.host_port == 0 {
        Some("overlapping")
    } else if same_port && port.host_ip.is_empty() != other.host_ip.is_empty() {
        // One is for every address of the node, and the other for one of them.
        Some("dangerously ambiguous")
    } else {
        None
    }
}

fn of_names(ports: &[Port<'_>]) -> Vec<String> {
    let mut told = Vec::new();
    let mut first: HashMap<&str, &Path> = HashMap::new();
    for Port { path, name, .. } in ports.iter().filter(|port| !port.name.is_empty()) {
        match first.get(name) {
            Some(other) => told.push(format!(
                "{path}: duplicate port name {} with {other}, services and probes that select ports \
                 by name will use {other}",
                go_quote(name)
            )),
            None => {
                first.insert(name, path);
            }
        }
    }
    told
}

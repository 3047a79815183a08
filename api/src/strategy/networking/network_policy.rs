//! NetworkPolicy. Source: k8s.io/kubernetes/pkg/apis/networking/validation.

use serde_json::{Value, json};

use super::{parse_cidr, text};
use crate::field::{Errors, FieldError, Path};
use crate::names;
use crate::strategy::warnings::of_network;
use crate::strategy::{Strategy, each, selector, set_default};

const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];
const TYPES: &[&str] = &["Ingress", "Egress"];
/// The directions, and the field with their peers.
const DIRECTIONS: &[(&str, &str)] = &[("ingress", "from"), ("egress", "to")];

#[derive(Debug)]
pub(crate) struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        set_default(&mut object["spec"], "podSelector", json!({}));
        for (direction, _) in DIRECTIONS {
            for rule in each(object, &format!("/spec/{direction}")) {
                for port in each(rule, "/ports") {
                    set_default(port, "protocol", "TCP");
                }
            }
        }
        let spec = &mut object["spec"];
        if spec["policyTypes"].as_array().is_none_or(Vec::is_empty) {
            // A policy is about what comes in, and about what goes out if it says so.
            let egress = spec["egress"].as_array().is_some_and(|rules| !rules.is_empty());
            spec["policyTypes"] =
                if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        }
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut told = Vec::new();
        for (direction, peers) in DIRECTIONS {
            let rules = object["spec"][*direction].as_array().into_iter().flatten();
            for (n, rule) in rules.enumerate() {
                let path = Path::new("spec").child(direction).index(n).child(peers);
                for (m, peer) in rule[*peers].as_array().into_iter().flatten().enumerate() {
                    let (block, at) = (&peer["ipBlock"], path.index(m).child("ipBlock"));
                    told.extend(of_network(text(block, "cidr"), &at.child("cidr")));
                    for (k, except) in block["except"].as_array().into_iter().flatten().enumerate()
                    {
                        let except = except.as_str().unwrap_or_default();
                        told.extend(of_network(except, &at.child("except").index(k)));
                    }
                }
            }
        }
        told
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = selector::validate_value(&spec["podSelector"], &path.child("podSelector"));
        for (direction, peers) in DIRECTIONS {
            for (n, rule) in spec[*direction].as_array().into_iter().flatten().enumerate() {
                let path = path.child(direction).index(n);
                for (n, port) in rule["ports"].as_array().into_iter().flatten().enumerate() {
                    errors.extend(validate_port(port, &path.child("ports").index(n)));
                }
                for (n, peer) in rule[*peers].as_array().into_iter().flatten().enumerate() {
                    errors.extend(validate_peer(peer, &path.child(peers).index(n)));
                }
            }
        }
        let types = spec["policyTypes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let path = path.child("policyTypes");
        if types.len() > TYPES.len() {
            let detail = "may not specify more than two policyTypes";
            errors.push(FieldError::invalid(&path, types.to_vec(), detail));
            return errors;
        }
        for (n, kind) in types.iter().enumerate() {
            if !kind.as_str().is_some_and(|kind| TYPES.contains(&kind)) {
                errors.push(FieldError::not_supported(&path.index(n), kind.clone(), TYPES));
            }
        }
        errors
    }
}

fn validate_port(port: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let protocol = text(port, "protocol");
    if !PROTOCOLS.contains(&protocol) {
        errors.push(FieldError::not_supported(&path.child("protocol"), protocol, PROTOCOLS));
    }
    let (at, end_path) = (path.child("port"), path.child("endPort"));
    let end = port["endPort"].as_i64();
    match &port["port"] {
        Value::Null => {
            if let Some(end) = end {
                let detail = "may not be specified when `port` is not specified";
                errors.push(FieldError::invalid(&end_path, end, detail));
            }
        }
        Value::String(name) => {
            if let Some(end) = end {
                let detail = "may not be specified when `port` is non-numeric";
                errors.push(FieldError::invalid(&end_path, end, detail));
            }
            errors.extend(FieldError::invalid_each(&at, name, &names::port_name(name)));
        }
        number => {
            let number = number.as_i64().unwrap_or(0);
            for message in names::port_number(number) {
                errors.push(FieldError::invalid(&at, number, &message));
            }
            if let Some(end) = end {
                if end < number {
                    let detail = "must be greater than or equal to `port`";
                    errors.push(FieldError::invalid(&end_path, end, detail));
                }
                for message in names::port_number(end) {
                    errors.push(FieldError::invalid(&end_path, end, &message));
                }
            }
        }
    }
    errors
}

fn validate_peer(peer: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut selectors = 0;
    for field in ["podSelector", "namespaceSelector"] {
        if !peer[field].is_null() {
            selectors += 1;
            errors.extend(selector::validate_value(&peer[field], &path.child(field)));
        }
    }
    let block = &peer["ipBlock"];
    if !block.is_null() {
        errors.extend(validate_block(block, &path.child("ipBlock")));
    }
    if selectors == 0 && block.is_null() {
        errors.push(FieldError::required(path, "must specify a peer"));
    } else if selectors > 0 && !block.is_null() {
        let detail = "may not specify both ipBlock and another peer";
        errors.push(FieldError::forbidden(path, detail));
    }
    errors
}

fn validate_block(block: &Value, path: &Path) -> Errors {
    let cidr = text(block, "cidr");
    if cidr.is_empty() {
        return vec![FieldError::required(&path.child("cidr"), "")];
    }
    let network = match parse_cidr(cidr, &path.child("cidr")) {
        Ok(network) => network,
        Err(error) => return vec![error],
    };
    let mut errors = Errors::new();
    for (n, except) in block["except"].as_array().into_iter().flatten().enumerate() {
        let path = path.child("except").index(n);
        let except = except.as_str().unwrap_or_default();
        match parse_cidr(except, &path) {
            Err(error) => errors.push(error),
            Ok(inner)
                if !network.contains(&inner.addr())
                    || network.prefix_len() >= inner.prefix_len() =>
            {
                let detail = "must be a strict subset of `cidr`";
                errors.push(FieldError::invalid(&path, except, detail));
            }
            Ok(_) => {}
        }
    }
    errors
}

//! EndpointSlice. Source: k8s.io/kubernetes/pkg/apis/discovery/validation.

use std::collections::HashSet;
use std::net::IpAddr;

use k8s_openapi::api::discovery::v1 as discovery;
use serde_json::{Value, json};

use super::endpoints::{validate_app_protocol, validate_protocol};
use super::{Strategy, address, each, set_default, typed, warnings};
use crate::field::{Errors, FieldError, Path};
use crate::meta;
use crate::names;

const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const MAX_TOPOLOGY: usize = 16;
/// Zones, or nodes, that one endpoint is meant for.
const MAX_HINTS: usize = 8;
const ADDRESS_TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];

/// The label that says who makes the object, and whose addresses need no second look.
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";
/// The same, for slices made of Endpoints.
const MIRRORING_CONTROLLER: &str = "endpointslicemirroring-controller.k8s.io";

#[derive(Debug)]
pub(crate) struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        for port in each(object, "/ports") {
            set_default(port, "name", "");
            set_default(port, "protocol", "TCP");
        }
        set_default(object, "endpoints", json!([]));
        for endpoint in each(object, "/endpoints") {
            set_default(endpoint, "conditions", json!({}));
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        drop_topology(object);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        // The Service that the addresses are for is a label: who follows slices has to act on it.
        if new["metadata"]["labels"] != old["metadata"]["labels"] {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = generation.saturating_add(1).into();
        }
        if new["endpoints"] != old["endpoints"] {
            drop_topology(new);
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let slice: discovery::EndpointSlice = match typed(object) {
            Ok(slice) => slice,
            Err(errors) => return errors,
        };
        let mut errors = Errors::new();
        let path = Path::new("addressType");
        let family = slice.address_type.as_str();
        if family.is_empty() {
            errors.push(FieldError::required(&path, ""));
        } else if !ADDRESS_TYPES.contains(&family) {
            errors.push(FieldError::not_supported(&path, family, ADDRESS_TYPES));
        }
        let endpoints = slice.endpoints.as_deref().unwrap_or_default();
        if endpoints.len() > MAX_ENDPOINTS {
            let path = Path::new("endpoints");
            errors.push(FieldError::too_many(&path, endpoints.len(), MAX_ENDPOINTS));
        } else {
            for (n, endpoint) in endpoints.iter().enumerate() {
                let path = Path::new("endpoints").index(n);
                errors.extend(validate_endpoint(endpoint, family, &path));
            }
        }
        errors.extend(validate_ports(slice.ports.as_deref().unwrap_or_default()));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        if new["addressType"] != old["addressType"] {
            let path = Path::new("addressType");
            errors.push(FieldError::invalid(
                &path,
                new["addressType"].clone(),
                "field is immutable",
            ));
        }
        errors
    }

    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        let names = old.is_null() && new["addressType"] == "FQDN";
        let told = names.then(|| "spec.addressType: FQDN endpoints are deprecated".to_owned());
        told.into_iter().collect()
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let controller = &object["metadata"]["labels"][MANAGED_BY];
        if controller == CONTROLLER || controller == MIRRORING_CONTROLLER {
            return Vec::new();
        }
        let mut all = Vec::new();
        for (n, endpoint) in object["endpoints"].as_array().into_iter().flatten().enumerate() {
            let path = Path::new("endpoints").index(n).child("addresses");
            let addresses = endpoint["addresses"].as_array().into_iter().flatten().enumerate();
            let texts = addresses.filter_map(|(n, address)| Some((n, address.as_str()?)));
            all.extend(texts.filter_map(|(n, text)| warnings::of_address(text, &path.index(n))));
        }
        all
    }
}

/// `deprecatedTopology` belongs to v1beta1: v1 shows what is stored, and takes none.
fn drop_topology(slice: &mut Value) {
    for endpoint in each(slice, "/endpoints") {
        meta::remove(endpoint, "deprecatedTopology");
    }
}

fn validate_ports(ports: &[discovery::EndpointPort]) -> Errors {
    if ports.len() > MAX_PORTS {
        return vec![FieldError::too_many(&Path::new("ports"), ports.len(), MAX_PORTS)];
    }
    let mut errors = Errors::new();
    let mut seen = HashSet::new();
    for (n, port) in ports.iter().enumerate() {
        let path = Path::new("ports").index(n);
        let name = port.name.as_deref().unwrap_or_default();
        if !name.is_empty() {
            let messages = names::dns1123_label(name);
            errors.extend(FieldError::invalid_each(&path.child("name"), name, &messages));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&path.child("name"), name));
        }
        errors.extend(validate_protocol(port.protocol.as_deref(), &path.child("protocol")));
        errors.extend(validate_app_protocol(port.app_protocol.as_deref(), &path));
    }
    errors
}

fn validate_endpoint(endpoint: &discovery::Endpoint, family: &str, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let path_of = path.child("addresses");
    if endpoint.addresses.is_empty() {
        errors.push(FieldError::required(&path_of, "must contain at least 1 address"));
    } else if endpoint.addresses.len() > MAX_ADDRESSES {
        errors.push(FieldError::too_many(&path_of, endpoint.addresses.len(), MAX_ADDRESSES));
    }
    for (n, address) in endpoint.addresses.iter().enumerate() {
        let path = path_of.index(n);
        match family {
            "IPv4" | "IPv6" => errors.extend(validate_ip(address, family, &path)),
            "FQDN" => errors.extend(validate_domain(address, &path)),
            _ => {}
        }
    }
    if let Some(node) = endpoint.node_name.as_deref() {
        let messages = names::dns1123_subdomain(node);
        errors.extend(FieldError::invalid_each(&path.child("nodeName"), node, &messages));
    }
    let topology = json!(endpoint.deprecated_topology);
    let labels = topology.as_object().map_or(0, serde_json::Map::len);
    let path_of = path.child("deprecatedTopology");
    if labels > MAX_TOPOLOGY {
        errors.push(FieldError::too_many(&path_of, labels, MAX_TOPOLOGY));
    }
    errors.extend(meta::validate_labels(&topology, &path_of));
    if let Some(hostname) = endpoint.hostname.as_deref() {
        let messages = names::dns1123_label(hostname);
        errors.extend(FieldError::invalid_each(&path.child("hostname"), hostname, &messages));
    }
    if let Some(hints) = &endpoint.hints {
        errors.extend(validate_hints(&json!(hints), &path.child("hints")));
    }
    errors
}

fn validate_ip(text: &str, family: &str, path: &Path) -> Errors {
    if let Some(error) = address::check(text, path) {
        return vec![error];
    }
    let mut errors = Errors::new();
    let is =
        if address::parse(text).is_some_and(|ip: IpAddr| ip.is_ipv4()) { "IPv4" } else { "IPv6" };
    if is != family {
        errors.push(FieldError::invalid(path, text, &format!("must be an {family} address")));
    }
    errors.extend(address::check_receiver(text, path));
    errors
}

/// A name of several labels, with a dot behind it or not.
fn validate_domain(text: &str, path: &Path) -> Errors {
    if text.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let messages = names::dns1123_subdomain(name);
    if !messages.is_empty() {
        return vec![FieldError::invalid(path, name, &messages.join(","))];
    }
    if !name.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        return vec![FieldError::invalid(path, name, detail)];
    }
    let labels = name.split('.').map(|label| (label, names::dns1123_label(label)));
    labels
        .filter(|(_, messages)| !messages.is_empty())
        .map(|(label, messages)| FieldError::invalid(path, label, &messages.join(",")))
        .collect()
}

/// What is wrong with a name.
type NameRule = fn(&str) -> Vec<String>;

/// Checks the zones and nodes that an endpoint is meant for.
fn validate_hints(hints: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    let rules: [(&str, NameRule); 2] =
        [("forZones", names::label_value), ("forNodes", names::dns1123_subdomain)];
    for (field, rule) in rules {
        let path = path.child(field);
        let list = hints[field].as_array().map(Vec::as_slice).unwrap_or_default();
        if list.len() > MAX_HINTS {
            errors.push(FieldError::too_many(&path, list.len(), MAX_HINTS));
            return errors;
        }
        let mut seen = HashSet::new();
        for (n, hint) in list.iter().enumerate() {
            let (name, path) = (hint["name"].as_str().unwrap_or_default(), path.index(n));
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
            errors.extend(FieldError::invalid_each(&path.child("name"), name, &rule(name)));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(slice: &Value) -> Vec<String> {
        let mut slice = slice.clone();
        EndpointSlice.default(&mut slice);
        EndpointSlice.validate(&slice).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn endpoints_are_checked() {
        let endpoint = |family: &str, endpoint: Value| {
            let mut endpoint = endpoint;
            if endpoint.get("addresses").is_none() {
                endpoint["addresses"] = json!(["10.0.0.1"]);
            }
            json!({"addressType": family, "endpoints": [endpoint]})
        };
        let at = |ip: &str| json!({"addresses": [ip]});
        let zones = |names: &[&str]| {
            let all: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"hints": {"forZones": all}})
        };
        let labels: serde_json::Map<_, _> =
            (0..17).map(|n| (format!("l{n}"), Value::from("x"))).collect();
        let path = "endpoints[0].addresses[0]: Invalid value:";
        for (slice, want) in [
            (endpoint("IPv4", json!({})), String::new()),
            (endpoint("FQDN", at("a.example.org.")), String::new()),
            (
                endpoint("IPv4", at("2001:db8::1")),
                format!("{path} \"2001:db8::1\": must be an IPv4 address"),
            ),
            (endpoint("IPv6", json!({})), format!("{path} \"10.0.0.1\": must be an IPv6 address")),
            (
                endpoint("IPv4", at("010.0.0.1")),
                format!("{path} \"010.0.0.1\": must not have leading 0s"),
            ),
            (
                endpoint("IPv4", at("0.0.0.0")),
                format!("{path} \"0.0.0.0\": may not be unspecified (0.0.0.0)"),
            ),
            (
                endpoint("FQDN", at("org")),
                format!(
                    "{path} \"org\": should be a domain with at least two segments separated by dots"
                ),
            ),
            (endpoint("FQDN", at("")), "endpoints[0].addresses[0]: Required value".to_owned()),
            (
                endpoint("IPv4", json!({"deprecatedTopology": labels})),
                "endpoints[0].deprecatedTopology: Too many: 17: must have at most 16 items"
                    .to_owned(),
            ),
            (
                endpoint("IPv4", zones(&["a", "b", "a"])),
                "endpoints[0].hints.forZones[2].name: Duplicate value: \"a\"".to_owned(),
            ),
            (
                endpoint("IPv4", zones(&["a"; 9])),
                "endpoints[0].hints.forZones: Too many: 9: must have at most 8 items".to_owned(),
            ),
            (
                endpoint("IPv4", json!({"hints": {"forNodes": [{"name": "A"}]}})),
                "endpoints[0].hints.forNodes[0].name: Invalid value: \"A\": a lowercase RFC 1123"
                    .to_owned(),
            ),
            (
                json!({"addressType": "IPv4", "ports": [{"name": "a", "appProtocol": "a/b/c"}]}),
                "ports[0].appProtocol: Invalid value: \"a/b/c\": a qualified name must consist"
                    .to_owned(),
            ),
            (
                json!({"addressType": "IPv4", "ports": [{"name": "a"}, {"name": "a"}]}),
                "ports[1].name: Duplicate value: \"a\"".to_owned(),
            ),
            (
                json!({"addressType": "IP"}),
                "addressType: Unsupported value: \"IP\": supported values: \"FQDN\", \"IPv4\", \
                 \"IPv6\""
                    .to_owned(),
            ),
        ] {
            let all = problems(&slice);
            let found = all.first().map(String::as_str).unwrap_or_default();
            let fits = if want.is_empty() { found.is_empty() } else { found.starts_with(&want) };
            assert!(fits, "{slice}: {all:?}, wanted {want}");
        }
        let many: Vec<_> = (0..20_001).map(|n| json!({"name": format!("p{n}")})).collect();
        let all = problems(&json!({"addressType": "IPv4", "ports": many}));
        assert_eq!(all, ["ports: Too many: 20001: must have at most 20000 items"]);
    }

    #[test]
    fn topology_is_not_taken_any_more() {
        let slice = |topology: Value, address: &str| {
            json!({"metadata": {}, "endpoints": [
                {"addresses": [address], "deprecatedTopology": topology}]})
        };
        let mut made = slice(json!({"a": "b"}), "10.0.0.1");
        EndpointSlice.prepare_for_create(&mut made);
        assert_eq!(made["endpoints"], json!([{"addresses": ["10.0.0.1"]}]));
        let old = slice(json!({"a": "b"}), "10.0.0.1");
        for (address, kept) in [("10.0.0.1", true), ("10.0.0.2", false)] {
            let mut new = slice(json!({"a": "b"}), address);
            EndpointSlice.prepare_for_update(&mut new, &old);
            assert_eq!(new["endpoints"][0]["deprecatedTopology"].is_object(), kept, "{address}");
        }
    }

    #[test]
    fn odd_addresses_are_warned_about_unless_the_controller_writes_them() {
        let mut slice = json!({"metadata": {"name": "a"}, "addressType": "IPv6",
            "endpoints": [{"addresses": ["2001:db8::1", "2001:DB8::1"]}]});
        assert_eq!(
            EndpointSlice.warnings(&slice),
            ["endpoints[0].addresses[1]: IPv6 address \"2001:DB8::1\" should be in RFC 5952 \
              canonical format (\"2001:db8::1\")"]
        );
        slice["metadata"]["labels"] = json!({ MANAGED_BY: CONTROLLER });
        assert!(EndpointSlice.warnings(&slice).is_empty());
    }
}

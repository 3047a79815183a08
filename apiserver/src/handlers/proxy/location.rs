//! Where a proxied request goes, and what of its path.

use std::net::IpAddr;

use api::status::Status;
use serde_json::Value;

use crate::context::{Context, random};
use crate::dispatch::Target;
use crate::handlers::kubelet;

/// What is behind the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::handlers) enum Kind {
    Pod,
    Service,
    Node,
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) scheme: String,
    /// Address and port.
    pub(super) host: String,
    /// A kubelet endpoint, which knows the API server.
    pub(super) is_kubelet: bool,
}

/// `[scheme:]name[:port]`; without a scheme it is http.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    scheme: &'a str,
    name: &'a str,
    port: &'a str,
}

impl<'a> Named<'a> {
    fn parse(id: &'a str) -> Option<Self> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match parts[..] {
            [name] => ("", name, ""),
            [name, port] => ("", name, port),
            [scheme, name, port] => (scheme, name, port),
            _ => return None,
        };
        let scheme = match scheme {
            "" | "http" => "http",
            "https" => "https",
            _ => return None,
        };
        (!name.is_empty()).then_some(Self { scheme, name, port })
    }
}

/// Finds out where a request goes.
///
/// # Errors
/// 400 for a name that is none and an address that is not permitted, 404, 503 for a Service without
/// endpoints.
pub(super) async fn find(context: &Context, target: &Target, kind: Kind) -> Result<Place, Status> {
    let id = &target.name;
    let word = match kind {
        Kind::Pod => "pod",
        Kind::Service => "service",
        Kind::Node => "node",
    };
    let named = Named::parse(id)
        .ok_or_else(|| Status::bad_request(format!("invalid {word} request \"{id}\"")))?;
    context.freshness.consistent().await?;
    let not_found = || Status::not_found(&target.resource.group_resource(), named.name);
    let object = target.cache.get(&target.key_of(named.name)).ok_or_else(not_found)?;
    let object = object.encoded().parse();
    match kind {
        Kind::Pod => pod(context, &object, &named),
        Kind::Service => {
            let endpoints = context.core("endpoints").get(&target.key_of(named.name));
            let endpoints = endpoints.map(|endpoints| endpoints.encoded().parse());
            let port = service_port(&object, &named)?;
            let empty = Value::Null;
            endpoint(endpoints.as_ref().unwrap_or(&empty), &port, random())
                .filter(|(address, _)| is_allowed(context, address))
                .map(|(address, port)| place(named.scheme, &address, &port.to_string()))
                .ok_or_else(|| {
                    let message = format!("no endpoints available for service \"{id}\"");
                    Status::service_unavailable(message)
                })
        }
        Kind::Node => {
            let (address, port) = kubelet::endpoint(context, named.name)?;
            let own = named.port.is_empty() || named.port == port.to_string();
            if own {
                let place = place("https", &address, &port.to_string());
                return Ok(Place { is_kubelet: true, ..place });
            }
            if !is_global(&address) {
                return Err(Status::bad_request("address not allowed"));
            }
            Ok(place(named.scheme, &address, named.port))
        }
    }
}

fn place(scheme: &str, address: &str, port: &str) -> Place {
    let host = if port.is_empty() {
        kubelet::join(address, if scheme == "https" { 443 } else { 80 })
    } else {
        kubelet::join(address, port)
    };
    Place { scheme: scheme.to_owned(), host, is_kubelet: false }
}

fn pod(context: &Context, pod: &Value, named: &Named<'_>) -> Result<Place, Status> {
    let address = pod["status"]["podIP"].as_str().unwrap_or_default();
    if !is_allowed(context, address) {
        return Err(Status::bad_request("address not allowed"));
    }
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let first = containers
        .filter_map(|container| container["ports"].get(0))
        .find_map(|port| port["containerPort"].as_u64())
        .map(|port| port.to_string());
    let port =
        if named.port.is_empty() { first.unwrap_or_default() } else { named.port.to_owned() };
    Ok(place(named.scheme, address, &port))
}

/// The name of the Service's port that is meant: a number stands for the port that has it.
fn service_port(service: &Value, named: &Named<'_>) -> Result<String, Status> {
    let Ok(number) = named.port.parse::<i64>() else { return Ok(named.port.to_owned()) };
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let found = ports.into_iter().find(|port| port["port"].as_i64() == Some(number));
    let found = found.ok_or_else(|| {
        let message = format!("no service port {number} found for service \"{}\"", named.name);
        Status::service_unavailable(message)
    })?;
    Ok(found["name"].as_str().unwrap_or_default().to_owned())
}

/// One of the addresses that have the port: those of pods only, by the number `pick`.
fn endpoint(endpoints: &Value, port: &str, pick: u64) -> Option<(String, u64)> {
    let mut found = Vec::new();
    for subset in endpoints["subsets"].as_array().into_iter().flatten() {
        let ports = subset["ports"].as_array().into_iter().flatten();
        let number = ports
            .into_iter()
            .find(|candidate| candidate["name"].as_str().unwrap_or_default() == port)
            .and_then(|port| port["port"].as_u64());
        let Some(number) = number else { continue };
        let addresses = subset["addresses"].as_array().into_iter().flatten();
        // Anybody may write addresses into Endpoints; those without a pod are not asked on their word.
        let of_pods = addresses.filter(|address| address["targetRef"]["kind"] == "Pod");
        found.extend(of_pods.filter_map(|address| Some((address["ip"].as_str()?, number))));
    }
    let count = u64::try_from(found.len()).ok().filter(|count| *count > 0)?;
    let (address, port) = found[usize::try_from(pick % count).ok()?];
    Some((address.to_owned(), port))
}

/// Whether requests may be sent there: to the outside of no host, and to pods wherever nodes have them.
fn is_allowed(context: &Context, address: &str) -> bool {
    if is_global(address) {
        return true;
    }
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    // A node without a pod network of its own has its pods on the loopback interface.
    context.core("nodes").now().objects.iter().any(|node| {
        let node = node.encoded().parse();
        let range = node["spec"]["podCIDR"].as_str().and_then(|text| text.parse().ok());
        range.is_some_and(|range: ipnet::IpNet| range.contains(&address))
    })
}

/// Neither of this host nor of this link, nor for many.
fn is_global(address: &str) -> bool {
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(local || address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

/// The path up to and with `/proxy`, and what follows.
pub(super) fn split(path: &str, kind: Kind) -> (&str, &str) {
    // /api/v1/namespaces/NS/pods/NAME/proxy, /api/v1/nodes/NAME/proxy
    let slashes = if kind == Kind::Node { 6 } else { 8 };
    match path.match_indices('/').nth(slashes - 1) {
        Some((at, _)) => path.split_at(at),
        None => (path, ""),
    }
}

/// Where a redirect of the other side leads a caller who sees it below `prefix`.
pub(super) fn rewrite(location: &str, host: &str, prefix: &str) -> String {
    let path = match location.split_once("://") {
        Some((_, rest)) => match rest.strip_prefix(host) {
            Some(path) if path.is_empty() || path.starts_with(['/', '?']) => path,
            // Somewhere else.
            _ => return location.to_owned(),
        },
        None if location.starts_with("//") || !location.starts_with('/') => {
            return location.to_owned();
        }
        None => location,
    };
    let known = path
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    if known { path.to_owned() } else { format!("{prefix}{path}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_have_a_scheme_and_a_port_if_they_like() {
        let named = |id| Named::parse(id).map(|n| (n.scheme, n.name, n.port));
        assert_eq!(named("web"), Some(("http", "web", "")));
        assert_eq!(named("web:80"), Some(("http", "web", "80")));
        assert_eq!(named("https:web:"), Some(("https", "web", "")));
        assert_eq!(named("http:web:metrics"), Some(("http", "web", "metrics")));
        for wrong in ["", ":80", "ftp:web:1", "a:b:c:d"] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn paths_are_split_behind_the_proxy() {
        let pod = "/api/v1/namespaces/d/pods/http:p:80/proxy";
        assert_eq!(split(&format!("{pod}/a%20b/"), Kind::Pod), (pod, "/a%20b/"));
        assert_eq!(split(pod, Kind::Pod), (pod, ""));
        let node = "/api/v1/nodes/n1/proxy";
        assert_eq!(split(&format!("{node}/"), Kind::Node), (node, "/"));
    }

    #[test]
    fn redirects_stay_behind_the_proxy() {
        let prefix = "/api/v1/nodes/n/proxy";
        for (location, want) in [
            ("/login?x=1", "/api/v1/nodes/n/proxy/login?x=1"),
            ("http://10.0.0.1:80/login", "/api/v1/nodes/n/proxy/login"),
            ("http://10.0.0.1:8080/login", "http://10.0.0.1:8080/login"),
            ("https://example.com/", "https://example.com/"),
            ("login", "login"),
            ("//example.com/a", "//example.com/a"),
            ("/api/v1/nodes/n/proxy/a", "/api/v1/nodes/n/proxy/a"),
        ] {
            assert_eq!(rewrite(location, "10.0.0.1:80", prefix), want);
        }
    }

    #[test]
    fn a_service_leads_to_one_of_its_pods() {
        let address = |ip: &str| json!({"ip": ip, "targetRef": {"kind": "Pod", "name": "p"}});
        let endpoints = json!({"subsets": [
            {"addresses": [{"ip": "169.254.169.254"}, address("10.0.0.1"), address("10.0.0.2")],
             "ports": [{"name": "web", "port": 8080}]},
            {"notReadyAddresses": [address("10.0.0.3")], "ports": [{"port": 9}]},
        ]});
        let picked = |port: &str, pick| endpoint(&endpoints, port, pick);
        assert_eq!(picked("web", 0), Some(("10.0.0.1".to_owned(), 8080)));
        assert_eq!(picked("web", 3), Some(("10.0.0.2".to_owned(), 8080)));
        assert_eq!((picked("", 0), picked("other", 0)), (None, None));
        assert_eq!(endpoint(&Value::Null, "", 0), None);
        let service = json!({"spec": {"ports": [{"name": "web", "port": 80}, {"port": 81}]}});
        let port = |port| service_port(&service, &Named { scheme: "http", name: "s", port });
        assert_eq!(port("80").as_deref(), Ok("web"));
        assert_eq!(port("web").as_deref(), Ok("web"));
        assert_eq!(port("81").as_deref(), Ok(""));
        assert_eq!(port("82").unwrap_err().message, "no service port 82 found for service \"s\"");
    }

    #[test]
    fn addresses_of_hosts_are_not_for_everybody() {
        for (address, want) in [
            ("10.0.0.1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("::1", false),
            ("0.0.0.0", false),
            ("169.254.169.254", false),
            ("fe80::1", false),
            ("224.0.0.1", false),
            ("", false),
            ("example.com", false),
        ] {
            assert_eq!(is_global(address), want, "{address}");
        }
    }
}

//! `/etc/hosts` and the host name, as the kubelet writes them.
//!
//! Source: `kubelet_pods.go` (ensureHostsFile, GeneratePodHostNameAndDomain).

use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodSpec};

/// Longest host name the kernel takes.
const LONGEST_HOSTNAME: usize = 63;

/// The host's own name.
pub(crate) fn of_host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Host name and, if the pod has a subdomain, the domain below which it is known. A pod in the host's
/// network has the host's name.
pub(crate) fn hostname(pod: &Pod, cluster_domain: &str, of_host: &str) -> (String, Option<String>) {
    let spec = pod.spec.clone().unwrap_or_default();
    if spec.host_network == Some(true) {
        return (of_host.to_owned(), None);
    }
    if let Some(name) = spec.hostname_override.filter(|name| !name.is_empty()) {
        return (name, None);
    }
    let chosen = spec.hostname.filter(|name| !name.is_empty());
    let mut name = chosen.or_else(|| pod.metadata.name.clone()).unwrap_or_default();
    if name.len() > LONGEST_HOSTNAME {
        name.truncate(LONGEST_HOSTNAME);
        name.truncate(name.trim_end_matches(['-', '.']).len());
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let domain = spec
        .subdomain
        .filter(|sub| !sub.is_empty())
        .map(|sub| format!("{sub}.{namespace}.svc.{cluster_domain}"));
    (name, domain)
}

/// What the UTS namespace is set to: the name alone, or all of it with `setHostnameAsFQDN`.
pub(crate) fn uts_name(spec: &PodSpec, hostname: &str, domain: Option<&str>) -> String {
    match domain {
        Some(domain) if spec.set_hostname_as_fqdn == Some(true) => format!("{hostname}.{domain}"),
        _ => hostname.to_owned(),
    }
}

/// The managed hosts file of a pod with its own address.
pub(crate) fn pod_hosts(
    spec: &PodSpec,
    ip: IpAddr,
    hostname: &str,
    domain: Option<&str>,
) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    let names = domain
        .map_or_else(|| hostname.to_owned(), |domain| format!("{hostname}.{domain}\t{hostname}"));
    let _ = writeln!(text, "{ip}\t{names}");
    text + &aliases(spec)
}

/// The hosts file of a pod in the host's network: the host's own, plus the pod's aliases.
pub(crate) fn host_network_hosts(spec: &PodSpec, of_host: &str) -> String {
    format!("# Kubernetes-managed hosts file (host network).\n{of_host}{}", aliases(spec))
}

fn aliases(spec: &PodSpec) -> String {
    let Some(aliases) = spec.host_aliases.as_ref().filter(|aliases| !aliases.is_empty()) else {
        return String::new();
    };
    let mut text = String::from("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        let _ = writeln!(
            text,
            "{}\t{}",
            alias.ip,
            alias.hostnames.iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\t")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        let mut spec = spec;
        spec["containers"] = json!([]);
        serde_json::from_value(
            json!({"metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec}),
        )
        .unwrap()
    }

    #[test]
    fn names() {
        for (spec, expected) in [
            (json!({}), ("web-0", None)),
            (json!({"hostname": "db"}), ("db", None)),
            (
                json!({"hostname": "db", "subdomain": "data"}),
                ("db", Some("data.shop.svc.cluster.local")),
            ),
            (json!({"subdomain": "data"}), ("web-0", Some("data.shop.svc.cluster.local"))),
            (json!({"hostnameOverride": "x.example", "subdomain": "data"}), ("x.example", None)),
            (json!({"hostNetwork": true, "hostname": "db", "subdomain": "data"}), ("Node.1", None)),
        ] {
            let (name, domain) = hostname(&pod(spec.clone()), "cluster.local", "Node.1");
            assert_eq!((name.as_str(), domain.as_deref()), expected, "{spec}");
        }
        let mut long = pod(json!({}));
        long.metadata.name = Some(format!("{}-rest", "a".repeat(62)));
        assert_eq!(
            hostname(&long, "x", "n").0,
            "a".repeat(62),
            "cut to 63, without a trailing dash"
        );
    }

    #[test]
    fn file() {
        let pod = pod(json!({"hostAliases": [{"ip": "10.1.2.3", "hostnames": ["foo", "bar"]}]}));
        let spec = pod.spec.as_ref().unwrap();
        let text = pod_hosts(
            spec,
            "10.244.0.7".parse().unwrap(),
            "web-0",
            Some("data.shop.svc.cluster.local"),
        );
        assert!(
            text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"),
            "{text}"
        );
        assert!(
            text.contains("\n10.244.0.7\tweb-0.data.shop.svc.cluster.local\tweb-0\n"),
            "{text}"
        );
        assert!(
            text.ends_with("\n\n# Entries added by HostAliases.\n10.1.2.3\tfoo\tbar\n"),
            "{text}"
        );
        assert!(
            pod_hosts(spec, "10.244.0.7".parse().unwrap(), "web-0", None)
                .contains("\n10.244.0.7\tweb-0\n")
        );
        assert!(
            host_network_hosts(spec, "127.0.0.1 x\n")
                .starts_with("# Kubernetes-managed hosts file (host network).\n127.0.0.1 x\n")
        );
    }

    #[test]
    fn fqdn_only_when_asked() {
        let mut spec = PodSpec::default();
        assert_eq!(uts_name(&spec, "a", Some("b.c")), "a");
        spec.set_hostname_as_fqdn = Some(true);
        assert_eq!(uts_name(&spec, "a", Some("b.c")), "a.b.c");
    }
}

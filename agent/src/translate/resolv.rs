//! `/etc/resolv.conf` by `dnsPolicy` and `dnsConfig`.
//!
//! Source: `pkg/kubelet/network/dns`.

use std::fmt::Write as _;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;

/// Most name servers that resolvers look at.
const MOST_NAMESERVERS: usize = 3;
/// Most search domains the kubelet writes.
const MOST_SEARCHES: usize = 32;

/// The parts of a resolver configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Resolv {
    nameservers: Vec<String>,
    searches: Vec<String>,
    /// Name and value; a later option of the same name replaces an earlier one.
    options: Vec<(String, Option<String>)>,
}

impl Resolv {
    /// Reads the host's `/etc/resolv.conf`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => parsed.nameservers.extend(words.next().map(str::to_owned)),
                Some("search") => parsed.searches = words.map(str::to_owned).collect(),
                Some("options") => {
                    parsed.options.extend(words.map(|option| match option.split_once(':') {
                        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                        None => (option.to_owned(), None),
                    }))
                }
                _ => {}
            }
        }
        parsed
    }

    fn set_option(&mut self, name: &str, value: Option<&str>) {
        self.options.retain(|(known, _)| known != name);
        self.options.push((name.to_owned(), value.map(str::to_owned)));
    }

    fn render(mut self) -> String {
        dedup(&mut self.nameservers);
        dedup(&mut self.searches);
        self.nameservers.truncate(MOST_NAMESERVERS);
        self.searches.truncate(MOST_SEARCHES);
        let mut text = String::new();
        if !self.searches.is_empty() {
            let _ = writeln!(text, "search {}", self.searches.join(" "));
        }
        for server in &self.nameservers {
            let _ = writeln!(text, "nameserver {server}");
        }
        if !self.options.is_empty() {
            let options: Vec<String> = self
                .options
                .iter()
                .map(|(name, value)| {
                    value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}:{value}"))
                })
                .collect();
            let _ = writeln!(text, "options {}", options.join(" "));
        }
        text
    }
}

fn dedup(words: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    words.retain(|word| seen.insert(word.clone()));
}

/// The pod's resolver configuration. `host` is the host's own.
pub(crate) fn resolv_conf(
    pod: &Pod,
    cluster_dns: &[IpAddr],
    cluster_domain: &str,
    host: &Resolv,
) -> String {
    let spec = pod.spec.clone().unwrap_or_default();
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let in_host_network = spec.host_network == Some(true);
    let cluster = match policy {
        "ClusterFirst" => !in_host_network,
        "ClusterFirstWithHostNet" => true,
        _ => false,
    } && !cluster_dns.is_empty();
    let mut resolv = match policy {
        "None" => Resolv::default(),
        _ if cluster => {
            let own = [
                format!("{namespace}.svc.{cluster_domain}"),
                format!("svc.{cluster_domain}"),
                cluster_domain.to_owned(),
            ];
            Resolv {
                nameservers: cluster_dns.iter().map(IpAddr::to_string).collect(),
                searches: own.into_iter().chain(host.searches.iter().cloned()).collect(),
                options: vec![("ndots".to_owned(), Some("5".to_owned()))],
            }
        }
        _ => host.clone(),
    };
    if let Some(config) = spec.dns_config {
        resolv.nameservers.extend(config.nameservers.into_iter().flatten());
        resolv.searches.extend(config.searches.into_iter().flatten());
        for option in config.options.into_iter().flatten() {
            resolv.set_option(option.name.as_deref().unwrap_or_default(), option.value.as_deref());
        }
    }
    resolv.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies() {
        let host = Resolv::parse(
            "# x\nnameserver 9.9.9.9\nsearch corp.example\noptions edns0 timeout:2\n",
        );
        let dns = ["10.96.0.10".parse().unwrap()];
        let cluster = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\noptions ndots:5\n";
        let of_host = "search corp.example\nnameserver 9.9.9.9\noptions edns0 timeout:2\n";
        let cases = [
            (json!({}), cluster),
            (json!({"dnsPolicy": "ClusterFirst"}), cluster),
            (json!({"dnsPolicy": "ClusterFirst", "hostNetwork": true}), of_host),
            (json!({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": true}), cluster),
            (json!({"dnsPolicy": "Default"}), of_host),
            (
                json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a.b"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
                "search a.b\nnameserver 1.1.1.1\noptions ndots:2 edns0\n",
            ),
            (
                json!({"dnsConfig": {"nameservers": ["10.96.0.10", "1.1.1.1"], "options": [{"name": "ndots", "value": "1"}]}}),
                "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:1\n",
            ),
        ];
        for (mut spec, expected) in cases {
            spec["containers"] = json!([]);
            let pod: Pod = serde_json::from_value(
                json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec}),
            )
            .unwrap();
            assert_eq!(resolv_conf(&pod, &dns, "cluster.local", &host), expected, "{spec}");
        }
    }
}

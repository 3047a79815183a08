//! `securityContext.sysctls`: settings of a pod's own namespaces that cannot hurt its neighbours.
//!
//! Source: `pkg/kubelet/sysctl` (safe_sysctls.go, allowlist.go), `component-helpers/node/util/sysctl`.

use k8s_openapi::api::core::v1::{PodSpec, Sysctl};

/// Which namespace of the pod a setting belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Ipc,
    Network,
}

/// What every pod may set. The kernels that lack some of these are older than what Wharf runs on.
const SAFE: [(&str, Namespace); 12] = [
    ("kernel.shm_rmid_forced", Namespace::Ipc),
    ("net.ipv4.ip_local_port_range", Namespace::Network),
    ("net.ipv4.tcp_syncookies", Namespace::Network),
    ("net.ipv4.ping_group_range", Namespace::Network),
    ("net.ipv4.ip_unprivileged_port_start", Namespace::Network),
    ("net.ipv4.ip_local_reserved_ports", Namespace::Network),
    ("net.ipv4.tcp_keepalive_time", Namespace::Network),
    ("net.ipv4.tcp_fin_timeout", Namespace::Network),
    ("net.ipv4.tcp_keepalive_intvl", Namespace::Network),
    ("net.ipv4.tcp_keepalive_probes", Namespace::Network),
    ("net.ipv4.tcp_rmem", Namespace::Network),
    ("net.ipv4.tcp_wmem", Namespace::Network),
];

/// Names with dots, and values, in the order of the spec.
pub(crate) fn of_pod(spec: &PodSpec) -> Vec<(String, String)> {
    asked(spec).map(|sysctl| (dotted(&sysctl.name), sysctl.value.clone())).collect()
}

/// Why the node does not take a pod with these settings, in the kubelet's words.
pub(crate) fn forbidden(spec: &PodSpec) -> Option<String> {
    asked(spec).find_map(|sysctl| {
        let name = dotted(&sysctl.name);
        let known = SAFE.iter().find(|(safe, _)| *safe == name).map(|(_, namespace)| namespace);
        let why = match known {
            None => "not allowlisted",
            Some(Namespace::Ipc) if spec.host_ipc == Some(true) => {
                "not allowed with host ipc enabled"
            }
            Some(Namespace::Network) if spec.host_network == Some(true) => {
                "not allowed with host net enabled"
            }
            Some(_) => return None,
        };
        Some(format!("forbidden sysctl: {name:?} {why}"))
    })
}

fn asked(spec: &PodSpec) -> impl Iterator<Item = &Sysctl> {
    spec.security_context.iter().flat_map(|context| context.sysctls.iter().flatten())
}

/// `net/ipv4/conf/eth0.1/x` is `net.ipv4.conf.eth0/1.x`: the first separator of a name is its separator,
/// and the other one stands for itself.
fn dotted(name: &str) -> String {
    if name.find(['.', '/']).is_none_or(|at| name.as_bytes()[at] == b'.') {
        return name.to_owned();
    }
    let swap = |c| match c {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    name.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(more: Value, sysctls: &[(&str, &str)]) -> PodSpec {
        let list: Vec<Value> =
            sysctls.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let mut spec = json!({"containers": [], "securityContext": {"sysctls": list}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn safe_ones_are_let_in() {
        let port = ("net.ipv4.ip_unprivileged_port_start", "1024");
        let slashes = ("net/ipv4/tcp_syncookies", "0");
        let shm = ("kernel.shm_rmid_forced", "1");
        let all = spec(json!({}), &[port, slashes, shm]);
        assert_eq!(forbidden(&all), None);
        let set = of_pod(&all);
        assert_eq!(set[1], ("net.ipv4.tcp_syncookies".to_owned(), "0".to_owned()));
        assert_eq!(set.len(), 3);
        for (more, sysctl, why) in [
            (json!({}), ("kernel.msgmax", "1"), "\"kernel.msgmax\" not allowlisted"),
            (json!({}), ("net/core/somaxconn", "1"), "\"net.core.somaxconn\" not allowlisted"),
            (
                json!({"hostIPC": true}),
                shm,
                "\"kernel.shm_rmid_forced\" not allowed with host ipc enabled",
            ),
            (
                json!({"hostNetwork": true}),
                slashes,
                "\"net.ipv4.tcp_syncookies\" not allowed with host net enabled",
            ),
        ] {
            let got = forbidden(&spec(more, &[sysctl]));
            assert_eq!(got, Some(format!("forbidden sysctl: {why}")));
        }
    }

    #[test]
    fn names_have_dots_inside() {
        for (name, expected) in [
            ("kernel", "kernel"),
            ("net.ipv4.conf.eth0/1.x", "net.ipv4.conf.eth0/1.x"),
            ("net/ipv4/conf/eth0.1/x", "net.ipv4.conf.eth0/1.x"),
        ] {
            assert_eq!(dotted(name), expected);
        }
    }
}

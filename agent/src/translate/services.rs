//! Service links: the environment variables that tell a pod of the Services around it.
//!
//! Source: `pkg/kubelet/envvars` and `getServiceEnvVarMap`.

use k8s_openapi::api::core::v1::{Service, ServicePort};

/// Variables of the Services a pod of `namespace` sees; `links` is `spec.enableServiceLinks`.
///
/// The Service `default/kubernetes` is always among them; as long as it does not exist, `api_server`
/// stands in for it.
pub(crate) fn service_env<'s>(
    services: impl IntoIterator<Item = &'s Service>,
    namespace: &str,
    links: bool,
    api_server: Option<&(String, u16)>,
) -> Vec<(String, String)> {
    let mut chosen: Vec<&Service> = Vec::new();
    let mut master = None;
    for service in services {
        let in_namespace = service.metadata.namespace.as_deref() == Some(namespace);
        let is_master = service.metadata.namespace.as_deref() == Some("default")
            && service.metadata.name.as_deref() == Some("kubernetes");
        if address(service).is_none() {
            continue;
        }
        if is_master {
            master = Some(service);
        } else if in_namespace && links {
            chosen.push(service);
        }
    }
    chosen.sort_by_key(|service| service.metadata.name.clone());
    let mut env = Vec::new();
    match (master, api_server) {
        (Some(service), _) => push(service, &mut env),
        (None, Some((host, port))) => {
            env.push(("KUBERNETES_SERVICE_HOST".to_owned(), host.clone()));
            env.push(("KUBERNETES_SERVICE_PORT".to_owned(), port.to_string()));
            env.push(("KUBERNETES_SERVICE_PORT_HTTPS".to_owned(), port.to_string()));
        }
        (None, None) => {}
    }
    for service in chosen {
        push(service, &mut env);
    }
    env
}

fn address(service: &Service) -> Option<&str> {
    let address = service.spec.as_ref()?.cluster_ip.as_deref()?;
    (!address.is_empty() && address != "None").then_some(address)
}

fn ports(service: &Service) -> &[ServicePort] {
    service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default()
}

fn variable(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn push(service: &Service, env: &mut Vec<(String, String)>) {
    let (Some(host), Some(first)) = (address(service), ports(service).first()) else {
        return;
    };
    let prefix = variable(service.metadata.name.as_deref().unwrap_or_default());
    env.push((format!("{prefix}_SERVICE_HOST"), host.to_owned()));
    env.push((format!("{prefix}_SERVICE_PORT"), first.port.to_string()));
    for port in ports(service) {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            env.push((format!("{prefix}_SERVICE_PORT_{}", variable(name)), port.port.to_string()));
        }
    }
    // The names that `docker run --link` once made.
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    for (index, port) in ports(service).iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{bracketed}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            env.push((format!("{prefix}_PORT"), url.clone()));
        }
        let link = format!("{prefix}_PORT_{}_{}", port.port, protocol.to_uppercase());
        env.push((link.clone(), url));
        env.push((format!("{link}_PROTO"), protocol.to_lowercase()));
        env.push((format!("{link}_PORT"), port.port.to_string()));
        env.push((format!("{link}_ADDR"), host.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(namespace: &str, name: &str, ip: &str, ports: serde_json::Value) -> Service {
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": ip, "ports": ports}})).unwrap()
    }

    fn text(env: &[(String, String)]) -> Vec<String> {
        env.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn links() {
        let services = [
            service(
                "shop",
                "web-front",
                "10.96.1.1",
                json!([{"port": 80, "name": "http"}, {"port": 53, "protocol": "UDP"}]),
            ),
            service("shop", "headless", "None", json!([{"port": 80}])),
            service("other", "hidden", "10.96.1.2", json!([{"port": 80}])),
            service("default", "kubernetes", "10.96.0.1", json!([{"port": 443, "name": "https"}])),
        ];
        let env = text(&service_env(&services, "shop", true, None));
        let expected = "KUBERNETES_SERVICE_HOST=10.96.0.1 KUBERNETES_SERVICE_PORT=443 KUBERNETES_SERVICE_PORT_HTTPS=443 \
            KUBERNETES_PORT=tcp://10.96.0.1:443 KUBERNETES_PORT_443_TCP=tcp://10.96.0.1:443 KUBERNETES_PORT_443_TCP_PROTO=tcp \
            KUBERNETES_PORT_443_TCP_PORT=443 KUBERNETES_PORT_443_TCP_ADDR=10.96.0.1 \
            WEB_FRONT_SERVICE_HOST=10.96.1.1 WEB_FRONT_SERVICE_PORT=80 WEB_FRONT_SERVICE_PORT_HTTP=80 \
            WEB_FRONT_PORT=tcp://10.96.1.1:80 WEB_FRONT_PORT_80_TCP=tcp://10.96.1.1:80 WEB_FRONT_PORT_80_TCP_PROTO=tcp \
            WEB_FRONT_PORT_80_TCP_PORT=80 WEB_FRONT_PORT_80_TCP_ADDR=10.96.1.1 WEB_FRONT_PORT_53_UDP=udp://10.96.1.1:53 \
            WEB_FRONT_PORT_53_UDP_PROTO=udp WEB_FRONT_PORT_53_UDP_PORT=53 WEB_FRONT_PORT_53_UDP_ADDR=10.96.1.1";
        assert_eq!(env, expected.split_whitespace().collect::<Vec<_>>());
        let without = text(&service_env(&services, "shop", false, None));
        assert!(without.iter().all(|line| line.starts_with("KUBERNETES_")), "{without:?}");
        let standing_in =
            text(&service_env(&[], "shop", true, Some(&("192.0.2.1".to_owned(), 6443))));
        assert_eq!(standing_in[0], "KUBERNETES_SERVICE_HOST=192.0.2.1");
        assert_eq!(standing_in[1], "KUBERNETES_SERVICE_PORT=6443");
    }
}

//! Rows of services.

use jiff::Timestamp;
use serde_json::Value;

use super::{Printer, age, labels, or, text};

pub(crate) const SERVICE: Printer = Printer::new("Service", cells);

fn cells(service: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &service["spec"];
    let ip =
        spec["clusterIPs"][0].as_str().or_else(|| spec["clusterIP"].as_str()).unwrap_or_default();
    vec![
        text(service, "/metadata/name").into(),
        text(service, "/spec/type").into(),
        or(ip, "<none>").into(),
        external(service).into(),
        ports(spec).into(),
        age(service, now),
        labels(&spec["selector"]).into(),
    ]
}

fn external(service: &Value) -> String {
    let spec = &service["spec"];
    let ips = spec["externalIPs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let ips: Vec<&str> = ips.collect();
    match spec["type"].as_str().unwrap_or_default() {
        "ClusterIP" | "NodePort" if ips.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => ips.join(","),
        "LoadBalancer" => {
            let ingress =
                service["status"]["loadBalancer"]["ingress"].as_array().into_iter().flatten();
            let mut all: Vec<&str> = ingress
                .filter_map(|i| {
                    let ip = i["ip"].as_str().filter(|ip| !ip.is_empty());
                    ip.or_else(|| i["hostname"].as_str()).filter(|text| !text.is_empty())
                })
                .collect();
            all.sort_unstable();
            all.dedup();
            all.extend(ips);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

fn ports(spec: &Value) -> String {
    let ports = spec["ports"].as_array().into_iter().flatten();
    let all: Vec<String> = ports
        .map(|port| {
            let (number, protocol) = (&port["port"], port["protocol"].as_str().unwrap_or("TCP"));
            match port["nodePort"].as_i64().unwrap_or(0) {
                0 => format!("{number}/{protocol}"),
                node_port => format!("{number}:{node_port}/{protocol}"),
            }
        })
        .collect();
    if all.is_empty() { "<none>".to_owned() } else { all.join(",") }
}

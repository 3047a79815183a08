//! Cells of Endpoints and EndpointSlices: the first three, and how many more.

use serde_json::Value;

const SHOWN: usize = 3;

fn shorten(all: &[String], none: &str) -> String {
    let shown = all[..all.len().min(SHOWN)].join(",");
    match all.len() {
        0 => none.to_owned(),
        n if n > SHOWN => format!("{shown} + {} more...", n - SHOWN),
        _ => shown,
    }
}

/// `1.2.3.4:80,1.2.3.5:80 + 4 more...` of an Endpoints object.
pub(super) fn of_subsets(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in object["subsets"].as_array().into_iter().flatten() {
        let addresses = || {
            subset["addresses"].as_array().into_iter().flatten().filter_map(|a| a["ip"].as_str())
        };
        let ports = subset["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let port = port["port"].as_i64().unwrap_or(0);
            all.extend(addresses().map(|ip| {
                if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
            }));
        }
    }
    shorten(&all, "<none>")
}

/// The ports of an EndpointSlice.
pub(super) fn slice_ports(object: &Value) -> String {
    let ports = object["ports"].as_array().into_iter().flatten();
    let all: Vec<String> = ports
        .map(|port| match (port["port"].as_i64(), port["name"].as_str()) {
            (Some(number), _) => number.to_string(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "*".to_owned(),
        })
        .collect();
    shorten(&all, "<unset>")
}

/// The addresses of an EndpointSlice.
pub(super) fn slice_addresses(object: &Value) -> String {
    let endpoints = object["endpoints"].as_array().into_iter().flatten();
    let all: Vec<String> = endpoints
        .flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten())
        .filter_map(|address| address.as_str().map(str::to_owned))
        .collect();
    shorten(&all, "<unset>")
}

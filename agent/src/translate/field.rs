//! `fieldRef` and `resourceFieldRef`: what a pod may know about itself.
//!
//! Source: `pkg/fieldpath`, `pkg/api/v1/resource` (ExtractContainerResourceValue).

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use super::resources::{millis, quantities, units};

/// Why a reference has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FieldError {
    #[error("unsupported fieldPath: {path}")]
    Path { path: String },
    #[error("unsupported container resource : {resource}")]
    Resource { resource: String },
    #[error("container {name} not found")]
    Container { name: String },
}

/// What is known about the pod only once it is on this node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    pub(crate) pod_ip: IpAddr,
    pub(crate) host_ip: IpAddr,
    /// The node's allocatable CPU in thousandths: the value of a CPU limit that is not set.
    pub(crate) node_cpu_millis: u64,
    /// The node's allocatable memory in bytes.
    pub(crate) node_memory: u64,
}

/// The value of a `fieldRef` path.
pub(crate) fn field(pod: &Pod, placement: &Placement, path: &str) -> Result<String, FieldError> {
    let meta = &pod.metadata;
    let unknown = || FieldError::Path { path: path.to_owned() };
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.labels" => &meta.labels,
            "metadata.annotations" => &meta.annotations,
            _ => return Err(unknown()),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let spec = pod.spec.as_ref();
    Ok(match path {
        "metadata.name" => meta.name.clone().unwrap_or_default(),
        "metadata.namespace" => meta.namespace.clone().unwrap_or_default(),
        "metadata.uid" => meta.uid.clone().unwrap_or_default(),
        "metadata.labels" => lines(meta.labels.as_ref()),
        "metadata.annotations" => lines(meta.annotations.as_ref()),
        "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        "spec.serviceAccountName" => {
            spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default()
        }
        "status.hostIP" | "status.hostIPs" => placement.host_ip.to_string(),
        "status.podIP" | "status.podIPs" => placement.pod_ip.to_string(),
        _ => return Err(unknown()),
    })
}

/// A map as the downward API's files show it: `key="value"`, sorted, quoted as Go quotes.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> =
        map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quote(value))).collect();
    lines.join("\n")
}

fn quote(value: &str) -> String {
    let mut out = String::from("\"");
    for character in value.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The value of a `resourceFieldRef`; `container` is the one that asks, unless the selector names another.
pub(crate) fn resource(
    pod: &Pod,
    placement: &Placement,
    container: Option<&Container>,
    selector: &ResourceFieldSelector,
) -> Result<String, FieldError> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let spec = pod.spec.as_ref();
    let all = || {
        spec.into_iter()
            .flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()))
    };
    let container = match named {
        Some(name) => all()
            .find(|c| c.name == name)
            .ok_or_else(|| FieldError::Container { name: name.into() })?,
        None => container.ok_or_else(|| FieldError::Container { name: String::new() })?,
    };
    let q = quantities(container);
    let divide = |value: u64, divisor: u64| value.div_ceil(divisor.max(1)).to_string();
    let by_units =
        selector.divisor.as_ref().and_then(units).filter(|divisor| *divisor > 0).unwrap_or(1);
    let by_millis =
        selector.divisor.as_ref().and_then(millis).filter(|divisor| *divisor > 0).unwrap_or(1000);
    let storage = |requests: bool| {
        let resources = container.resources.as_ref();
        let map =
            resources.and_then(|r| if requests { r.requests.as_ref() } else { r.limits.as_ref() });
        map.and_then(|map| map.get("ephemeral-storage")).and_then(units).unwrap_or(0)
    };
    Ok(match selector.resource.as_str() {
        "limits.cpu" => divide(
            q.cpu_limit_millis.filter(|v| *v > 0).unwrap_or(placement.node_cpu_millis),
            by_millis,
        ),
        "requests.cpu" => divide(q.cpu_request_millis.unwrap_or(0), by_millis),
        "limits.memory" => {
            divide(q.memory_limit.filter(|v| *v > 0).unwrap_or(placement.node_memory), by_units)
        }
        "requests.memory" => divide(q.memory_request.unwrap_or(0), by_units),
        "limits.ephemeral-storage" => divide(storage(false), by_units),
        "requests.ephemeral-storage" => divide(storage(true), by_units),
        other => return Err(FieldError::Resource { resource: other.to_owned() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u",
                "labels": {"b": "2", "a": "say \"hi\"\n"}, "annotations": {"x/y": "z"}},
            "spec": {"nodeName": "node", "serviceAccountName": "default", "containers": [
                {"name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "100Mi"}, "requests": {"cpu": "250m"}}},
                {"name": "d"}
            ]}
        }))
        .unwrap()
    }

    fn placement() -> Placement {
        Placement {
            pod_ip: "10.0.0.2".parse().unwrap(),
            host_ip: "192.0.2.1".parse().unwrap(),
            node_cpu_millis: 2000,
            node_memory: 1 << 30,
        }
    }

    #[test]
    fn fields() {
        for (path, expected) in [
            ("metadata.name", "p"),
            ("metadata.namespace", "n"),
            ("metadata.uid", "u"),
            ("metadata.labels['b']", "2"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['x/y']", "z"),
            ("metadata.labels", "a=\"say \\\"hi\\\"\\n\"\nb=\"2\""),
            ("spec.nodeName", "node"),
            ("spec.serviceAccountName", "default"),
            ("status.hostIP", "192.0.2.1"),
            ("status.podIP", "10.0.0.2"),
            ("status.podIPs", "10.0.0.2"),
        ] {
            assert_eq!(field(&pod(), &placement(), path).as_deref(), Ok(expected), "{path}");
        }
        assert_eq!(
            field(&pod(), &placement(), "spec.foo").unwrap_err().to_string(),
            "unsupported fieldPath: spec.foo"
        );
    }

    #[test]
    fn resources() {
        let pod = pod();
        let own = &pod.spec.as_ref().unwrap().containers[0];
        for (selector, expected) in [
            (json!({"resource": "limits.cpu"}), "2"),
            (json!({"resource": "limits.cpu", "divisor": "1m"}), "1500"),
            (json!({"resource": "requests.cpu"}), "1"),
            (json!({"resource": "limits.memory"}), "104857600"),
            (json!({"resource": "limits.memory", "divisor": "1Mi"}), "100"),
            (json!({"resource": "limits.memory", "divisor": "0"}), "104857600"),
            (json!({"resource": "limits.memory", "containerName": "d"}), "1073741824"),
            (json!({"resource": "limits.cpu", "containerName": "d"}), "2"),
            (json!({"resource": "requests.cpu", "containerName": "d"}), "0"),
        ] {
            let parsed = serde_json::from_value(selector.clone()).unwrap();
            assert_eq!(
                resource(&pod, &placement(), Some(own), &parsed).as_deref(),
                Ok(expected),
                "{selector}"
            );
        }
    }
}

//! What several components ask about a pod.
//!
//! Source: k8s.io/kubernetes/pkg/api/v1/pod.

use k8s_openapi::api::core::v1::{ContainerPort, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

/// The condition of that type.
#[must_use]
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

/// Whether the pod's `Ready` condition is true.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// The pod's phase, "" when none was reported.
#[must_use]
pub fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Whether the pod's containers have all ended for good.
#[must_use]
pub fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

/// Whether deletion has begun.
#[must_use]
pub fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the pod counts for its controller: neither finished nor being deleted.
#[must_use]
pub fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_terminating(pod)
}

/// The node the pod is bound to, if any.
#[must_use]
pub fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}

/// The number of a container port that a Service or probe names, by number or by name. Names are
/// looked up among the ports of that protocol in all containers.
#[must_use]
pub fn target_port(pod: &Pod, target: &IntOrString, protocol: &str) -> Option<i32> {
    match target {
        IntOrString::Int(port) => Some(*port),
        IntOrString::String(name) => {
            let spec = pod.spec.as_ref()?;
            let sidecars = spec
                .init_containers
                .iter()
                .flatten()
                .filter(|container| container.restart_policy.as_deref() == Some("Always"));
            spec.containers
                .iter()
                .chain(sidecars)
                .flat_map(|container| container.ports.iter().flatten())
                .find(|port| is_port(port, name, protocol))
                .map(|port| port.container_port)
        }
    }
}

fn is_port(port: &ContainerPort, name: &str, protocol: &str) -> bool {
    port.name.as_deref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol
}

/// Why a pod cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Deletion has begun.
    #[error("pod {pod} is being deleted, cannot be assigned to a host")]
    Deleted {
        /// Name of the pod.
        pod: String,
    },
    /// Somebody bound it before.
    #[error("pod {pod} is already assigned to node \"{node}\"")]
    Assigned {
        /// Name of the pod.
        pod: String,
        /// Its node.
        node: String,
    },
    /// A scheduling gate is still closed.
    #[error("pod {pod} has non-empty .spec.schedulingGates")]
    Gated {
        /// Name of the pod.
        pod: String,
    },
    /// The binding is meant for another pod of that name.
    #[error("{0}")]
    Uid(String),
}

/// The pod as the binding makes it: with its node, the binding's labels and annotations, and the
/// condition `PodScheduled`. Answer errors with 409 Conflict.
///
/// # Errors
/// [`BindError`] when the pod must not be bound (any more).
pub fn bind(pod: &Value, binding: &Value, now: jiff::Timestamp) -> Result<Value, BindError> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let (wanted, uid) = (&binding["metadata"]["uid"], &pod["metadata"]["uid"]);
    if wanted.as_str().is_some_and(|wanted| !wanted.is_empty()) && wanted != uid {
        let text = |uid: &Value| uid.as_str().unwrap_or_default().to_owned();
        return Err(BindError::Uid(format!(
            "Precondition failed: UID in precondition: {}, UID in object meta: {}",
            text(wanted),
            text(uid)
        )));
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return Err(BindError::Deleted { pod: name });
    }
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    if !node.is_empty() {
        return Err(BindError::Assigned { pod: name, node: node.to_owned() });
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        return Err(BindError::Gated { pod: name });
    }
    let mut bound = pod.clone();
    bound["spec"]["nodeName"] = binding["target"]["name"].clone();
    // Where room was made for it says nothing any more.
    crate::meta::remove(&mut bound["status"], "nominatedNodeName");
    for (key, value) in binding["metadata"]["annotations"].as_object().into_iter().flatten() {
        bound["metadata"]["annotations"][key] = value.clone();
    }
    // A label of the pod's own stays.
    for (key, value) in binding["metadata"]["labels"].as_object().into_iter().flatten() {
        let label = &mut bound["metadata"]["labels"][key];
        if label.is_null() {
            *label = value.clone();
        }
    }
    set_condition(&mut bound, "PodScheduled", now);
    Ok(bound)
}

/// The pod with the condition `DisruptionTarget`: it ends because somebody wants it gone.
#[must_use]
pub fn disrupted(pod: &Value, reason: &str, message: &str, now: jiff::Timestamp) -> Value {
    const KIND: &str = "DisruptionTarget";
    let mut disrupted = pod.clone();
    set_condition(&mut disrupted, KIND, now);
    let conditions = disrupted["status"]["conditions"].as_array_mut();
    for condition in conditions.into_iter().flatten().filter(|c| c["type"] == KIND) {
        condition["reason"] = reason.into();
        condition["message"] = message.into();
        condition["observedGeneration"] = pod["metadata"]["generation"].clone();
    }
    disrupted
}

/// Sets a condition to `True`; the transition time changes only when the status does.
fn set_condition(pod: &mut Value, kind: &str, now: jiff::Timestamp) {
    let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    if conditions.iter().any(|c| c["type"] == kind && c["status"] == "True") {
        return;
    }
    conditions.retain(|c| c["type"] != kind);
    conditions.push(json!({
        "type": kind, "status": "True", "lastProbeTime": null,
        "lastTransitionTime": crate::meta::time(now),
    }));
    pod["status"]["conditions"] = Value::Array(conditions);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binding_happens_once() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let pod = json!({"metadata": {"name": "p", "uid": "1"}, "spec": {},
            "status": {"phase": "Pending", "nominatedNodeName": "n2"}});
        let binding = json!({"metadata": {"name": "p", "annotations": {"a": "b"}}, "target": {"kind": "Node", "name": "n1"}});
        let bound = bind(&pod, &binding, now).expect("binds");
        assert_eq!(bound["spec"]["nodeName"], "n1");
        assert_eq!(bound["metadata"]["annotations"]["a"], "b");
        assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");
        assert!(bound["status"]["nominatedNodeName"].is_null());
        assert_eq!(
            bind(&bound, &binding, now).expect_err("bound").to_string(),
            "pod p is already assigned to node \"n1\""
        );
        let mut other = binding.clone();
        other["metadata"]["uid"] = "2".into();
        assert!(matches!(bind(&pod, &other, now), Err(BindError::Uid(_))));
        let mut gated = pod.clone();
        gated["spec"]["schedulingGates"] = json!([{"name": "x"}]);
        assert!(matches!(bind(&gated, &binding, now), Err(BindError::Gated { .. })));
        let mut gone = pod;
        gone["metadata"]["deletionTimestamp"] = "1970-01-01T00:00:00Z".into();
        assert!(matches!(bind(&gone, &binding, now), Err(BindError::Deleted { .. })));
    }

    #[test]
    fn disruption_is_told_once() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let later = now + jiff::SignedDuration::from_secs(60);
        let pod = json!({"metadata": {"name": "p", "generation": 3}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let told = disrupted(&disrupted(&pod, "A", "a", now), "B", "b", later);
        assert_eq!(
            told["status"]["conditions"],
            json!([{"type": "Ready", "status": "True"}, {"type": "DisruptionTarget", "status": "True",
                "lastProbeTime": null, "lastTransitionTime": "1970-01-01T00:00:00Z",
                "reason": "B", "message": "b", "observedGeneration": 3}])
        );
    }

    #[test]
    fn ports_are_found_by_name_and_protocol() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "ports": [
            {"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"}]}]}})).expect("a pod");
        let named = |name: &str| IntOrString::String(name.to_owned());
        assert_eq!(target_port(&pod, &named("http"), "TCP"), Some(8080));
        assert_eq!(target_port(&pod, &named("dns"), "TCP"), None);
        assert_eq!(target_port(&pod, &named("dns"), "UDP"), Some(53));
        assert_eq!(target_port(&pod, &IntOrString::Int(9), "TCP"), Some(9));
    }
}

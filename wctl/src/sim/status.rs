//! What hollow nodes write about pods, as strategic merge patches of their status. The uid in it
//! keeps it off another pod that took the name.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::seen::{Container, Pod};

/// The time now, in whole seconds as most of the API's times are.
pub(super) fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or(Timestamp::MIN)
}

/// All containers run and the pod is ready.
pub(super) fn running(pod: &Pod, host: Ipv4Addr, address: Ipv4Addr, now: Timestamp) -> Value {
    let container = |container: &Container| {
        let mut status = container_status(pod, container);
        status["state"] = json!({"running": {"startedAt": now}});
        status["ready"] = json!(true);
        status["started"] = json!(true);
        status
    };
    let init = |it: &Container| {
        if it.is_sidecar() { container(it) } else { ended_container(pod, it, 0, now, now) }
    };
    let mut status = json!({
        "phase": "Running",
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "conditions": conditions(
            &["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"],
            "True",
            None,
            now,
        ),
        "containerStatuses": pod.spec.containers.iter().map(container).collect::<Vec<_>>(),
    });
    if !pod.spec.init_containers.is_empty() {
        status["initContainerStatuses"] = pod.spec.init_containers.iter().map(init).collect();
    }
    patch(pod, status)
}

/// The pod is ready, whatever somebody else has said.
pub(super) fn ready(pod: &Pod, now: Timestamp) -> Value {
    patch(pod, json!({"conditions": conditions(&["Ready"], "True", None, now)}))
}

/// All containers have ended with `code`.
pub(super) fn ended(pod: &Pod, code: i32, now: Timestamp) -> Value {
    let began = pod.status.start_time.as_deref().and_then(|text| text.parse().ok());
    let began = began.unwrap_or(now);
    let phase = if code == 0 { "Succeeded" } else { "Failed" };
    finished(pod, phase, now, |it| ended_container(pod, it, code, began, now))
}

/// The pod has failed before it had containers.
pub(super) fn never_ran(pod: &Pod, now: Timestamp) -> Value {
    let container = |it: &Container| {
        let mut status = container_status(pod, it);
        status["containerID"] = json!("");
        status["imageID"] = json!("");
        status["state"] = json!({"terminated": {
            "exitCode": 137,
            "reason": "ContainerStatusUnknown",
            "message": "The container could not be located when the pod was terminated",
            "startedAt": null,
            "finishedAt": null,
        }});
        status["ready"] = json!(false);
        status["started"] = json!(false);
        status
    };
    finished(pod, "Failed", now, container)
}

fn finished(
    pod: &Pod,
    phase: &str,
    now: Timestamp,
    container: impl Fn(&Container) -> Value,
) -> Value {
    let reason = if phase == "Succeeded" { "PodCompleted" } else { "PodFailed" };
    let mut conditions = conditions(&["Ready", "ContainersReady"], "False", Some(reason), now);
    conditions.extend(self::conditions(&["PodReadyToStartContainers"], "False", None, now));
    patch(
        pod,
        json!({
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": pod.spec.containers.iter().map(container).collect::<Vec<_>>(),
        }),
    )
}

fn patch(pod: &Pod, status: Value) -> Value {
    json!({"metadata": {"uid": pod.metadata.uid}, "status": status})
}

fn conditions(types: &[&str], status: &str, reason: Option<&str>, now: Timestamp) -> Vec<Value> {
    let condition = |kind: &&str| {
        let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": now});
        if let Some(reason) = reason {
            condition["reason"] = json!(reason);
        }
        condition
    };
    types.iter().map(condition).collect()
}

fn ended_container(
    pod: &Pod,
    container: &Container,
    code: i32,
    began: Timestamp,
    now: Timestamp,
) -> Value {
    let mut status = container_status(pod, container);
    status["state"] = json!({"terminated": {
        "exitCode": code,
        "reason": if code == 0 { "Completed" } else { "Error" },
        "startedAt": began,
        "finishedAt": now,
        "containerID": status["containerID"],
    }});
    status["ready"] = json!(false);
    status["started"] = json!(false);
    status
}

/// The part that is true of a container in any state.
fn container_status(pod: &Pod, container: &Container) -> Value {
    json!({
        "name": container.name,
        "image": container.image,
        "imageID": container.image,
        "containerID": format!("hollow://{}/{}", pod.metadata.uid, container.name),
        "restartCount": 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"containers": [{"name": "main", "image": "web:v1"}],
                "initContainers": [{"name": "setup"}, {"name": "mesh", "restartPolicy": "Always"}]},
            "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z"}}))
        .unwrap()
    }

    fn later() -> Timestamp {
        "2026-01-01T00:00:05Z".parse().unwrap()
    }

    #[test]
    fn a_running_pod_says_what_a_kubelet_says() {
        let patch = running(&pod(), [172, 16, 0, 1].into(), [10, 128, 0, 1].into(), later());
        assert_eq!(patch["metadata"], json!({"uid": "u"}));
        let status = &patch["status"];
        assert_eq!(status["podIPs"], json!([{"ip": "10.128.0.1"}]));
        assert_eq!(status["hostIP"], "172.16.0.1");
        let main = &status["containerStatuses"][0];
        assert_eq!(main["state"], json!({"running": {"startedAt": "2026-01-01T00:00:05Z"}}));
        assert_eq!((&main["ready"], &main["started"]), (&json!(true), &json!(true)));
        let setup = &status["initContainerStatuses"][0];
        assert_eq!(setup["state"]["terminated"]["reason"], "Completed");
        assert_eq!(status["initContainerStatuses"][1]["ready"], true, "a sidecar runs");
        let types: Vec<&str> = status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["type"].as_str().unwrap())
            .collect();
        assert!(!types.contains(&"PodScheduled"), "that is the scheduler's word: {types:?}");
    }

    #[test]
    fn a_pod_that_never_ran_has_failed() {
        let status = &never_ran(&pod(), later())["status"];
        assert_eq!(status["phase"], "Failed");
        let state = &status["containerStatuses"][0]["state"]["terminated"];
        assert_eq!(state["reason"], "ContainerStatusUnknown");
        assert_eq!(status["conditions"][0]["reason"], "PodFailed");
    }

    #[test]
    fn a_pod_ends_with_its_containers() {
        for (code, phase, reason) in [(0, "Succeeded", "Completed"), (2, "Failed", "Error")] {
            let status = &ended(&pod(), code, later())["status"];
            assert_eq!(status["phase"], phase);
            let state = &status["containerStatuses"][0]["state"]["terminated"];
            assert_eq!((&state["exitCode"], &state["reason"]), (&json!(code), &json!(reason)));
            assert_eq!(state["startedAt"], "2026-01-01T00:00:00Z");
            assert_eq!(status["conditions"][0]["status"], "False");
        }
    }
}

//! Rows of pods: one word that sums up all containers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Printer, age, human_duration, or, text};

pub(crate) const POD: Printer =
    Printer { columns: "Pod", cells, conditions: ended, order: None, custom: None };

/// kubectl dims the rows of pods that have ended.
fn ended(object: &Value) -> Option<Value> {
    let message = match text(object, "/status/phase") {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    let reason = text(object, "/status/phase");
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    let mut restarts = summary.restarts.to_string();
    if let (1.., Some(last)) = (summary.restarts, summary.last_restart) {
        let ago = human_duration(now.as_second().saturating_sub(last.as_second()));
        restarts = format!("{restarts} ({ago} ago)");
    }
    let ip = text(pod, "/status/podIPs/0/ip");
    vec![
        text(pod, "/metadata/name").into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        or(or(ip, text(pod, "/status/podIP")), "<none>").into(),
        or(text(pod, "/spec/nodeName"), "<none>").into(),
        or(text(pod, "/status/nominatedNodeName"), "<none>").into(),
        readiness_gates(pod).into(),
    ]
}

struct Summary {
    ready: usize,
    total: usize,
    reason: String,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

fn list<'a>(pod: &'a Value, part: &str, field: &str) -> &'a [Value] {
    pod[part][field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn is_true(pod: &Value, condition: &str) -> bool {
    list(pod, "status", "conditions")
        .iter()
        .any(|c| c["type"] == condition && c["status"] == "True")
}

/// `ExitCode:1` or `Signal:9` for a container that ended without a reason.
fn ending(terminated: &Value) -> String {
    match terminated["signal"].as_i64().unwrap_or(0) {
        0 => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        signal => format!("Signal:{signal}"),
    }
}

fn last_end(status: &Value) -> Option<Timestamp> {
    status["lastState"]["terminated"]["finishedAt"].as_str()?.parse().ok()
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let phase = text(pod, "/status/phase");
        let gated = list(pod, "status", "conditions")
            .iter()
            .any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated");
        let reason = if gated { "SchedulingGated" } else { or(text(pod, "/status/reason"), phase) };
        let sidecars = list(pod, "spec", "initContainers")
            .iter()
            .filter(|c| c["restartPolicy"] == "Always")
            .count();
        let mut summary = Self {
            ready: 0,
            total: list(pod, "spec", "containers").len() + sidecars,
            reason: reason.to_owned(),
            restarts: 0,
            last_restart: None,
        };
        let initializing = summary.add_init_containers(pod);
        if !initializing || is_true(pod, "Initialized") {
            summary.add_containers(pod);
        }
        if pod["metadata"]["deletionTimestamp"].is_string() {
            if text(pod, "/status/reason") == "NodeLost" {
                summary.reason = "Unknown".to_owned();
            } else if !matches!(phase, "Succeeded" | "Failed") {
                summary.reason = "Terminating".to_owned();
            }
        }
        summary
    }

    /// Returns whether init containers are still at work. Restarts of those that are done do not
    /// count once the pod is initialized; restarts of sidecars always do.
    fn add_init_containers(&mut self, pod: &Value) -> bool {
        let specs = list(pod, "spec", "initContainers");
        let (mut sidecar_restarts, mut sidecar_last) = (0, None);
        let mut initializing = false;
        for (n, status) in list(pod, "status", "initContainerStatuses").iter().enumerate() {
            let sidecar =
                specs.iter().any(|c| c["name"] == status["name"] && c["restartPolicy"] == "Always");
            let restarts = status["restartCount"].as_i64().unwrap_or(0);
            self.restarts += restarts;
            self.last_restart = self.last_restart.max(last_end(status));
            if sidecar {
                sidecar_restarts += restarts;
                sidecar_last = sidecar_last.max(last_end(status));
            }
            let (terminated, waiting) =
                (&status["state"]["terminated"], &status["state"]["waiting"]);
            if terminated.is_object() && terminated["exitCode"].as_i64().unwrap_or(0) == 0 {
                continue;
            }
            if sidecar && status["started"] == true {
                self.ready += usize::from(status["ready"] == true);
                continue;
            }
            self.reason = if terminated.is_object() {
                match terminated["reason"].as_str().unwrap_or_default() {
                    "" => format!("Init:{}", ending(terminated)),
                    reason => format!("Init:{reason}"),
                }
            } else {
                match waiting["reason"].as_str().unwrap_or_default() {
                    "" | "PodInitializing" => format!("Init:{n}/{}", specs.len()),
                    reason => format!("Init:{reason}"),
                }
            };
            initializing = true;
            break;
        }
        if !initializing || is_true(pod, "Initialized") {
            self.restarts = sidecar_restarts;
            self.last_restart = sidecar_last;
        }
        initializing
    }

    fn add_containers(&mut self, pod: &Value) {
        let mut running = false;
        for status in list(pod, "status", "containerStatuses").iter().rev() {
            self.restarts += status["restartCount"].as_i64().unwrap_or(0);
            self.last_restart = self.last_restart.max(last_end(status));
            let (terminated, waiting) =
                (&status["state"]["terminated"], &status["state"]["waiting"]);
            let waiting = waiting["reason"].as_str().unwrap_or_default();
            let ended = terminated["reason"].as_str().unwrap_or_default();
            if !waiting.is_empty() {
                self.reason = waiting.to_owned();
            } else if !ended.is_empty() {
                self.reason = ended.to_owned();
            } else if terminated.is_object() {
                self.reason = ending(terminated);
            } else if status["ready"] == true && status["state"]["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            self.reason = if is_true(pod, "Ready") { "Running" } else { "NotReady" }.to_owned();
        }
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(pod, "spec", "readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates
        .iter()
        .filter(|gate| gate["conditionType"].as_str().is_some_and(|kind| is_true(pod, kind)))
        .count();
    format!("{open}/{}", gates.len())
}

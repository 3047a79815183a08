//! What a hollow node does next with a pod of its, and how long it waits before.
//!
//! ```text
//! bound ── start delay ──▶ Running, Ready ── run-seconds ──▶ Succeeded or Failed
//!   │                        │ somebody says not Ready: said again
//!   └── deleted ─────────────┴── stop delay, at most the grace period ──▶ Failed ──▶ gone
//! ```
//!
//! A deleted pod ends before it goes, as on a real node: whoever waits for its end, as a Job may, sees
//! one.

use std::time::Duration;

use super::seen::Pod;

/// A pod with this annotation ends so many seconds after it has started; decimals are allowed. One
/// without runs until it is deleted. Pods whose `restartPolicy` is Always never end.
pub(super) const RUN_SECONDS: &str = "sim.wharf.dev/run-seconds";
/// With what its containers end; 0 without the annotation. Anything else fails a pod whose
/// `restartPolicy` is Never. Containers that are stopped end with it, too, but by the signal without it.
pub(super) const EXIT_CODE: &str = "sim.wharf.dev/exit-code";

/// How long a node waits before it says again that a pod is ready.
const SAY_AGAIN: Duration = Duration::from_secs(1);

/// How long things take on hollow nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delays {
    /// From the binding to Running.
    pub(super) start: Duration,
    /// From the deletion to the end of the containers, if the grace period is not shorter.
    pub(super) stop: Duration,
}

/// What is to be done with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Say that its containers run.
    Start,
    /// Say that it is ready, which somebody else has denied.
    Ready,
    /// Say that its containers have ended.
    End {
        /// With this exit code.
        code: i32,
    },
    /// Say that it has failed before its containers ran.
    Fail,
    /// Delete the object for good.
    Remove,
}

/// The next step, and how long after the pod was seen like this it is due. None: nothing to do.
pub(super) fn plan(pod: &Pod, delays: Delays) -> Option<(Duration, Step)> {
    if pod.is_finished() {
        // The API server removes finished pods itself unless they were already on their way out.
        return pod.is_deleting().then_some((Duration::ZERO, Step::Remove));
    }
    let started = pod.status.phase == "Running";
    if pod.is_deleting() {
        let end = if started { stop(pod, delays.stop) } else { (Duration::ZERO, Step::Fail) };
        return Some(end);
    }
    if !started {
        return Some((delays.start, Step::Start));
    }
    if let Some(runs) = run_time(pod) {
        return Some((runs, Step::End { code: exit_code(pod) }));
    }
    (!pod.is_ready()).then_some((SAY_AGAIN, Step::Ready))
}

/// A program that stops in time was told to by SIGTERM, another one is killed.
fn stop(pod: &Pod, takes: Duration) -> (Duration, Step) {
    const TERMINATED: i32 = 128 + 15;
    const KILLED: i32 = 128 + 9;
    if takes > pod.grace() {
        return (pod.grace(), Step::End { code: KILLED });
    }
    let own = pod.annotation(EXIT_CODE).and_then(|text| text.parse().ok());
    (takes, Step::End { code: own.unwrap_or(TERMINATED) })
}

fn run_time(pod: &Pod) -> Option<Duration> {
    let seconds: f64 = pod.annotation(RUN_SECONDS)?.parse().ok()?;
    let ends = pod.spec.restart_policy != "Always";
    ends.then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

fn exit_code(pod: &Pod) -> i32 {
    let code = pod.annotation(EXIT_CODE).and_then(|text| text.parse().ok()).unwrap_or(0);
    // A pod that is restarted on failure goes on until it succeeds, which a hollow one does at once.
    if pod.spec.restart_policy == "Never" { code } else { 0 }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DELAYS: Delays = Delays { start: Duration::from_secs(1), stop: Duration::from_secs(3) };

    fn pod(value: Value) -> Pod {
        let mut pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u"},
            "spec": {"nodeName": "hollow-0", "restartPolicy": "Never", "containers": []},
            "status": {"phase": "Pending"}});
        for (part, fields) in value.as_object().unwrap() {
            for (name, field) in fields.as_object().unwrap() {
                pod[part][name] = field.clone();
            }
        }
        serde_json::from_value(pod).unwrap()
    }

    fn ready(status: &str) -> Value {
        json!({"phase": "Running", "conditions": [{"type": "Ready", "status": status}]})
    }

    #[test]
    fn steps() {
        let seconds = Duration::from_secs;
        let deleted = |grace: u64| {
            json!({"deletionTimestamp": "2026-01-01T00:00:00Z",
                "deletionGracePeriodSeconds": grace})
        };
        let job = |code: &str| json!({"annotations": {RUN_SECONDS: "2.5", EXIT_CODE: code}});
        let ended = |grace: u64, code: &str| {
            let mut metadata = deleted(grace);
            metadata["annotations"] = json!({EXIT_CODE: code});
            metadata
        };
        let ran = Duration::from_millis(2500);
        for (value, wanted) in [
            (json!({}), Some((seconds(1), Step::Start))),
            (json!({"status": ready("True")}), None),
            (json!({"status": ready("False")}), Some((seconds(1), Step::Ready))),
            (json!({"metadata": deleted(30)}), Some((seconds(0), Step::Fail))),
            (
                json!({"metadata": deleted(30), "status": ready("True")}),
                Some((seconds(3), Step::End { code: 143 })),
            ),
            (
                json!({"metadata": deleted(2), "status": ready("False")}),
                Some((seconds(2), Step::End { code: 137 })),
            ),
            (
                json!({"metadata": deleted(0), "status": ready("True")}),
                Some((seconds(0), Step::End { code: 137 })),
            ),
            (
                json!({"metadata": ended(30, "0"), "status": ready("True")}),
                Some((seconds(3), Step::End { code: 0 })),
            ),
            (json!({"metadata": job("0")}), Some((seconds(1), Step::Start))),
            (
                json!({"metadata": job("0"), "status": ready("True")}),
                Some((ran, Step::End { code: 0 })),
            ),
            (
                json!({"metadata": job("3"), "status": ready("True")}),
                Some((ran, Step::End { code: 3 })),
            ),
            (
                json!({"metadata": job("3"), "status": ready("True"),
                    "spec": {"restartPolicy": "OnFailure"}}),
                Some((ran, Step::End { code: 0 })),
            ),
            (
                json!({"metadata": job("3"), "status": ready("True"),
                    "spec": {"restartPolicy": "Always"}}),
                None,
            ),
            (json!({"status": {"phase": "Succeeded"}}), None),
            (
                json!({"metadata": deleted(30), "status": {"phase": "Failed"}}),
                Some((seconds(0), Step::Remove)),
            ),
        ] {
            assert_eq!(plan(&pod(value.clone()), DELAYS), wanted, "{value}");
        }
    }

    #[test]
    fn annotations_without_sense_are_none() {
        for text in ["", "soon", "-1", "1e300"] {
            let pod = pod(json!({"metadata": {"annotations": {RUN_SECONDS: text}},
                "status": ready("True")}));
            assert_eq!(plan(&pod, DELAYS), None, "{text}");
        }
    }
}

//! What a PodDisruptionBudget says to an eviction: pure, and tested by table.
//!
//! Source: k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go (checkAndDecrement).

use api::resources::GroupResource;
use api::selector::LabelSelector;
use api::status::{Cause, Status};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Evictions that the budget's controller has not seen yet, at most. It forgets those of pods that
/// stay, so a full map empties.
const UNSEEN: usize = 2000;

/// Seconds after which to try again while the budget is not up to date.
const RETRY_SECONDS: u32 = 10;

const VIOLATION: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// What a budget says.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The pod is no loss to the budget.
    Free,
    /// The budget, with one disruption less.
    Spent(Value),
}

/// Whether budgets do not matter: the pod has not begun, has ended or is ending.
pub(super) fn is_moot(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_string()
        || matches!(pod["status"]["phase"].as_str(), Some("Pending" | "Succeeded" | "Failed"))
}

/// Whether the budget is about the pod, which is of its namespace.
pub(super) fn covers(budget: &Value, pod: &Value) -> bool {
    LabelSelector::from_object(&budget["spec"]["selector"])
        .is_ok_and(|selector| selector.matches_object(pod))
}

/// What to say when more than one budget covers a pod: which of them to ask is undefined.
pub(super) fn several() -> Status {
    Status::unclassified(
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not \
         support.",
    )
}

/// Asks a budget for a pod.
///
/// # Errors
/// 429 with the cause DisruptionBudget, 403 for a budget that is out of order.
pub(super) fn judge(budget: &Value, pod: &Value, now: Timestamp) -> Result<Verdict, Status> {
    let (spec, status) = (&budget["spec"], &budget["status"]);
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let (healthy, wanted) = (number("currentHealthy"), number("desiredHealthy"));
    if !is_ready(pod) {
        // What is not ready protects nobody, unless the budget is short already.
        let always = spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        if always || (healthy >= wanted && wanted > 0) {
            return Ok(Verdict::Free);
        }
    }
    let name = budget["metadata"]["name"].as_str().unwrap_or_default();
    let seen = number("observedGeneration");
    if seen < budget["metadata"]["generation"].as_i64().unwrap_or(0) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(violation(why, RETRY_SECONDS));
    }
    let refuse = |why: &str| {
        let resource = GroupResource::new("policy", "poddisruptionbudget");
        Err(Status::forbidden(&resource, name, why))
    };
    let allowed = number("disruptionsAllowed");
    if allowed < 0 {
        return refuse("pdb disruptions allowed is negative");
    }
    if status["disruptedPods"].as_object().is_some_and(|pods| pods.len() > UNSEEN) {
        return refuse(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller",
        );
    }
    if allowed == 0 {
        let why = format!(
            "The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
        );
        return Err(violation(why, 0));
    }
    let mut spent = budget.clone();
    let status = &mut spent["status"];
    status["disruptionsAllowed"] = (allowed - 1).into();
    if !status["disruptedPods"].is_object() {
        status["disruptedPods"] = json!({});
    }
    let pod = pod["metadata"]["name"].as_str().unwrap_or_default();
    status["disruptedPods"][pod] = api::meta::time(now).into();
    if allowed == 1 {
        exhaust(&mut spent, now);
    }
    Ok(Verdict::Spent(spent))
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn violation(why: String, seconds: u32) -> Status {
    let mut status = Status::too_many_requests(VIOLATION, seconds);
    let details = status.details.get_or_insert_default();
    details.causes.push(Cause {
        reason: "DisruptionBudget".to_owned(),
        message: why,
        field: String::new(),
    });
    status
}

/// Says in the budget's conditions that nothing is left.
fn exhaust(budget: &mut Value, now: Timestamp) {
    const KIND: &str = "DisruptionAllowed";
    let generation = budget["status"]["observedGeneration"].clone();
    let mut conditions = budget["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let since = conditions
        .iter()
        .find(|c| c["type"] == KIND && c["status"] == "False")
        .map_or_else(|| api::meta::time(now).into(), |c| c["lastTransitionTime"].clone());
    conditions.retain(|c| c["type"] != KIND);
    conditions.push(json!({
        "type": KIND, "status": "False", "reason": "InsufficientPods", "message": "",
        "lastTransitionTime": since, "observedGeneration": generation,
    }));
    budget["status"]["conditions"] = conditions.into();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(status: Value) -> Value {
        json!({"metadata": {"name": "b", "generation": 1, "resourceVersion": "5"},
            "spec": {"selector": {"matchLabels": {"a": "b"}}}, "status": status})
    }

    fn pod(ready: bool) -> Value {
        let ready = if ready { "True" } else { "False" };
        json!({"metadata": {"name": "p", "labels": {"a": "b"}},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}})
    }

    #[test]
    fn budgets_are_spent() {
        let now = Timestamp::UNIX_EPOCH;
        let two = budget(json!({"observedGeneration": 1, "disruptionsAllowed": 2}));
        let Ok(Verdict::Spent(one)) = judge(&two, &pod(true), now) else { panic!("two are left") };
        assert_eq!(one["status"]["disruptionsAllowed"], 1);
        assert_eq!(one["status"]["disruptedPods"], json!({"p": "1970-01-01T00:00:00Z"}));
        assert!(one["status"].get("conditions").is_none());
        let Ok(Verdict::Spent(none)) = judge(&one, &pod(true), now) else { panic!("one is left") };
        assert_eq!(none["status"]["conditions"][0]["reason"], "InsufficientPods");
        assert_eq!(judge(&none, &pod(true), now).expect_err("spent").code, 429);
    }

    #[test]
    fn refusals_say_why() {
        let now = Timestamp::UNIX_EPOCH;
        let full: serde_json::Map<String, Value> =
            (0..=UNSEEN).map(|n| (n.to_string(), "1970-01-01T00:00:00Z".into())).collect();
        for (status, code, why) in [
            (
                json!({"observedGeneration": 0, "disruptionsAllowed": 1}),
                429,
                "The disruption budget b is still being processed by the server.",
            ),
            (
                json!({"observedGeneration": 1, "desiredHealthy": 3, "currentHealthy": 2}),
                429,
                "The disruption budget b needs 3 healthy pods and has 2 currently",
            ),
            (
                json!({"observedGeneration": 1, "disruptionsAllowed": -1}),
                403,
                "pdb disruptions allowed is negative",
            ),
            (
                json!({"observedGeneration": 1, "disruptionsAllowed": 1, "disruptedPods": full}),
                403,
                "DisruptedPods map too big",
            ),
        ] {
            let refusal = judge(&budget(status), &pod(true), now).expect_err(why);
            assert_eq!(refusal.code, code, "{why}");
            assert!(refusal.to_value().to_string().contains(why), "{refusal}");
        }
    }

    #[test]
    fn what_is_not_ready_is_no_loss() {
        let now = Timestamp::UNIX_EPOCH;
        let enough =
            budget(json!({"observedGeneration": 1, "desiredHealthy": 2, "currentHealthy": 2}));
        assert_eq!(judge(&enough, &pod(false), now), Ok(Verdict::Free));
        let mut short =
            budget(json!({"observedGeneration": 1, "desiredHealthy": 2, "currentHealthy": 1}));
        assert!(judge(&short, &pod(false), now).is_err());
        short["spec"]["unhealthyPodEvictionPolicy"] = "AlwaysAllow".into();
        assert_eq!(judge(&short, &pod(false), now), Ok(Verdict::Free));
    }

    #[test]
    fn budgets_cover_by_label_and_matter_while_pods_run() {
        let mut one = budget(json!({}));
        assert!(covers(&one, &pod(true)));
        one["spec"]["selector"] = json!({});
        assert!(covers(&one, &pod(true)), "an empty selector is everything");
        one["spec"]["selector"] = Value::Null;
        assert!(!covers(&one, &pod(true)));
        let mut running = pod(true);
        assert!(!is_moot(&running));
        running["status"]["phase"] = "Pending".into();
        assert!(is_moot(&running));
    }
}

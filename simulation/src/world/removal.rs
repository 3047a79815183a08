//! Deletions and evictions.

use api::selector::LabelSelector;
use api::status::Status;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::verbs::{current, read};
use super::{Answer, Call, State, row};

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// Whether nothing keeps a deleted object any more.
pub(super) fn is_done(object: &Value) -> bool {
    let metadata = &object["metadata"];
    metadata["deletionTimestamp"].is_string()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && metadata["finalizers"].as_array().is_none_or(Vec::is_empty)
}

/// Deletes an object.
///
/// Source: k8s.io/apiserver/pkg/registry/rest/delete.go.
pub(super) fn delete(state: &mut State, call: &Call, actor: &str, now: Timestamp) -> Answer {
    let options = if call.body.is_empty() { json!({}) } else { read(&call.body)? };
    let old = current(state, call)?;
    check(call, &options["preconditions"], &old.value)?;
    let mut new = old.value.clone();
    let policy = options["propagationPolicy"].as_str().unwrap_or("Background");
    let mut finalizers =
        old.value["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if options["propagationPolicy"].is_string() {
        finalizers.retain(|name| name != FOREGROUND && name != ORPHAN);
    }
    match policy {
        "Foreground" => finalizers.push(FOREGROUND.into()),
        "Orphan" => finalizers.push(ORPHAN.into()),
        _ => {}
    }
    let kept = !finalizers.is_empty();
    if kept {
        new["metadata"]["finalizers"] = finalizers.into();
    } else {
        api::meta::remove(&mut new["metadata"], "finalizers");
    }
    let asked = options["gracePeriodSeconds"].as_i64();
    let strategy = &call.resource.strategy;
    let deleting = old.value["metadata"]["deletionTimestamp"].is_string();
    let had = old.value["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let grace = match (deleting, asked) {
        (true, Some(asked)) => asked.min(had),
        (true, None) => had,
        (false, asked) => strategy.deletion_grace_seconds(&old.value, asked).unwrap_or(0),
    };
    if !deleting || grace < had {
        let end = now.checked_add(SignedDuration::from_secs(grace)).unwrap_or(now);
        new["metadata"]["deletionTimestamp"] = api::meta::time(end).into();
        new["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        let generation = new["metadata"]["generation"].as_i64().filter(|_| !deleting);
        if let Some(generation) = generation {
            new["metadata"]["generation"] = (generation + 1).into();
        }
    }
    let object = if grace == 0 && !kept {
        state.remove(call.resource, new, actor, now)
    } else if new == old.value {
        old
    } else {
        state.put(call.resource, new, actor, now)
    };
    Ok((200, object.bytes.clone()))
}

fn check(call: &Call, preconditions: &Value, old: &Value) -> Result<(), Status> {
    for field in ["uid", "resourceVersion"] {
        let (wanted, have) = (&preconditions[field], &old["metadata"][field]);
        if wanted.is_string() && wanted != have {
            let detail = format!("Precondition failed: {field} is {have}, not {wanted}");
            return Err(Status::conflict(&call.resource.group_resource(), &call.name, &detail));
        }
    }
    Ok(())
}

/// Evicts a pod: a deletion that asks the pod's budget first.
///
/// Source: k8s.io/kubernetes/pkg/registry/core/pod/storage/eviction.go.
pub(super) fn evict(state: &mut State, call: &Call, actor: &str, now: Timestamp) -> Answer {
    let pod = current(state, call)?;
    let phase = pod.value["status"]["phase"].as_str().unwrap_or_default();
    let moot = pod.value["metadata"]["deletionTimestamp"].is_string()
        || matches!(phase, "Pending" | "Succeeded" | "Failed");
    if !moot {
        spend(state, &pod.value, actor, now)?;
    }
    let marked = api::pod::disrupted(&pod.value, "EvictionByEvictionAPI", "evicted", now);
    state.put(call.resource, marked, actor, now);
    let deletion = Call {
        body: Bytes::new(),
        ..Call::of_user(
            http::Method::DELETE,
            call.resource,
            (&call.namespace, &call.name, ""),
            &Value::Null,
        )
    };
    delete(state, &deletion, actor, now)?;
    Ok((201, Bytes::from(Status::success(None).to_string())))
}

/// Takes the disruption from the pod's budget.
fn spend(state: &mut State, pod: &Value, actor: &str, now: Timestamp) -> Result<(), Status> {
    let budgets = row("policy", "poddisruptionbudgets");
    let covers = |budget: &&Value| {
        budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
            && LabelSelector::from_object(&budget["spec"]["selector"])
                .is_ok_and(|selector| selector.matches_object(pod))
    };
    let Some(mut budget) = state.all(budgets).find(covers).cloned() else { return Ok(()) };
    let status = &budget["status"];
    let number = |field: &str| status[field].as_i64().unwrap_or(0);
    let ready = pod["status"]["conditions"].as_array().into_iter().flatten();
    let mut ready = ready.filter(|c| c["type"] == "Ready" && c["status"] == "True");
    let wanted = number("desiredHealthy");
    if ready.next().is_none() && wanted > 0 && number("currentHealthy") >= wanted {
        return Ok(());
    }
    let allowed = number("disruptionsAllowed");
    let seen = number("observedGeneration");
    if seen < budget["metadata"]["generation"].as_i64().unwrap_or(0) || allowed <= 0 {
        let refusal = "Cannot evict pod as it would violate the pod's disruption budget.";
        return Err(Status::too_many_requests(refusal, 0));
    }
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    budget["status"]["disruptionsAllowed"] = (allowed - 1).into();
    if !budget["status"]["disruptedPods"].is_object() {
        budget["status"]["disruptedPods"] = json!({});
    }
    budget["status"]["disruptedPods"][name] = api::meta::time(now).into();
    state.put(budgets, budget, actor, now);
    Ok(())
}

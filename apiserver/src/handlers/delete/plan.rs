//! The decision what a deletion comes to: pure, and tested by table.
//!
//! It follows k8s.io/apiserver/pkg/registry/rest/delete.go and registry/generic/registry/store.go.

use api::resources::Resource;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{DeleteOptions, Propagation};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";

/// What a deletion comes to.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// It is being deleted already, no later than asked for.
    Nothing,
    /// It stays for now, changed like this.
    Keep(Value),
    /// It goes; this is how it is shown.
    Remove(Value),
}

/// Decides. Pure: the clock is an argument.
pub(super) fn plan(
    resource: &Resource,
    old: &Value,
    options: &DeleteOptions,
    now: Timestamp,
) -> Action {
    let mut new = old.clone();
    let deleting = old["metadata"]["deletionTimestamp"].is_string();
    let mut finalizers = finalizers(resource, old, options);
    if let Some(own) = resource.strategy.cleanup_finalizer().filter(|_| !deleting)
        && !finalizers.iter().any(|finalizer| finalizer == own)
    {
        finalizers.push(own.into());
    }
    if finalizers.is_empty() {
        api::meta::remove(&mut new["metadata"], "finalizers");
    } else {
        new["metadata"]["finalizers"] = finalizers.clone().into();
    }
    let kept = !finalizers.is_empty() || namespace_keeps(old);
    if deleting {
        let had = old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        if had > 0 {
            // Somebody is ending it. A second deletion may shorten that, if it says so; one that
            // does not say waits with the first, whatever has become of the object meanwhile.
            let Some(period) = options.grace.filter(|period| *period < had) else {
                return Action::Nothing;
            };
            shorten(&mut new, had - period, period, now);
            return if period > 0 || kept { Action::Keep(new) } else { Action::Remove(new) };
        }
        if kept {
            return if new == *old { Action::Nothing } else { Action::Keep(new) };
        }
        new["metadata"]["deletionGracePeriodSeconds"] = 0.into();
        return Action::Remove(new);
    }
    let grace = resource.strategy.deletion_grace_seconds(old, options.grace);
    let period = grace.unwrap_or(0);
    if period == 0 && !kept {
        if grace.is_some() {
            stamp(&mut new, 0, now);
        }
        return Action::Remove(new);
    }
    stamp(&mut new, period, now);
    if let Some(generation) = new["metadata"]["generation"].as_i64().filter(|n| *n > 0) {
        new["metadata"]["generation"] = (generation + 1).into();
    }
    if old["kind"] == "Namespace" {
        new["status"]["phase"] = "Terminating".into();
    }
    Action::Keep(new)
}

/// Marks the end of the grace period.
fn stamp(object: &mut Value, seconds: i64, now: Timestamp) {
    let end = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
    object["metadata"]["deletionTimestamp"] = api::meta::time(end).into();
    object["metadata"]["deletionGracePeriodSeconds"] = seconds.into();
}

/// Brings the end of the grace period forward: it began when it began.
fn shorten(object: &mut Value, by: i64, period: i64, now: Timestamp) {
    let end: Option<Timestamp> =
        object["metadata"]["deletionTimestamp"].as_str().and_then(|end| end.parse().ok());
    let sooner = end.and_then(|end| end.checked_sub(SignedDuration::from_secs(by)).ok());
    match sooner {
        Some(end) => {
            object["metadata"]["deletionTimestamp"] = api::meta::time(end).into();
            object["metadata"]["deletionGracePeriodSeconds"] = period.into();
        }
        None => stamp(object, period, now),
    }
}

/// A namespace stays until its controller has emptied it and finalized its spec.
fn namespace_keeps(object: &Value) -> bool {
    object["kind"] == "Namespace"
        && object["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}

/// The finalizers under the propagation policy that holds.
fn finalizers(resource: &Resource, old: &Value, options: &DeleteOptions) -> Vec<Value> {
    let had: Vec<Value> = old["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let has = |name: &str| had.iter().any(|finalizer| finalizer == name);
    let policy = options.propagation.unwrap_or_else(|| {
        if has(ORPHAN) {
            Propagation::Orphan
        } else if has(FOREGROUND) {
            Propagation::Foreground
        } else if matches!(
            (&*resource.group, &*resource.plural),
            ("", "replicationcontrollers") | ("batch", "jobs")
        ) {
            // Their first clients expected orphans, and still do.
            Propagation::Orphan
        } else {
            Propagation::Background
        }
    });
    let wanted = match policy {
        Propagation::Background => None,
        Propagation::Foreground => Some(FOREGROUND),
        Propagation::Orphan => Some(ORPHAN),
    };
    let mut list: Vec<Value> = had
        .iter()
        .filter(|finalizer| {
            !matches!(finalizer.as_str(), Some(ORPHAN | FOREGROUND)) || finalizer.as_str() == wanted
        })
        .cloned()
        .collect();
    if let Some(wanted) = wanted
        && !list.iter().any(|finalizer| finalizer == wanted)
    {
        list.push(wanted.into());
    }
    list
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn row(plural: &str) -> &'static Resource {
        api::resources::by_path("", "v1", plural).unwrap()
    }

    fn with(propagation: Propagation) -> DeleteOptions {
        DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() }
    }

    #[test]
    fn without_reasons_to_stay_an_object_goes() {
        let map = json!({"kind": "ConfigMap", "metadata": {"name": "a"}});
        let action = plan(row("configmaps"), &map, &DeleteOptions::default(), at());
        assert_eq!(action, Action::Remove(map));
    }

    #[test]
    fn finalizers_and_policies_keep_it() {
        let map = json!({"kind": "ConfigMap", "metadata": {"finalizers": ["a/b"]}});
        let Action::Keep(kept) = plan(row("configmaps"), &map, &DeleteOptions::default(), at())
        else {
            panic!("a finalizer keeps an object")
        };
        assert_eq!(kept["metadata"]["deletionTimestamp"], "2026-11-21T10:00:00Z");
        assert_eq!(kept["metadata"]["deletionGracePeriodSeconds"], 0);
        // Deleting again changes nothing.
        let again = plan(row("configmaps"), &kept, &DeleteOptions::default(), at());
        assert_eq!(again, Action::Nothing);
        for (policy, finalizer) in
            [(Propagation::Foreground, FOREGROUND), (Propagation::Orphan, ORPHAN)]
        {
            let map = json!({"kind": "ConfigMap", "metadata": {}});
            let Action::Keep(kept) = plan(row("configmaps"), &map, &with(policy), at()) else {
                panic!("{policy:?} keeps an object")
            };
            assert_eq!(kept["metadata"]["finalizers"], json!([finalizer]));
            // Background takes the policy's finalizer away again.
            let action = plan(row("configmaps"), &kept, &with(Propagation::Background), at());
            assert!(matches!(action, Action::Remove(_)), "{action:?}");
        }
    }

    #[test]
    fn controllers_of_version_one_orphan_by_default() {
        let rc = json!({"kind": "ReplicationController", "metadata": {"generation": 3}});
        let action = plan(row("replicationcontrollers"), &rc, &DeleteOptions::default(), at());
        let jobs = api::resources::by_path("batch", "v1", "jobs").unwrap();
        let job = plan(jobs, &rc, &DeleteOptions::default(), at());
        assert!(matches!(job, Action::Keep(_)), "{job:?}");
        let Action::Keep(kept) = action else { panic!("{action:?}") };
        // Its controller has to act differently from now on.
        assert_eq!(kept["metadata"]["generation"], 4);
    }

    #[test]
    fn namespaces_terminate() {
        let namespace = json!({"kind": "Namespace", "metadata": {"name": "n"},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        let Action::Keep(kept) =
            plan(row("namespaces"), &namespace, &DeleteOptions::default(), at())
        else {
            panic!("a namespace is emptied first")
        };
        assert_eq!(kept["status"]["phase"], "Terminating");
    }

    #[test]
    fn pods_get_their_grace() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "generation": 1},
            "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30},
            "status": {"phase": "Running"}});
        let Action::Keep(kept) = plan(row("pods"), &pod, &DeleteOptions::default(), at()) else {
            panic!("a running pod ends gracefully")
        };
        assert_eq!(kept["metadata"]["deletionTimestamp"], "2026-11-21T10:00:30Z");
        assert_eq!(kept["metadata"]["deletionGracePeriodSeconds"], 30);
        assert_eq!(kept["metadata"]["generation"], 2);
        let grace = |seconds| DeleteOptions { grace: Some(seconds), ..DeleteOptions::default() };
        assert_eq!(plan(row("pods"), &kept, &grace(60), at()), Action::Nothing);
        let Action::Keep(shorter) = plan(row("pods"), &kept, &grace(5), at()) else {
            panic!("a shorter grace is taken over")
        };
        assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
        assert_eq!(shorter["metadata"]["deletionTimestamp"], "2026-11-21T10:00:05Z");
        // A deletion that names no period leaves the ending to the node agent, also when it got
        // longer than the pod's own, and when the containers have ended but not been torn down.
        let mut ended = kept.clone();
        ended["metadata"]["deletionGracePeriodSeconds"] = 60.into();
        ended["status"]["phase"] = "Failed".into();
        assert_eq!(plan(row("pods"), &ended, &DeleteOptions::default(), at()), Action::Nothing);
        let now = plan(row("pods"), &kept, &grace(0), at());
        assert!(matches!(now, Action::Remove(_)), "{now:?}");
        let mut unscheduled = pod.clone();
        api::meta::remove(&mut unscheduled["spec"], "nodeName");
        let action = plan(row("pods"), &unscheduled, &DeleteOptions::default(), at());
        assert!(matches!(action, Action::Remove(_)), "{action:?}");
    }
}

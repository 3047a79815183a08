//! Which kinds a quota is about, and what its status becomes. Pure.

use std::collections::BTreeSet;

use api::quantity::Quantity;
use api::quota::{self, Amounts};
use api::resources::GroupResource;
use serde_json::{Value, json};

/// The resources whose objects a quota counts.
pub(super) fn counted(quota: &Value) -> BTreeSet<GroupResource> {
    let hard = quota["spec"]["hard"].as_object();
    hard.into_iter().flatten().filter_map(|(name, _)| resource_of(name)).collect()
}

fn resource_of(name: &str) -> Option<GroupResource> {
    if let Some(counted) = name.strip_prefix("count/") {
        let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
        return Some(GroupResource::new(group.to_owned(), resource.to_owned()));
    }
    if name.ends_with(quota::DEVICES) {
        return Some(GroupResource::new("resource.k8s.io", "resourceclaims"));
    }
    let core = |resource: &str| Some(GroupResource::new("", resource.to_owned()));
    if name == "requests.storage"
        || name == "persistentvolumeclaims"
        || name.contains(".storageclass.storage.k8s.io/")
    {
        return core("persistentvolumeclaims");
    }
    match name.split('.').next()? {
        "services" => core("services"),
        plain @ ("configmaps" | "replicationcontrollers" | "resourcequotas" | "secrets") => {
            core(plain)
        }
        "pods" | "cpu" | "memory" | "ephemeral-storage" | "requests" | "limits" => core("pods"),
        other if other.starts_with("hugepages-") => core("pods"),
        _ => None,
    }
}

/// The limits, and how much of each is used by what costs that.
pub(super) fn status(quota: &Value, costs: &[Amounts]) -> Value {
    let mut sum = Amounts::new();
    for cost in costs {
        quota::add(&mut sum, cost);
    }
    let hard = &quota["spec"]["hard"];
    let used: serde_json::Map<String, Value> = hard
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| {
            let amount = sum.get(name).copied().unwrap_or(Quantity::ZERO);
            (name.clone(), json!(amount.to_string()))
        })
        .collect();
    json!({"hard": hard, "used": used})
}

/// Whether `new` says of anything that less of it is used than `old` does.
pub(super) fn lowers(old: &Value, new: &Value) -> bool {
    let (old, new) = (quota::amounts(&old["used"]), quota::amounts(&new["used"]));
    old.iter().any(|(name, amount)| new.get(name).is_some_and(|less| less < amount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_of_anything_is_less() {
        let old = json!({"used": {"pods": "2", "requests.cpu": "1"}});
        for (used, lower) in [
            (json!({"pods": "2", "requests.cpu": "1000m"}), false),
            (json!({"pods": "3", "requests.cpu": "1"}), false),
            (json!({"pods": "3", "requests.cpu": "999m"}), true),
            (json!({"pods": "0"}), true),
            (json!({"services": "1"}), false),
        ] {
            assert_eq!(lowers(&old, &json!({"used": used})), lower, "{used}");
        }
        assert!(!lowers(&Value::Null, &old));
    }

    #[test]
    fn names_tell_what_is_counted() {
        for (name, resource) in [
            ("count/deployments.apps", Some("deployments.apps")),
            ("count/configmaps", Some("configmaps")),
            ("pods", Some("pods")),
            ("requests.cpu", Some("pods")),
            ("requests.example.com/gpu", Some("pods")),
            ("limits.memory", Some("pods")),
            ("hugepages-2Mi", Some("pods")),
            ("requests.storage", Some("persistentvolumeclaims")),
            ("fast.storageclass.storage.k8s.io/requests.storage", Some("persistentvolumeclaims")),
            ("services.loadbalancers", Some("services")),
            ("secrets", Some("secrets")),
            ("gpu.deviceclass.resource.k8s.io/devices", Some("resourceclaims.resource.k8s.io")),
            ("unheard", None),
        ] {
            let found = resource_of(name).map(|found| found.to_string());
            assert_eq!(found.as_deref(), resource, "{name}");
        }
    }

    #[test]
    fn what_is_limited_is_added_up() {
        let quota = json!({"spec": {"hard": {"pods": "5", "requests.cpu": "1", "secrets": "3"}}});
        let cost = |pods: &str, cpu: &str| {
            quota::amounts(&json!({"pods": pods, "requests.cpu": cpu, "other": "1"}))
        };
        assert_eq!(
            status(&quota, &[cost("1", "100m"), cost("1", "250m")]),
            json!({"hard": {"pods": "5", "requests.cpu": "1", "secrets": "3"},
                "used": {"pods": "2", "requests.cpu": "350m", "secrets": "0"}})
        );
    }
}

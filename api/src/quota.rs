//! What objects cost under a ResourceQuota, and which quotas they fall under.
//!
//! The API server asks when an object is created, the controller when it adds up what there is.
//! Source: k8s.io/kubernetes/pkg/quota/v1/evaluator/core.

mod scope;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::quantity::{Format, Quantity};
use crate::resources::GroupResource;

pub use scope::covers;

/// Amounts by name: `cpu`, `requests.memory`, `count/deployments.apps`.
pub type Amounts = BTreeMap<String, Quantity>;

/// Resources that quotas name without `count/`.
const PLAIN: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];
/// What quotas also call by its short name.
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// The names of devices of a class end so.
pub const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
/// A claim gets at most so many devices; one that wants all of them may cost as much.
const MOST_DEVICES: i64 = 32;
/// What containers must say they need if a quota limits it.
const DEMANDED: [&str; 2] = ["cpu", "memory"];

/// The amounts of a JSON object; what is no quantity is left out.
pub fn amounts(map: &Value) -> Amounts {
    let read = |(name, text): (&String, &Value)| Some((name.clone(), text.as_str()?.parse().ok()?));
    map.as_object().into_iter().flatten().filter_map(read).collect()
}

/// Adds `more` to `sum`.
pub fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let have = sum.entry(name.clone()).or_insert(Quantity::ZERO);
        // The format is that of the first amount.
        *have = if have.is_zero() { *amount } else { *have + *amount };
    }
}

fn raise(have: &mut Amounts, to: &Amounts) {
    for (name, amount) in to {
        let slot = have.entry(name.clone()).or_insert(*amount);
        *slot = (*slot).max(*amount);
    }
}

/// What a pod's containers request (`requests`) or may use at most (`limits`) together: those that
/// run all the time, or a container of its beginning with the ones that then run already, whichever
/// is more. What the pod says for all of them counts instead.
/// Source: k8s.io/component-helpers/resource.
pub fn container_amounts(pod: &Value, which: &str) -> Amounts {
    let spec = &pod["spec"];
    let each = |list: &str| spec[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let of = |container: &Value| amounts(&container["resources"][which]);
    let mut running = Amounts::new();
    for container in each("containers") {
        add(&mut running, &of(container));
    }
    let (mut beside, mut beginning) = (Amounts::new(), Amounts::new());
    for container in each("initContainers") {
        let own = of(container);
        let mut together = beside.clone();
        add(&mut together, &own);
        if container["restartPolicy"] == "Always" {
            add(&mut running, &own);
            beside.clone_from(&together);
        }
        raise(&mut beginning, &together);
    }
    raise(&mut running, &beginning);
    running.extend(amounts(&spec["resources"][which]));
    running
}

/// [`container_amounts`] with the pod's overhead.
pub fn pod_amounts(pod: &Value, which: &str) -> Amounts {
    let mut running = container_amounts(pod, which);
    let overhead = amounts(&pod["spec"]["overhead"]);
    // An overhead limits nothing that is not limited.
    let counted =
        overhead.into_iter().filter(|(name, _)| which == "requests" || running.contains_key(name));
    let counted: Amounts = counted.collect();
    add(&mut running, &counted);
    running
}

/// What an object costs. A pod that has ended costs its count alone.
pub fn usage(resource: &GroupResource, object: &Value) -> Amounts {
    let one = Quantity::from_value(1, Format::DecimalSi);
    let mut usage = Amounts::from([(format!("count/{resource}"), one)]);
    if resource.group == "resource.k8s.io" && resource.resource == "resourceclaims" {
        add(&mut usage, &devices(object));
    }
    if !resource.group.is_empty() {
        return usage;
    }
    match &*resource.resource {
        "pods" => add(&mut usage, &pod(object)),
        "services" => add(&mut usage, &service(object)),
        "persistentvolumeclaims" => add(&mut usage, &claim(object)),
        plain if PLAIN.contains(&plain) => drop(usage.insert(plain.to_owned(), one)),
        _ => {}
    }
    usage
}

/// [`usage`] at a time: a pod whose grace is over and that is held by something else costs its count
/// alone, like one that has ended.
pub fn usage_at(resource: &GroupResource, object: &Value, now: Timestamp) -> Amounts {
    let mut usage = usage(resource, object);
    if costs_until(resource, object).is_some_and(|end| now > end) {
        usage.retain(|name, _| name.starts_with("count/"));
    }
    usage
}

/// Until when a pod that is being deleted costs what it asks for: once more its grace after the end
/// of it. None for other objects.
pub fn costs_until(resource: &GroupResource, object: &Value) -> Option<Timestamp> {
    if !resource.group.is_empty() || resource.resource != "pods" {
        return None;
    }
    let metadata = &object["metadata"];
    let end: Timestamp = metadata["deletionTimestamp"].as_str()?.parse().ok()?;
    let grace = metadata["deletionGracePeriodSeconds"].as_i64()?;
    end.checked_add(SignedDuration::from_secs(grace)).ok()
}

/// What a ResourceClaim may take of each device class: of alternatives the most.
/// Source: k8s.io/kubernetes/pkg/quota/v1/evaluator/core (resource_claims).
fn devices(claim: &Value) -> Amounts {
    let of = |request: &Value| {
        let count = match request["allocationMode"].as_str() {
            Some("ExactCount") => request["count"].as_i64().unwrap_or(0),
            Some("All") => MOST_DEVICES,
            _ => 0,
        };
        let class = request["deviceClassName"].as_str().unwrap_or_default();
        (format!("{class}{DEVICES}"), Quantity::from_value(count, Format::DecimalSi))
    };
    let mut sum = Amounts::new();
    for request in claim["spec"]["devices"]["requests"].as_array().into_iter().flatten() {
        let mut most = Amounts::new();
        if let Some(alternatives) = request["firstAvailable"].as_array() {
            alternatives.iter().for_each(|one| raise(&mut most, &Amounts::from([of(one)])));
        } else if request["exactly"].is_object() {
            most.extend([of(&request["exactly"])]);
        }
        add(&mut sum, &most);
    }
    sum
}

fn pod(pod: &Value) -> Amounts {
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return Amounts::new();
    }
    let mut usage =
        Amounts::from([("pods".to_owned(), Quantity::from_value(1, Format::DecimalSi))]);
    for (name, amount) in pod_amounts(pod, "requests") {
        if COMPUTE.contains(&&*name) || name.starts_with("hugepages-") {
            usage.insert(name.clone(), amount);
        }
        // Devices (`example.com/gpu`) are only counted by their longer name.
        usage.insert(format!("requests.{name}"), amount);
    }
    for (name, amount) in pod_amounts(pod, "limits") {
        if COMPUTE.contains(&&*name) {
            usage.insert(format!("limits.{name}"), amount);
        }
    }
    usage
}

fn service(service: &Value) -> Amounts {
    let count =
        |n: usize| Quantity::from_value(i64::try_from(n).unwrap_or(i64::MAX), Format::DecimalSi);
    let ports = service["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let (balancers, nodes) = match service["spec"]["type"].as_str() {
        Some("NodePort") => (0, ports.len()),
        Some("LoadBalancer") if service["spec"]["allocateLoadBalancerNodePorts"] == false => {
            let chosen = ports.iter().filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0);
            (1, chosen.count())
        }
        Some("LoadBalancer") => (1, ports.len()),
        _ => (0, 0),
    };
    Amounts::from([
        ("services".to_owned(), count(1)),
        ("services.loadbalancers".to_owned(), count(balancers)),
        ("services.nodeports".to_owned(), count(nodes)),
    ])
}

fn claim(claim: &Value) -> Amounts {
    let one = Quantity::from_value(1, Format::DecimalSi);
    let mut usage = Amounts::from([("persistentvolumeclaims".to_owned(), one)]);
    let old = claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str();
    let class = old.or_else(|| claim["spec"]["storageClassName"].as_str()).unwrap_or_default();
    let class = (!class.is_empty()).then(|| format!("{class}.storageclass.storage.k8s.io/"));
    if let Some(class) = &class {
        usage.insert(format!("{class}persistentvolumeclaims"), one);
    }
    let wanted = amounts(&claim["spec"]["resources"]["requests"]);
    let given = amounts(&claim["status"]["allocatedResources"]);
    let size = wanted.get("storage").copied().max(given.get("storage").copied());
    if let Some(size) = size {
        usage.insert("requests.storage".to_owned(), size);
        if let Some(class) = class {
            usage.insert(format!("{class}requests.storage"), size);
        }
    }
    usage
}

/// Whether a pod says all that a quota with these limits asks of it: every container, or the pod as
/// a whole, how much of each limited compute resource.
///
/// # Errors
/// What is missing, in the words of the refusal: `must specify cpu for: a,b; memory for: a`.
pub fn demands(hard: &BTreeSet<String>, pod: &Value) -> Result<(), String> {
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let lists = ["containers", "initContainers"];
    let containers = lists.iter().flat_map(|list| pod["spec"][list].as_array()).flatten();
    for container in containers {
        let own = |which: &str, name: &str| {
            let said = |of: &Value| of["resources"][which].get(name).is_some();
            said(container) || said(&pod["spec"])
        };
        for limited in hard {
            let (which, name) = match limited.split_once('.') {
                Some((which @ ("requests" | "limits"), name)) => (which, name),
                _ => ("requests", limited.as_str()),
            };
            if DEMANDED.contains(&name) && !own(which, name) {
                let container = container["name"].as_str().unwrap_or_default();
                missing.entry(limited).or_default().insert(container);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let told = missing.iter().map(|(name, containers)| {
        let containers: Vec<_> = containers.iter().copied().collect();
        format!("{name} for: {}", containers.join(","))
    });
    Err(format!("must specify {}", told.collect::<Vec<_>>().join("; ")))
}

/// What a refusal calls some amounts: `cpu=1,memory=2Gi`.
pub fn told(amounts: &Amounts) -> String {
    let told: Vec<_> = amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    told.join(",")
}

/// Whether `more` fits into a quota. What the quota does not limit costs nothing.
///
/// # Errors
/// Why not, in the words of the refusal.
pub fn fits(name: &str, hard: &Amounts, used: &Amounts, more: &Amounts) -> Result<(), String> {
    let (mut asked, mut had, mut most) = (Amounts::new(), Amounts::new(), Amounts::new());
    for (resource, limit) in hard {
        let Some(amount) = more.get(resource).filter(|amount| !amount.is_zero()) else { continue };
        let before = used.get(resource).copied().unwrap_or(Quantity::ZERO);
        if before + *amount > *limit {
            asked.insert(resource.clone(), *amount);
            had.insert(resource.clone(), before);
            most.insert(resource.clone(), *limit);
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let [asked, had, most] = [&asked, &had, &most].map(told);
    Err(format!("exceeded quota: {name}, requested: {asked}, used: {had}, limited: {most}"))
}

#[cfg(test)]
mod tests;

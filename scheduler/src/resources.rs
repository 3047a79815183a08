//! Amounts of what a node has and a pod asks for.
//!
//! Kubernetes states them as quantities (`500m`, `64Mi`); here they are integers in one unit per
//! resource, because they are added and compared for every node and pod.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

/// A pod that asks for no CPU is scored as if it asked for this much (milli-CPU), as Kubernetes
/// does, so that such pods still spread.
pub const DEFAULT_MILLI_CPU: i64 = 100;
/// The same for memory: 200 MiB, in bytes.
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// An amount of every resource. The default is nothing of anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// CPU in thousandths of a core.
    pub milli_cpu: i64,
    /// Memory in bytes.
    pub memory: i64,
    /// Node-local storage in bytes.
    pub ephemeral_storage: i64,
    /// Everything else by name (`example.com/gpu`, `hugepages-2Mi`), in whole units.
    pub extended: BTreeMap<String, i64>,
}

/// The name of a resource, so that it is compared once and not for every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResourceName {
    /// `cpu`.
    Cpu,
    /// `memory`.
    Memory,
    /// `ephemeral-storage`.
    EphemeralStorage,
    /// Everything else.
    Extended(String),
}

impl From<&str> for ResourceName {
    fn from(name: &str) -> Self {
        match name {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "ephemeral-storage" => Self::EphemeralStorage,
            other => Self::Extended(other.to_owned()),
        }
    }
}

impl Resources {
    /// Reads a `resources.requests` or `status.allocatable` map. `pods` is not a resource a pod
    /// asks for and is left out; see [`allowed_pods`]. A quantity that cannot be read counts as
    /// nothing (the API server refuses those).
    #[must_use]
    pub fn from_map(map: Option<&BTreeMap<String, ApiQuantity>>) -> Self {
        let mut amounts = Self::default();
        for (name, quantity) in map.into_iter().flatten() {
            match name.as_str() {
                "cpu" => amounts.milli_cpu = milli(quantity),
                "memory" => amounts.memory = whole(quantity),
                "ephemeral-storage" => amounts.ephemeral_storage = whole(quantity),
                "pods" => {}
                other => {
                    amounts.extended.insert(other.to_owned(), whole(quantity));
                }
            }
        }
        amounts
    }

    /// How much of a resource.
    #[must_use]
    pub fn amount(&self, of: &ResourceName) -> i64 {
        match of {
            ResourceName::Cpu => self.milli_cpu,
            ResourceName::Memory => self.memory,
            ResourceName::EphemeralStorage => self.ephemeral_storage,
            ResourceName::Extended(name) => self.extended.get(name).copied().unwrap_or(0),
        }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.milli_cpu = self.milli_cpu.saturating_add(other.milli_cpu);
        self.memory = self.memory.saturating_add(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.saturating_add(other.ephemeral_storage);
        for (name, amount) in &other.extended {
            let sum = self.extended.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    /// Takes `other` away again.
    pub fn subtract(&mut self, other: &Self) {
        self.milli_cpu = self.milli_cpu.saturating_sub(other.milli_cpu);
        self.memory = self.memory.saturating_sub(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.saturating_sub(other.ephemeral_storage);
        for (name, amount) in &other.extended {
            if let Some(sum) = self.extended.get_mut(name) {
                *sum = sum.saturating_sub(*amount);
            }
        }
        self.extended.retain(|_, amount| *amount != 0);
    }

    /// Whether there is more of anything than in `other`.
    #[must_use]
    pub fn exceeds(&self, other: &Self) -> bool {
        let of_other = |name: &String| other.extended.get(name).copied().unwrap_or(0);
        self.milli_cpu > other.milli_cpu
            || self.memory > other.memory
            || self.ephemeral_storage > other.ephemeral_storage
            || self.extended.iter().any(|(name, amount)| *amount > of_other(name))
    }

    /// Raises every amount to at least that of `other`.
    pub fn raise_to(&mut self, other: &Self) {
        self.milli_cpu = self.milli_cpu.max(other.milli_cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(other.ephemeral_storage);
        for (name, amount) in &other.extended {
            let most = self.extended.entry(name.clone()).or_default();
            *most = (*most).max(*amount);
        }
    }
}

/// The `pods` entry of an allocatable map: how many pods the node takes. Absent means none, as in
/// Kubernetes.
#[must_use]
pub fn allowed_pods(map: Option<&BTreeMap<String, ApiQuantity>>) -> i64 {
    map.and_then(|map| map.get("pods")).map_or(0, whole)
}

/// What a pod needs over its life, in exact requests and in the amounts used for scoring.
///
/// App containers run together, so they add up; init containers run one after the other before
/// them, so the largest counts; an init container with `restartPolicy: Always` (a sidecar) stays
/// and adds to everything that starts after it; `overhead` comes on top. While a container is resized,
/// the larger counts of what it has and what it is to have.
/// Source: <https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers>,
/// <https://kubernetes.io/docs/tasks/configure-pod-container/resize-container-resources/>.
#[must_use]
pub fn pod_requests(spec: &PodSpec, status: Option<&PodStatus>) -> (Resources, Resources) {
    let exact = |container: &Container| container_requests(container, status);
    (pod_total(spec, exact), pod_total(spec, |container| scored_requests(exact(container))))
}

fn pod_total(spec: &PodSpec, of: impl Fn(&Container) -> Resources) -> Resources {
    let mut total = Resources::default();
    for container in &spec.containers {
        total.add(&of(container));
    }
    let mut sidecars = Resources::default();
    let mut peak = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut request = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&request);
            peak.raise_to(&sidecars);
        } else {
            request.add(&sidecars);
            peak.raise_to(&request);
        }
    }
    total.add(&sidecars);
    total.raise_to(&peak);
    // Requests stated for the whole pod replace the sum of its containers.
    if let Some(requests) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        let stated = Resources::from_map(Some(requests));
        if requests.contains_key("cpu") {
            total.milli_cpu = stated.milli_cpu;
        }
        if requests.contains_key("memory") {
            total.memory = stated.memory;
        }
        total.extended.extend(stated.extended);
    }
    total.add(&Resources::from_map(spec.overhead.as_ref()));
    total
}

fn container_requests(container: &Container, status: Option<&PodStatus>) -> Resources {
    let wanted =
        Resources::from_map(container.resources.as_ref().and_then(|r| r.requests.as_ref()));
    let Some(status) = status else { return wanted };
    let init = status.init_container_statuses.iter().flatten();
    let mut told = status.container_statuses.iter().flatten().chain(init);
    let Some(told) = told.find(|told| told.name == container.name) else { return wanted };
    let Some(has) = &told.resources else { return wanted };
    let mut requests = Resources::from_map(has.requests.as_ref());
    requests.raise_to(&Resources::from_map(told.allocated_resources.as_ref()));
    if !is_infeasible(status) {
        requests.raise_to(&wanted);
    }
    requests
}

/// Whether the node has said that it can never resize the pod as wanted.
fn is_infeasible(status: &PodStatus) -> bool {
    status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "PodResizePending" && condition.reason.as_deref() == Some("Infeasible")
    })
}

fn scored_requests(mut request: Resources) -> Resources {
    if request.milli_cpu == 0 {
        request.milli_cpu = DEFAULT_MILLI_CPU;
    }
    if request.memory == 0 {
        request.memory = DEFAULT_MEMORY;
    }
    request
}

fn milli(quantity: &ApiQuantity) -> i64 {
    quantity.0.parse::<Quantity>().map_or(0, |q| q.milli_value())
}

fn whole(quantity: &ApiQuantity) -> i64 {
    quantity.0.parse::<Quantity>().map_or(0, |q| q.value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(value: serde_json::Value) -> PodSpec {
        serde_json::from_value(value).unwrap()
    }

    fn container(name: &str, cpu: &str, memory: &str) -> serde_json::Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn app_containers_add_up_and_init_containers_take_the_largest() {
        let (exact, _) = pod_requests(
            &spec(json!({
                "containers": [container("a", "100m", "64Mi"), container("b", "200m", "64Mi")],
                "initContainers": [container("i", "250m", "1Gi"), container("j", "1", "1Mi")],
                "overhead": {"cpu": "10m"},
            })),
            None,
        );
        assert_eq!(exact.milli_cpu, 1010);
        assert_eq!(exact.memory, 1 << 30);
    }

    #[test]
    fn sidecars_add_to_what_follows() {
        let mut sidecar = container("s", "300m", "10Mi");
        sidecar["restartPolicy"] = json!("Always");
        let (exact, _) = pod_requests(
            &spec(json!({
                "containers": [container("a", "100m", "10Mi")],
                "initContainers": [container("before", "350m", "0"), sidecar, container("after", "200m", "0")],
            })),
            None,
        );
        // before: 350; after + sidecar: 500; apps + sidecar: 400.
        assert_eq!(exact.milli_cpu, 500);
        assert_eq!(exact.memory, 20 << 20);
    }

    #[test]
    fn scoring_gives_silent_containers_a_default() {
        let (exact, scored) = pod_requests(&spec(json!({"containers": [{"name": "a"}]})), None);
        assert_eq!(exact, Resources::default());
        assert_eq!((scored.milli_cpu, scored.memory), (DEFAULT_MILLI_CPU, DEFAULT_MEMORY));
    }

    #[test]
    fn extended_resources_are_kept_by_name() {
        let (exact, _) = pod_requests(
            &spec(json!({"containers": [
            {"name": "a", "resources": {"requests": {"example.com/gpu": "2"}}}]})),
            None,
        );
        assert_eq!(exact.extended.get("example.com/gpu"), Some(&2));
        let mut sum = exact.clone();
        sum.subtract(&exact);
        assert_eq!(sum, Resources::default());
    }

    #[test]
    fn a_container_that_is_resized_counts_with_the_larger() {
        let spec = spec(json!({"containers": [container("a", "100m", "10Mi")]}));
        for (what, told, pending, want) in [
            ("nothing told yet", json!({}), None, (100, 10)),
            ("it has more", json!({"resources": {"requests": {"cpu": "1"}}}), None, (1000, 10)),
            (
                "more is set aside",
                json!({"resources": {}, "allocatedResources": {"memory": "20Mi"}}),
                None,
                (100, 20),
            ),
            (
                "it grows",
                json!({"resources": {"requests": {"cpu": "50m"}}}),
                Some("Deferred"),
                (100, 10),
            ),
            (
                "it can never grow",
                json!({"resources": {"requests": {"cpu": "50m", "memory": "5Mi"}}}),
                Some("Infeasible"),
                (50, 5),
            ),
        ] {
            let mut told = told;
            for (field, value) in
                [("image", json!("i")), ("imageID", json!("")), ("name", json!("a"))]
            {
                told[field] = value;
            }
            (told["ready"], told["restartCount"]) = (json!(true), json!(0));
            let conditions = pending.map(
                |reason| json!([{"type": "PodResizePending", "status": "True", "reason": reason}]),
            );
            let status = json!({"containerStatuses": [told], "conditions": conditions});
            let status: PodStatus = serde_json::from_value(status).unwrap();
            let (exact, _) = pod_requests(&spec, Some(&status));
            assert_eq!((exact.milli_cpu, exact.memory >> 20), want, "{what}");
        }
    }

    #[test]
    fn more_of_anything_is_more() {
        let amount = |cpu, gpus| Resources {
            milli_cpu: cpu,
            extended: BTreeMap::from([("gpu".to_owned(), gpus)]),
            ..Resources::default()
        };
        for (one, other, want) in [
            (amount(1, 1), amount(1, 1), false),
            (amount(2, 0), amount(1, 1), true),
            (amount(0, 2), amount(1, 1), true),
            (amount(0, 0), amount(1, 1), false),
            (amount(0, 1), Resources::default(), true),
        ] {
            assert_eq!(one.exceeds(&other), want, "{one:?} {other:?}");
        }
    }
}

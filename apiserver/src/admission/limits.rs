//! Admission plugin LimitRanger: what containers, pods and claims of a namespace ask for at least,
//! at most, and if they say nothing. Source: k8s.io/kubernetes/plugin/pkg/admission/limitranger.

use std::collections::{BTreeMap, HashMap};

use api::quantity::Quantity;
use api::quota::{Amounts, amounts, container_amounts};
use serde_json::{Value, json};

/// Says on a pod what was set.
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// The limits of all namespaces: those of each LimitRange together, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Ranges(HashMap<String, Vec<Vec<Limit>>>);

/// The limits of one kind of thing.
#[derive(Debug)]
struct Limit {
    /// `Container`, `Pod` or `PersistentVolumeClaim`.
    kind: String,
    min: Amounts,
    max: Amounts,
    ratio: Amounts,
    default_limit: Amounts,
    default_request: Amounts,
}

impl Limit {
    fn read(item: &Value) -> Limit {
        Limit {
            kind: item["type"].as_str().unwrap_or_default().to_owned(),
            min: amounts(&item["min"]),
            max: amounts(&item["max"]),
            ratio: amounts(&item["maxLimitRequestRatio"]),
            default_limit: amounts(&item["default"]),
            default_request: amounts(&item["defaultRequest"]),
        }
    }

    /// What is wrong with something that requests and may use so much.
    fn check(&self, requests: &Amounts, limits: &Amounts, errors: &mut Vec<String>) {
        let kind = &self.kind;
        let of = |list: &Amounts, name: &String| list.get(name).copied();
        for (name, min) in &self.min {
            let least = format!("minimum {name} usage per {kind} is {min}");
            match (of(requests, name), of(limits, name)) {
                (None, _) => errors.push(format!("{least}.  No request is specified")),
                (Some(request), _) if request < *min => {
                    errors.push(format!("{least}, but request is {request}"));
                }
                (_, Some(limit)) if limit < *min => {
                    errors.push(format!("{least}, but limit is {limit}"));
                }
                _ => {}
            }
        }
        for (name, max) in &self.max {
            let most = format!("maximum {name} usage per {kind} is {max}");
            let claim = kind == "PersistentVolumeClaim";
            match (of(requests, name), of(limits, name)) {
                (None, _) if claim => errors.push(format!("{most}.  No request is specified")),
                (_, None) if !claim => errors.push(format!("{most}.  No limit is specified")),
                (_, Some(limit)) if limit > *max => {
                    errors.push(format!("{most}, but limit is {limit}"));
                }
                (Some(request), _) if request > *max => {
                    errors.push(format!("{most}, but request is {request}"));
                }
                _ => {}
            }
        }
        for (name, ratio) in &self.ratio {
            let most = format!("{name} max limit to request ratio per {kind} is {ratio}");
            let given = |list| of(list, name).filter(|amount| !amount.is_zero());
            match (given(requests), given(limits)) {
                (None, _) => {
                    errors.push(format!("{most}, but no request is specified or request is 0"));
                }
                (_, None) => {
                    errors.push(format!("{most}, but no limit is specified or limit is 0"));
                }
                (Some(request), Some(limit)) => {
                    let provided = number(limit) / number(request);
                    if provided > number(*ratio) {
                        errors.push(format!("{most}, but provided ratio is {provided:.6}"));
                    }
                }
            }
        }
    }
}

/// As a number of units, exact enough for ratios.
#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio of 2^53 milliunits is no ratio anybody sets"
)]
fn number(amount: Quantity) -> f64 {
    match amount.milli_value() {
        i64::MAX => amount.value() as f64,
        milli => milli as f64 / 1000.0,
    }
}

impl Ranges {
    /// Reads the objects.
    pub(super) fn read(objects: &[Value]) -> Ranges {
        let mut ranges = Ranges::default();
        for range in objects {
            let namespace = range["metadata"]["namespace"].as_str().unwrap_or_default();
            let items = range["spec"]["limits"].as_array().into_iter().flatten();
            let limits = items.map(Limit::read).collect();
            ranges.0.entry(namespace.to_owned()).or_default().push(limits);
        }
        ranges
    }

    fn of(&self, namespace: &str) -> &[Vec<Limit>] {
        self.0.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a namespace has limits.
    pub(super) fn limits(&self, namespace: &str) -> bool {
        !self.of(namespace).is_empty()
    }

    /// Gives the containers of a new pod, which has its defaults, what they do not say themselves.
    pub(super) fn complete(&self, namespace: &str, pod: &mut Value) {
        for range in self.of(namespace) {
            let (mut limits, mut requests) = (Amounts::new(), Amounts::new());
            for limit in range.iter().filter(|limit| limit.kind == "Container") {
                limits.extend(limit.default_limit.clone());
                requests.extend(limit.default_request.clone());
            }
            let mut told = Vec::new();
            for (list, words) in [("containers", "container"), ("initContainers", "init container")]
            {
                let containers = pod["spec"].get_mut(list).and_then(Value::as_array_mut);
                for container in containers.into_iter().flatten().filter(|one| one.is_object()) {
                    let name = container["name"].as_str().unwrap_or_default().to_owned();
                    // Limits first; a request is never made of a limit that is set here.
                    let set_limits = fill(container, "limits", &limits);
                    for (set, of) in
                        [(fill(container, "requests", &requests), "request"), (set_limits, "limit")]
                    {
                        if !set.is_empty() {
                            told.push(format!("{} {of} for {words} {name}", set.join(", ")));
                        }
                    }
                }
            }
            if !told.is_empty() {
                let told = format!("LimitRanger plugin set: {}", told.join("; "));
                api::meta::ensure(pod);
                let annotations = &mut pod["metadata"]["annotations"];
                if !annotations.is_object() {
                    *annotations = json!({});
                }
                annotations[ANNOTATION] = told.into();
            }
        }
    }

    /// Whether a pod keeps within the limits.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn check_pod(&self, namespace: &str, pod: &Value) -> Result<(), String> {
        for range in self.of(namespace) {
            let mut errors = Vec::new();
            for limit in range {
                if limit.kind == "Container" {
                    let lists = ["containers", "initContainers"];
                    let all = lists.iter().flat_map(|list| pod["spec"][list].as_array()).flatten();
                    for container in all {
                        let of = |which: &str| amounts(&container["resources"][which]);
                        limit.check(&of("requests"), &of("limits"), &mut errors);
                    }
                } else if limit.kind == "Pod" {
                    let of = |which: &str| container_amounts(pod, which);
                    limit.check(&of("requests"), &of("limits"), &mut errors);
                }
            }
            refuse(&errors)?;
        }
        Ok(())
    }

    /// Whether a claim keeps within the limits.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn check_claim(&self, namespace: &str, claim: &Value) -> Result<(), String> {
        for range in self.of(namespace) {
            let mut errors = Vec::new();
            for limit in range.iter().filter(|limit| limit.kind == "PersistentVolumeClaim") {
                let of = |which: &str| amounts(&claim["spec"]["resources"][which]);
                limit.check(&of("requests"), &of("limits"), &mut errors);
            }
            refuse(&errors)?;
        }
        Ok(())
    }
}

/// Sets what is missing and returns its names.
fn fill(container: &mut Value, which: &str, defaults: &Amounts) -> Vec<String> {
    let has = |name: &String| container["resources"][which].get(name).is_some();
    let missing: BTreeMap<_, _> = defaults.iter().filter(|(name, _)| !has(name)).collect();
    let names: Vec<String> = missing.keys().map(|name| (*name).clone()).collect();
    let missing: Vec<_> =
        missing.into_iter().map(|(name, amount)| (name.clone(), amount.to_string())).collect();
    for (name, amount) in missing {
        if !container["resources"].is_object() {
            container["resources"] = json!({});
        }
        if !container["resources"][which].is_object() {
            container["resources"][which] = json!({});
        }
        container["resources"][which][name] = amount.into();
    }
    names
}

fn refuse(errors: &[String]) -> Result<(), String> {
    match errors {
        [] => Ok(()),
        [one] => Err(one.clone()),
        all => {
            let mut all = all.to_vec();
            all.dedup();
            Err(if all.len() == 1 { all.remove(0) } else { format!("[{}]", all.join(", ")) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(item: Value) -> Ranges {
        Ranges::read(&[json!({"metadata": {"namespace": "n"}, "spec": {"limits": [item]}})])
    }

    fn pod(containers: &[(Value, Value)]) -> Value {
        let containers: Vec<_> = containers
            .iter()
            .enumerate()
            .map(|(n, (requests, limits))| {
                json!({"name": format!("c{n}"), "resources": {"requests": requests, "limits": limits}})
            })
            .collect();
        json!({"metadata": {}, "spec": {"containers": containers}})
    }

    #[test]
    fn containers_get_defaults() {
        let ranges = ranges(json!({"type": "Container", "default": {"cpu": "2", "memory": "1Gi"},
            "defaultRequest": {"cpu": "1"}}));
        let mut some =
            pod(&[(json!({"cpu": "500m"}), json!({})), (json!({}), json!({"cpu": "3"}))]);
        some["spec"]["initContainers"] = json!([{"name": "i"}]);
        ranges.complete("n", &mut some);
        let resources = |list: &str, n: usize| some["spec"][list][n]["resources"].clone();
        assert_eq!(
            resources("containers", 0),
            json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "2", "memory": "1Gi"}})
        );
        assert_eq!(
            resources("containers", 1),
            json!({"requests": {"cpu": "1"}, "limits": {"cpu": "3", "memory": "1Gi"}})
        );
        assert_eq!(resources("initContainers", 0)["requests"], json!({"cpu": "1"}));
        assert_eq!(
            some["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu, memory limit for container c0; cpu request for container \
             c1; memory limit for container c1; cpu request for init container i; cpu, memory limit \
             for init container i"
        );
        let mut elsewhere = pod(&[(json!({}), json!({}))]);
        ranges.complete("m", &mut elsewhere);
        assert_eq!(elsewhere, pod(&[(json!({}), json!({}))]));
    }

    #[test]
    fn refusals_are_worded_as_kubernetes_words_them() {
        let item = |kind: &str, field: &str, amounts: Value| json!({"type": kind, field: amounts});
        let cpu = |amount: &str| json!({"cpu": amount});
        let none = || json!({});
        for (item, pod, want) in [
            (item("Container", "max", cpu("2")), pod(&[(cpu("1"), cpu("2"))]), ""),
            (
                item("Container", "max", cpu("2")),
                pod(&[(cpu("1"), cpu("3"))]),
                "maximum cpu usage per Container is 2, but limit is 3",
            ),
            (
                item("Container", "max", cpu("2")),
                pod(&[(cpu("1"), none())]),
                "maximum cpu usage per Container is 2.  No limit is specified",
            ),
            (
                item("Container", "min", cpu("1")),
                pod(&[(cpu("500m"), none())]),
                "minimum cpu usage per Container is 1, but request is 500m",
            ),
            (
                item("Container", "min", cpu("1")),
                pod(&[(none(), none())]),
                "minimum cpu usage per Container is 1.  No request is specified",
            ),
            (
                item("Container", "maxLimitRequestRatio", cpu("2")),
                pod(&[(cpu("1"), cpu("4"))]),
                "cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
            ),
            (
                item("Container", "maxLimitRequestRatio", cpu("1500m")),
                pod(&[(cpu("2"), cpu("3"))]),
                "",
            ),
            (
                item("Pod", "max", cpu("2")),
                pod(&[(cpu("1"), cpu("2")), (cpu("1"), cpu("1"))]),
                "maximum cpu usage per Pod is 2, but limit is 3",
            ),
            (
                item("Pod", "max", cpu("2")),
                pod(&[(cpu("1"), none()), (cpu("1"), none())]),
                "maximum cpu usage per Pod is 2.  No limit is specified",
            ),
            (
                json!({"type": "Container", "min": cpu("1"), "max": cpu("2")}),
                pod(&[(cpu("500m"), cpu("3"))]),
                "[minimum cpu usage per Container is 1, but request is 500m, maximum cpu usage per \
                 Container is 2, but limit is 3]",
            ),
        ] {
            let refused = ranges(item.clone()).check_pod("n", &pod).err().unwrap_or_default();
            assert_eq!(refused, want, "{item} {pod}");
        }
    }

    #[test]
    fn claims_have_a_size() {
        let ranges = ranges(json!({"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"},
            "max": {"storage": "5Gi"}}));
        let claim = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
        for (size, want) in [
            ("2Gi", ""),
            ("1Mi", "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"),
            ("6Gi", "maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 6Gi"),
        ] {
            let refused = ranges.check_claim("n", &claim(size)).err().unwrap_or_default();
            assert_eq!(refused, want);
        }
    }
}

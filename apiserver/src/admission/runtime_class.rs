//! Admission plugin RuntimeClass: a pod pays what its runtime costs and goes where its runtime is.
//! Source: k8s.io/kubernetes/plugin/pkg/admission/runtimeclass.

use std::collections::HashMap;

use serde_json::{Value, json};

/// All RuntimeClasses: overhead and scheduling by name.
#[derive(Debug, Default)]
pub(crate) struct RuntimeClasses(HashMap<String, (Value, Value)>);

impl RuntimeClasses {
    /// Reads the objects.
    pub(super) fn read(objects: &[Value]) -> RuntimeClasses {
        let read = |class: &Value| {
            let name = class["metadata"]["name"].as_str()?.to_owned();
            let overhead = class["overhead"]["podFixed"].clone();
            // A class that has an overhead, if of nothing, has one.
            let overhead = if overhead.is_null() && class["overhead"].is_object() {
                json!({})
            } else {
                overhead
            };
            Some((name, (overhead, class["scheduling"].clone())))
        };
        RuntimeClasses(objects.iter().filter_map(read).collect())
    }

    /// Whether the class that a pod names exists; a pod that names none has what it wants.
    pub(super) fn has(&self, pod: &Value) -> bool {
        pod["spec"]["runtimeClassName"].as_str().is_none_or(|name| self.0.contains_key(name))
    }

    /// Gives a new pod the overhead, node selector and tolerations of its class.
    ///
    /// # Errors
    /// What is wrong: an unknown class, or a pod that says something else than its class.
    pub(super) fn admit(&self, pod: &mut Value) -> Result<(), String> {
        let spec = &mut pod["spec"];
        let none = (Value::Null, Value::Null);
        let (overhead, scheduling) = match spec["runtimeClassName"].as_str() {
            None => &none,
            Some(name) => self.0.get(name).ok_or_else(|| {
                let name = api::field::go_quote(name);
                format!("pod rejected: RuntimeClass {name} not found")
            })?,
        };
        let given = spec["overhead"].as_object().is_some_and(|given| !given.is_empty());
        match overhead {
            Value::Null if given => {
                return Err("pod rejected: Pod Overhead set without corresponding RuntimeClass \
                            defined Overhead"
                    .to_owned());
            }
            Value::Null => {}
            overhead if given && !same_amounts(&spec["overhead"], overhead) => {
                let detail =
                    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
                return Err(detail.to_owned());
            }
            overhead => spec["overhead"] = overhead.clone(),
        }
        schedule(spec, scheduling)
    }
}

fn same_amounts(a: &Value, b: &Value) -> bool {
    let amount = |value: &Value| value.as_str()?.parse::<api::quantity::Quantity>().ok();
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    a.len() == b.len()
        && a.iter().all(|(key, value)| {
            b.get(key).is_some_and(|other| value == other || amount(value) == amount(other))
        })
}

/// Where pods of the class can run is where this pod can run.
fn schedule(spec: &mut Value, scheduling: &Value) -> Result<(), String> {
    for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        if !spec["nodeSelector"].is_object() {
            spec["nodeSelector"] = json!({});
        }
        let have = &mut spec["nodeSelector"][key];
        if !have.is_null() && *have != *value {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            return Err(format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; \
                 pod.spec.nodeSelector[{key}] = {}",
                text(value),
                text(have)
            ));
        }
        *have = value.clone();
    }
    for toleration in scheduling["tolerations"].as_array().into_iter().flatten() {
        match &mut spec["tolerations"] {
            Value::Array(have) if have.contains(toleration) => {}
            Value::Array(have) => have.push(toleration.clone()),
            none => *none = json!([toleration]),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_get_what_their_runtime_needs() {
        let gpu = json!({"key": "gpu", "operator": "Exists"});
        let classes = RuntimeClasses::read(&[
            json!({"metadata": {"name": "vm"}, "handler": "vm",
                "overhead": {"podFixed": {"memory": "64Mi"}},
                "scheduling": {"nodeSelector": {"vm": "yes"}, "tolerations": [gpu]}}),
            json!({"metadata": {"name": "plain"}, "handler": "plain"}),
        ]);
        let vm = |more: Value| {
            let mut spec = json!({"runtimeClassName": "vm"});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            spec
        };
        let full = json!({"runtimeClassName": "vm", "overhead": {"memory": "64Mi"},
            "nodeSelector": {"vm": "yes"}, "tolerations": [gpu]});
        for (spec, want) in [
            (json!({}), json!({})),
            (json!({"runtimeClassName": "plain"}), json!({"runtimeClassName": "plain"})),
            (vm(json!({})), full.clone()),
            (vm(json!({"overhead": {"memory": "65536Ki"}, "tolerations": [gpu]})), full.clone()),
        ] {
            let mut pod = json!({"spec": spec});
            classes.admit(&mut pod).unwrap();
            assert_eq!(pod["spec"], want, "{spec}");
        }
        for (spec, want) in [
            (json!({"runtimeClassName": "x"}), "pod rejected: RuntimeClass \"x\" not found"),
            (
                json!({"overhead": {"memory": "1"}}),
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ),
            (
                vm(json!({"overhead": {"memory": "1"}})),
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
            ),
            (
                vm(json!({"nodeSelector": {"vm": "no"}})),
                "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; \
                 pod.spec.nodeSelector[vm] = no",
            ),
        ] {
            assert_eq!(classes.admit(&mut json!({"spec": spec})), Err(want.to_owned()));
        }
    }
}

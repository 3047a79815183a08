//! Pod: the largest kind, in parts. [`defaults`] fills in, [`validate`] checks a spec (also the
//! templates of workloads), [`update`] says what may change, [`qos`] classifies.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/v1/defaults.go and pkg/apis/core/validation.

mod affinity;
mod annotations;
mod claims;
mod container;
mod defaults;
mod dns;
mod env;
mod ephemeral;
mod host_users;
mod label_keys;
mod members;
mod os;
mod pod_level;
mod probe;
mod qos;
mod resize;
mod resources;
mod scheduling;
mod security;
mod update;
mod validate;
mod volume;
mod warnings;
mod windows;

use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};

use super::{Strategy, keep_all_but_status, keep_field, set_default, typed};
use crate::field::{Errors, FieldError, Path};

use annotations::{MIRROR, annotation};

pub(super) use affinity::validate_node_selector;
pub(super) use annotations::{validate as validate_annotations, validate_profiles};
pub(super) use defaults::default_template;
pub(crate) use qos::class;
pub(super) use resources::validate_amount;
pub(super) use scheduling::validate_tolerations;
pub(super) use validate::validate_spec;
pub(super) use warnings::of_template as warnings_of_template;

/// Seconds for which a pod tolerates a node that stopped answering.
const NODE_FAILURE_SECONDS: i64 = 300;

/// The pod strategy.
#[derive(Debug)]
pub(crate) struct Pod;

impl Strategy for Pod {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        set_default(object, "spec", json!({}));
        defaults::default_pod(&mut object["spec"]);
        set_default(object, "status", json!({}));
        set_default(&mut object["status"], "phase", "Pending");
    }

    /// Besides resetting the status this does what Kubernetes' admission plugins do without
    /// looking anything up: service account name, priority, tolerations of failing nodes.
    fn prepare_for_create(&self, object: &mut Value) {
        object["status"] = json!({"phase": "Pending", "qosClass": qos::class(&object["spec"])});
        let spec = &object["spec"];
        if spec["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
            // The scheduler does not look at the pod, so nobody else would say why it waits.
            object["status"]["conditions"] = json!([{
                "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastProbeTime": null, "lastTransitionTime": null,
            }]);
        }
        let spread = &object["spec"]["topologySpreadConstraints"];
        if !object["spec"]["affinity"].is_null() || !spread.is_null() {
            let labels = object["metadata"]["labels"].clone();
            label_keys::merge(&mut object["spec"], &labels);
        }
        let spec = &mut object["spec"];
        if spec["serviceAccountName"].as_str().unwrap_or_default().is_empty() {
            spec["serviceAccountName"] = "default".into();
            spec["serviceAccount"] = "default".into();
        }
        // That of a pod without a class; the class of one that names it is an object to look up.
        set_default(spec, "priority", 0);
        set_default(spec, "preemptionPolicy", "PreemptLowerPriority");
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            tolerate(spec, key);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
        // Set by admission on creation: a manifest that leaves them out keeps them.
        for field in
            ["serviceAccountName", "serviceAccount", "priority", "preemptionPolicy", "nodeName"]
        {
            if new["spec"][field].is_null() {
                keep_field(&mut new["spec"], &old["spec"], field);
            }
        }
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        keep_all_but_status(new, old);
        // A node may report on a pod; it may not choose who owns it.
        keep_field(&mut new["metadata"], &old["metadata"], "ownerReferences");
        if new["status"]["qosClass"].is_null() {
            keep_field(&mut new["status"], &old["status"], "qosClass");
        }
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        match subresource {
            "status" => {
                &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]]
            }
            _ => &[&["status"]],
        }
    }

    fn written_fields(&self, subresource: &str) -> Option<&'static [&'static [&'static str]]> {
        match subresource {
            "ephemeralcontainers" => Some(&[&["spec", "ephemeralContainers"]]),
            "resize" => Some(&[
                &["spec", "containers", "*", "resources"],
                &["spec", "containers", "*", "resizePolicy"],
                &["spec", "initContainers", "*", "resources"],
                &["spec", "initContainers", "*", "resizePolicy"],
            ]),
            _ => None,
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = validate_pod(object);
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let some = |field: &str| spec[field].as_array().is_some_and(|all| !all.is_empty());
        if some("ephemeralContainers") {
            let path = path.child("ephemeralContainers");
            errors.push(FieldError::forbidden(&path, "cannot be set on create"));
        }
        if some("schedulingGates") && !spec["nodeName"].as_str().unwrap_or_default().is_empty() {
            let detail = "cannot be set until all schedulingGates have been cleared";
            errors.push(FieldError::forbidden(&path.child("nodeName"), detail));
        }
        if object["metadata"]["annotations"].is_object()
            && let Ok(spec) = typed(spec)
        {
            errors.extend(validate_profiles(&object["metadata"], &spec, &path));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        update::validate(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        update::validate_status(new, old)
    }

    fn prepare_for_subresource(&self, subresource: &str, new: &mut Value, old: &Value) {
        match subresource {
            "ephemeralcontainers" => ephemeral::prepare(new, old),
            "resize" => resize::prepare(new, old),
            _ => {}
        }
    }

    fn validate_subresource(&self, subresource: &str, new: &Value, old: &Value) -> Errors {
        let mut errors = validate_pod(new);
        errors.extend(match subresource {
            "ephemeralcontainers" => ephemeral::validate_update(new, old),
            "resize" => resize::validate(new, old),
            _ => Errors::new(),
        });
        errors
    }

    /// Changes of a pod are the business of nodes and controllers, which read no warnings.
    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        if old.is_null() { warnings::of_pod(new) } else { Vec::new() }
    }

    fn warnings_of_status(&self, object: &Value) -> Vec<String> {
        warnings::of_status(object)
    }

    fn deletion_grace_seconds(&self, object: &Value, requested: Option<i64>) -> Option<i64> {
        let spec = &object["spec"];
        let own = spec["terminationGracePeriodSeconds"].as_i64();
        let grace = requested.or(own).unwrap_or(0);
        // Nobody has to stop what was never started or has ended.
        let assigned = spec["nodeName"].as_str().is_some_and(|node| !node.is_empty());
        let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        match grace {
            _ if !assigned || ended => Some(0),
            i64::MIN..0 => Some(1),
            grace => Some(grace),
        }
    }
}

/// Checks what holds for new and changed pods. The rest of the metadata is everybody's, and the status
/// is the server's by now.
fn validate_pod(object: &Value) -> Errors {
    let spec: core::PodSpec = match typed(&object["spec"]) {
        Ok(spec) => spec,
        Err(errors) => return errors,
    };
    let metadata = &object["metadata"];
    let path = Path::new("metadata").child("annotations");
    let mut errors = annotations::validate(metadata, &spec, &path);
    errors.extend(validate_spec(&spec, Some(metadata), &Path::new("spec")));
    errors
}

/// Takes from `new` nothing but a part of the spec and the version it is based on.
fn keep_all_but(new: &mut Value, old: &Value, part: impl FnOnce(&mut Value, &Value)) {
    let mut kept = old.clone();
    part(&mut kept["spec"], &new["spec"]);
    keep_field(&mut kept["metadata"], &new["metadata"], "resourceVersion");
    *new = kept;
}

/// Whether the pod is a node's own: only its manifest there can change it.
fn is_static(pod: &Value) -> bool {
    annotation(&pod["metadata"], MIRROR).is_some()
}

/// Lets the pod stay for a while on a node that fails, unless it says otherwise itself.
fn tolerate(spec: &mut Value, key: &str) {
    let covers = |t: &Value| {
        let (of, effect) =
            (t["key"].as_str().unwrap_or_default(), t["effect"].as_str().unwrap_or_default());
        (of == key || of.is_empty()) && matches!(effect, "" | "NoExecute")
    };
    if !spec["tolerations"].as_array().is_some_and(|all| all.iter().any(covers)) {
        let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": NODE_FAILURE_SECONDS});
        match &mut spec["tolerations"] {
            Value::Array(all) => all.push(toleration),
            none => *none = Value::Array(vec![toleration]),
        }
    }
}

#[cfg(test)]
mod tests;

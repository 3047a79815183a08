//! Resizing a pod: CPU and memory of containers change in place.
//!
//! Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidatePodResize).

use serde_json::{Value, json};

use super::{is_static, keep_all_but, qos};
use crate::field::{Errors, FieldError, Path};
use crate::strategy::keep_field;

const LISTS: [&str; 2] = ["initContainers", "containers"];
const MUTABLE: [&str; 2] = ["cpu", "memory"];

fn list<'a>(spec: &'a Value, field: &str) -> &'a [Value] {
    spec[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Takes the resources of containers from `new`, and all else from `old`. Containers that are not
/// those of `old` stay, for the check to refuse.
pub(super) fn prepare(new: &mut Value, old: &Value) {
    keep_all_but(new, old, |kept, new| {
        for field in LISTS {
            let merged: Vec<Value> = list(new, field)
                .iter()
                .enumerate()
                .map(|(n, container)| match list(kept, field).get(n) {
                    Some(old) if old["name"] == container["name"] => {
                        let mut merged = old.clone();
                        keep_field(&mut merged, container, "resources");
                        keep_field(&mut merged, container, "resizePolicy");
                        merged
                    }
                    _ => container.clone(),
                })
                .collect();
            if !merged.is_empty() || !list(kept, field).is_empty() {
                kept[field] = merged.into();
            }
        }
    });
}

/// Checks what changed.
pub(super) fn validate(new: &Value, old: &Value) -> Errors {
    let whole = |detail| vec![FieldError::forbidden(&Path::root(), detail)];
    if is_static(old) {
        return whole("static pods cannot be resized");
    }
    if old["spec"]["os"]["name"] == "windows" {
        return whole("windows pods cannot be resized");
    }
    let mut errors = Errors::new();
    let path = Path::new("spec");
    let (has, had) = (&new["spec"], &old["spec"]);
    // What is shown is the class that the pod keeps.
    let class = old["status"]["qosClass"].as_str().unwrap_or_else(|| qos::class(had));
    if qos::class(has) != class {
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid(&path, class, detail));
    }
    if !supported(old) {
        let detail = "Pod running on node without support for resize";
        errors.push(FieldError::forbidden(&path, detail));
    }
    let renamed = validate_names(has, had, &path);
    if !renamed.is_empty() {
        errors.extend(renamed);
        return errors;
    }
    for field in LISTS {
        for (n, (new, old)) in list(has, field).iter().zip(list(had, field)).enumerate() {
            let sidecar = field == "containers" || old["restartPolicy"] == "Always";
            let path = path.child(field).index(n);
            errors.extend(validate_resources(new, old, sidecar, &path.child("resources")));
            if sidecar && without_mutable(new) != without_mutable(old) {
                let (path, detail) = match field {
                    "containers" => {
                        (Path::new("spec"), "only cpu and memory resources are mutable")
                    }
                    _ => (
                        path,
                        "only cpu and memory resources for init or sidecar containers are mutable",
                    ),
                };
                errors.push(FieldError::forbidden(&path, detail));
            }
        }
    }
    errors
}

/// A node that can resize reports the resources of what runs.
fn supported(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let running =
        statuses.into_iter().flatten().find(|status| status["state"]["running"].is_object());
    running.is_none_or(|status| status["resources"].is_object())
}

fn validate_names(has: &Value, had: &Value, path: &Path) -> Errors {
    let mut errors = Errors::new();
    for field in LISTS {
        let (new, old, path) = (list(has, field), list(had, field), path.child(field));
        if new.len() != old.len() {
            let detail = format!("{field} may not be added or removed on resize");
            errors.push(FieldError::forbidden(&path, &detail));
            continue;
        }
        for (n, (new, old)) in new.iter().zip(old).enumerate() {
            if new["name"] != old["name"] {
                let detail = format!("{field} may not be renamed or reordered on resize");
                errors.push(FieldError::forbidden(&path.index(n).child("name"), &detail));
            }
        }
    }
    errors
}

fn validate_resources(new: &Value, old: &Value, resizable: bool, path: &Path) -> Errors {
    if !resizable {
        let detail = "resources for non-sidecar init containers are immutable";
        let same = new["resources"] == old["resources"];
        return if same { Errors::new() } else { vec![FieldError::forbidden(path, detail)] };
    }
    let mut errors = Errors::new();
    for what in ["requests", "limits"] {
        let (has, had) = (&new["resources"][what], &old["resources"][what]);
        let mut names = had.as_object().into_iter().flatten().map(|(name, _)| name);
        if names.any(|name| has.get(name).is_none()) {
            let detail = format!("resource {what} cannot be removed");
            errors.push(FieldError::forbidden(&path.child(what), &detail));
        }
    }
    errors
}

/// A container without what may change.
fn without_mutable(container: &Value) -> Value {
    let mut rest = container.clone();
    if rest["resources"].is_null() {
        rest["resources"] = json!({});
    }
    for what in ["requests", "limits"] {
        for name in MUTABLE {
            if let Some(amounts) = rest["resources"].get_mut(what) {
                crate::meta::remove(amounts, name);
            }
        }
        if rest["resources"][what].as_object().is_none_or(serde_json::Map::is_empty) {
            crate::meta::remove(&mut rest["resources"], what);
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use crate::lifecycle::before_subresource_update;
    use crate::strategy::tests::{changed, create, resource};

    use super::*;

    fn pod() -> Value {
        let amounts = json!({"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "1Gi"});
        json!({"metadata": {"name": "p"}, "spec": {
            "initContainers": [
                {"name": "i", "image": "i", "resources": {"requests": {"cpu": "1"}}},
                {"name": "s", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}],
            "containers": [{"name": "c", "image": "i",
                "resources": {"requests": amounts, "limits": {"cpu": "200m"}}}]}})
    }

    fn resize(old: &Value, change: impl FnOnce(&mut Value)) -> Result<Value, String> {
        let mut new = old.clone();
        change(&mut new);
        before_subresource_update(resource("", "pods"), "resize", &mut new, old)
            .map(|()| new)
            .map_err(|status| status.message)
    }

    #[test]
    fn cpu_and_memory_change_and_nothing_else() {
        let old = create(resource("", "pods"), pod()).expect("valid");
        let new = resize(&old, |new| {
            new["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "150m".into();
            new["spec"]["containers"][0]["image"] = "other".into();
            new["spec"]["initContainers"][1]["resources"]["requests"]["cpu"] = "2".into();
            new["status"]["phase"] = "Running".into();
            new["metadata"]["labels"] = json!({"a": "b"});
        })
        .expect("valid");
        let mut wanted = old.clone();
        wanted["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "150m".into();
        wanted["spec"]["initContainers"][1]["resources"]["requests"]["cpu"] = "2".into();
        wanted["metadata"]["generation"] = 2.into();
        assert_eq!(new, wanted);
    }

    #[test]
    fn refusals() {
        let old = create(resource("", "pods"), pod()).expect("valid");
        type Change = fn(&mut Value);
        let cases: [(Change, &str); 9] = [
            (
                |spec| spec["containers"][0]["resources"]["requests"]["cpu"] = "300m".into(),
                "must be less than or equal to cpu limit of 200m",
            ),
            (
                |spec| {
                    crate::meta::remove(
                        &mut spec["containers"][0]["resources"]["requests"],
                        "memory",
                    )
                },
                "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
            ),
            (
                |spec| crate::meta::remove(&mut spec["containers"][0]["resources"], "limits"),
                "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
            ),
            (
                |spec| {
                    spec["containers"][0]["resources"]["requests"]["ephemeral-storage"] =
                        "2Gi".into()
                },
                "spec: Forbidden: only cpu and memory resources are mutable",
            ),
            (
                |spec| {
                    spec["initContainers"][1]["resources"]["requests"]["x.io/gpu"] = "1".into();
                    spec["initContainers"][1]["resources"]["limits"] = json!({"x.io/gpu": "1"});
                },
                "spec.initContainers[1]: Forbidden: only cpu and memory resources for init or sidecar containers are mutable",
            ),
            (
                |spec| spec["initContainers"][0]["resources"]["requests"]["cpu"] = "2".into(),
                "spec.initContainers[0].resources: Forbidden: resources for non-sidecar init containers are immutable",
            ),
            (
                |spec| spec["containers"][0]["name"] = "other".into(),
                "spec.containers[0].name: Forbidden: containers may not be renamed or reordered on resize",
            ),
            (
                |spec| {
                    let more = spec["containers"][0].clone();
                    spec["containers"].as_array_mut().expect("a list").push(more);
                    spec["containers"][1]["name"] = "d".into();
                },
                "spec.containers: Forbidden: containers may not be added or removed on resize",
            ),
            (
                |spec| {
                    for list in LISTS {
                        for container in spec[list].as_array_mut().expect("a list") {
                            container["resources"] = json!({});
                        }
                    }
                },
                "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
            ),
        ];
        for (change, wanted) in cases {
            let message = resize(&old, |new| change(&mut new["spec"])).expect_err(wanted);
            assert!(message.contains(wanted), "wanted {wanted}\ngot    {message}");
        }
        let running =
            json!({"status": {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}});
        let message = resize(&changed(&old, &running), |_| ()).expect_err("the node cannot");
        assert!(message.contains("Pod running on node without support for resize"), "{message}");
        let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
        let message = resize(&changed(&old, &mirror), |_| ()).expect_err("static");
        assert!(message.contains("static pods cannot be resized"), "{message}");
    }
}

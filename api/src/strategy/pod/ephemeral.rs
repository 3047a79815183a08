//! Ephemeral containers: added to a running pod to look into it, never changed or removed.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer};
use serde_json::Value;

use super::validate::Whole;
use super::{container, is_static, keep_all_but, typed};
use crate::field::{Errors, FieldError, Path};
use crate::strategy::keep_field;

const NOT_HERE: &str = "cannot be set for an Ephemeral Container";

/// What only containers have that the pod was made with.
const FORBIDDEN: &[&str] = &[
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// Takes the ephemeral containers from `new` and all else from `old`.
pub(super) fn prepare(new: &mut Value, old: &Value) {
    keep_all_but(new, old, |kept, new| keep_field(kept, new, "ephemeralContainers"));
}

/// Checks the ephemeral containers of a pod; names are unique among all its containers.
pub(super) fn validate_all(whole: &Whole<'_>, seen: &mut BTreeSet<String>, path: &Path) -> Errors {
    let mut errors = Errors::new();
    if whole.spec.ephemeral_containers.is_none() {
        return errors;
    }
    let targets = seen.clone();
    for (n, ephemeral) in whole.spec.ephemeral_containers.iter().flatten().enumerate() {
        let path = path.index(n);
        errors.extend(validate(ephemeral, whole, &path));
        if !ephemeral.name.is_empty() && !seen.insert(ephemeral.name.clone()) {
            errors.push(FieldError::duplicate(&path.child("name"), ephemeral.name.as_str()));
        }
        let target = ephemeral.target_container_name.as_deref().unwrap_or_default();
        if !target.is_empty() && !targets.contains(target) {
            errors.push(FieldError::not_found(&path.child("targetContainerName"), target));
        }
    }
    errors
}

fn validate(ephemeral: &EphemeralContainer, whole: &Whole<'_>, path: &Path) -> Errors {
    let value = serde_json::to_value(ephemeral).unwrap_or_default();
    let mut errors = match typed::<Container>(&value) {
        Ok(container) => container::validate(&container, whole, path),
        Err(errors) => errors,
    };
    let given = |value: &Value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        _ => true,
    };
    for field in FORBIDDEN.iter().filter(|field| given(&value[**field])) {
        errors.push(FieldError::forbidden(&path.child(field), NOT_HERE));
    }
    for (n, mount) in ephemeral.volume_mounts.iter().flatten().enumerate() {
        for (field, sub) in [("subPath", &mount.sub_path), ("subPathExpr", &mount.sub_path_expr)] {
            if sub.as_deref().is_some_and(|sub| !sub.is_empty()) {
                let at = path.child("volumeMounts").index(n).child(field);
                errors.push(FieldError::forbidden(&at, NOT_HERE));
            }
        }
    }
    errors
}

/// Checks what changed: containers may only be added.
pub(super) fn validate_update(new: &Value, old: &Value) -> Errors {
    if is_static(old) {
        let detail = "static pods do not support ephemeral containers";
        return vec![FieldError::forbidden(&Path::root(), detail)];
    }
    let list =
        |pod: &Value| pod["spec"]["ephemeralContainers"].as_array().cloned().unwrap_or_default();
    let (has, path) = (list(new), Path::new("spec").child("ephemeralContainers"));
    let mut errors = Errors::new();
    for container in list(old) {
        let name = crate::field::go_quote(container["name"].as_str().unwrap_or_default());
        let done = match has.iter().find(|new| new["name"] == container["name"]) {
            None => "removed\n",
            Some(new) if *new != container => "changed",
            Some(_) => continue,
        };
        let detail = format!("existing ephemeral containers {name} may not be {done}");
        errors.push(FieldError::forbidden(&path, &detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::lifecycle::before_subresource_update;
    use crate::strategy::tests::{changed, create, resource};

    use super::*;

    fn add(old: &Value, containers: &Value) -> Result<Value, String> {
        let pods = resource("", "pods");
        let mut new = old.clone();
        new["spec"]["ephemeralContainers"] = containers.clone();
        new["spec"]["containers"][0]["image"] = "evil".into();
        before_subresource_update(pods, "ephemeralcontainers", &mut new, old)
            .map(|()| new)
            .map_err(|status| status.message)
    }

    fn pod() -> Value {
        let pod = json!({"metadata": {"name": "p"}, "spec": {
            "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v"}]}});
        create(resource("", "pods"), pod).expect("valid")
    }

    #[test]
    fn containers_are_added_and_stay() {
        let old = pod();
        let debug = json!({"name": "debug", "image": "busybox", "targetContainerName": "c"});
        let new = add(&old, &json!([debug])).expect("valid");
        assert_eq!(new["spec"]["ephemeralContainers"][0]["imagePullPolicy"], "Always");
        assert_eq!(new["spec"]["containers"], old["spec"]["containers"]);
        assert_eq!(new["metadata"]["generation"], 2);
        let added = new["spec"]["ephemeralContainers"][0].clone();
        add(&new, &json!([{"name": "more", "image": "i"}, added])).expect("in any order");
        for (containers, wanted) in [
            (json!([]), "existing ephemeral containers \"debug\" may not be removed"),
            (
                json!([changed(&added, &json!({"image": "other"}))]),
                "existing ephemeral containers \"debug\" may not be changed",
            ),
        ] {
            let message = add(&new, &containers).expect_err(wanted);
            assert!(message.contains(wanted), "wanted {wanted}\ngot    {message}");
        }
    }

    #[test]
    fn refusals() {
        let old = pod();
        let base = json!({"name": "e", "image": "i"});
        for (change, wanted) in [
            (json!({"name": "c"}), "spec.ephemeralContainers[0].name: Duplicate value: \"c\""),
            (json!({"name": "A"}), "spec.ephemeralContainers[0].name: Invalid value: \"A\""),
            (json!({"image": null}), "spec.ephemeralContainers[0].image: Required value"),
            (
                json!({"targetContainerName": "x"}),
                "spec.ephemeralContainers[0].targetContainerName: Not found: \"x\"",
            ),
            (
                json!({"ports": [{"containerPort": 80}]}),
                "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            ),
            (
                json!({"resources": {"limits": {"cpu": "1"}}}),
                "spec.ephemeralContainers[0].resources: Forbidden: cannot be set",
            ),
            (
                json!({"livenessProbe": {"exec": {"command": ["x"]}}}),
                "spec.ephemeralContainers[0].livenessProbe: Forbidden: cannot be set",
            ),
            (
                json!({"volumeMounts": [{"name": "v", "mountPath": "/x", "subPath": "a"}]}),
                "spec.ephemeralContainers[0].volumeMounts[0].subPath: Forbidden: cannot be set",
            ),
        ] {
            let message = add(&old, &json!([changed(&base, &change)])).expect_err(wanted);
            assert!(message.contains(wanted), "wanted {wanted}\ngot    {message}");
        }
        let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
        let message = add(&changed(&old, &mirror), &json!([base])).expect_err("static");
        assert!(message.contains("static pods do not support ephemeral containers"), "{message}");
    }
}

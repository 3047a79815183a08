//! Which objects a pod names.

use serde_json::Value;

/// The objects that a pod names, by plural name: secrets, configmaps, persistentvolumeclaims,
/// resourceclaims and its serviceaccount.
pub(crate) fn references(pod: &Value) -> Vec<(&'static str, String)> {
    let spec = &pod["spec"];
    let mut found = Vec::new();
    let mut note = |plural: &'static str, name: &Value| {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            found.push((plural, name.to_owned()));
        }
    };
    note("serviceaccounts", &spec["serviceAccountName"]);
    for secret in spec["imagePullSecrets"].as_array().into_iter().flatten() {
        note("secrets", &secret["name"]);
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in spec[list].as_array().into_iter().flatten() {
            walk(container, &mut note);
        }
    }
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        walk(volume, &mut note);
        if volume["ephemeral"].is_object() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (pod, volume) = (text(&pod["metadata"]["name"]), text(&volume["name"]));
            note("persistentvolumeclaims", &format!("{pod}-{volume}").into());
        }
    }
    for claim in spec["resourceClaims"].as_array().into_iter().flatten() {
        note("resourceclaims", &claim["resourceClaimName"]);
    }
    for claim in pod["status"]["resourceClaimStatuses"].as_array().into_iter().flatten() {
        note("resourceclaims", &claim["resourceClaimName"]);
    }
    found
}

/// Goes through a container or volume; the fields by which objects are named are the same
/// everywhere.
fn walk(value: &Value, note: &mut impl FnMut(&'static str, &Value)) {
    if let Some(list) = value.as_array() {
        return list.iter().for_each(|item| walk(item, note));
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        match key.as_str() {
            "secretRef" | "secretKeyRef" | "nodePublishSecretRef" => {
                note("secrets", &value["name"])
            }
            // A volume says secretName, a projection of one says name.
            "secret" => {
                note("secrets", &value["secretName"]);
                note("secrets", &value["name"]);
            }
            "azureFile" => note("secrets", &value["secretName"]),
            "configMapRef" | "configMapKeyRef" | "configMap" => note("configmaps", &value["name"]),
            "persistentVolumeClaim" => note("persistentvolumeclaims", &value["claimName"]),
            _ => walk(value, note),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_name_objects() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {
            "serviceAccountName": "robot", "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "m1"}}],
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}}]}],
            "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "s2"}}]}],
            "volumes": [
                {"name": "a", "secret": {"secretName": "s3"}},
                {"name": "b", "configMap": {"name": "m2"}},
                {"name": "c", "projected": {"sources": [{"secret": {"name": "s4"}},
                    {"configMap": {"name": "m3"}}]}},
                {"name": "d", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
                {"name": "f", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s5"}}}],
            "resourceClaims": [{"name": "r", "resourceClaimName": "gpu"}]}});
        let mut found = references(&pod);
        found.sort_unstable();
        let of = |plural: &str| {
            let named = found.iter().filter(|(of, _)| *of == plural);
            named.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("secrets"), "pull s1 s2 s3 s4 s5");
        assert_eq!(of("configmaps"), "m1 m2 m3");
        assert_eq!(of("persistentvolumeclaims"), "claim p-e");
        assert_eq!((of("resourceclaims"), of("serviceaccounts")), ("gpu".into(), "robot".into()));
    }
}

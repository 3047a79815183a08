//! Admission plugins DefaultStorageClass, PersistentVolumeClaimResize and DefaultIngressClass: what
//! names no class gets the default one, and volumes grow where their class allows it.
//! Source: k8s.io/kubernetes/plugin/pkg/admission/{storage,network}.

use std::collections::HashSet;

use api::quantity::Quantity;
use serde_json::Value;

const DEFAULT_STORAGE: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];
const DEFAULT_INGRESS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
/// The older ways to name a class.
const STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

/// All StorageClasses.
#[derive(Debug, Default)]
pub(crate) struct StorageClasses {
    default: Option<String>,
    expandable: HashSet<String>,
}

/// All IngressClasses.
#[derive(Debug, Default)]
pub(crate) struct IngressClasses {
    default: Option<String>,
}

/// The default among classes: the newest that says so, of several the first by name.
fn default_of(objects: &[Value], annotations: &[&str]) -> Option<String> {
    let says = |class: &&Value| {
        annotations.iter().any(|key| class["metadata"]["annotations"][*key] == "true")
    };
    let mut found: Option<&Value> = None;
    let made = |class: &Value| {
        class["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned()
    };
    // Objects come in the order of their names.
    for class in objects.iter().filter(says) {
        if found.is_none_or(|found| made(class) > made(found)) {
            found = Some(class);
        }
    }
    found.and_then(|class| class["metadata"]["name"].as_str()).map(str::to_owned)
}

/// The class that a claim names, in the field or in the older annotation.
fn class_of(claim: &Value) -> &str {
    let old = claim["metadata"]["annotations"][STORAGE_CLASS].as_str();
    old.or_else(|| claim["spec"]["storageClassName"].as_str()).unwrap_or_default()
}

impl StorageClasses {
    /// Reads the objects.
    pub(super) fn read(objects: &[Value]) -> StorageClasses {
        let grows = objects.iter().filter(|class| class["allowVolumeExpansion"] == true);
        let names = grows.filter_map(|class| class["metadata"]["name"].as_str());
        StorageClasses {
            expandable: names.map(str::to_owned).collect(),
            default: default_of(objects, &DEFAULT_STORAGE),
        }
    }

    /// Gives a new claim that names no class the default one. The name "" is a name: it asks for
    /// volumes without a class.
    pub(super) fn complete(&self, claim: &mut Value) {
        let named = claim["spec"]["storageClassName"].is_string()
            || claim["metadata"]["annotations"][STORAGE_CLASS].is_string();
        if let Some(default) = &self.default
            && !named
            && claim["spec"].is_object()
        {
            claim["spec"]["storageClassName"] = default.as_str().into();
        }
    }

    /// Whether a claim may ask for more than it did.
    ///
    /// # Errors
    /// What is wrong: the claim has no volume yet, or one that cannot grow.
    pub(super) fn resize(&self, new: &Value, old: &Value) -> Result<(), String> {
        let size = |claim: &Value| -> Option<Quantity> {
            claim["spec"]["resources"]["requests"]["storage"].as_str()?.parse().ok()
        };
        let grows = size(new).zip(size(old)).is_some_and(|(new, old)| new > old);
        if !grows {
            return Ok(());
        }
        if old["status"]["phase"] != "Bound" {
            return Err("Only bound persistent volume claims can be expanded".to_owned());
        }
        let class = class_of(new);
        if class.is_empty() || class != class_of(old) || !self.expandable.contains(class) {
            let detail = "only dynamically provisioned pvc can be resized and the storageclass that \
                          provisions the pvc must support resize";
            return Err(detail.to_owned());
        }
        Ok(())
    }
}

impl IngressClasses {
    /// Reads the objects.
    pub(super) fn read(objects: &[Value]) -> IngressClasses {
        IngressClasses { default: default_of(objects, &DEFAULT_INGRESS) }
    }

    /// Gives a new Ingress that names no class the default one.
    pub(super) fn complete(&self, ingress: &mut Value) {
        let named = ingress["spec"]["ingressClassName"].is_string()
            || ingress["metadata"]["annotations"][INGRESS_CLASS].is_string();
        if let Some(default) = &self.default
            && !named
            && ingress["spec"].is_object()
        {
            ingress["spec"]["ingressClassName"] = default.as_str().into();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(name: &str, made: &str, default: &str, grows: bool) -> Value {
        json!({"metadata": {"name": name, "creationTimestamp": made,
            "annotations": {DEFAULT_STORAGE[0]: default}}, "allowVolumeExpansion": grows})
    }

    #[test]
    fn the_newest_default_wins() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        for (classes, want) in [
            (vec![], None),
            (vec![class("a", early, "false", false)], None),
            (vec![class("a", early, "true", false), class("b", late, "true", false)], Some("b")),
            (vec![class("a", late, "true", false), class("b", early, "true", false)], Some("a")),
            (vec![class("a", late, "true", false), class("b", late, "true", false)], Some("a")),
        ] {
            assert_eq!(default_of(&classes, &DEFAULT_STORAGE).as_deref(), want, "{classes:?}");
        }
    }

    #[test]
    fn claims_without_a_class_get_the_default() {
        let classes = StorageClasses::read(&[class("a", "t", "true", false)]);
        for (claim, want) in [
            (json!({"metadata": {}, "spec": {}}), json!("a")),
            (json!({"metadata": {}, "spec": {"storageClassName": "b"}}), json!("b")),
            (json!({"metadata": {}, "spec": {"storageClassName": ""}}), json!("")),
            (json!({"metadata": {"annotations": {STORAGE_CLASS: "b"}}, "spec": {}}), Value::Null),
        ] {
            let mut completed = claim.clone();
            classes.complete(&mut completed);
            assert_eq!(completed["spec"]["storageClassName"], want, "{claim}");
        }
        let made = json!({"metadata": {"name": "x", "annotations": {DEFAULT_INGRESS[0]: "true"}}});
        let classes = IngressClasses::read(&[made]);
        for (ingress, want) in [
            (json!({"spec": {}}), json!("x")),
            (json!({"spec": {"ingressClassName": "y"}}), json!("y")),
            (json!({"metadata": {"annotations": {INGRESS_CLASS: "y"}}, "spec": {}}), Value::Null),
        ] {
            let mut completed = ingress.clone();
            classes.complete(&mut completed);
            assert_eq!(completed["spec"]["ingressClassName"], want, "{ingress}");
        }
    }

    #[test]
    fn claims_grow_where_their_class_allows_it() {
        let classes =
            StorageClasses::read(&[class("a", "t", "", true), class("b", "t", "", false)]);
        let claim = |class: &str, size: &str, phase: &str| {
            json!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}},
                "status": {"phase": phase}})
        };
        for (new, old, want) in [
            (claim("a", "2Gi", ""), claim("a", "1Gi", "Bound"), ""),
            (claim("a", "1024Mi", ""), claim("a", "1Gi", "Pending"), ""),
            (claim("a", "2Gi", ""), claim("a", "1Gi", "Pending"), "Only bound"),
            (claim("b", "2Gi", ""), claim("b", "1Gi", "Bound"), "only dynamically provisioned"),
            (claim("", "2Gi", ""), claim("", "1Gi", "Bound"), "only dynamically provisioned"),
            (claim("a", "2Gi", ""), claim("b", "1Gi", "Bound"), "only dynamically provisioned"),
        ] {
            let refused = classes.resize(&new, &old).err().unwrap_or_default();
            assert!(
                refused.starts_with(want) && refused.is_empty() == want.is_empty(),
                "{refused}"
            );
        }
    }
}

//! CustomResourceDefinition.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition/strategy.go and
//! pkg/apis/apiextensions/validation.

use serde_json::{Value, json};

use super::{names, versions};
use crate::custom::{self, CLEANUP_FINALIZER, Schema};
use crate::field::{Errors, FieldError, Path};
use crate::names as rules;
use crate::strategy::{Strategy, each, keep_field, object_at, set_default};

/// Groups of Kubernetes' own, in which a definition needs an approval.
const PROTECTED: &[&str] = &["k8s.io", "kubernetes.io"];
const APPROVAL: &str = "api-approved.kubernetes.io";
const IMMUTABLE: &str = "field is immutable";

#[derive(Debug)]
pub(crate) struct CustomResourceDefinition;

impl Strategy for CustomResourceDefinition {
    fn counts_generations(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Value) {
        let Some(spec) = object_at(object, "/spec") else { return };
        set_default(spec, "conversion", json!({"strategy": "None"}));
        if let Some(names) = object_at(spec, "/names") {
            let kind = names["kind"].as_str().unwrap_or_default().to_owned();
            for (field, value) in
                [("singular", kind.to_lowercase()), ("listKind", format!("{kind}List"))]
            {
                if !kind.is_empty() && names[field].as_str().unwrap_or_default().is_empty() {
                    names[field] = value.into();
                }
            }
        }
        if let Some(conversion) = object_at(spec, "/conversion/webhook/clientConfig/service") {
            set_default(conversion, "port", 443);
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        let stored: Vec<Value> = stored_version(object).into_iter().collect();
        object["status"] = json!({
            "acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": stored,
        });
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        keep_field(new, old, "status");
        let Some(stored) = stored_version(new) else { return };
        if !new["status"]["storedVersions"].is_array() {
            new["status"]["storedVersions"] = json!([]);
        }
        if each(new, "/status/storedVersions").all(|version| *version != stored)
            && let Some(list) = new["status"]["storedVersions"].as_array_mut()
        {
            list.push(stored);
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = own_name(object);
        errors.extend(group(object, &path.child("group")));
        match spec["scope"].as_str().unwrap_or_default() {
            "" => errors.push(FieldError::required(&path.child("scope"), "")),
            "Cluster" | "Namespaced" => {}
            other => {
                let scopes = &["Cluster", "Namespaced"];
                errors.push(FieldError::not_supported(&path.child("scope"), other, scopes));
            }
        }
        if spec["preserveUnknownFields"] == true {
            let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
            errors.push(FieldError::invalid(&path.child("preserveUnknownFields"), true, detail));
        }
        errors.extend(names::required(&spec["names"], &path.child("names")));
        errors.extend(names::validate(&spec["names"], &path.child("names")));
        errors.extend(versions::validate(spec, &path.child("versions")));
        errors.extend(conversion(&spec["conversion"], &path.child("conversion")));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = self.validate(new);
        let path = Path::new("spec");
        let mut fields = vec![("group", &["group"][..]), ("names.plural", &["names", "plural"])];
        if custom::is_established(old) {
            fields.extend([("scope", &["scope"][..]), ("names.kind", &["names", "kind"])]);
        }
        for (shown, steps) in fields {
            let of = |object: &Value| {
                steps.iter().fold(object["spec"].clone(), |at, step| at[*step].clone())
            };
            if of(new) != of(old) {
                errors.push(FieldError::invalid(&path.child(shown), of(new), IMMUTABLE));
            }
        }
        errors.extend(stored_versions(new));
        errors
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Errors {
        let path = Path::new("status");
        let mut errors =
            names::validate(&new["status"]["acceptedNames"], &path.child("acceptedNames"));
        errors.extend(stored_versions(new));
        errors
    }

    fn cleanup_finalizer(&self) -> Option<&'static str> {
        Some(CLEANUP_FINALIZER)
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        let versions = object["spec"]["versions"].as_array().into_iter().flatten();
        for (n, version) in versions.enumerate() {
            let schema = Schema::read(&version["schema"]["openAPIV3Schema"]);
            if schema.is_ok_and(|schema| schema.has_rules()) {
                warnings.push(format!(
                    "spec.versions[{n}].schema.openAPIV3Schema: x-kubernetes-validations are kept, but not evaluated by this server yet"
                ));
            }
        }
        if object["spec"]["conversion"]["strategy"] == "Webhook" {
            warnings.push(
                "spec.conversion.strategy: the webhook is not called by this server yet; objects are converted as with None"
                    .to_owned(),
            );
        }
        warnings
    }
}

fn stored_version(object: &Value) -> Option<Value> {
    let versions = object["spec"]["versions"].as_array()?;
    versions
        .iter()
        .find(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
}

/// The object's name says which resource it defines.
fn own_name(object: &Value) -> Errors {
    let spec = &object["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&object["metadata"]["name"]);
    let wanted = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    if name == wanted {
        return Errors::new();
    }
    let path = Path::new("metadata").child("name");
    vec![FieldError::invalid(&path, name, "must be spec.names.plural+\".\"+spec.group")]
}

fn group(object: &Value, path: &Path) -> Errors {
    let group = object["spec"]["group"].as_str().unwrap_or_default();
    if group.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    let messages = rules::dns1123_subdomain(group);
    if !messages.is_empty() {
        return vec![FieldError::invalid(path, group, &messages.join(","))];
    }
    if !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        return vec![FieldError::invalid(path, group, detail)];
    }
    let inside = |domain: &&&str| group == **domain || group.ends_with(&format!(".{domain}"));
    let approved = object["metadata"]["annotations"][APPROVAL].as_str().unwrap_or_default();
    if PROTECTED.iter().find(inside).is_some() && approved.is_empty() {
        let path = Path::new("metadata").child("annotations").key(APPROVAL);
        let detail = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111";
        return vec![FieldError::required(&path, detail)];
    }
    Errors::new()
}

fn conversion(conversion: &Value, path: &Path) -> Errors {
    let webhook = &conversion["webhook"];
    match conversion["strategy"].as_str().unwrap_or_default() {
        "" => vec![FieldError::required(&path.child("strategy"), "")],
        "None" if !webhook.is_null() => {
            let detail = "should not be set when strategy is not set to Webhook";
            vec![FieldError::forbidden(&path.child("webhook"), detail)]
        }
        "None" => Errors::new(),
        "Webhook" if webhook["clientConfig"].is_null() => {
            let detail = "required when strategy is set to Webhook";
            vec![FieldError::required(&path.child("webhook").child("clientConfig"), detail)]
        }
        "Webhook" => Errors::new(),
        other => {
            vec![FieldError::not_supported(&path.child("strategy"), other, &["None", "Webhook"])]
        }
    }
}

/// Objects may be stored in each of these versions, so none may go before they are rewritten.
fn stored_versions(object: &Value) -> Errors {
    let path = Path::new("status").child("storedVersions");
    let list = object["status"]["storedVersions"].as_array().map_or(&[][..], Vec::as_slice);
    if list.is_empty() {
        return vec![FieldError::invalid(
            &path,
            Value::Array(Vec::new()),
            "must have at least one stored version",
        )];
    }
    let versions = || object["spec"]["versions"].as_array().into_iter().flatten();
    let mut errors = Errors::new();
    for (n, stored) in list.iter().enumerate() {
        if !versions().any(|version| version["name"] == *stored) {
            let detail = "missing from spec.versions; v1 was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from status.storedVersions";
            let name = stored.as_str().unwrap_or_default();
            let detail = detail.replace("v1", name);
            errors.push(FieldError::invalid(&path.index(n), name, &detail));
        }
    }
    errors
}

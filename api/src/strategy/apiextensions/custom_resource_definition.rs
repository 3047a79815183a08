//! CustomResourceDefinition.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition/strategy.go and
//! pkg/apis/apiextensions/validation.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{conversion, names, versions};
use crate::custom::{self, Approval, CLEANUP_FINALIZER, Schema, needs_approval};
use crate::field::{Errors, FieldError, Path, go_quote};
use crate::names as rules;
use crate::strategy::{Strategy, each, keep_field, object_at, set_default};

const IMMUTABLE: &str = "field is immutable";

#[derive(Debug)]
pub(crate) struct CustomResourceDefinition;

impl Strategy for CustomResourceDefinition {
    fn allows_unconditional_update(&self) -> bool {
        false
    }

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

    fn status_is_alone(&self) -> bool {
        true
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        if subresource == "status" { &[&["metadata"], &["spec"]] } else { &[&["status"]] }
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = own_name(object);
        errors.extend(spec(object));
        errors.extend(accepted_names(object));
        errors.extend(stored_versions(object));
        errors.extend(approval(object, None));
        errors.extend(preserve(object, None));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = spec(new);
        let path = Path::new("spec");
        let mut fields = Vec::new();
        if custom::is_established(old) {
            fields.extend([("scope", &["scope"][..]), ("names.kind", &["names", "kind"])]);
        }
        fields.extend([("group", &["group"][..]), ("names.plural", &["names", "plural"])]);
        for (shown, steps) in fields {
            let of = |object: &Value| {
                steps.iter().fold(object["spec"].clone(), |at, step| at[*step].clone())
            };
            if of(new) != of(old) {
                errors.push(FieldError::invalid(&path.child(shown), of(new), IMMUTABLE));
            }
        }
        errors.extend(accepted_names(new));
        errors.extend(stored_versions(new));
        errors.extend(approval(new, Some(old)));
        errors.extend(preserve(new, Some(old)));
        errors
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Errors {
        accepted_names(new)
    }

    fn cleanup_finalizer(&self) -> Option<&'static str> {
        Some(CLEANUP_FINALIZER)
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        let versions = object["spec"]["versions"].as_array().into_iter().flatten();
        for (n, version) in versions.enumerate() {
            let Ok(schema) = Schema::read(&version["schema"]["openAPIV3Schema"]) else { continue };
            if schema.has_rules() {
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

    /// Formats that mean nothing are told of once, when they come.
    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        let (formats, had) = (unrecognized_formats(new), unrecognized_formats(old));
        let new = formats.difference(&had);
        new.map(|format| format!("unrecognized format {}", go_quote(format))).collect()
    }
}

/// The formats in the schemas of a definition that are not looked at.
fn unrecognized_formats(definition: &Value) -> BTreeSet<String> {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    let schemas = versions.filter_map(|v| Schema::read(&v["schema"]["openAPIV3Schema"]).ok());
    let formats = |schema: Schema| -> Vec<String> {
        schema.unrecognized_formats().into_iter().map(str::to_owned).collect()
    };
    schemas.flat_map(formats).collect()
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

/// Checks what is wanted.
fn spec(object: &Value) -> Errors {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let mut errors: Errors = group(object, &path.child("group")).into_iter().collect();
    match spec["scope"].as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(&path.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        other => {
            let scopes = &["Cluster", "Namespaced"];
            errors.push(FieldError::not_supported(&path.child("scope"), other, scopes));
        }
    }
    errors.extend(versions::validate(spec, &path));
    errors.extend(names::required(&spec["names"], &path.child("names")));
    errors.extend(names::validate(&spec["names"], &path.child("names")));
    errors.extend(versions::validate_common(spec, &path));
    errors.extend(conversion::validate(&spec["conversion"], &path.child("conversion")));
    errors
}

fn group(object: &Value, path: &Path) -> Option<FieldError> {
    let group = object["spec"]["group"].as_str().unwrap_or_default();
    if group.is_empty() {
        return Some(FieldError::required(path, ""));
    }
    let messages = rules::dns1123_subdomain(group);
    if !messages.is_empty() {
        return Some(FieldError::invalid(path, group, &messages.join(",")));
    }
    let detail = "should be a domain with at least one dot";
    (!group.contains('.')).then(|| FieldError::invalid(path, group, detail))
}

fn accepted_names(object: &Value) -> Errors {
    names::validate(&object["status"]["acceptedNames"], &Path::new("status").child("acceptedNames"))
}

/// Groups of Kubernetes' own want to be told where a definition was approved. What was let pass
/// once stays.
fn approval(new: &Value, old: Option<&Value>) -> Option<FieldError> {
    if !needs_approval(new["spec"]["group"].as_str().unwrap_or_default()) {
        return None;
    }
    let approval = Approval::of(new);
    if old.is_some_and(|old| Approval::of(old) == approval) {
        return None;
    }
    let path = Path::new("metadata").child("annotations").key(Approval::ANNOTATION);
    let reason = approval.message(new);
    match approval {
        Approval::Missing => Some(FieldError::required(&path, &reason)),
        Approval::Invalid => Some(FieldError::invalid(&path, Approval::text(new), &reason)),
        Approval::Given | Approval::Bypassed => None,
    }
}

/// Unknown fields are kept by what the schema says, not by what the definition says.
fn preserve(new: &Value, old: Option<&Value>) -> Option<FieldError> {
    let set = |object: &Value| object["spec"]["preserveUnknownFields"] == true;
    if !set(new) || old.is_some_and(set) {
        return None;
    }
    let path = Path::new("spec").child("preserveUnknownFields");
    let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    Some(FieldError::invalid(&path, true, detail))
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
    if let Some(stored) = versions().find(|version| version["storage"] == true)
        && !list.contains(&stored["name"])
    {
        let name = stored["name"].as_str().unwrap_or_default();
        let detail = format!("must have the storage version {name}");
        errors.push(FieldError::invalid(&path, list.to_vec(), &detail));
    }
    for (n, stored) in list.iter().enumerate() {
        if !versions().any(|version| version["name"] == *stored) {
            let name = stored.as_str().unwrap_or_default();
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(FieldError::invalid(&path.index(n), name, &detail));
        }
    }
    errors
}

//! The one strategy of all custom resources: it goes by the schema of a version.
//!
//! Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::scale::Scale;
use super::validate::{prefixed, validate_change};
use super::{Schema, defaults, embedded, lists, prune};
use crate::field::{Errors, Path, go_quote};
use crate::meta;
use crate::names;
use crate::strategy::{self, Strategy, keep_field};

const NO_DOMAIN: &str = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers";

/// One version of a custom resource.
#[derive(Debug)]
pub(super) struct Custom {
    /// The schema of whole objects.
    pub(super) schema: Arc<Schema>,
    /// The schemas of all versions of the definition, by `GROUP/VERSION`.
    pub(super) schemas: Arc<BTreeMap<String, Arc<Schema>>>,
    /// `GROUP/VERSION`.
    pub(super) api_version: String,
    /// The one in which objects are stored.
    pub(super) stored_api_version: String,
    /// The kind of lists.
    pub(super) list_kind: String,
    /// Whether `/status` is a subresource.
    pub(super) status: bool,
    /// Where `/scale` finds its parts, if it is a subresource.
    pub(super) scale: Option<Scale>,
}

impl Custom {
    /// Checks an object; what an update leaves as it was is let pass.
    fn check(&self, new: &Value, old: Option<&Value>) -> Errors {
        let mut errors = validate_change(&self.schema, new, old, &Path::root());
        if let Some(scale) = &self.scale {
            errors.extend(scale.check_spec(new));
            errors.extend(scale.check_status(new));
        }
        errors.extend(embedded::check(&self.schema, new, &Path::root()));
        errors.extend(self.check_lists(new, old));
        errors
    }

    /// Lists that were wrong before may stay so.
    fn check_lists(&self, new: &Value, old: Option<&Value>) -> Errors {
        let check = |object: &Value| lists::check(&self.schema, object, &Path::root());
        if old.is_some_and(|old| !check(old).is_empty()) { Errors::new() } else { check(new) }
    }
}

impl Strategy for Custom {
    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn counts_generations(&self) -> bool {
        true
    }

    fn clean(&self, object: &mut Value, problems: &mut Vec<String>) {
        prune::prune(&self.schema, object, problems);
    }

    fn default(&self, object: &mut Value) {
        defaults::default(&self.schema, object);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        if self.status {
            meta::remove(object, "status");
            // What it says by default it says from the beginning.
            self.default(object);
        }
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        if self.status {
            keep_field(new, old, "status");
        } else if new.get("status") != old.get("status") {
            // Here the status is a part of the object like any other.
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
            new["metadata"]["generation"] = generation.saturating_add(1).into();
        }
    }

    fn status_is_alone(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value) -> Errors {
        self.check(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        self.check(new, Some(old))
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = Errors::new();
        if let (Some(schema), Some(status)) =
            (self.schema.properties.get("status"), new.get("status"))
        {
            let found = validate_change(schema, status, old.get("status"), &Path::root());
            errors.extend(prefixed(found, &Path::new("status")));
        }
        if let Some(scale) = &self.scale {
            errors.extend(scale.check_status(new));
        }
        errors.extend(self.check_lists(new, Some(old)));
        errors
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        // Of what other fields an object has, an update of the status writes none either.
        if self.status && subresource != "status" { &[&["status"]] } else { &[] }
    }

    fn written_fields(&self, subresource: &str) -> Option<&'static [&'static [&'static str]]> {
        (subresource == "status").then_some(&[&["status"]])
    }

    fn schema_of(&self, api_version: &str) -> Option<&Schema> {
        self.schemas.get(api_version).map(|schema| &**schema)
    }

    /// Finalizers are anybody's here, so those added may meet others of the same name.
    fn warnings_of_change(&self, new: &Value, old: &Value) -> Vec<String> {
        let finalizers = |object: &Value| -> BTreeSet<String> {
            let all = object["metadata"]["finalizers"].as_array().into_iter().flatten();
            all.filter_map(|name| name.as_str().map(str::to_owned)).collect()
        };
        let had = finalizers(old);
        let mut warnings = Vec::new();
        for name in finalizers(new).difference(&had) {
            let mut warn = |problem: &str| {
                warnings.push(format!("metadata.finalizers: {}: {problem}", go_quote(name)));
            };
            names::qualified_name(name).iter().for_each(|problem| warn(problem));
            if !name.contains('/') {
                warn(NO_DOMAIN);
            }
        }
        warnings
    }

    fn list_kind(&self) -> Option<&str> {
        (!self.list_kind.is_empty()).then_some(&*self.list_kind)
    }

    fn scale_lacks(&self, object: &Value) -> Option<&str> {
        self.scale.as_ref()?.lacks(object)
    }

    fn scale_of(&self, object: &Value) -> Value {
        match &self.scale {
            Some(scale) => scale.of(object),
            None => strategy::scale_of(object),
        }
    }

    fn with_scale(&self, object: Value, scale: &Value) -> Value {
        match &self.scale {
            Some(paths) => paths.put(object, scale),
            None => strategy::with_scale(object, scale),
        }
    }

    fn to_stored(&self, mut object: Value) -> Value {
        object["apiVersion"] = self.stored_api_version.as_str().into();
        object
    }

    fn from_stored(&self, mut stored: Value) -> Value {
        if stored.is_object() {
            stored["apiVersion"] = self.api_version.as_str().into();
            self.clean(&mut stored, &mut Vec::new());
            self.default(&mut stored);
        }
        stored
    }
}

//! The one strategy of all custom resources: it goes by the schema of a version.

use serde_json::Value;

use super::scale::Scale;
use super::{Schema, defaults, prune, validate};
use crate::field::{Errors, Path};
use crate::meta;
use crate::strategy::{self, Strategy, keep_field};

/// One version of a custom resource.
#[derive(Debug)]
pub(super) struct Custom {
    /// The schema of whole objects.
    pub(super) schema: Schema,
    /// `GROUP/VERSION`.
    pub(super) api_version: String,
    /// The one in which objects are stored.
    pub(super) stored_api_version: String,
    /// Whether `/status` is a subresource.
    pub(super) status: bool,
    /// Where `/scale` finds its parts, if it is a subresource.
    pub(super) scale: Option<Scale>,
}

impl Strategy for Custom {
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

    fn validate(&self, object: &Value) -> Errors {
        validate(&self.schema, object, &Path::root())
    }

    fn validate_status_update(&self, new: &Value, _: &Value) -> Errors {
        self.validate(new)
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static [&'static str]] {
        match (self.status, subresource) {
            (true, "status") => &[&["spec"]],
            (true, _) => &[&["status"]],
            (false, _) => &[],
        }
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

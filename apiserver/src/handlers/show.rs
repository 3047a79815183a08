//! Objects shown as something else: rows of a Table, or their metadata alone.

use api::status::Status;
use api::table::{self, IncludeObject};
use serde_json::{Value, json};

use crate::cacher::Object;
use crate::context::now;
use crate::dispatch::Target;
use crate::request::negotiate::Form;

/// Shows objects in the form that was negotiated.
pub(super) struct Shower {
    resource: std::sync::Arc<api::resources::Resource>,
    table: bool,
    include: IncludeObject,
    /// Column definitions are sent with the first table of a watch only.
    columns: bool,
}

impl Shower {
    /// `None` when objects are to be shown as they are.
    ///
    /// # Errors
    /// 400 for an `includeObject` that does not exist.
    pub(super) fn new(target: &Target, form: Form) -> Result<Option<Shower>, Status> {
        let include = match target.query.get("includeObject") {
            "" | "Metadata" => IncludeObject::Metadata,
            "None" => IncludeObject::None,
            "Object" => IncludeObject::Object,
            other => {
                return Err(Status::bad_request(format!(
                    "unrecognized includeObject value: {}",
                    api::field::go_quote(other)
                )));
            }
        };
        let resource = target.resource.clone();
        let shower = |table| Some(Shower { resource, table, include, columns: true });
        Ok(match form {
            Form::Object => None,
            Form::Table => shower(true),
            Form::Metadata => shower(false),
        })
    }

    /// A single object, as an answer or in a watch event.
    pub(super) fn one(&mut self, object: &Object) -> Value {
        let value = object.encoded().parse();
        if self.table {
            let meta = json!({"resourceVersion": object.revision().to_string()});
            let columns = std::mem::take(&mut self.columns);
            return table::render(&self.resource, &[&value], meta, self.include, columns, now());
        }
        partial(&value)
    }

    /// Many objects.
    pub(super) fn list(&self, objects: &[std::sync::Arc<Object>], list_meta: Value) -> Value {
        let values: Vec<_> = objects.iter().map(|object| object.encoded().parse()).collect();
        self.values(&values, list_meta)
    }

    /// Many objects that are not stored.
    pub(super) fn values(&self, values: &[Value], list_meta: Value) -> Value {
        if self.table {
            let values: Vec<_> = values.iter().collect();
            return table::render(&self.resource, &values, list_meta, self.include, true, now());
        }
        json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": list_meta,
            "items": values.iter().map(partial).collect::<Vec<_>>(),
        })
    }
}

/// An object's metadata as an object of its own.
fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

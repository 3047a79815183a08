//! Objects shown as something else: rows of a Table, or their metadata alone.

use api::resources::Resource;
use api::status::Status;
use api::table::{self, IncludeObject};
use http::Method;
use serde_json::{Value, json};

use crate::cacher::Object;
use crate::context::now;
use crate::dispatch::Target;
use crate::request::Request;
use crate::request::negotiate::{Form, MetaVersion};
use crate::response::Answer;
use crate::server::body::Body;

/// Shows objects in the form that was negotiated.
pub(crate) struct Shower {
    resource: std::sync::Arc<Resource>,
    table: bool,
    include: IncludeObject,
    /// Column definitions are sent with the first table of a watch only.
    columns: bool,
    version: MetaVersion,
}

impl Shower {
    /// [`Shower::new`] for one object.
    ///
    /// # Errors
    /// Those of it, 406 if it is to be shown as a list.
    pub(super) fn of_one(target: &Target, form: Form) -> Result<Option<Shower>, Status> {
        if matches!(form, Form::MetadataList(_)) {
            let kind = go_type(&target.resource, "");
            return Err(Status::not_shown(format!(
                "you requested PartialObjectMetadataList, but the requested object is not a list \
                 ({kind})"
            )));
        }
        Shower::new(target, form)
    }

    /// [`Shower::new`] for a list.
    ///
    /// # Errors
    /// Those of it, 406 if it is to be shown as one object.
    pub(super) fn of_list(target: &Target, form: Form) -> Result<Option<Shower>, Status> {
        if matches!(form, Form::Metadata(_)) {
            let kind = go_type(&target.resource, "List");
            return Err(Status::not_shown(format!(
                "you requested PartialObjectMetadata, but the requested object is a list ({kind})"
            )));
        }
        Shower::new(target, form)
    }

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
        let (table, version) = match form {
            Form::Object => return Ok(None),
            Form::Table(version) => (true, version),
            Form::Metadata(version) | Form::MetadataList(version) => (false, version),
        };
        Ok(Some(Shower { resource, table, include, columns: true, version }))
    }

    /// The answer of a write, which is the object in the form that was asked for. What is no object
    /// of the resource (a refusal, a Scale) stays.
    pub(crate) fn answer(&self, answer: Answer) -> Answer {
        let object = answer.body().bytes().filter(|_| answer.status().is_success());
        let object = object.and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        let Some(object) = object.filter(|object| object["kind"] == *self.resource.kind) else {
            return answer;
        };
        let shown = if self.table {
            let meta = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            table::render(&self.resource, &[&object], meta, self.include, true, now())
        } else {
            self.partial(&object)
        };
        answer.map(|_| Body::whole(self.versioned(shown).to_string()))
    }

    /// A single object, as an answer or in a watch event.
    pub(super) fn one(&mut self, object: &Object) -> Value {
        let value = object.encoded().parse();
        if self.table {
            let meta = json!({"resourceVersion": object.revision().to_string()});
            let columns = std::mem::take(&mut self.columns);
            let shown =
                table::render(&self.resource, &[&value], meta, self.include, columns, now());
            return self.versioned(shown);
        }
        self.partial(&value)
    }

    /// An object's metadata as an object of its own.
    pub(super) fn partial(&self, object: &Value) -> Value {
        self.versioned(table::partial_metadata(object))
    }

    /// What was made for `v1`, in the version that was asked for.
    fn versioned(&self, mut shown: Value) -> Value {
        if self.version == MetaVersion::V1 {
            return shown;
        }
        let version = Value::from(self.version.api_version());
        for row in shown["rows"].as_array_mut().into_iter().flatten() {
            if row["object"]["kind"] == "PartialObjectMetadata" {
                row["object"]["apiVersion"] = version.clone();
            }
        }
        shown["apiVersion"] = version;
        shown
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
            let shown =
                table::render(&self.resource, &values, list_meta, self.include, true, now());
            return self.versioned(shown);
        }
        json!({
            "kind": "PartialObjectMetadataList",
            "apiVersion": self.version.api_version(),
            "metadata": list_meta,
            "items": values.iter().map(|value| self.partial(value)).collect::<Vec<_>>(),
        })
    }
}

/// How a write shows the object; `None` as it is.
///
/// # Errors
/// Those of [`Shower::of_one`].
pub(crate) fn of_write(
    target: &Target,
    request: &Request,
    form: Form,
) -> Result<Option<Shower>, Status> {
    if target.name.is_empty() && request.parts.method == Method::DELETE {
        // A list, which whoever deletes it shows.
        return Ok(None);
    }
    Shower::of_one(target, form)
}

/// The type of a kind's objects in Kubernetes' program, which some refusals name. `what`: "List" for
/// the type of the lists.
fn go_type(resource: &Resource, what: &str) -> String {
    if resource.is_custom() {
        return format!("*unstructured.Unstructured{what}");
    }
    let package = match resource.group.split('.').next().unwrap_or_default() {
        // Both kinds of Events are the same thing inside.
        "" | "events" => "core",
        group => group,
    };
    format!("*{package}.{}{what}", resource.kind)
}

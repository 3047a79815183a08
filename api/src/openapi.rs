//! OpenAPI documents, made from the table and the types of [`crate::schema`].
//!
//! A server shows its API in two versions of OpenAPI. Version 3 has a document per group and
//! version, so that clients read only what they need: kubectl reads one before every `apply`,
//! `create -f` and `edit` to learn whether the server takes the `fieldValidation` parameter, how
//! lists merge in patches, and what `explain` prints. Version 2 is one document for everything.
//!
//! - [`path`] has the paths of a row, one [`operation`] per verb, with their [`parameter`]s,
//! - [`definitions`] finds the types that a document names: [`schema`] writes the built-in ones,
//!   [`custom`] those of custom resources,
//! - [`form`] knows what differs between the versions, [`definition`] how types are named,
//! - [`gnostic`] writes version 2 in protobuf.
//!
//! Documents are large (all of version 2 is megabytes), so they are written piece by piece into
//! whatever the caller wants, a compressor for example, and are never in memory as a whole.
//! What types and fields are for is said in [`crate::schema::descriptions`]; parameters have no
//! descriptions.
//!
//! Source: <https://spec.openapis.org/oas/v3.0.3>, <https://swagger.io/specification/v2/>, and
//! the extensions in Kubernetes' api/openapi-spec/README.md.

mod custom;
mod definition;
mod definitions;
mod form;
mod gnostic;
mod operation;
mod parameter;
mod path;
mod schema;

use std::io::{self, Write};
use std::sync::Arc;

use serde_json::Value;

pub use crate::schema::descriptions::Descriptions;
pub use path::document_path;

use crate::discovery::KUBERNETES_VERSION;
use crate::resources::Resource;
use definitions::Definitions;
use form::Form;

const TITLE: &str = "Kubernetes";

/// The media type of version 2 in protobuf.
pub const PROTOBUF_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// What documents are made of.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// All rows that are served.
    pub rows: &'a [Arc<Resource>],
    /// The schema of a custom resource (the row's version), as its definition writes it in
    /// `openAPIV3Schema`; `None` if there is none. Asked for rows without a built-in type.
    pub custom: &'a dyn Fn(&Resource) -> Option<Value>,
}

impl<'a> Source<'a> {
    /// Every group and version that has a document of version 3, in discovery order.
    #[must_use]
    pub fn group_versions(&self) -> Vec<(&'a str, &'a str)> {
        let mut all: Vec<(&str, &str)> = Vec::new();
        for row in self.rows {
            let one = (&*row.group, &*row.version);
            if !all.contains(&one) {
                all.push(one);
            }
        }
        all
    }

    /// The rows of a group and version: all that its document depends on.
    #[must_use]
    pub fn rows_of(&self, group: &str, version: &str) -> Vec<&'a Arc<Resource>> {
        self.rows.iter().filter(|row| row.group == group && row.version == version).collect()
    }

    /// Writes the document of a group and version, in version 3.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_v3(&self, group: &str, version: &str, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<&Resource> =
            self.rows_of(group, version).into_iter().map(Arc::as_ref).collect();
        let definitions = Definitions::of(*self, &rows);
        out.write_all(b"{\"components\":{\"schemas\":")?;
        write_object(out, definitions.shown(Form::V3))?;
        out.write_all(b"},\"info\":")?;
        write_value(out, &info())?;
        out.write_all(b",\"openapi\":\"3.0.0\",\"paths\":")?;
        write_object(out, paths(rows.iter().copied(), &[(group, version)], Form::V3))?;
        out.write_all(b"}")
    }

    /// Writes the document of version 2, in JSON.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_v2(&self, out: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<&Resource> = self.rows.iter().map(Arc::as_ref).collect();
        out.write_all(b"{\"definitions\":")?;
        write_object(out, Definitions::of(*self, &rows).shown(Form::V2))?;
        out.write_all(b",\"info\":")?;
        write_value(out, &info())?;
        out.write_all(b",\"paths\":")?;
        write_object(out, paths(rows.iter().copied(), &self.group_versions(), Form::V2))?;
        out.write_all(b",\"swagger\":\"2.0\"}")
    }

    /// The document of version 2 in protobuf ([`PROTOBUF_V2`]).
    #[must_use]
    pub fn v2_protobuf(&self) -> Vec<u8> {
        let rows: Vec<&Resource> = self.rows.iter().map(Arc::as_ref).collect();
        let definitions = Definitions::of(*self, &rows);
        let groups = self.group_versions();
        let paths = paths(rows.iter().copied(), &groups, Form::V2);
        gnostic::document(TITLE, KUBERNETES_VERSION, paths, definitions.shown(Form::V2))
    }
}

/// The paths of groups and rows, made one row at a time.
fn paths<'a>(
    rows: impl DoubleEndedIterator<Item = &'a Resource>,
    groups: &[(&str, &str)],
    form: Form,
) -> impl DoubleEndedIterator<Item = (String, Value)> {
    let groups = groups.iter().map(move |(group, version)| path::of_group(group, version, form));
    groups.chain(rows.flat_map(move |row| path::of_row(row, form)))
}

fn info() -> Value {
    serde_json::json!({"title": TITLE, "version": KUBERNETES_VERSION})
}

fn write_object(
    out: &mut dyn Write,
    members: impl Iterator<Item = (String, Value)>,
) -> io::Result<()> {
    let mut before: &[u8] = b"{";
    for (name, value) in members {
        out.write_all(before)?;
        write_value(out, &Value::String(name))?;
        out.write_all(b":")?;
        write_value(out, &value)?;
        before = b",";
    }
    // Nothing written: the brace is still to come.
    out.write_all(if before == b"{" { b"{}" } else { b"}" })
}

fn write_value(out: &mut dyn Write, value: &Value) -> io::Result<()> {
    serde_json::to_writer(out, value).map_err(io::Error::from)
}

#[cfg(test)]
mod tests;

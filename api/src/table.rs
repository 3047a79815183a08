//! Table output: the columns and rows that kubectl prints.
//!
//! kubectl asks for `as=Table` and prints the cells as they come; labels, names and owners it takes
//! from the object inside each row. Columns are data (`table/columns.tsv`); rows are made by one
//! function per kind. The current time is passed in, for ages.
//! Source: k8s.io/kubernetes/pkg/printers/internalversion.

mod age;
mod endpoints;
mod event;
mod node;
mod pod;
mod service;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::resources::Resource;

pub use age::human_duration;

/// Which columns and rows a kind has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printer {
    /// Name and age: what a kind without columns of its own shows.
    NameAndAge,
    /// `configmaps`.
    ConfigMap,
    /// `endpoints`.
    Endpoints,
    /// `endpointslices`.
    EndpointSlice,
    /// `events`, of either group.
    Event,
    /// `leases`.
    Lease,
    /// `namespaces`.
    Namespace,
    /// `nodes`.
    Node,
    /// `pods`.
    Pod,
    /// `replicationcontrollers`.
    ReplicationController,
    /// `secrets`.
    Secret,
    /// `services`.
    Service,
    /// `serviceaccounts`.
    ServiceAccount,
}

/// What each row carries of its object (`includeObject` in the query).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// A PartialObjectMetadata (the default).
    #[default]
    Metadata,
    /// The whole object.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter; "" is the default. `None` for an unknown value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "Metadata" => Some(Self::Metadata),
            "None" => Some(Self::None),
            "Object" => Some(Self::Object),
            _ => None,
        }
    }
}

/// Renders objects as a `meta.k8s.io/v1` Table.
///
/// `list_meta` is the metadata of the list (`{"resourceVersion": …}`; the object's own for a single
/// object). A watch sends one Table per event, `with_columns` only in the first.
#[must_use]
pub fn render(
    resource: &Resource,
    objects: &[&Value],
    list_meta: Value,
    include: IncludeObject,
    with_columns: bool,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let object_part = match include {
                IncludeObject::None => Value::Null,
                IncludeObject::Metadata => partial_metadata(object),
                IncludeObject::Object => (*object).clone(),
            };
            let mut row =
                json!({"cells": cells(resource.printer, object, now), "object": object_part});
            if let Some(conditions) = row_conditions(resource.printer, object) {
                row["conditions"] = conditions;
            }
            row
        })
        .collect();
    let columns = if with_columns { columns(resource.printer) } else { Value::Null };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_meta,
        "columnDefinitions": columns, "rows": rows,
    })
}

/// The object as `as=PartialObjectMetadata` shows it.
#[must_use]
pub fn partial_metadata(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

/// kubectl dims the rows of pods that have ended.
fn row_conditions(printer: Printer, object: &Value) -> Option<Value> {
    if printer != Printer::Pod {
        return None;
    }
    let message = match text(object, "/status/phase") {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    let reason = text(object, "/status/phase");
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

fn columns(printer: Printer) -> Value {
    static COLUMNS: LazyLock<BTreeMap<&'static str, Vec<Value>>> =
        LazyLock::new(|| parse_columns(include_str!("table/columns.tsv")));
    let name = format!("{printer:?}");
    match COLUMNS.get(name.as_str()) {
        Some(columns) => Value::Array(columns.clone()),
        None => {
            // Name and age are described alike everywhere.
            let all = COLUMNS.get("Namespace").map(Vec::as_slice).unwrap_or_default();
            all.iter().filter(|c| c["name"] == "Name" || c["name"] == "Age").cloned().collect()
        }
    }
}

fn parse_columns(data: &'static str) -> BTreeMap<&'static str, Vec<Value>> {
    let mut columns: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for line in data.lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<&str> = line.split('\t').collect();
        if let [printer, name, kind, format, priority, description] = parts[..] {
            columns.entry(printer).or_default().push(json!({
                "name": name, "type": kind, "format": format,
                "priority": priority.parse::<i32>().unwrap_or(0),
                "description": description.replace("\\n", "\n"),
            }));
        }
    }
    columns
}

fn cells(printer: Printer, object: &Value, now: Timestamp) -> Vec<Value> {
    let name = Value::from(text(object, "/metadata/name"));
    let age = Value::from(age::since(&object["metadata"]["creationTimestamp"], now));
    let count = |field: &str| object[field].as_object().map_or(0, Map::len);
    match printer {
        Printer::NameAndAge | Printer::ServiceAccount => vec![name, age],
        Printer::ConfigMap => vec![name, (count("data") + count("binaryData")).into(), age],
        Printer::Endpoints => vec![name, endpoints::of_subsets(object).into(), age],
        Printer::EndpointSlice => {
            let kind = text(object, "/addressType").into();
            vec![
                name,
                kind,
                endpoints::slice_ports(object).into(),
                endpoints::slice_addresses(object).into(),
                age,
            ]
        }
        Printer::Event => event::cells(object, now),
        Printer::Lease => vec![name, text(object, "/spec/holderIdentity").into(), age],
        Printer::Namespace => vec![name, text(object, "/status/phase").into(), age],
        Printer::Node => node::cells(object, age),
        Printer::Pod => pod::cells(object, age, now),
        Printer::ReplicationController => {
            let number =
                |path: &str| Value::from(object.pointer(path).and_then(Value::as_i64).unwrap_or(0));
            let (names, images) = containers(&object["spec"]["template"]["spec"]);
            vec![
                name,
                number("/spec/replicas"),
                number("/status/replicas"),
                number("/status/readyReplicas"),
                age,
                names.into(),
                images.into(),
                labels(&object["spec"]["selector"]).into(),
            ]
        }
        Printer::Secret => vec![name, text(object, "/type").into(), count("data").into(), age],
        Printer::Service => service::cells(object, age),
    }
}

/// The text at a JSON pointer, "" when absent.
fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

/// `a=b,c=d`, or `<none>`.
fn labels(labels: &Value) -> String {
    let pairs: Vec<String> = labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// Names and images of the containers of a pod spec, each joined by commas.
fn containers(spec: &Value) -> (String, String) {
    let join = |field: &str| {
        let all = spec["containers"].as_array().into_iter().flatten();
        all.filter_map(|c| c[field].as_str()).collect::<Vec<_>>().join(",")
    };
    (join("name"), join("image"))
}

#[cfg(test)]
mod tests;

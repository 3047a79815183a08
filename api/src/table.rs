//! Table output: the columns and rows that kubectl prints.
//!
//! kubectl asks for `as=Table` and prints the cells as they come; labels, names and owners it takes
//! from the object inside each row. Columns are data (`table/columns.tsv`); rows are made by one
//! function per kind. The current time is passed in, for ages.
//! Source: k8s.io/kubernetes/pkg/printers/internalversion.

pub(crate) mod admissionregistration;
mod age;
pub(crate) mod apiextensions;
pub(crate) mod apiregistration;
pub(crate) mod apps;
pub(crate) mod autoscaling;
pub(crate) mod batch;
pub(crate) mod certificates;
pub(crate) mod core;
pub(crate) mod discovery;
mod endpoints;
pub(crate) mod event;
pub(crate) mod flowcontrol;
pub(crate) mod metrics;
pub(crate) mod networking;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod policy;
pub(crate) mod rbac;
pub(crate) mod resource;
pub(crate) mod scheduling;
pub(crate) mod service;
pub(crate) mod storage;
pub(crate) mod volume;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::custom::Columns;
use crate::resources::Resource;
use crate::selector::LabelSelector;

pub use age::human_duration;

/// Which columns and rows a kind has.
#[derive(Clone, Debug)]
pub struct Printer {
    /// The name of its columns in `columns.tsv`.
    columns: &'static str,
    /// The cells of an object's row, in the order of the columns.
    cells: fn(&Value, Timestamp) -> Vec<Value>,
    /// What marks a row, as kubectl dims the rows of pods that have ended.
    conditions: fn(&Value) -> Option<Value>,
    /// How the rows of a list are sorted, where it is not by name.
    order: Option<fn(&Value, &Value) -> Ordering>,
    /// The columns of a custom resource, which follow the name.
    custom: Option<Arc<Columns>>,
}

impl Printer {
    const fn new(columns: &'static str, cells: fn(&Value, Timestamp) -> Vec<Value>) -> Self {
        Self { columns, cells, conditions: |_| None, order: None, custom: None }
    }

    const fn ordered(mut self, order: fn(&Value, &Value) -> Ordering) -> Self {
        self.order = Some(order);
        self
    }

    /// The name, and the columns of a custom resource.
    pub(crate) fn custom(columns: Arc<Columns>) -> Self {
        Self { custom: Some(columns), ..NAME_AND_AGE }
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        match &self.custom {
            None => (self.cells)(object, now),
            Some(columns) => [name(object)].into_iter().chain(columns.cells(object, now)).collect(),
        }
    }

    fn definitions(&self) -> Value {
        let mut definitions = columns(self.columns);
        if let (Some(columns), Some(list)) = (&self.custom, definitions.as_array_mut()) {
            list.truncate(1);
            list.extend(columns.definitions());
        }
        definitions
    }
}

/// Name and age: what a kind without columns of its own shows.
pub(crate) const NAME_AND_AGE: Printer =
    Printer::new("NameAndAge", |object, now| vec![name(object), age(object, now)]);

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
    let mut objects = objects.to_vec();
    if let Some(order) = resource.printer.order {
        objects.sort_by(|a, b| order(a, b));
    }
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| {
            let object_part = match include {
                IncludeObject::None => Value::Null,
                IncludeObject::Metadata => partial_metadata(object),
                IncludeObject::Object => (*object).clone(),
            };
            let mut row =
                json!({"cells": resource.printer.cells(object, now), "object": object_part});
            if let Some(conditions) = (resource.printer.conditions)(object) {
                row["conditions"] = conditions;
            }
            row
        })
        .collect();
    let columns = if with_columns { resource.printer.definitions() } else { Value::Null };
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

fn columns(name: &str) -> Value {
    static COLUMNS: LazyLock<BTreeMap<&'static str, Vec<Value>>> =
        LazyLock::new(|| parse_columns(include_str!("table/columns.tsv")));
    COLUMNS.get(name).cloned().unwrap_or_default().into()
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

/// The name's cell.
fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

/// The cell with the time since the object was created.
fn age(object: &Value, now: Timestamp) -> Value {
    age::since(&object["metadata"]["creationTimestamp"], now).into()
}

/// The text's cell at a JSON pointer, "" when absent.
fn cell(object: &Value, pointer: &str) -> Value {
    text(object, pointer).into()
}

/// The number's cell at a JSON pointer, 0 when absent.
fn number(object: &Value, pointer: &str) -> Value {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0).into()
}

/// How many entries the map has.
fn count(map: &Value) -> usize {
    map.as_object().map_or(0, Map::len)
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

/// A workload's LabelSelector as text, or `<none>`.
fn selector_text(selector: &Value) -> Value {
    let found = LabelSelector::from_workload(selector).map(|found| found.to_string());
    or(found.as_deref().unwrap_or_default(), "<none>").into()
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

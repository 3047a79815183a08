//! From a definition to the rows of the table.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::scale::Scale;
use super::strategy::Custom;
use super::{Columns, Schema};
use crate::resources::{GroupResource, Resource, Scope, SelectableField, Subresource, Text, Verb};
use crate::table::{NAME_AND_AGE, Printer};

use Verb::{Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch};

/// In the order in which discovery shows them.
const ALL: &[Verb] = &[Delete, DeleteCollection, Get, List, Patch, Create, Update, Watch];
/// Those shown while the definition is being deleted. Objects can be updated still.
const ENDING: &[Verb] = &[Delete, DeleteCollection, Get, List, Watch];
const READ_WRITE: &[Verb] = &[Get, Patch, Update];

/// A row per served version of a CustomResourceDefinition, the preferred one first. A version whose
/// schema cannot be read (the API accepts none such) has no row. The names are those that have been
/// accepted.
#[must_use]
pub fn rows(definition: &Value) -> Vec<Resource> {
    let spec = &definition["spec"];
    let versions = || spec["versions"].as_array().into_iter().flatten();
    let name = |version: &Value| version["name"].as_str().unwrap_or_default().to_owned();
    let stored =
        versions().find(|version| version["storage"] == true).map(name).unwrap_or_default();
    let mut served: Vec<_> = versions().filter(|version| version["served"] == true).collect();
    served.sort_by(|a, b| by_priority(&name(a), &name(b)));
    let group = spec["group"].as_str().unwrap_or_default();
    let read = |version| Some((format!("{group}/{}", name(version)), schema(version)?));
    let schemas = Arc::new(versions().filter_map(read).collect());
    served.into_iter().filter_map(|version| row(definition, version, &stored, &schemas)).collect()
}

/// The schema of a version; without one anything goes.
fn schema(version: &Value) -> Option<Arc<Schema>> {
    let given = &version["schema"]["openAPIV3Schema"];
    let open = || Schema { kind: "object".to_owned(), preserve_unknown: true, ..Schema::default() };
    let schema = if given.is_null() { open() } else { Schema::read(given).ok()? };
    Some(Arc::new(schema))
}

fn row(
    definition: &Value,
    version: &Value,
    stored: &str,
    schemas: &Arc<BTreeMap<String, Arc<Schema>>>,
) -> Option<Resource> {
    let spec = &definition["spec"];
    let owned = |value: &Value| Text::Owned(value.as_str().unwrap_or_default().to_owned());
    let list = |value: &Value| value.as_array().into_iter().flatten().map(owned).collect();
    let names = match &definition["status"]["acceptedNames"] {
        accepted if !accepted["kind"].as_str().unwrap_or_default().is_empty() => accepted,
        _ => &spec["names"],
    };
    let (group, plural, kind) =
        (owned(&spec["group"]), owned(&names["plural"]), owned(&names["kind"]));
    let api_version = format!("{group}/{}", version["name"].as_str().unwrap_or_default());
    let deprecation = deprecation(spec, version);
    let subresources = &version["subresources"];
    let columns = Columns::read(version).map(Arc::new);
    let strategy = Custom {
        schema: schemas.get(&api_version)?.clone(),
        schemas: schemas.clone(),
        list_kind: owned(&names["listKind"]).into_owned(),
        stored_api_version: format!("{group}/{stored}"),
        api_version,
        status: subresources["status"].is_object(),
        scale: Scale::read(&subresources["scale"]),
    };
    let deleting = definition["metadata"]["deletionTimestamp"].is_string();
    Some(Resource {
        stored_as: GroupResource::new(group.clone(), plural.clone()),
        subresources: subresource_rows(&strategy, &kind),
        selectable_fields: selectable(version),
        singular: owned(&names["singular"]),
        short_names: list(&names["shortNames"]),
        categories: list(&names["categories"]),
        scope: if spec["scope"] == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
        verbs: if deleting { ENDING } else { ALL },
        version: owned(&version["name"]),
        stored_version: Text::Owned(stored.to_owned()),
        storage_version_hash: Text::Borrowed(""),
        schema_type: Text::Borrowed(""),
        deprecation: Text::Owned(deprecation),
        strategy: Arc::new(strategy),
        printer: columns.map_or(NAME_AND_AGE, Printer::custom),
        group,
        plural,
        kind,
    })
}

/// The warning of a deprecated version, which names the best of the newer ones; "" of any other.
fn deprecation(spec: &Value, version: &Value) -> String {
    if version["deprecated"] != true {
        return String::new();
    }
    if let Some(warning) = version["deprecationWarning"].as_str() {
        return warning.to_owned();
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, kind, old) =
        (text(&spec["group"]), text(&spec["names"]["kind"]), text(&version["name"]));
    let good = |version: &&Value| version["served"] == true && version["deprecated"] != true;
    let better = spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(good)
        .map(|version| text(&version["name"]))
        .filter(|name| by_priority(name, &old).is_lt())
        .min_by(|a, b| by_priority(a, b));
    let instead = better.map(|name| format!("; use {group}/{name} {kind}")).unwrap_or_default();
    format!("{group}/{old} {kind} is deprecated{instead}")
}

fn subresource_rows(strategy: &Custom, kind: &Text) -> Vec<Subresource> {
    let mut rows = Vec::new();
    if strategy.status {
        rows.push(Subresource {
            name: Text::Borrowed("status"),
            group: Text::Borrowed(""),
            version: Text::Borrowed(""),
            kind: kind.clone(),
            verbs: READ_WRITE,
        });
    }
    if strategy.scale.is_some() {
        rows.push(Subresource {
            name: Text::Borrowed("scale"),
            group: Text::Borrowed("autoscaling"),
            version: Text::Borrowed("v1"),
            kind: Text::Borrowed("Scale"),
            verbs: READ_WRITE,
        });
    }
    rows
}

fn selectable(version: &Value) -> Vec<SelectableField> {
    let paths = version["selectableFields"].as_array().into_iter().flatten();
    paths
        .filter_map(|field| field["jsonPath"].as_str()?.strip_prefix('.'))
        .map(|path| SelectableField {
            name: Text::Owned(path.to_owned()),
            paths: vec![Text::Owned(path.to_owned())],
        })
        .collect()
}

/// Kubernetes' order of versions, the preferred one first: `v2`, `v1`, `v1beta2`, `v1alpha1`, and
/// then whatever else by name.
/// Source: k8s.io/apimachinery/pkg/version.CompareKubeAwareVersionStrings.
#[must_use]
pub fn by_priority(a: &str, b: &str) -> Ordering {
    match (parts(a), parts(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Stability, major version, number within the stability.
fn parts(version: &str) -> Option<(u8, u64, u64)> {
    let text = version.strip_prefix('v')?;
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (major, rest) = text.split_at(digits(text));
    let (stability, minor) = if rest.is_empty() {
        (2, "0")
    } else if let Some(minor) = rest.strip_prefix("beta") {
        (1, minor)
    } else {
        (0, rest.strip_prefix("alpha")?)
    };
    Some((stability, major.parse().ok()?, minor.parse().ok()?))
}

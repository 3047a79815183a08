//! The one table that rules the API: a row per resource.
//!
//! Routing, discovery, authorization verbs, Table output, garbage collection and OpenAPI all read
//! it. Adding a built-in kind is a row in [`builtin`] and a strategy file; a custom resource adds a
//! row at run time, which is why rows own their strings and sit behind an `Arc`.

mod builtin;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::strategy::Strategy;
use crate::table::Printer;

/// A string that is static for built-in rows and owned for rows added at run time.
pub type Text = Cow<'static, str>;

/// A resource as `pods` or `deployments.apps`; `Display` prints that form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    /// API group, "" for the core group.
    pub group: Text,
    /// Plural name.
    pub resource: Text,
}

impl GroupResource {
    /// Names a resource of a group.
    pub fn new(group: impl Into<Text>, resource: impl Into<Text>) -> Self {
        Self { group: group.into(), resource: resource.into() }
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dotted(f, &self.resource, &self.group)
    }
}

/// A kind as `Pod` or `Deployment.apps`; `Display` prints that form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKind {
    /// API group, "" for the core group.
    pub group: Text,
    /// Kind, in CamelCase.
    pub kind: Text,
}

impl GroupKind {
    /// Names a kind of a group.
    pub fn new(group: impl Into<Text>, kind: impl Into<Text>) -> Self {
        Self { group: group.into(), kind: kind.into() }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        dotted(f, &self.kind, &self.group)
    }
}

fn dotted(f: &mut fmt::Formatter<'_>, name: &str, group: &str) -> fmt::Result {
    if group.is_empty() { f.write_str(name) } else { write!(f, "{name}.{group}") }
}

/// Whether objects live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One per cluster and name.
    Cluster,
    /// One per namespace and name.
    Namespaced,
}

/// What can be asked of a resource; also the verbs of authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// POST on the collection (or on the subresource of an object).
    Create,
    /// DELETE on an object.
    Delete,
    /// DELETE on the collection.
    DeleteCollection,
    /// GET on an object.
    Get,
    /// GET on the collection.
    List,
    /// PATCH on an object.
    Patch,
    /// PUT on an object.
    Update,
    /// GET on the collection with `watch=true`.
    Watch,
}

impl Verb {
    /// The verb as discovery and RBAC write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

/// A path below an object, such as `pods/NAME/status`.
#[derive(Clone, Debug)]
pub struct Subresource {
    /// The last part of the path.
    pub name: Text,
    /// Group of the kind it speaks, when that differs from the resource's own.
    pub group: Text,
    /// Version of the kind it speaks, "" for the resource's own.
    pub version: Text,
    /// The kind it reads and writes.
    pub kind: Text,
    /// Verbs, sorted.
    pub verbs: &'static [Verb],
}

/// A field that a field selector may name.
#[derive(Clone, Debug)]
pub struct SelectableField {
    /// The name in the selector, such as `spec.nodeName`.
    pub name: Text,
    /// JSON path of the value; first non-empty one of several wins.
    pub paths: Vec<Text>,
}

impl SelectableField {
    /// The field's value in `object`, "" when absent (as Kubernetes compares it).
    #[must_use]
    pub fn value(&self, object: &Value) -> String {
        for path in &self.paths {
            let found = path.split('.').try_fold(object, |at, part| at.get(part));
            match found {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) if text.is_empty() => {}
                Some(Value::String(text)) => return text.clone(),
                Some(other) => return other.to_string(),
            }
        }
        // Booleans are compared as "false" when absent, numbers as "0", strings as "".
        match self.name.as_ref() {
            "spec.hostNetwork" | "spec.unschedulable" => "false".to_owned(),
            "status.replicas" | "status.successful" => "0".to_owned(),
            _ => String::new(),
        }
    }
}

/// One row.
#[derive(Debug)]
pub struct Resource {
    /// API group, "" for the core group.
    pub group: Text,
    /// Version, such as `v1`.
    pub version: Text,
    /// Kind, such as `Pod`.
    pub kind: Text,
    /// Plural name as in paths, such as `pods`.
    pub plural: Text,
    /// Singular name, such as `pod`.
    pub singular: Text,
    /// Short names, such as `po`.
    pub short_names: Vec<Text>,
    /// Categories, such as `all`.
    pub categories: Vec<Text>,
    /// Cluster or namespaced.
    pub scope: Scope,
    /// Verbs, sorted.
    pub verbs: &'static [Verb],
    /// Subresources, sorted by name.
    pub subresources: Vec<Subresource>,
    /// Fields that selectors may name, besides `metadata.name` and `metadata.namespace`.
    pub selectable_fields: Vec<SelectableField>,
    /// The resource under which objects are stored: another row when two versions or groups show
    /// the same objects (`events.k8s.io/v1` events are stored as `v1` events).
    pub stored_as: GroupResource,
    /// The version in which objects are stored: another one where two versions show the same objects
    /// (`autoscaling/v1` autoscalers are stored as `autoscaling/v2`).
    pub stored_version: Text,
    /// Hash that discovery shows for the stored version, "" when nothing is stored.
    pub storage_version_hash: Text,
    /// Name of the type in [`crate::schema`], such as `core.v1.Pod`; "" when there is none.
    pub schema_type: Text,
    /// The warning that creating or updating such an object earns, "" for none.
    pub deprecation: Text,
    /// Defaulting, preparation, validation.
    pub strategy: Arc<dyn Strategy>,
    /// Columns and rows of Table output.
    pub printer: Printer,
}

impl Resource {
    /// `v1` or `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods` or `deployments.apps`, for Status messages.
    #[must_use]
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.clone(), resource: self.plural.clone() }
    }

    /// `Pod` or `Deployment.apps`, for validation messages.
    #[must_use]
    pub fn group_kind(&self) -> GroupKind {
        GroupKind { group: self.group.clone(), kind: self.kind.clone() }
    }

    /// `PodList`; a definition may give another name.
    #[must_use]
    pub fn list_kind(&self) -> String {
        let given = self.strategy.list_kind().map(str::to_owned);
        given.unwrap_or_else(|| format!("{}List", self.kind))
    }

    /// Whether objects live in a namespace.
    #[must_use]
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether the resource itself answers `verb`.
    #[must_use]
    pub fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    /// The subresource of that name.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    /// Whether objects are stored in the form of another row, and converted by the strategy's
    /// [`Strategy::to_stored`] and [`Strategy::from_stored`].
    #[must_use]
    pub fn is_view(&self) -> bool {
        self.stored_as != self.group_resource() || self.stored_version != self.version
    }

    /// Whether a CustomResourceDefinition made the row. What is stored may then be older than the
    /// schema, so it always passes [`Strategy::from_stored`].
    #[must_use]
    pub fn is_custom(&self) -> bool {
        self.schema_type.is_empty()
    }

    /// Whether objects are kept, and so can be watched: a `Binding`, for example, is only ever
    /// posted, a `ComponentStatus` computed when it is read.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.allows(Verb::Watch)
    }

    /// Whether a deletion answers with the object that is gone; others answer with a Status.
    #[must_use]
    pub fn shows_deleted(&self) -> bool {
        let shown: &[&str] = match &*self.group {
            "" => &[
                "persistentvolumeclaims",
                "persistentvolumes",
                "pods",
                "podtemplates",
                "resourcequotas",
                "serviceaccounts",
                "services",
            ],
            "resource.k8s.io" => {
                &["deviceclasses", "resourceclaims", "resourceclaimtemplates", "resourceslices"]
            }
            "storage.k8s.io" => &[
                "csidrivers",
                "csinodes",
                "storageclasses",
                "volumeattachments",
                "volumeattributesclasses",
            ],
            _ => &[],
        };
        shown.contains(&&*self.plural)
    }

    /// The value of a selectable field, or `None` when selectors may not name it.
    #[must_use]
    pub fn field_value(&self, name: &str, object: &Value) -> Option<String> {
        let metadata =
            |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        match name {
            "metadata.name" => Some(metadata("name")),
            "metadata.namespace" if self.namespaced() => Some(metadata("namespace")),
            _ => self.selectable_fields.iter().find(|f| f.name == name).map(|f| f.value(object)),
        }
    }

    /// Whether a field selector may name `field`.
    #[must_use]
    pub fn is_selectable(&self, field: &str) -> bool {
        field == "metadata.name"
            || (field == "metadata.namespace" && self.namespaced())
            || self.selectable_fields.iter().any(|selectable| selectable.name == field)
    }
}

/// All built-in rows, in discovery order (core group first, then groups by Kubernetes' priority;
/// resources by name).
pub fn table() -> &'static [Arc<Resource>] {
    static TABLE: LazyLock<Vec<Arc<Resource>>> = LazyLock::new(builtin::rows);
    &TABLE
}

/// The built-in row served at `/apis/GROUP/VERSION/PLURAL`.
#[must_use]
pub fn by_path(group: &str, version: &str, plural: &str) -> Option<&'static Arc<Resource>> {
    table().iter().find(|row| row.group == group && row.version == version && row.plural == plural)
}

/// The built-in row of a kind; `api_version` as in objects (`v1`, `apps/v1`).
#[must_use]
pub fn by_kind(api_version: &str, kind: &str) -> Option<&'static Arc<Resource>> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    table().iter().find(|row| row.group == group && row.version == version && row.kind == kind)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_are_unique_sorted_and_complete() {
        let mut seen = BTreeSet::new();
        let mut names = BTreeSet::new();
        for row in table() {
            assert!(
                seen.insert((row.api_version(), row.plural.clone())),
                "{} is there twice",
                row.plural
            );
            assert!(row.verbs.is_sorted() && !row.verbs.is_empty(), "{}: verbs", row.plural);
            assert!(
                row.subresources.iter().map(|sub| &sub.name).is_sorted(),
                "{}: subresources",
                row.plural
            );
            assert!(
                row.subresources.iter().all(|sub| sub.verbs.is_sorted()),
                "{}: verbs",
                row.plural
            );
            assert_eq!(
                row.is_stored(),
                !row.storage_version_hash.is_empty(),
                "{}: hash",
                row.plural
            );
            let found = by_path(&row.group, &row.version, &row.plural).expect("by path");
            assert!(Arc::ptr_eq(found, by_kind(&row.api_version(), &row.kind).expect("by kind")));
            // kubectl resolves short names without a group.
            for name in &row.short_names {
                assert!(names.insert(name.clone()) || row.is_view(), "{name} is taken");
            }
        }
        assert!(by_path("", "v1", "nope").is_none() && by_kind("v2", "Pod").is_none());
    }
}

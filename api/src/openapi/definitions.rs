//! Which definitions a document needs, and their schemas.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::form::Form;
use super::{Source, custom, definition, schema};
use crate::resources::{Resource, Verb};
use crate::schema::base_name;
use crate::schema::descriptions::{API_VERSION, Descriptions, KIND, LIST_METADATA};

/// What requests and answers of every group speak of.
const COMMON: [&str; 5] = [
    "meta.v1.APIResourceList",
    "meta.v1.DeleteOptions",
    "meta.v1.ListMeta",
    "meta.v1.Patch",
    "meta.v1.Status",
];

/// A group, version and kind.
type Kind<'a> = (&'a str, &'a str, String);

/// The definitions of a document, by name.
pub(super) struct Definitions<'a> {
    source: Source<'a>,
    descriptions: Arc<Descriptions>,
    entries: BTreeMap<String, Entry<'a>>,
    kinds: BTreeMap<String, BTreeSet<Kind<'a>>>,
}

enum Entry<'a> {
    /// A built-in type.
    Type(&'static str),
    /// A list of what that definition describes.
    List(String),
    /// A custom resource.
    Custom(&'a Resource),
}

impl<'a> Definitions<'a> {
    /// All that these rows name, directly and through others.
    pub(super) fn of(source: Source<'a>, rows: &[&'a Resource]) -> Definitions<'a> {
        let mut all = Definitions {
            source,
            descriptions: Descriptions::shared(),
            entries: BTreeMap::new(),
            kinds: BTreeMap::new(),
        };
        for name in COMMON {
            all.add_type(name);
        }
        all.add_type("meta.v1.ObjectMeta");
        all.add_kind(definition::of_type("meta.v1.APIResourceList"), ("", "v1", "APIResourceList"));
        all.add_kind(definition::of_type("meta.v1.DeleteOptions"), ("", "v1", "DeleteOptions"));
        all.add_kind(definition::of_type("meta.v1.Status"), ("", "v1", "Status"));
        for row in rows {
            all.add_row(row);
        }
        all
    }

    fn add_row(&mut self, row: &'a Resource) {
        let (group, version) = (&*row.group, &*row.version);
        let name = definition::of_row(row);
        match definition::type_of((group, version, &row.kind)) {
            Some(built_in) if !row.schema_type.is_empty() => self.add_type(built_in),
            _ => {
                self.entries.insert(name.clone(), Entry::Custom(row));
            }
        }
        if row.allows(Verb::List) {
            let list = format!("{name}List");
            self.add_kind(list.clone(), (group, version, &row.list_kind()));
            self.entries.insert(list, Entry::List(name.clone()));
        }
        self.add_kind(name, (group, version, &row.kind));
        let options = definition::of_type("meta.v1.DeleteOptions");
        self.add_kind(options, (group, version, "DeleteOptions"));
        for sub in &row.subresources {
            let kind = definition::kind_of(row, sub);
            if let Some(name) = definition::type_of(kind) {
                self.add_type(name);
                self.add_kind(definition::of_type(name), kind);
            }
        }
    }

    fn add_kind(&mut self, definition: String, (group, version, kind): (&'a str, &'a str, &str)) {
        self.kinds.entry(definition).or_default().insert((group, version, kind.to_owned()));
    }

    /// Adds a type and all that its fields name.
    fn add_type(&mut self, name: &'static str) {
        let mut wanted = vec![name];
        while let Some(name) = wanted.pop() {
            if self.entries.insert(definition::of_type(name), Entry::Type(name)).is_none() {
                wanted.extend(schema::named_by(name));
            }
        }
    }

    /// The definitions in the order of their names; one is made at a time.
    pub(super) fn shown(&self, form: Form) -> impl DoubleEndedIterator<Item = (String, Value)> {
        self.entries.iter().map(move |(name, entry)| (name.clone(), self.show(name, entry, form)))
    }

    fn show(&self, name: &str, entry: &Entry<'a>, form: Form) -> Value {
        let mut shown = match entry {
            Entry::Type(name) => schema::of_type(name, form, &self.descriptions),
            Entry::List(item) => list_of(item, form),
            Entry::Custom(row) => custom::of_kind((self.source.custom)(row), form),
        };
        if let Some(kinds) = self.kinds.get(name) {
            let kinds = kinds.iter().map(
                |(group, version, kind)| json!({"group": group, "version": version, "kind": kind}),
            );
            shown["x-kubernetes-group-version-kind"] = kinds.collect();
        }
        if let Entry::Custom(row) = entry
            && !row.selectable_fields.is_empty()
        {
            let fields = row.selectable_fields.iter();
            shown["x-kubernetes-selectable-fields"] =
                fields.map(|field| json!({"fieldPath": field.name})).collect();
        }
        shown
    }
}

fn list_of(item: &str, form: Form) -> Value {
    json!({
        "type": "object",
        "description": format!("A list of objects of kind {}.", base_name(item)),
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": API_VERSION},
            "items": {
                "type": "array", "items": form.reference(item), "description": "The objects.",
            },
            "kind": {"type": "string", "description": KIND},
            "metadata": form.described(
                form.reference(&definition::of_type("meta.v1.ListMeta")),
                LIST_METADATA,
            ),
        },
    })
}

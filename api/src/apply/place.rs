//! What the schema says about the value at some place of an object: how it merges, and what may
//! be there.
//!
//! The rules of built-in kinds come from [`crate::schema`], those of custom resources from their
//! definitions ([`custom`]). Where neither says anything, values merge by what they look like: maps
//! field by field, everything else as a whole.
//! All walks of this module (compare, merge, remove, check) go by [`Place::form`], so a source of
//! rules is a variant here and nothing elsewhere.

mod custom;

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::element::Element;
use crate::custom::Schema;
use crate::resources::Resource;
use crate::schema::{self, Field, ListType, Shape, Type};

pub(super) use custom::Custom;

/// The type of `metadata` in every object.
const METADATA: &str = "meta.v1.ObjectMeta";

/// In the schema's protobuf column: the field is held by a pointer, so it may be missing.
const POINTER: char = '*';

/// A place in an object.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'s> {
    /// An object of a kind without a schema: its metadata is known, the rest is not.
    Bare,
    /// A field of a built-in type, which may say how it merges.
    Field(&'s Field),
    /// An item of a list, a value of a map, or a whole object of a built-in type.
    Value(&'s Shape),
    /// A place in a custom resource.
    Custom(Custom<'s>),
    /// Below a place about which nothing is known.
    Unknown,
}

/// How the value at a place merges.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form<'s> {
    /// As a whole: scalars, atomic lists and maps.
    Whole,
    /// Field by field.
    Fields(Fields<'s>),
    /// A list whose items are identified by these keys.
    Keyed(Keys<'s>, Place<'s>),
    /// A list of scalars that are there or not.
    Set(Place<'s>),
}

/// The fields that there can be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fields<'s> {
    /// Those of a type.
    Struct(&'s Type),
    /// Any, all of them alike.
    Map(Place<'s>),
    /// Those of an object without a schema.
    Bare,
    /// Those of an object in a custom resource.
    Custom(Custom<'s>),
}

/// The names of the fields that identify an item of a list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keys<'s> {
    /// Of a built-in type.
    Known(&'s [&'static str]),
    /// Of a custom resource.
    Defined(&'s [String]),
}

impl<'s> Keys<'s> {
    /// The names, in the order in which the schema has them.
    pub(super) fn names(self) -> impl Iterator<Item = &'s str> {
        let (known, defined) = match self {
            Keys::Known(names) => (names, &[][..]),
            Keys::Defined(names) => (&[][..], names),
        };
        known.iter().copied().chain(defined.iter().map(String::as_str))
    }
}

impl<'s> Place<'s> {
    /// A whole object of a resource.
    pub(super) fn of(resource: &'s Resource) -> Place<'s> {
        match resource.strategy.schema_of(&resource.api_version()) {
            Some(schema) => Place::root(schema),
            None => Place::of_type(&resource.schema_type),
        }
    }

    /// A whole custom resource.
    pub(super) fn root(schema: &'s Schema) -> Place<'s> {
        Place::Custom(Custom::root(schema))
    }

    /// A whole object of a built-in type; [`Place::Bare`] for a name that no type has.
    pub(super) fn of_type(name: &str) -> Place<'static> {
        static ROOTS: LazyLock<Vec<(&'static str, Shape)>> = LazyLock::new(|| {
            schema::types().keys().map(|name| (*name, Shape::Object(name))).collect()
        });
        let found = ROOTS.binary_search_by(|(known, _)| (*known).cmp(name));
        found.map_or(Place::Bare, |at| Place::Value(&ROOTS[at].1))
    }

    fn shape(self) -> Option<&'s Shape> {
        match self {
            Place::Field(field) => Some(&field.shape),
            Place::Value(shape) => Some(shape),
            Place::Bare | Place::Unknown | Place::Custom(_) => None,
        }
    }

    /// Whether values of any type may be here.
    pub(super) fn is_untyped(self) -> bool {
        match self {
            Place::Unknown => true,
            Place::Custom(custom) => custom.is_untyped(),
            Place::Bare | Place::Field(_) | Place::Value(_) => false,
        }
    }

    /// How `value` merges here. (The value matters only where nothing is known.)
    pub(super) fn form(self, value: &Value) -> Form<'s> {
        let field = match self {
            Place::Bare => return Form::Fields(Fields::Bare),
            Place::Unknown if value.is_object() => {
                return Form::Fields(Fields::Map(Place::Unknown));
            }
            Place::Unknown => return Form::Whole,
            Place::Custom(custom) => return custom.form(value),
            Place::Field(field) => Some(field),
            Place::Value(_) => None,
        };
        let atomic = field.is_some_and(|field| field.atomic);
        match self.shape() {
            Some(Shape::Object(name)) if !atomic => match schema::type_named(name) {
                Some(of) if !of.atomic => Form::Fields(Fields::Struct(of)),
                _ => Form::Whole,
            },
            Some(Shape::Map(inner)) if !atomic => Form::Fields(Fields::Map(Place::Value(inner))),
            Some(Shape::List(item)) => match field.and_then(|field| field.list_type.as_ref()) {
                Some(ListType::Map(keys)) => Form::Keyed(Keys::Known(keys), Place::Value(item)),
                Some(ListType::Set) => Form::Set(Place::Value(item)),
                Some(ListType::Atomic) | None => Form::Whole,
            },
            _ => Form::Whole,
        }
    }

    /// What may be here, whether it merges or not; `None` where nothing is known.
    pub(super) fn content(self) -> Option<Content<'s>> {
        if let Place::Custom(custom) = self {
            return custom.content();
        }
        Some(match self.shape()? {
            Shape::Object(name) => Content::Fields(Fields::Struct(schema::type_named(name)?)),
            Shape::Map(inner) => Content::Fields(Fields::Map(Place::Value(inner))),
            Shape::List(item) => Content::Items(Place::Value(item)),
            Shape::String | Shape::Bytes => Content::Text,
            Shape::Int32 | Shape::Int64 | Shape::Float64 => Content::Number,
            Shape::Bool => Content::Bool,
            Shape::Time | Shape::MicroTime | Shape::Quantity | Shape::IntOrString => {
                Content::Scalar
            }
            Shape::Any => return None,
        })
    }

    /// The place of a member of a set or an item of a keyed list below this place, going by the
    /// path alone.
    pub(super) fn below(self, element: &Element) -> Option<Place<'s>> {
        // Whether a place where nothing is known holds a map can be told from the element.
        let like = match element {
            Element::Field(_) => Value::Object(Map::new()),
            _ => Value::Array(Vec::new()),
        };
        match (self.form(&like), element) {
            (Form::Fields(fields), Element::Field(name)) => fields.place(name),
            (Form::Keyed(_, item), Element::Key(_)) | (Form::Set(item), Element::Value(_)) => {
                Some(item)
            }
            _ => None,
        }
    }
}

/// What may be at a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'s> {
    Fields(Fields<'s>),
    Items(Place<'s>),
    Text,
    Number,
    Bool,
    /// Any scalar.
    Scalar,
}

impl<'s> Fields<'s> {
    /// The place of a field; `None` if there can be none of that name.
    pub(super) fn place(self, name: &str) -> Option<Place<'s>> {
        match self {
            Fields::Struct(of) => of.fields.get(name).map(Place::Field),
            Fields::Map(value) => Some(value),
            Fields::Bare if name == "metadata" => Some(Place::of_type(METADATA)),
            Fields::Bare => Some(Place::Unknown),
            Fields::Custom(custom) => custom.field(name),
        }
    }

    /// Whether the schema names the field (a key of a map it does not).
    pub(super) fn declares(self, name: &str) -> bool {
        match self {
            Fields::Struct(of) => of.fields.contains_key(name),
            Fields::Map(_) => false,
            Fields::Bare => matches!(name, "apiVersion" | "kind" | "metadata"),
            Fields::Custom(custom) => custom.declares(name),
        }
    }

    /// What Kubernetes holds in a field that is not written down; `None`: nothing.
    ///
    /// A struct within a struct is there even when nothing is in it, and so is what is always
    /// written. Other fields that are no pointers may be written or not while they are empty:
    /// where `other`, a second value of the field, is the empty one, it is no different from what
    /// is not written.
    pub(super) fn implied(self, name: &str, other: Option<&Value>) -> Option<&'static Value> {
        match self {
            Fields::Struct(of) => {
                let field = of.fields.get(name)?;
                let empty = zero(&field.shape);
                let held = !field.number.contains(POINTER)
                    && (matches!(field.shape, Shape::Object(_)) || other == Some(empty));
                (field.always || held).then_some(empty)
            }
            Fields::Bare if name == "metadata" => Some(zero(&Shape::Object(METADATA))),
            Fields::Custom(custom) if custom.is_root() && name == "metadata" => {
                Some(zero(&Shape::Object(METADATA)))
            }
            Fields::Map(_) | Fields::Bare | Fields::Custom(_) => None,
        }
    }
}

/// The empty value of a shape, as a Go struct holds it.
fn zero(shape: &Shape) -> &'static Value {
    static ZEROS: LazyLock<[Value; 5]> = LazyLock::new(|| {
        [Value::Null, Value::Object(Map::new()), "".into(), 0.into(), false.into()]
    });
    let [null, object, text, number, no] = &*ZEROS;
    match shape {
        Shape::Object(_) => object,
        Shape::String => text,
        Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString => number,
        Shape::Bool => no,
        _ => null,
    }
}

/// The element that identifies an item of a keyed list. A key that the item leaves out has its
/// default or what Kubernetes holds in its place.
///
/// # Errors
/// With `strict`, which key has neither.
pub(super) fn key_of(
    keys: Keys<'_>,
    item_place: Place<'_>,
    item: &Value,
    strict: bool,
) -> Result<Element, String> {
    let mut found = Vec::new();
    for name in keys.names() {
        let given = item.get(name).filter(|value| !value.is_null());
        let value = match given {
            Some(value) => Some(value.clone()),
            None => absent_key(item_place, name, strict)?,
        };
        found.extend(value.map(|value| (name.into(), value)));
    }
    found.sort_by(|(a, _): &(Box<str>, Value), (b, _)| a.cmp(b));
    Ok(Element::Key(found))
}

/// What a key that an item leaves out is taken for; nothing for one that is no part of the identity
/// then.
fn absent_key(item: Place<'_>, name: &str, strict: bool) -> Result<Option<Value>, String> {
    let missing = || {
        Err(format!(
            "associative list with keys has an element that omits key field {name:?} \
             (and doesn't have default value)"
        ))
    };
    if let Place::Custom(custom) = item {
        return match custom.default_of(name) {
            None if strict => missing(),
            default => Ok(default.cloned()),
        };
    }
    if let Some(default) = key_default(name) {
        return Ok(Some(default.into()));
    }
    let Some(Content::Fields(fields)) = item.content() else { return Ok(None) };
    match fields.implied(name, None) {
        Some(_) if strict => missing(),
        // A key that is optional is left out of the identity.
        implied => Ok(implied.cloned()),
    }
}

/// The default that the published schema gives a key: only the protocol of ports has one.
fn key_default(name: &str) -> Option<&'static str> {
    (name == "protocol").then_some("TCP")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at<'s>(root: Place<'s>, path: &[&str]) -> Place<'s> {
        path.iter().fold(root, |place, name| match *name {
            "*" => match place.form(&json!([])) {
                Form::Keyed(_, item) | Form::Set(item) => item,
                form => panic!("{name}: {form:?}"),
            },
            name => place.below(&Element::field(name)).unwrap_or_else(|| panic!("no {name}")),
        })
    }

    #[test]
    fn the_schema_says_how_values_merge() {
        let pod = Place::of_type("core.v1.Pod");
        let cases: &[(&[&str], &str)] = &[
            (&["metadata"], "fields"),
            (&["metadata", "labels"], "fields"),
            (&["metadata", "finalizers"], "set"),
            (&["metadata", "ownerReferences"], "keyed uid"),
            (&["spec", "nodeSelector"], "whole"),
            (&["spec", "nodeName"], "whole"),
            (&["spec", "containers"], "keyed name"),
            (&["spec", "containers", "*", "command"], "whole"),
            (&["spec", "containers", "*", "ports"], "keyed containerPort,protocol"),
            (&["spec", "containers", "*", "resources", "limits"], "fields"),
            (&["spec", "containers", "*", "resources", "limits", "cpu"], "whole"),
        ];
        for (path, want) in cases {
            let got = match at(pod, path).form(&Value::Null) {
                Form::Whole => "whole".to_owned(),
                Form::Fields(_) => "fields".to_owned(),
                Form::Set(_) => "set".to_owned(),
                Form::Keyed(keys, _) => {
                    format!("keyed {}", keys.names().collect::<Vec<_>>().join(","))
                }
            };
            assert_eq!(got, *want, "{path:?}");
        }
        let deployment = Place::of_type("apps.v1.Deployment");
        assert!(matches!(at(deployment, &["spec", "selector"]).form(&Value::Null), Form::Whole));
    }

    #[test]
    fn without_a_schema_the_value_says() {
        let spec = Place::Bare.below(&Element::field("spec")).expect("anything goes");
        assert!(matches!(spec.form(&json!({})), Form::Fields(Fields::Map(_))));
        assert!(matches!(spec.form(&json!([])), Form::Whole));
        let labels = at(Place::Bare, &["metadata", "labels"]);
        assert!(matches!(labels.form(&Value::Null), Form::Fields(Fields::Map(Place::Value(_)))));
    }

    #[test]
    fn keys_identify_items() {
        let ports = at(Place::of_type("core.v1.Pod"), &["spec", "containers", "*", "ports"]);
        let Form::Keyed(keys, item) = ports.form(&Value::Null) else { panic!("keyed") };
        let key = |item_value: Value, strict| {
            key_of(keys, item, &item_value, strict).map(|element| element.key())
        };
        let want = "k:{\"containerPort\":80,\"protocol\":\"TCP\"}";
        assert_eq!(key(json!({"containerPort": 80}), true).as_deref(), Ok(want));
        let error = key(json!({"protocol": "UDP"}), true).expect_err("no port");
        assert!(error.contains("omits key field \"containerPort\""), "{error}");
        assert!(key(json!({"protocol": "UDP"}), false).is_ok());
    }
}

//! The schema as messages: fields sorted by number, types resolved.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::PARTIAL_OBJECT_METADATA;
use crate::schema::{self, Shape};

/// The type whose three unions with other JSON types are written as messages of their own.
const JSON_SCHEMA: &str = "apiextensions.v1.JSONSchemaProps";

/// A message, by its place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(usize);

/// The fields of one message, by number.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) fields: Vec<Field>,
}

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// A member of the JSON object.
    Member(Member),
    /// A message whose fields are members of the same JSON object.
    Embedded(Message),
}

#[derive(Debug)]
pub(super) struct Member {
    /// The name in JSON.
    pub(super) name: &'static str,
    /// Absent and zero differ.
    pub(super) pointer: bool,
    /// Shown in JSON even when zero.
    pub(super) always: bool,
    pub(super) count: Count,
    pub(super) kind: Kind,
}

/// How many values a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    One,
    List,
    /// By string keys.
    Map,
}

/// The form of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    String,
    Bool,
    Int32,
    Int64,
    Float64,
    Bytes,
    /// Seconds and nanoseconds since 1970; the latter are 0.
    Time,
    /// As `Time`, with microseconds.
    MicroTime,
    /// A message with the text.
    Quantity,
    /// A message with a discriminator, a number and a text.
    IntOrString,
    /// A message with a number of nanoseconds.
    Duration,
    /// A message with JSON text.
    Json,
    /// A message with a list of strings.
    Strings,
    /// A message without fields.
    Empty,
    /// A message with a schema or a list of schemas.
    Schemas(Id),
    /// A message with a boolean and perhaps a schema.
    SchemaOrBool(Id),
    /// A message with a schema or a list of strings.
    SchemaOrStrings(Id),
    /// A message of the table.
    Message(Id),
}

struct Layout {
    messages: Vec<Message>,
    by_name: BTreeMap<&'static str, Id>,
}

static LAYOUT: LazyLock<Layout> = LazyLock::new(compile);

/// The message of a schema type; `None` for types that protobuf does not know.
pub(super) fn of(type_name: &str) -> Option<&'static Message> {
    LAYOUT.by_name.get(type_name).map(|id| message(*id))
}

/// The message with that place.
pub(super) fn message(id: Id) -> &'static Message {
    &LAYOUT.messages[id.0]
}

fn compile() -> Layout {
    let names = schema::types().keys().copied().chain([PARTIAL_OBJECT_METADATA]);
    let by_name: BTreeMap<_, _> = names.enumerate().map(|(n, name)| (name, Id(n))).collect();
    let mut messages: Vec<Message> =
        schema::types().values().map(|of| message_of(of, &by_name)).collect();
    let metadata = kind_of(&Shape::Object("meta.v1.ObjectMeta"), "", &by_name);
    let member = Member {
        name: "metadata",
        pointer: false,
        always: true,
        count: Count::One,
        kind: metadata,
    };
    messages.push(Message { fields: vec![Field { number: 1, what: What::Member(member) }] });
    Layout { messages, by_name }
}

fn message_of(of: &schema::Type, by_name: &BTreeMap<&'static str, Id>) -> Message {
    let mut message = Message::default();
    for (name, field) in &of.fields {
        let (number, form) = field.number.split_once(':').unwrap_or((field.number, ""));
        let (path, pointer) = number.strip_suffix('*').map_or((number, false), |path| (path, true));
        let (count, shape) = match &field.shape {
            Shape::List(item) => (Count::List, &**item),
            Shape::Map(value) => (Count::Map, &**value),
            one => (Count::One, one),
        };
        let kind = kind_of(shape, form, by_name);
        let member = Member { name, pointer, always: field.always, count, kind };
        place(&mut message, path, member);
    }
    message
}

/// Puts a member where its path leads, making the embedded messages on the way.
fn place(message: &mut Message, path: &str, member: Member) {
    let (head, tail) = path.split_once('.').map_or((path, None), |(head, tail)| (head, Some(tail)));
    // "-": in JSON only.
    let Ok(number) = head.parse() else { return };
    let at = message.fields.binary_search_by_key(&number, |field| field.number);
    match (tail, at) {
        (None, Err(at)) => {
            message.fields.insert(at, Field { number, what: What::Member(member) });
        }
        (Some(tail), Ok(at)) => {
            if let What::Embedded(inner) = &mut message.fields[at].what {
                place(inner, tail, member);
            }
        }
        (Some(tail), Err(at)) => {
            let mut inner = Message::default();
            place(&mut inner, tail, member);
            message.fields.insert(at, Field { number, what: What::Embedded(inner) });
        }
        // Two fields with one number; a test says that there are none.
        (None, Ok(_)) => {}
    }
}

fn kind_of(shape: &Shape, form: &str, by_name: &BTreeMap<&'static str, Id>) -> Kind {
    let id = |name: &str| by_name.get(name).copied().unwrap_or(Id(0));
    match (shape, form) {
        (Shape::Any, "schemas") => Kind::Schemas(id(JSON_SCHEMA)),
        (Shape::Any, "bool") => Kind::SchemaOrBool(id(JSON_SCHEMA)),
        (Shape::Any, "strings") => Kind::SchemaOrStrings(id(JSON_SCHEMA)),
        (Shape::Any, "empty") => Kind::Empty,
        (Shape::Object(name), _) => Kind::Message(id(name)),
        // Lists within lists and maps: the only such type is a named list of strings.
        (Shape::List(_) | Shape::Map(_), _) => Kind::Strings,
        (Shape::Any, _) => Kind::Json,
        (Shape::String, "duration") => Kind::Duration,
        (Shape::String, _) => Kind::String,
        (Shape::Bool, _) => Kind::Bool,
        (Shape::Int32, _) => Kind::Int32,
        (Shape::Int64, _) => Kind::Int64,
        (Shape::Float64, _) => Kind::Float64,
        (Shape::Bytes, _) => Kind::Bytes,
        (Shape::Time, _) => Kind::Time,
        (Shape::MicroTime, _) => Kind::MicroTime,
        (Shape::Quantity, _) => Kind::Quantity,
        (Shape::IntOrString, _) => Kind::IntOrString,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(message: &Message) -> Vec<&Member> {
        let of = |field| match field {
            &Field { what: What::Member(ref member), .. } => vec![member],
            Field { what: What::Embedded(inner), .. } => members(inner),
        };
        message.fields.iter().flat_map(of).collect()
    }

    #[test]
    fn every_field_has_its_place() {
        for (name, of) in schema::types() {
            let members = members(super::of(name).expect(name));
            for (field, rule) in &of.fields {
                let of_kind = matches!(*field, "apiVersion" | "kind");
                let found = members.iter().any(|member| member.name == *field);
                assert_eq!(found, rule.number != "-", "{name}.{field} has the number of another");
                assert!(found || of_kind, "{name}.{field} has no number");
                let nested = match &rule.shape {
                    Shape::List(item) => matches!(**item, Shape::List(_) | Shape::Map(_)),
                    Shape::Map(value) => match &**value {
                        Shape::List(item) => **item != Shape::String,
                        value => matches!(value, Shape::Map(_)),
                    },
                    _ => false,
                };
                assert!(!nested, "{name}.{field} nests lists or maps in a way nobody knows");
            }
        }
    }

    #[test]
    fn embedded_fields_are_below_their_message() {
        let volume = of("core.v1.Volume").expect("volumes are known");
        let [name, source] = &volume.fields[..] else { panic!("{volume:?}") };
        assert!(matches!(&name.what, What::Member(Member { name: "name", pointer: false, .. })));
        let What::Embedded(source) = &source.what else { panic!("{source:?}") };
        let second = &source.fields[1];
        assert!(second.number == 2, "{second:?}");
        assert!(matches!(
            &second.what,
            What::Member(Member { name: "emptyDir", pointer: true, .. })
        ));
    }
}

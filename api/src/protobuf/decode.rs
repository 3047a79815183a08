//! From a message to a JSON object.
//!
//! Fields that the schema does not know are passed over, as in any protobuf reader. What comes out
//! has the JSON types of the schema, but quantities and times are as the client wrote them:
//! [`crate::decode`] checks and canonicalizes objects of either origin.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::layout::{self, Count, Field, Id, Kind, Member, Message, What};
use super::wire::{FIXED64, LENGTH, Reader, VARINT};
use super::{DEPTH, Error};
use crate::{duration, meta};

/// The JSON object that a message without envelope holds, without `apiVersion` and `kind`.
///
/// # Errors
/// [`Error`] for data that is no such message.
pub fn decode(type_name: &str, bytes: &[u8]) -> Result<Value, Error> {
    let message = layout::of(type_name).ok_or_else(|| Error::NoForm(type_name.to_owned()))?;
    let mut object = Map::new();
    read_message(message, bytes, 1, &mut object)?;
    Ok(Value::Object(object))
}

/// Reads fields into `object`, which lies `depth` levels deep.
fn read_message(
    message: &Message,
    bytes: &[u8],
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), Error> {
    if depth > DEPTH {
        return Err(Error::TooDeep);
    }
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag()? {
        let found = message.fields.binary_search_by_key(&number, |field| field.number);
        match found.ok().and_then(|at| message.fields.get(at)) {
            None => reader.skip(wire)?,
            Some(Field { what: What::Embedded(inner), .. }) if wire == LENGTH => {
                read_message(inner, reader.bytes()?, depth, object)?;
            }
            Some(Field { what: What::Embedded(_), number }) => {
                return Err(Error::Tag { number: *number, wire });
            }
            Some(Field { what: What::Member(member), .. }) => {
                read_member(member, wire, &mut reader, depth, object)?;
            }
        }
    }
    Ok(())
}

fn read_member(
    member: &Member,
    wire: u8,
    reader: &mut Reader<'_>,
    depth: usize,
    object: &mut Map<String, Value>,
) -> Result<(), Error> {
    let at = At { field: member.name, depth: depth + 1 };
    match member.count {
        Count::One => {
            // A message that comes in parts is one message.
            let earlier = object.remove(member.name);
            let value = read_value(member.kind, wire, reader, &at, earlier)?;
            let droppable = !member.pointer && !member.always;
            if !(value.is_null() || droppable && is_zero(member.kind, &value)) {
                object.insert(member.name.to_owned(), value);
            }
        }
        Count::List => {
            let Value::Array(list) = slot(object, member.name, Value::Array(Vec::new())) else {
                return Ok(());
            };
            let at = At { depth: depth + 2, ..at };
            let scalar = matches!(member.kind, Kind::Bool | Kind::Int32 | Kind::Int64);
            if scalar && wire == LENGTH {
                // Packed: one length, then number after number.
                let mut packed = Reader::new(reader.bytes()?);
                while !packed.is_empty() {
                    list.push(read_value(member.kind, VARINT, &mut packed, &at, None)?);
                }
            } else {
                list.push(read_value(member.kind, wire, reader, &at, None)?);
            }
        }
        Count::Map => {
            let Value::Object(map) = slot(object, member.name, Value::Object(Map::new())) else {
                return Ok(());
            };
            let at = At { depth: depth + 2, ..at };
            let (key, value) = read_entry(member.kind, at.message(wire, reader)?, &at)?;
            map.insert(key, value);
        }
    }
    Ok(())
}

/// The member of that name, made if it is not there.
fn slot<'a>(object: &'a mut Map<String, Value>, name: &str, empty: Value) -> &'a mut Value {
    match object.entry(name) {
        Entry::Vacant(vacant) => vacant.insert(empty),
        Entry::Occupied(occupied) => occupied.into_mut(),
    }
}

/// Key and value of a map.
fn read_entry(kind: Kind, bytes: &[u8], at: &At) -> Result<(String, Value), Error> {
    let (mut key, mut value) = (String::new(), None);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => key = at.text(at.message(wire, &mut reader)?)?,
            2 => value = Some(read_value(kind, wire, &mut reader, at, None)?),
            _ => reader.skip(wire)?,
        }
    }
    let value = match (value, kind) {
        (Some(value), _) => value,
        (None, Kind::Bool) => false.into(),
        (None, Kind::Int32 | Kind::Int64 | Kind::Float64) => 0.into(),
        (None, _) => read_value(kind, LENGTH, &mut Reader::new(&[0]), at, None)?,
    };
    Ok((key, value))
}

/// Where a value is being read.
struct At {
    field: &'static str,
    /// The level at which the value lies.
    depth: usize,
}

impl At {
    fn wrong(&self, wire: u8) -> Error {
        Error::WireType { field: self.field, wire }
    }

    /// The bytes of a field that has a length.
    fn message<'a>(&self, wire: u8, reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
        if wire == LENGTH { reader.bytes() } else { Err(self.wrong(wire)) }
    }

    fn number(&self, wire: u8, reader: &mut Reader<'_>) -> Result<i64, Error> {
        if wire == VARINT { Ok(reader.varint()?.cast_signed()) } else { Err(self.wrong(wire)) }
    }

    fn text(&self, bytes: &[u8]) -> Result<String, Error> {
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Utf8 { field: self.field })?;
        Ok(text.to_owned())
    }
}

/// One value. `Null` stands for a value that JSON does not show, such as the zero time.
fn read_value(
    kind: Kind,
    wire: u8,
    reader: &mut Reader<'_>,
    at: &At,
    earlier: Option<Value>,
) -> Result<Value, Error> {
    Ok(match kind {
        Kind::Bool => (at.number(wire, reader)? != 0).into(),
        // Wider numbers lose their upper half, as in every protobuf reader.
        Kind::Int32 => (at.number(wire, reader)? as i32).into(),
        Kind::Int64 => at.number(wire, reader)?.into(),
        Kind::Float64 if wire == FIXED64 => {
            number_of(f64::from_bits(reader.fixed64()?)).ok_or(Error::Range { field: at.field })?
        }
        _ => {
            let bytes = at.message(wire, reader)?;
            read_bytes(kind, bytes, at, earlier)?
        }
    })
}

/// A number as JSON is written by Go: without a fraction if it is whole.
fn number_of(value: f64) -> Option<Value> {
    // Beyond 2^53 not every whole number is one of 64 bits.
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Some((value as i64).into());
    }
    serde_json::Number::from_f64(value).map(Value::Number)
}

/// One value of a kind that is written with its length.
fn read_bytes(kind: Kind, bytes: &[u8], at: &At, earlier: Option<Value>) -> Result<Value, Error> {
    match kind {
        Kind::String => Ok(at.text(bytes)?.into()),
        Kind::Bytes => Ok(STANDARD.encode(bytes).into()),
        Kind::Time => read_time(bytes, at, meta::time),
        Kind::MicroTime => read_time(bytes, at, meta::micro_time),
        Kind::Message(id) => {
            let mut object = match earlier {
                Some(Value::Object(object)) => object,
                _ => Map::new(),
            };
            read_message(layout::message(id), bytes, at.depth, &mut object)?;
            Ok(Value::Object(object))
        }
        Kind::Empty => Ok(Value::Object(Map::new())),
        _ => read_union(kind, bytes, at),
    }
}

/// A message that is something else in JSON: its fields by number, and what they make.
fn read_union(kind: Kind, bytes: &[u8], at: &At) -> Result<Value, Error> {
    let schema = |id: Id, bytes: &[u8], depth: usize| {
        read_bytes(Kind::Message(id), bytes, &At { field: at.field, depth }, None)
    };
    let (mut first, mut number, mut list) = (None, 0, Vec::new());
    let mut reader = Reader::new(bytes);
    while let Some((field, wire)) = reader.tag()? {
        match (kind, field) {
            (Kind::Quantity, 1) | (Kind::IntOrString, 3) => {
                first = Some(at.text(at.message(wire, &mut reader)?)?.into());
            }
            (Kind::Json, 1) => first = Some(read_json(at.message(wire, &mut reader)?, at)?),
            (Kind::Strings, 1) | (Kind::SchemaOrStrings(_), 2) => {
                list.push(at.text(at.message(wire, &mut reader)?)?.into());
            }
            (Kind::Schemas(id) | Kind::SchemaOrStrings(id), 1) | (Kind::SchemaOrBool(id), 2) => {
                first = Some(schema(id, at.message(wire, &mut reader)?, at.depth)?);
            }
            (Kind::Schemas(id), 2) => {
                list.push(schema(id, at.message(wire, &mut reader)?, at.depth + 1)?);
            }
            (Kind::SchemaOrBool(_), 1) => {
                number = at.number(wire, &mut reader)?;
                list = vec![(number != 0).into()];
            }
            (Kind::IntOrString | Kind::Duration, 1) => number = at.number(wire, &mut reader)?,
            (Kind::IntOrString, 2) => list = vec![(at.number(wire, &mut reader)? as i32).into()],
            _ => reader.skip(wire)?,
        }
    }
    Ok(match kind {
        Kind::IntOrString if number == 1 => first.unwrap_or_else(|| "".into()),
        Kind::IntOrString => list.pop().unwrap_or_else(|| 0.into()),
        Kind::SchemaOrBool(_) => first.or(list.pop()).unwrap_or_else(|| false.into()),
        Kind::Schemas(_) | Kind::SchemaOrStrings(_) if !list.is_empty() => Value::Array(list),
        Kind::Strings => Value::Array(list),
        Kind::Quantity => first.unwrap_or_else(|| "".into()),
        Kind::Duration => duration::format(SignedDuration::from_nanos(number)).into(),
        _ => first.unwrap_or_default(),
    })
}

/// JSON within a message.
fn read_json(bytes: &[u8], at: &At) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let value =
        serde_json::from_slice(bytes).map_err(|source| Error::Json { field: at.field, source })?;
    if at.depth + levels(&value) > DEPTH { Err(Error::TooDeep) } else { Ok(value) }
}

/// How deep objects and lists are nested.
fn levels(value: &Value) -> usize {
    let deepest = |values: &mut dyn Iterator<Item = &Value>| values.map(levels).max().unwrap_or(0);
    match value {
        Value::Object(map) => 1 + deepest(&mut map.values()),
        Value::Array(list) => 1 + deepest(&mut list.iter()),
        _ => 0,
    }
}

/// Seconds and nanoseconds since 1970; a message without fields is the zero time.
fn read_time(bytes: &[u8], at: &At, format: fn(Timestamp) -> String) -> Result<Value, Error> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, wire)) = reader.tag()? {
        match number {
            1 => seconds = at.number(wire, &mut reader)?,
            2 => nanos = at.number(wire, &mut reader)? as i32,
            _ => reader.skip(wire)?,
        }
    }
    let time = Timestamp::new(seconds, nanos).map_err(|_| Error::Range { field: at.field })?;
    Ok(format(time).into())
}

/// Whether a value is what a Go field without a pointer holds before anybody sets it.
fn is_zero(kind: Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Message(id), Value::Object(object)) => sets_nothing(layout::message(id), object),
        (Kind::Json, value) => value.is_null(),
        (_, Value::Null) => true,
        (_, Value::Bool(value)) => !value,
        (_, Value::Number(number)) => number.as_f64() == Some(0.0),
        (_, Value::String(text)) => text.is_empty(),
        (_, Value::Array(list)) => list.is_empty(),
        (_, Value::Object(map)) => map.is_empty(),
    }
}

/// Whether all fields of an object are zero. Go writes such a struct although JSON has none.
fn sets_nothing(message: &Message, object: &Map<String, Value>) -> bool {
    message.fields.iter().all(|field| match &field.what {
        What::Embedded(inner) => sets_nothing(inner, object),
        What::Member(member) => object.get(member.name).is_none_or(|value| {
            !member.pointer && member.count == Count::One && is_zero(member.kind, value)
        }),
    })
}

//! From a JSON object to a message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::layout::{self, Count, Id, Kind, Member, Message, What};
use super::wire::Writer;
use crate::duration;

/// The message of an object of the named schema type, without envelope; `None` if the type has no
/// protobuf form.
///
/// A value that does not fit its type, which only a foreign writer could have stored, is written
/// as zero.
#[must_use]
pub fn encode(type_name: &str, object: &Value) -> Option<Vec<u8>> {
    let message = layout::of(type_name)?;
    let mut out = Writer::with_capacity(1024);
    write_message(&mut out, message, object.as_object().unwrap_or(&Map::new()));
    Some(out.finish())
}

/// Everything is written backwards, see [`Writer`].
fn write_message(out: &mut Writer, message: &Message, object: &Map<String, Value>) {
    for field in message.fields.iter().rev() {
        match &field.what {
            What::Embedded(inner) => {
                let mark = out.mark();
                write_message(out, inner, object);
                out.close(field.number, mark);
            }
            What::Member(member) => {
                let value = object.get(member.name).filter(|value| !value.is_null());
                write_member(out, field.number, member, value);
            }
        }
    }
}

fn write_member(out: &mut Writer, number: u32, member: &Member, value: Option<&Value>) {
    match (member.count, value) {
        (Count::One, Some(value)) => write_value(out, number, member.kind, value),
        (Count::One, None) if !member.pointer => write_zero(out, number, member.kind),
        (Count::One, None) => {}
        (Count::List, value) => {
            for item in value.and_then(Value::as_array).into_iter().flatten().rev() {
                write_value(out, number, member.kind, item);
            }
        }
        (Count::Map, value) => {
            for (key, value) in value.and_then(Value::as_object).into_iter().flatten().rev() {
                let mark = out.mark();
                write_value(out, 2, member.kind, value);
                out.bytes(1, key.as_bytes());
                out.close(number, mark);
            }
        }
    }
}

/// What Go writes for a field that nobody has set.
fn write_zero(out: &mut Writer, number: u32, kind: Kind) {
    match kind {
        Kind::Bytes => {}
        Kind::Json => out.bytes(number, &[]),
        Kind::Quantity => write_value(out, number, kind, &Value::from("0")),
        _ => write_value(out, number, kind, &Value::Null),
    }
}

fn write_value(out: &mut Writer, number: u32, kind: Kind, value: &Value) {
    let text = || value.as_str().unwrap_or_default();
    match kind {
        Kind::String => return out.bytes(number, text().as_bytes()),
        Kind::Bytes => return out.bytes(number, &STANDARD.decode(text()).unwrap_or_default()),
        Kind::Bool => return out.varint(number, value.as_bool().unwrap_or_default().into()),
        // Negative numbers of either size are written as 64 bits.
        Kind::Int32 | Kind::Int64 => return out.varint(number, integer(value)),
        Kind::Float64 => {
            return out.fixed64(number, value.as_f64().unwrap_or_default().to_bits());
        }
        _ => {}
    }
    let mark = out.mark();
    match kind {
        Kind::Message(id) => {
            let message = layout::message(id);
            write_message(out, message, value.as_object().unwrap_or(&Map::new()));
        }
        Kind::Time => write_time(out, text(), |_| 0),
        Kind::MicroTime => write_time(out, text(), |nanos| nanos / 1000 * 1000),
        Kind::Quantity => match value {
            Value::String(text) => out.bytes(1, text.as_bytes()),
            other => out.bytes(1, other.to_string().as_bytes()),
        },
        Kind::IntOrString => {
            out.bytes(3, text().as_bytes());
            out.varint(2, integer(value));
            out.varint(1, value.is_string().into());
        }
        Kind::Duration => out.varint(1, nanoseconds(text()).cast_unsigned()),
        Kind::Json => out.bytes(1, value.to_string().as_bytes()),
        Kind::Strings => write_strings(out, 1, value),
        Kind::Schemas(id) => {
            for item in value.as_array().into_iter().flatten().rev() {
                write_value(out, 2, Kind::Message(id), item);
            }
            write_schema(out, 1, id, value);
        }
        Kind::SchemaOrBool(id) => {
            write_schema(out, 2, id, value);
            out.varint(1, (value.is_object() || *value == Value::Bool(true)).into());
        }
        Kind::SchemaOrStrings(id) => {
            write_strings(out, 2, value);
            write_schema(out, 1, id, value);
        }
        _ => {}
    }
    out.close(number, mark);
}

fn integer(value: &Value) -> u64 {
    value.as_i64().unwrap_or_default().cast_unsigned()
}

/// A duration that cannot be read is written as none.
fn nanoseconds(text: &str) -> i64 {
    let duration = duration::parse(text).unwrap_or_default();
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A time that cannot be read is written as no time.
fn write_time(out: &mut Writer, text: &str, nanos: fn(i32) -> i32) {
    let Ok(at) = text.parse::<Timestamp>() else { return };
    // The fraction counts from the second before, also before 1970.
    let fraction = at.subsec_nanosecond();
    let borrow = i64::from(fraction < 0);
    let fraction = if fraction < 0 { fraction + 1_000_000_000 } else { fraction };
    out.varint(2, i64::from(nanos(fraction)).cast_unsigned());
    out.varint(1, (at.as_second() - borrow).cast_unsigned());
}

fn write_strings(out: &mut Writer, number: u32, list: &Value) {
    for item in list.as_array().into_iter().flatten().rev() {
        out.bytes(number, item.as_str().unwrap_or_default().as_bytes());
    }
}

/// The schema of a union, if that is what it holds.
fn write_schema(out: &mut Writer, number: u32, id: Id, value: &Value) {
    if value.is_object() {
        write_value(out, number, Kind::Message(id), value);
    }
}

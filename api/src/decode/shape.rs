//! The walk of an object along its schema.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::at::At;
use super::{go_types, json_type, time};
use crate::field::go_quote;
use crate::meta;
use crate::quantity::Quantity;
use crate::schema::{Shape, base_name, type_named};

/// Unknown fields reported at most; a hostile object could have thousands.
const MAX_PROBLEMS: usize = 100;

/// Where the walk is, and the struct of Go whose field that is.
struct Place<'a> {
    at: &'a At<'a>,
    go_struct: &'a str,
}

/// Cleans `object`, an object of the named type.
pub(super) fn clean(
    type_name: &str,
    mut object: Value,
    problems: &mut Vec<String>,
) -> Result<Value, String> {
    clean_object(type_name, &mut object, &At::Root, problems)?;
    Ok(object)
}

/// Cleans the metadata at `path` of an object whose other fields have no built-in type.
pub(super) fn clean_metadata(
    kind: &str,
    path: &str,
    mut metadata: Value,
    problems: &mut Vec<String>,
) -> Result<Value, String> {
    let place = Place { at: &At::Field(&At::Root, path), go_struct: kind };
    clean_value(&Shape::Object("meta.v1.ObjectMeta"), &mut metadata, &place, problems)?;
    Ok(metadata)
}

fn clean_object(
    type_name: &str,
    object: &mut Value,
    at: &At<'_>,
    problems: &mut Vec<String>,
) -> Result<(), String> {
    let (Some(of), Value::Object(map)) = (type_named(type_name), object) else {
        return Err(format!("no schema for {type_name}"));
    };
    let mut dropped = Vec::new();
    for (name, value) in map.iter_mut() {
        let at = At::Field(at, name);
        let Some(field) = of.fields.get(name.as_str()) else {
            if problems.len() < MAX_PROBLEMS {
                problems.push(format!("unknown field {}", go_quote(&at.to_string())));
            }
            dropped.push(name.clone());
            continue;
        };
        if !value.is_null() {
            let place = Place { at: &at, go_struct: base_name(type_name) };
            clean_value(&field.shape, value, &place, problems)?;
            let empty = match (&field.shape, &*value) {
                (Shape::List(_), Value::Array(list)) => list.is_empty(),
                (Shape::Map(_), Value::Object(map)) => map.is_empty(),
                _ => false,
            };
            if !empty || field.always {
                continue;
            }
        }
        dropped.push(name.clone());
    }
    for name in dropped {
        map.remove(&name);
    }
    Ok(())
}

fn clean_value(
    shape: &Shape,
    value: &mut Value,
    place: &Place<'_>,
    problems: &mut Vec<String>,
) -> Result<(), String> {
    if value.is_null() {
        *value = zero(shape);
        return Ok(());
    }
    match (shape, &mut *value) {
        (Shape::Object(name), Value::Object(_)) => clean_object(name, value, place.at, problems),
        (Shape::List(item), Value::Array(list)) => {
            list.iter_mut().enumerate().try_for_each(|(n, value)| {
                let place = Place { at: &At::Item(place.at, n), ..*place };
                clean_value(item, value, &place, problems)
            })
        }
        (Shape::Map(item), Value::Object(map)) => map.iter_mut().try_for_each(|(key, value)| {
            let place = Place { at: &At::Key(place.at, key), ..*place };
            clean_value(item, value, &place, problems)
        }),
        (Shape::Quantity, _) => {
            *value = clean_quantity(value)?;
            Ok(())
        }
        _ => clean_scalar(shape, value, place),
    }
}

fn clean_scalar(shape: &Shape, value: &mut Value, place: &Place<'_>) -> Result<(), String> {
    let fits = match (shape, &*value) {
        (Shape::Any, _)
        | (Shape::String, Value::String(_))
        | (Shape::IntOrString, Value::String(_))
        | (Shape::Bool, Value::Bool(_))
        | (Shape::Float64, Value::Number(_)) => true,
        (Shape::Int32 | Shape::IntOrString, value) => {
            value.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
        }
        (Shape::Int64, value) => value.as_i64().is_some(),
        (Shape::Bytes, Value::String(text)) => {
            *value = clean_bytes(text)?;
            true
        }
        (Shape::Time, Value::String(text)) => {
            *value = clean_time(text, time::TIME, meta::time)?;
            true
        }
        (Shape::MicroTime, Value::String(text)) => {
            *value = clean_time(text, time::MICRO_TIME, meta::micro_time)?;
            true
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let mut kind = json_type(value).to_owned();
    if value.is_number() && matches!(shape, Shape::Int32 | Shape::Int64 | Shape::IntOrString) {
        kind = format!("number {value}");
    }
    let fields = place.at.fields();
    let field = fields.rsplit('.').next().unwrap_or_default();
    let wanted = go_type(shape, go_types::named(place.go_struct, field));
    let of = place.go_struct;
    Err(format!(
        "json: cannot unmarshal {kind} into Go struct field {of}.{fields} of type {wanted}"
    ))
}

/// Bytes in base64. Bits of the last symbol that say nothing may be set, and are not kept.
fn clean_bytes(text: &str) -> Result<Value, String> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let compact: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    match LENIENT.decode(&compact) {
        Ok(bytes) => Ok(STANDARD.encode(bytes).into()),
        Err(
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _),
        ) => Err(format!("illegal base64 data at input byte {at}")),
        Err(_) => Err(format!("illegal base64 data at input byte {}", compact.len() / 4 * 4)),
    }
}

fn clean_time(text: &str, layout: &str, format: fn(Timestamp) -> String) -> Result<Value, String> {
    let shown = format(time::parse(text, layout)?);
    // What signed years become, typed clients cannot read, and neither can Go.
    if shown.starts_with('-') {
        return Err("Time.MarshalJSON: year outside of range [0,9999]".to_owned());
    }
    Ok(shown.into())
}

fn clean_quantity(value: &Value) -> Result<Value, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.parse::<Quantity>().map(|quantity| quantity.to_string().into()).map_err(|e| e.to_string())
}

/// What Go makes of null in a list or map.
fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::String | Shape::Bytes => "".into(),
        Shape::Quantity => "0".into(),
        Shape::Bool => false.into(),
        Shape::Int32 | Shape::Int64 | Shape::Float64 | Shape::IntOrString => 0.into(),
        Shape::Object(_) | Shape::Map(_) => Value::Object(Map::new()),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Time | Shape::MicroTime | Shape::Any => Value::Null,
    }
}

/// What Go calls a type; `named` if it, or what a list is made of, has a name of its own.
fn go_type(shape: &Shape, named: Option<&str>) -> String {
    match shape {
        Shape::String => named.unwrap_or("string").to_owned(),
        // A time is read as a text first.
        Shape::Time | Shape::MicroTime => "string".to_owned(),
        Shape::Bool => "bool".to_owned(),
        Shape::Int32 | Shape::IntOrString => "int32".to_owned(),
        Shape::Int64 => "int64".to_owned(),
        Shape::Float64 => "float64".to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::Any => "interface {}".to_owned(),
        Shape::Object(name) => {
            let mut parts = name.rsplit('.');
            let (kind, version) =
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{version}.{kind}")
        }
        Shape::List(item) => format!("[]{}", go_type(item, named)),
        Shape::Map(value) => match named {
            Some(named) => named.to_owned(),
            None => format!("map[string]{}", go_type(value, None)),
        },
    }
}

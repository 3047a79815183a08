//! OpenAPI 2.0 in protobuf, as kubectl and other Go clients ask for it.
//!
//! A document is written in JSON first, piece by piece; here each piece becomes a message. The
//! messages and their numbers are those of gnostic's `openapi.v2` (OpenAPIv2.proto), which also
//! says that extensions are YAML text: JSON is YAML.

use serde_json::{Map, Value};

use crate::protobuf::wire::Writer;

/// A name and what it stands for.
type Member = (String, Value);

/// Room for a whole document, so that the buffer grows seldom.
const CAPACITY: usize = 1 << 20;

/// Encodes a document. Messages are written from their end, so both iterators go backwards.
pub(super) fn document(
    title: &str,
    version: &str,
    paths: impl DoubleEndedIterator<Item = Member>,
    definitions: impl DoubleEndedIterator<Item = Member>,
) -> Vec<u8> {
    let mut out = Writer::with_capacity(CAPACITY);
    let mark = out.mark();
    for (name, value) in definitions.rev() {
        named(&mut out, 1, &name, |out| schema(out, &value));
    }
    out.close(9, mark);
    let mark = out.mark();
    for (name, value) in paths.rev() {
        named(&mut out, 2, &name, |out| path_item(out, &value));
    }
    out.close(8, mark);
    message(&mut out, 2, |out| {
        out.bytes(2, version.as_bytes());
        out.bytes(1, title.as_bytes());
    });
    out.bytes(1, b"2.0");
    out.finish()
}

fn message(out: &mut Writer, number: u32, write: impl FnOnce(&mut Writer)) {
    let mark = out.mark();
    write(out);
    out.close(number, mark);
}

/// A pair of name (1) and message (2), the way gnostic writes maps.
fn named(out: &mut Writer, number: u32, name: &str, write: impl FnOnce(&mut Writer)) {
    message(out, number, |out| {
        message(out, 2, write);
        out.bytes(1, name.as_bytes());
    });
}

fn members(value: &Value) -> impl DoubleEndedIterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn strings(out: &mut Writer, number: u32, value: &Value) {
    for item in items(value).rev() {
        string(out, number, item);
    }
}

fn string(out: &mut Writer, number: u32, value: &Value) {
    out.bytes(number, value.as_str().unwrap_or_default().as_bytes());
}

fn flag(out: &mut Writer, number: u32, value: &Value) {
    out.varint(number, u64::from(value == &Value::Bool(true)));
}

fn whole(out: &mut Writer, number: u32, value: &Value) {
    out.varint(number, value.as_i64().unwrap_or_default().cast_unsigned());
}

fn double(out: &mut Writer, number: u32, value: &Value) {
    out.fixed64(number, value.as_f64().unwrap_or_default().to_bits());
}

fn any(out: &mut Writer, number: u32, value: &Value) {
    message(out, number, |out| out.bytes(2, value.to_string().as_bytes()));
}

fn path_item(out: &mut Writer, value: &Value) {
    for (key, value) in members(value).rev() {
        match &**key {
            "get" => message(out, 2, |out| operation(out, value)),
            "put" => message(out, 3, |out| operation(out, value)),
            "post" => message(out, 4, |out| operation(out, value)),
            "delete" => message(out, 5, |out| operation(out, value)),
            "patch" => message(out, 8, |out| operation(out, value)),
            "parameters" => parameters(out, 9, value),
            _ => {}
        }
    }
}

fn operation(out: &mut Writer, value: &Value) {
    for (key, value) in members(value).rev() {
        match &**key {
            "tags" => strings(out, 1, value),
            "operationId" => string(out, 5, value),
            "produces" => strings(out, 6, value),
            "consumes" => strings(out, 7, value),
            "parameters" => parameters(out, 8, value),
            "responses" => message(out, 9, |out| {
                for (code, value) in members(value).rev() {
                    named(out, 1, code, |out| message(out, 1, |out| response(out, value)));
                }
            }),
            extension if extension.starts_with("x-") => {
                named(out, 13, extension, |out| out.bytes(2, value.to_string().as_bytes()));
            }
            _ => {}
        }
    }
}

fn response(out: &mut Writer, value: &Value) {
    for (key, value) in members(value).rev() {
        match &**key {
            "description" => string(out, 1, value),
            "schema" => message(out, 2, |out| message(out, 1, |out| schema(out, value))),
            _ => {}
        }
    }
}

/// Parameters are wrapped three times: as an item that could be a reference, as a parameter in the
/// body or not, as one in the query or in the path.
fn parameters(out: &mut Writer, number: u32, value: &Value) {
    for parameter in items(value).rev() {
        message(out, number, |out| {
            message(out, 1, |out| match parameter["in"].as_str() {
                Some("body") => message(out, 1, |out| body_parameter(out, parameter)),
                Some("path") => message(out, 2, |out| {
                    message(out, 4, |out| plain_parameter(out, parameter, 5));
                }),
                _ => message(out, 2, |out| {
                    message(out, 3, |out| plain_parameter(out, parameter, 6));
                }),
            });
        });
    }
}

fn body_parameter(out: &mut Writer, value: &Value) {
    for (key, value) in members(value).rev() {
        match &**key {
            "name" => string(out, 2, value),
            "in" => string(out, 3, value),
            "required" => flag(out, 4, value),
            "schema" => message(out, 5, |out| schema(out, value)),
            _ => {}
        }
    }
}

/// `kind` is the number of the type, which is the only one that differs.
fn plain_parameter(out: &mut Writer, value: &Value, kind: u32) {
    for (key, value) in members(value).rev() {
        match &**key {
            "required" => flag(out, 1, value),
            "in" => string(out, 2, value),
            "name" => string(out, 4, value),
            "type" => string(out, kind, value),
            _ => {}
        }
    }
}

fn schema(out: &mut Writer, value: &Value) {
    for (key, value) in members(value).rev() {
        match &**key {
            "$ref" => string(out, 1, value),
            "format" => string(out, 2, value),
            "title" => string(out, 3, value),
            "description" => string(out, 4, value),
            "default" => any(out, 5, value),
            "multipleOf" => double(out, 6, value),
            "maximum" => double(out, 7, value),
            "exclusiveMaximum" => flag(out, 8, value),
            "minimum" => double(out, 9, value),
            "exclusiveMinimum" => flag(out, 10, value),
            "maxLength" => whole(out, 11, value),
            "minLength" => whole(out, 12, value),
            "pattern" => string(out, 13, value),
            "maxItems" => whole(out, 14, value),
            "minItems" => whole(out, 15, value),
            "uniqueItems" => flag(out, 16, value),
            "maxProperties" => whole(out, 17, value),
            "minProperties" => whole(out, 18, value),
            "required" => strings(out, 19, value),
            "enum" => items(value).rev().for_each(|item| any(out, 20, item)),
            "additionalProperties" => message(out, 21, |out| match value {
                Value::Bool(_) => flag(out, 2, value),
                _ => message(out, 1, |out| schema(out, value)),
            }),
            "type" => message(out, 22, |out| string(out, 1, value)),
            "items" => message(out, 23, |out| message(out, 1, |out| schema(out, value))),
            "properties" => message(out, 25, |out| {
                for (name, value) in members(value).rev() {
                    named(out, 1, name, |out| schema(out, value));
                }
            }),
            "example" => any(out, 30, value),
            extension if extension.starts_with("x-") => {
                named(out, 31, extension, |out| out.bytes(2, value.to_string().as_bytes()));
            }
            _ => {}
        }
    }
}

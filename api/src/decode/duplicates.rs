//! JSON parsing that notes keys occurring twice in one object (the last one wins).

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::at::At;

/// Duplicate keys reported at most, and bytes of their paths: whoever sends more means no good.
const MAX_DUPLICATES: usize = 100;
const MAX_PATHS: usize = 64 * 1024;

/// Parses a body; returns the value and the paths of duplicate keys.
pub(super) fn parse(body: &[u8]) -> Result<(Value, Vec<String>), String> {
    let duplicates = RefCell::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let seed = Node { at: &At::Root, duplicates: &duplicates };
    let value = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| reason(&error, body))?;
    Ok((value, duplicates.into_inner().paths))
}

/// Why a body was not taken, in Go's words where Go has some.
fn reason(error: &serde_json::Error, body: &[u8]) -> String {
    if let Some(reason) = super::syntax::error(body) {
        return reason;
    }
    let text = error.to_string();
    // Where in the text it was is nothing that Kubernetes says.
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

#[derive(Default)]
struct Duplicates {
    paths: Vec<String>,
    bytes: usize,
}

impl Duplicates {
    fn note(&mut self, at: &At<'_>) -> Result<(), &'static str> {
        let path = at.to_string();
        self.bytes += path.len();
        if self.paths.len() >= MAX_DUPLICATES || self.bytes > MAX_PATHS {
            return Err("too many duplicate keys");
        }
        self.paths.push(path);
        Ok(())
    }
}

struct Node<'a> {
    at: &'a At<'a>,
    duplicates: &'a RefCell<Duplicates>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let at = At::Item(self.at, list.len());
            match items.next_element_seed(Node { at: &at, duplicates: self.duplicates })? {
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let at = At::Field(self.at, &key);
            if map.contains_key(&key) {
                self.duplicates.borrow_mut().note(&at).map_err(A::Error::custom)?;
            }
            let value = entries.next_value_seed(Node { at: &at, duplicates: self.duplicates })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

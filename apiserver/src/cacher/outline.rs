//! The few values of an object that the cache looks at, read without parsing the rest.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use api::resources::Resource;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Which fields to read: a tree of keys, of which a leaf is read whole.
#[derive(Debug, Default)]
pub(super) struct Outline(BTreeMap<String, Outline>);

impl Outline {
    /// The labels and the selectable fields of a resource.
    pub(super) fn of(resource: &Resource) -> Outline {
        let mut outline = Outline::default();
        outline.add("metadata.labels");
        for path in resource.selectable_fields.iter().flat_map(|field| &field.paths) {
            outline.add(path);
        }
        outline
    }

    fn add(&mut self, path: &str) {
        let mut at = self;
        for key in path.split('.') {
            at = at.0.entry(key.to_owned()).or_default();
        }
    }

    /// The object with nothing but the fields of the outline; null for what is no JSON.
    pub(super) fn read(&self, json: &[u8]) -> Value {
        let mut text = serde_json::Deserializer::from_slice(json);
        self.deserialize(&mut text).unwrap_or_default()
    }
}

impl<'de> DeserializeSeed<'de> for &Outline {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        if self.0.is_empty() { Value::deserialize(from) } else { from.deserialize_any(self) }
    }
}

/// What is no map has none of the keys: null.
impl<'de> Visitor<'de> for &Outline {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match self.0.get(&*key) {
                Some(below) => {
                    let value = map.next_value_seed(below)?;
                    found.insert(key.into_owned(), value);
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_outline_is_read() {
        let mut outline = Outline::default();
        outline.add("metadata.labels");
        outline.add("spec.nodeName");
        outline.add("status.phase");
        for (object, want) in [
            (
                json!({"kind": "Pod", "metadata": {"name": "a", "labels": {"x": "y", "z\n": "é"}},
                    "spec": {"nodeName": "n", "containers": [{"name": "c"}]}, "status": {"phase": "P"}}),
                json!({"metadata": {"labels": {"x": "y", "z\n": "é"}}, "spec": {"nodeName": "n"},
                    "status": {"phase": "P"}}),
            ),
            (
                json!({"metadata": null, "spec": [1, {"a": 2}], "status": 1.5}),
                json!({"metadata": null, "spec": null, "status": null}),
            ),
            (
                json!({"metadata": "m", "spec": true, "status": -3}),
                json!({"metadata": null, "spec": null, "status": null}),
            ),
            (json!([]), Value::Null),
            (json!({}), json!({})),
        ] {
            assert_eq!(outline.read(object.to_string().as_bytes()), want, "{object}");
        }
        assert_eq!(outline.read(b"{\"metadata\":"), Value::Null);
    }
}

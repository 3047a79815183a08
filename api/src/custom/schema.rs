//! The structural schema of a version, as a definition writes it (`openAPIV3Schema`).

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::format;
use crate::go_regexp;

/// A schema, or a part of one. Absent fields are those that say nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Schema {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`; "" for any.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// A format of strings, such as `date-time`.
    pub(crate) format: String,
    /// Whether null is a value.
    pub(crate) nullable: bool,
    /// What an absent field is taken for.
    pub(crate) default: Option<Value>,
    /// The fields of an object.
    pub(crate) properties: BTreeMap<String, Schema>,
    /// The values of a map.
    pub(crate) additional_properties: Option<Additional>,
    /// The items of a list.
    pub(crate) items: Option<Box<Schema>>,
    /// Fields that must be there.
    pub(crate) required: Vec<String>,
    /// Text that says what the field is for; no part of the rules.
    pub(crate) description: String,
    /// A title; no part of the rules.
    pub(crate) title: String,

    #[serde(rename = "enum")]
    pub(crate) values: Vec<Value>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) pattern: Option<Pattern>,
    pub(crate) min_items: Option<usize>,
    pub(crate) max_items: Option<usize>,
    pub(crate) unique_items: bool,
    pub(crate) min_properties: Option<usize>,
    pub(crate) max_properties: Option<usize>,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,

    /// Fields that the schema does not name are kept.
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    pub(crate) preserve_unknown: bool,
    /// An integer or a string.
    #[serde(rename = "x-kubernetes-int-or-string")]
    pub(crate) int_or_string: bool,
    /// An object with `apiVersion`, `kind` and `metadata`.
    #[serde(rename = "x-kubernetes-embedded-resource")]
    pub(crate) embedded: bool,
    /// `atomic`, `set` or `map`; "" is atomic.
    #[serde(rename = "x-kubernetes-list-type")]
    pub(crate) list_type: String,
    /// The fields that identify the items of a list of type `map`.
    #[serde(rename = "x-kubernetes-list-map-keys")]
    pub(crate) list_keys: Vec<String>,
    /// `granular` or `atomic`; "" is granular.
    #[serde(rename = "x-kubernetes-map-type")]
    pub(crate) map_type: String,
    /// Rules in CEL.
    #[serde(rename = "x-kubernetes-validations")]
    pub(crate) rules: Vec<Value>,
}

/// What a map holds.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Additional {
    /// Anything, or nothing.
    Allowed(bool),
    /// Values of this schema.
    Schema(Box<Schema>),
}

/// A regular expression, as Go understands it.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// As it is written.
    pub(crate) text: String,
    /// Why it is none, if so.
    pub(crate) compiled: Result<Arc<Regex>, String>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let compiled = go_regexp::compile(&text).map_err(|error| error.to_string());
        Ok(Pattern { text, compiled })
    }
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// What is no schema, such as a list as `items`.
    pub(crate) fn read(schema: &Value) -> Result<Schema, String> {
        Schema::deserialize(schema).map_err(|error| error.to_string())
    }

    /// The schema of the field or map value of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(match &self.additional_properties {
            Some(Additional::Schema(schema)) => Some(&**schema),
            _ => None,
        })
    }

    /// Whether any part has rules in CEL.
    pub(crate) fn has_rules(&self) -> bool {
        !self.rules.is_empty() || self.parts().any(Schema::has_rules)
    }

    /// The formats that mean nothing here, which are let pass and not looked at.
    pub(crate) fn unrecognized_formats(&self) -> Vec<&str> {
        let own = Some(&*self.format).filter(|own| !own.is_empty());
        let own = own.filter(|own| !format::is_known(&self.kind, own));
        let junctors = self.all_of.iter().chain(&self.any_of).chain(&self.one_of);
        let inside = self.parts().chain(junctors).chain(self.not.as_deref());
        own.into_iter().chain(inside.flat_map(Schema::unrecognized_formats)).collect()
    }

    /// The schemas of fields, values and items.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Schema> {
        let values = match &self.additional_properties {
            Some(Additional::Schema(schema)) => Some(&**schema),
            _ => None,
        };
        self.properties.values().chain(values).chain(self.items.as_deref())
    }
}

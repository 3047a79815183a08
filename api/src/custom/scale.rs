//! The `scale` subresource of a custom resource: an `autoscaling/v1` Scale whose parts are where
//! the definition says.

use serde_json::{Map, Value};

use crate::field::{Errors, FieldError, Path};
use crate::selector::LabelSelector;
use crate::strategy;

/// Where an object keeps what its Scale shows.
#[derive(Debug)]
pub(super) struct Scale {
    spec: Place,
    status: Place,
    selector: Option<Place>,
}

/// A place, as the definition writes it: fields after dots, `.spec.replicas`.
#[derive(Debug)]
struct Place(String);

impl Place {
    fn read(scale: &Value, field: &str) -> Option<Place> {
        scale[field].as_str().map(|text| Place(text.to_owned()))
    }

    fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.strip_prefix('.').unwrap_or(&self.0).split('.')
    }

    /// What is there.
    fn find<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        self.fields().try_fold(object, |at, field| at.get(field))
    }

    /// The number there, 0 for none.
    fn count(&self, object: &Value) -> i64 {
        self.find(object).and_then(Value::as_i64).unwrap_or(0)
    }

    /// That a value of another type is there.
    fn other_type(&self, found: &Value, wanted: &str) -> String {
        let (shown, kind) = match found {
            Value::String(text) => (text.clone(), "string"),
            Value::Bool(_) => (found.to_string(), "bool"),
            Value::Number(number) if number.is_f64() => (found.to_string(), "float64"),
            Value::Number(_) => (found.to_string(), "int64"),
            Value::Array(_) => (found.to_string(), "[]interface {}"),
            Value::Null | Value::Object(_) => (found.to_string(), "map[string]interface {}"),
        };
        let place = &self.0;
        format!("{place} accessor error: {shown} is of the type {kind}, expected {wanted}")
    }

    /// Checks that replicas can be counted with what is there.
    fn check_count(&self, object: &Value) -> Option<FieldError> {
        let found = self.find(object)?;
        let path = Path::new(&self.0);
        let refuse = |detail: &str| Some(FieldError::invalid(&path, found.clone(), detail));
        match found.as_i64() {
            _ if found.is_null() => None,
            Some(n) if n < 0 => refuse("should be a non-negative integer"),
            Some(n) if n > i64::from(i32::MAX) => {
                refuse(&format!("should be less than or equal to {}", i32::MAX))
            }
            Some(_) => None,
            None => Some(FieldError::invalid(&path, 0, &self.other_type(found, "int64"))),
        }
    }
}

impl Scale {
    /// Reads a version's `subresources.scale`.
    pub(super) fn read(scale: &Value) -> Option<Scale> {
        Some(Scale {
            spec: Place::read(scale, "specReplicasPath")?,
            status: Place::read(scale, "statusReplicasPath")?,
            selector: Place::read(scale, "labelSelectorPath"),
        })
    }

    /// Checks the replicas that an object asks for.
    pub(super) fn check_spec(&self, object: &Value) -> Errors {
        self.spec.check_count(object).into_iter().collect()
    }

    /// Checks the replicas that an object has, and the selector of their pods.
    pub(super) fn check_status(&self, object: &Value) -> Errors {
        let mut errors: Errors = self.status.check_count(object).into_iter().collect();
        let selector = self.selector.as_ref().and_then(|selector| {
            let given = selector.find(object)?;
            let problem = match given.as_str() {
                Some(text) => LabelSelector::parse(text).err()?.to_string(),
                None if given.is_null() => return None,
                None => selector.other_type(given, "string"),
            };
            let shown = given.as_str().unwrap_or_default();
            Some(FieldError::invalid(&Path::new(&selector.0), shown, &problem))
        });
        errors.extend(selector);
        errors
    }

    /// The place of the replicas that an object wants, if it does not say how many.
    pub(super) fn lacks(&self, object: &Value) -> Option<&str> {
        let given = self.spec.find(object).is_some_and(Value::is_i64);
        (!given).then_some(&*self.spec.0)
    }

    /// The Scale of an object.
    pub(super) fn of(&self, object: &Value) -> Value {
        let mut workload = Map::new();
        workload.insert("metadata".to_owned(), object["metadata"].clone());
        let mut scale = strategy::scale_of(&Value::Object(workload));
        let wanted = self.spec.count(object);
        if wanted != 0 {
            scale["spec"]["replicas"] = wanted.into();
        }
        scale["status"]["replicas"] = self.status.count(object).into();
        let selector = self.selector.as_ref().and_then(|place| place.find(object)?.as_str());
        if let Some(selector) = selector.filter(|selector| !selector.is_empty()) {
            scale["status"]["selector"] = selector.into();
        }
        scale
    }

    /// The object with the replicas (and the resourceVersion, when given) of a Scale.
    pub(super) fn put(&self, mut object: Value, scale: &Value) -> Value {
        let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
        let mut at = &mut object;
        for field in self.spec.fields() {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            at = &mut at[field];
        }
        *at = replicas.into();
        let version = scale["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() {
            object["metadata"]["resourceVersion"] = version.into();
        }
        object
    }
}

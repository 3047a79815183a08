//! Secret. Source: k8s.io/kubernetes/pkg/apis/core/validation (ValidateSecret).

mod key_pair;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::config_map::{MAX_SIZE, decoded_len, validate_immutable};
use super::{Strategy, set_default};
use crate::field::{Errors, FieldError, Path};
use crate::names;

#[derive(Debug)]
pub(crate) struct Secret;

/// Keys that a type of Secret must have.
const REQUIRED_KEYS: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

impl Strategy for Secret {
    fn default(&self, object: &mut Value) {
        set_default(object, "type", "Opaque");
        // stringData is write-only: clear text that becomes data.
        let clear = object.as_object_mut().and_then(|map| map.remove("stringData"));
        if let Some(Value::Object(clear)) = clear {
            if !object["data"].is_object() {
                object["data"] = Value::Object(Map::new());
            }
            for (key, value) in clear {
                object["data"][&key] = STANDARD.encode(value.as_str().unwrap_or_default()).into();
            }
        }
    }

    fn validate(&self, object: &Value) -> Errors {
        let mut errors = Errors::new();
        let mut total = 0;
        let data = &object["data"];
        for (key, value) in data.as_object().into_iter().flatten() {
            let path = Path::new("data").key(key);
            errors.extend(
                names::config_key(key).iter().map(|m| FieldError::invalid(&path, key.as_str(), m)),
            );
            total += decoded_len(value);
        }
        if total > MAX_SIZE {
            errors.push(FieldError::too_long(&Path::new("data"), MAX_SIZE));
        }
        let kind = object["type"].as_str().unwrap_or_default();
        for (_, keys) in REQUIRED_KEYS.iter().filter(|(of, _)| *of == kind) {
            for key in keys.iter().filter(|key| data.get(**key).is_none()) {
                errors.push(FieldError::required(&Path::new("data").key(key), ""));
            }
        }
        if matches!(kind, "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson") {
            let key = if kind.ends_with("json") { ".dockerconfigjson" } else { ".dockercfg" };
            let text = data[key].as_str().map(|text| STANDARD.decode(text).unwrap_or_default());
            if text.is_some_and(|text| serde_json::from_slice::<Map<String, Value>>(&text).is_err())
            {
                let path = Path::new("data").key(key);
                errors.push(FieldError::invalid(
                    &path,
                    "<secret contents redacted>",
                    "must be valid JSON",
                ));
            }
        }
        if kind == "kubernetes.io/basic-auth"
            && data.get("username").is_none()
            && data.get("password").is_none()
        {
            errors.push(FieldError::required(&Path::new("data").key("username"), ""));
            errors.push(FieldError::required(&Path::new("data").key("password"), ""));
        }
        if kind == "kubernetes.io/service-account-token" {
            let name = &object["metadata"]["annotations"]["kubernetes.io/service-account.name"];
            if name.as_str().unwrap_or_default().is_empty() {
                let path = Path::new("metadata").child("annotations");
                errors.push(FieldError::required(
                    &path.key("kubernetes.io/service-account.name"),
                    "",
                ));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Errors {
        let mut errors = Errors::new();
        if new["type"] != old["type"] {
            let path = Path::new("type");
            errors.push(FieldError::invalid(&path, new["type"].clone(), "field is immutable"));
        }
        errors.extend(validate_immutable(new, old, &["data"]));
        errors.extend(self.validate(new));
        errors
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        if object["type"] != "kubernetes.io/tls" {
            return Vec::new();
        }
        let part = |key: &str| {
            let text = object["data"][key].as_str().unwrap_or_default();
            STANDARD.decode(text).unwrap_or_default()
        };
        key_pair::problem(&part("tls.crt"), &part("tls.key")).into_iter().collect()
    }
}

//! Whole bodies: the kind and version that they name decide the type.

use serde_json::Value;

use super::{Error, PARTIAL_OBJECT_METADATA, decode, encode, envelope, layout};

/// The schema's short name of each built-in group.
const GROUPS: &[(&str, &str)] = &[
    ("", "core"),
    ("admissionregistration.k8s.io", "admissionregistration"),
    ("apiextensions.k8s.io", "apiextensions"),
    ("apiregistration.k8s.io", "apiregistration"),
    ("apps", "apps"),
    ("authentication.k8s.io", "authentication"),
    ("authorization.k8s.io", "authorization"),
    ("autoscaling", "autoscaling"),
    ("batch", "batch"),
    ("certificates.k8s.io", "certificates"),
    ("coordination.k8s.io", "coordination"),
    ("discovery.k8s.io", "discovery"),
    ("events.k8s.io", "events"),
    ("flowcontrol.apiserver.k8s.io", "flowcontrol"),
    ("metrics.k8s.io", "metrics"),
    ("networking.k8s.io", "networking"),
    ("node.k8s.io", "node"),
    ("policy", "policy"),
    ("rbac.authorization.k8s.io", "rbac"),
    ("resource.k8s.io", "resource"),
    ("scheduling.k8s.io", "scheduling"),
    ("storage.k8s.io", "storage"),
];

/// The name in [`crate::schema`] of the built-in type of that version and kind; `None` if it has
/// no protobuf form, as custom resources and Tables.
#[must_use]
pub fn schema_type(api_version: &str, kind: &str) -> Option<String> {
    let name = match (api_version, kind) {
        // Clients name the group and version in which they delete.
        (_, "DeleteOptions") | ("v1", "Status") => format!("meta.v1.{kind}"),
        ("meta.k8s.io/v1" | "meta.k8s.io/v1beta1", "PartialObjectMetadata") => {
            PARTIAL_OBJECT_METADATA.to_owned()
        }
        // The older version lives on in clients, and looks the same.
        ("policy/v1beta1", "Eviction") => "policy.v1.Eviction".to_owned(),
        _ => {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let (_, short) = GROUPS.iter().find(|(of, _)| *of == group)?;
            format!("{short}.{version}.{kind}")
        }
    };
    layout::of(&name).is_some().then_some(name)
}

/// The JSON of a body.
///
/// # Errors
/// [`Error`] for a body that is malformed, or of a kind that no built-in type has.
pub fn read(body: &[u8]) -> Result<Value, Error> {
    read_message(&envelope::open(body)?)
}

/// The JSON of a body that has been opened.
///
/// # Errors
/// Those of [`read`].
pub fn read_message(envelope: &envelope::Envelope<'_>) -> Result<Value, Error> {
    let envelope::Envelope { api_version, kind, message } = envelope;
    let Some(type_name) = schema_type(api_version, kind) else {
        return Err(Error::Kind { kind: kind.clone(), api_version: api_version.clone() });
    };
    let mut object = decode(&type_name, message)?;
    object["apiVersion"] = api_version.as_str().into();
    object["kind"] = kind.as_str().into();
    Ok(object)
}

/// The body of an object or a list of objects; `None` if its kind has no protobuf form.
#[must_use]
pub fn write(value: &Value) -> Option<Vec<u8>> {
    let text = |field: &str| value[field].as_str().unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if let Some(type_name) = schema_type(api_version, kind) {
        return Some(envelope::seal(api_version, kind, &encode(&type_name, value)?));
    }
    let type_name = schema_type(api_version, kind.strip_suffix("List")?)?;
    let items = value["items"].as_array().into_iter().flatten();
    let items: Vec<_> = items.filter_map(|item| encode(&type_name, item)).collect();
    Some(envelope::list(api_version, kind, &value["metadata"], &items))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources;

    #[test]
    fn kinds_find_their_types() {
        for (api_version, kind, want) in [
            ("v1", "Pod", Some("core.v1.Pod")),
            ("apps/v1", "Deployment", Some("apps.v1.Deployment")),
            ("rbac.authorization.k8s.io/v1", "Role", Some("rbac.v1.Role")),
            ("autoscaling/v1", "Scale", Some("autoscaling.v1.Scale")),
            ("policy/v1", "Eviction", Some("policy.v1.Eviction")),
            ("policy/v1beta1", "Eviction", Some("policy.v1.Eviction")),
            ("policy/v1beta1", "PodDisruptionBudget", None),
            ("apps/v1", "DeleteOptions", Some("meta.v1.DeleteOptions")),
            ("v1", "Status", Some("meta.v1.Status")),
            ("metrics.k8s.io/v1beta1", "PodMetrics", Some("metrics.v1beta1.PodMetrics")),
            ("meta.k8s.io/v1", "PartialObjectMetadata", Some(PARTIAL_OBJECT_METADATA)),
            ("meta.k8s.io/v1beta1", "PartialObjectMetadata", Some(PARTIAL_OBJECT_METADATA)),
            ("meta.k8s.io/v1", "Table", None),
            ("apps.example.com/v1", "Deployment", None),
            ("apps/v2", "Deployment", None),
            ("v1", "", None),
        ] {
            assert_eq!(schema_type(api_version, kind).as_deref(), want, "{api_version} {kind}");
        }
        for row in resources::table() {
            let found = schema_type(&row.api_version(), &row.kind);
            assert_eq!(found.as_deref(), Some(&*row.schema_type), "{}", row.plural);
        }
    }

    #[test]
    fn bodies_there_and_back() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
                         "spec": {"containers": [{"name": "c"}], "nodeName": "n"}});
        assert_eq!(read(&write(&pod).unwrap()).unwrap(), pod);
        let options = json!({"apiVersion": "apps/v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0,
                             "preconditions": {"uid": "u"}});
        assert_eq!(read(&write(&options).unwrap()).unwrap(), options);
        assert_eq!(write(&json!({"apiVersion": "x.io/v1", "kind": "FooList", "items": []})), None);
        assert_eq!(write(&json!([1])), None);
    }

    #[test]
    fn lists_hold_the_messages_of_their_items() {
        let list = json!({"apiVersion": "v1", "kind": "SecretList",
            "metadata": {"resourceVersion": "7", "continue": "c", "remainingItemCount": 0},
            "items": [{"metadata": {"name": "a"}, "data": {"k": "eA=="}}, {"metadata": {"name": "b"}}]});
        let body = write(&list).unwrap();
        let envelope = envelope::open(&body).unwrap();
        assert_eq!((&*envelope.api_version, &*envelope.kind), ("v1", "SecretList"));
        let metadata = b"\x0a\x0a\x0a\0\x12\x017\x1a\x01c\x20\0";
        assert!(envelope.message.starts_with(metadata), "{:?}", envelope.message);
        let item = encode("core.v1.Secret", &list["items"][0]).unwrap();
        let second = &envelope.message[metadata.len()..];
        assert_eq!(second[..2], [0x12, item.len() as u8]);
        assert_eq!(second[2..2 + item.len()], item);
    }

    #[test]
    fn what_is_no_body_says_so() {
        for (body, want) in [
            (
                &b"{\"kind\":\"Pod\"}"[..],
                "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
            ),
            (b"k8s\0\x0a\x0a\x0a\x02v1\x12\x04Pot", "unexpected EOF"),
            (
                b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pot",
                "no kind \"Pot\" is registered for version \"v1\" in scheme",
            ),
            (b"k8s\0", "no kind \"\" is registered for version \"\" in scheme"),
        ] {
            assert_eq!(read(body).unwrap_err().to_string(), want);
        }
    }
}

//! PATCH with a configuration: server-side apply.
//!
//! The merge and the question of who owns what are [`api::apply`]'s; here the object is found (or
//! made: what does not exist is created) and the result goes the way of every write.

use api::apply::{self, Change};
use api::patch::PatchType;
use api::status::Status;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::create;
use super::update::check_name;
use crate::admission;
use crate::authz::{Attributes, authorize, escalation};
use crate::context::{Context, now};
use crate::dispatch::Target;
use crate::request::options::{FieldValidation, WriteOptions};
use crate::request::{Request, payload, yaml};
use crate::response::Handled;
use crate::writing::{self, Part, Write, answered, told};

/// How often an object that comes and goes is tried to be changed and to be made.
const ROUNDS: usize = 8;

/// Applies a configuration to a part of an object.
pub(super) async fn apply(
    context: &Context,
    target: &Target,
    request: &mut Request,
    part: Part,
    options: &WriteOptions,
) -> Handled {
    let (config, problems) = read(request, options).await?;
    let write = Write::applied(part, options);
    let subresource = part.subresource().unwrap_or_default();
    let merge = |live: &Value| -> Result<Value, Status> {
        let change = Change { manager: &options.manager, subresource, now: now() };
        let resource = &target.resource;
        let merged = apply::apply(resource, live, &config, options.force, &change)?;
        let mut object = api::decode::check(resource, merged)?.object;
        check_name(target, &mut object)?;
        Ok(object)
    };
    let mut last = target.not_found();
    for _ in 0..ROUNDS {
        let changed = writing::change(context, target, write, |live| {
            let object = merge(live)?;
            escalation::check(context, target, &object, live, &request.user)?;
            admission::change(context, target, part, (&object, live), &request.user)?;
            Ok(object)
        })
        .await;
        match changed {
            Err(status) if status.code == 404 && part == Part::Main => {}
            changed => return answered(changed, StatusCode::OK, &problems),
        }
        may_create(context, target, request)?;
        check_uid(target, &config)?;
        let mut object = merge(&Value::Null)?;
        api::meta::remove(&mut object["metadata"], "resourceVersion");
        match create::new(context, target, object, &request.user, write).await {
            // Somebody was faster.
            Err(status) if status.reason == "AlreadyExists" => last = status,
            created => return answered(created, StatusCode::CREATED, &problems),
        }
    }
    Err(last)
}

/// Who creates by applying or replacing must be allowed to create.
pub(super) fn may_create(
    context: &Context,
    target: &Target,
    request: &Request,
) -> Result<(), Status> {
    let attributes = Attributes::Resource {
        verb: "create",
        group: &target.resource.group,
        resource: &target.resource.plural,
        namespace: &target.namespace,
        name: &target.name,
    };
    authorize(context, &request.user, &attributes)
}

/// A configuration of one object, identified by its UID, makes no other.
fn check_uid(target: &Target, config: &Value) -> Result<(), Status> {
    match config["metadata"]["uid"].as_str() {
        None | Some("") => Ok(()),
        Some(uid) => {
            let detail = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            Err(Status::conflict(&target.resource.group_resource(), &target.name, &detail))
        }
    }
}

/// Reads a configuration, in YAML or (which is YAML, too) JSON.
///
/// # Errors
/// 400 for what cannot be read, and for keys that occur twice under strict validation.
pub(super) async fn read(
    request: &mut Request,
    options: &WriteOptions,
) -> Result<(Value, Vec<String>), Status> {
    let body = payload::read(request).await?;
    parse(&body, options.validation)
}

fn parse(body: &Bytes, validation: FieldValidation) -> Result<(Value, Vec<String>), Status> {
    let refuse = |reason: &str| Status::bad_request(format!("error decoding YAML: {reason}"));
    let (mut config, twice) = match serde_json::from_slice::<Value>(body) {
        Ok(config) => (config, api::patch::problems(PatchType::Merge, body)?),
        Err(_) => {
            let convert = |reason: String| format!("error converting YAML to JSON: {reason}");
            let read = yaml::read(body).map_err(|reason| refuse(&convert(reason)))?;
            (read.value, read.twice.map(convert).into_iter().collect())
        }
    };
    api::decode::check_depth(&config).map_err(|reason| refuse(&reason))?;
    if config.is_null() {
        config = Value::Object(Default::default());
    }
    if !config.is_object() {
        return Err(refuse(&format!(
            "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value \
             of type map[string]interface {{}}",
            api::decode::json_type(&config)
        )));
    }
    match validation {
        FieldValidation::Strict if !twice.is_empty() => {
            let detail = twice.join(", ");
            Err(Status::bad_request(format!("error strict decoding YAML: {detail}")))
        }
        FieldValidation::Strict | FieldValidation::Warn => Ok((config, told(twice))),
        FieldValidation::Ignore => Ok((config, Vec::new())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &'static str, validation: FieldValidation) -> Result<(Value, usize), Status> {
        let (config, problems) = parse(&Bytes::from_static(text.as_bytes()), validation)?;
        Ok((config, problems.len()))
    }

    #[test]
    fn configurations_are_yaml_or_json() {
        use FieldValidation::{Ignore, Strict, Warn};
        let want = json!({"a": {"b": 2}});
        for (text, validation, problems) in [
            ("a:\n  b: 2\n", Strict, 0),
            ("{\"a\": {\"b\": 2}}", Strict, 0),
            ("a:\n  b: 1\n  b: 2\n", Warn, 1),
            ("{\"a\": {\"b\": 1, \"b\": 2}}", Warn, 1),
            ("a:\n  b: 1\n  b: 2\n", Ignore, 0),
            ("a:\n  b: 1\n  b: 0\n  b: 2\n", Warn, 2),
        ] {
            assert_eq!(read(text, validation), Ok((want.clone(), problems)), "{text}");
        }
        let deep = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&deep(99).into(), Strict).is_ok());
        for depth in [100, 120, 1000] {
            let status = parse(&deep(depth).into(), Strict).expect_err("too deep");
            assert_eq!(status.code, 400, "{depth}");
        }
        for (text, wanted) in [
            (
                "a:\n  b: 1\n  b: 2\n",
                "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  \
                 line 3: key \"b\" already set in map",
            ),
            ("{\"a\": 1, \"a\": 2}", "error strict decoding YAML: duplicate field \"a\""),
            (
                "a: [",
                "error decoding YAML: error converting YAML to JSON: yaml: line 1: did not find \
                 expected node content",
            ),
            (
                "- a\n",
                "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot \
                 unmarshal array into Go value of type map[string]interface {}",
            ),
        ] {
            let status = read(text, Strict).expect_err("refused");
            assert!(status.code == 400 && status.message.starts_with(wanted), "{status}");
        }
    }
}

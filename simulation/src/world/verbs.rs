//! What a request does to the objects: the order of checks of the API server, without what needs
//! a disk, a user or another object.

use api::lifecycle::{self, Creation};
use api::patch::{self, PatchType};
use api::selector::{FieldSelector, LabelSelector};
use api::status::Status;
use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answer, Call, Object, State, removal};

/// Answers.
pub(super) fn answer(state: &mut State, call: &Call, actor: &str, now: Timestamp) -> Answer {
    if call.resource.kind == "Event" {
        return tell(call);
    }
    match (&call.method, call.name.as_str(), call.subresource.as_str()) {
        (&Method::GET, "", _) => list(state, call),
        (&Method::GET, _, "") => {
            let object = current(state, call)?;
            Ok((200, object.bytes.clone()))
        }
        (&Method::GET, _, "scale") => {
            let scale = call.resource.strategy.scale_of(&current(state, call)?.value);
            Ok((200, Bytes::from(scale.to_string())))
        }
        (&Method::PUT, _, "scale") => scale(state, call, actor, now),
        (&Method::POST, "", _) => create(state, call, actor, now),
        (&Method::POST, _, "binding") => bind(state, call, actor, now),
        (&Method::POST, _, "eviction") => removal::evict(state, call, actor, now),
        (&Method::PUT, _, "" | "status") => {
            let new = read(&call.body)?;
            update(state, call, new, actor, now)
        }
        (&Method::PATCH, _, "" | "status") => {
            let kind = PatchType::from_content_type(&call.content_type)
                .ok_or_else(Status::unsupported_patch_type)?;
            let old = current(state, call)?;
            let new = patch::apply(call.resource, kind, &old.value, &call.body)?;
            update(state, call, new, actor, now)
        }
        (&Method::DELETE, _, "") => removal::delete(state, call, actor, now),
        _ => Err(Status::method_not_allowed()),
    }
}

/// Events are for people, and nobody is here: they are taken and forgotten.
fn tell(call: &Call) -> Answer {
    match call.method {
        Method::POST => Ok((201, call.body.clone())),
        _ => Err(Status::not_found(&call.resource.group_resource(), &call.name)),
    }
}

/// The object that a call names.
pub(super) fn current(state: &State, call: &Call) -> Result<std::sync::Arc<Object>, Status> {
    let found = state.object(call.resource, &call.namespace, &call.name);
    found.ok_or_else(|| Status::not_found(&call.resource.group_resource(), &call.name))
}

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(body).map_err(|error| Status::bad_request(error.to_string()))
}

/// Selectors of a list or watch.
pub(super) struct Selected {
    namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selected {
    /// What the call selects.
    pub(super) fn of(call: &Call) -> Result<Self, Status> {
        let refuse = |error: api::selector::SelectorError| Status::bad_request(error.to_string());
        let fields = FieldSelector::parse_for(call.resource, call.parameter("fieldSelector"));
        let labels = LabelSelector::parse(call.parameter("labelSelector"));
        Ok(Self {
            namespace: call.namespace.clone(),
            labels: labels.map_err(refuse)?,
            fields: fields.map_err(refuse)?,
        })
    }

    /// Whether it selects the object.
    pub(super) fn matches(&self, resource: &api::resources::Resource, object: &Value) -> bool {
        (self.namespace.is_empty() || object["metadata"]["namespace"] == self.namespace.as_str())
            && (self.fields.is_everything() || self.fields.matches(resource, object))
            && (self.labels.is_everything() || self.labels.matches_object(object))
    }
}

fn list(state: &mut State, call: &Call) -> Answer {
    let selected = Selected::of(call)?;
    let all = state.all(call.resource);
    let items: Vec<&Value> = all.filter(|item| selected.matches(call.resource, item)).collect();
    let list = json!({"kind": call.resource.list_kind(), "apiVersion": call.resource.api_version(),
        "metadata": {"resourceVersion": state.revision.to_string()}, "items": items});
    Ok((200, Bytes::from(list.to_string())))
}

fn create(state: &mut State, call: &Call, actor: &str, now: Timestamp) -> Answer {
    let resource = call.resource;
    let given = api::decode::decode(resource, &call.body)?.object;
    let uid = state.uid();
    let mut object = given.clone();
    loop {
        let namespace = resource.namespaced().then_some(call.namespace.as_str());
        let creation = Creation { namespace, uid: &uid, now, random: state.random.next() };
        lifecycle::before_create(resource, &mut object, &creation)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if state.object(resource, &call.namespace, &name).is_none() {
            break;
        }
        if given["metadata"]["name"].is_string() {
            return Err(Status::already_exists(&resource.group_resource(), &name));
        }
        object = given.clone();
    }
    let object = state.put(resource, object, actor, now);
    Ok((201, object.bytes.clone()))
}

fn update(state: &mut State, call: &Call, mut new: Value, actor: &str, now: Timestamp) -> Answer {
    let (resource, old) = (call.resource, current(state, call)?);
    let version = new["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !version.is_empty() && version != "0" && version != old.revision.to_string() {
        if let Err(broken) = state.laws.refused(call, actor, version, now) {
            state.accuse(broken);
        }
        return Err(Status::modified(&resource.group_resource(), &call.name));
    }
    if call.subresource == "status" {
        resource.strategy.stamp_status(&mut new, &old.value, now);
        lifecycle::before_status_update(resource, &mut new, &old.value)?;
    } else {
        lifecycle::before_update(resource, &mut new, &old.value)?;
    }
    new["metadata"]["resourceVersion"] = old.revision.to_string().into();
    if removal::is_done(&new) {
        let object = state.remove(resource, new, actor, now);
        return Ok((200, object.bytes.clone()));
    }
    if new == old.value {
        return Ok((200, old.bytes.clone()));
    }
    let object = state.put(resource, new, actor, now);
    state.laws.wrote(call, actor, object.revision, now);
    Ok((200, object.bytes.clone()))
}

fn scale(state: &mut State, call: &Call, actor: &str, now: Timestamp) -> Answer {
    let (old, scale) = (current(state, call)?, read(&call.body)?);
    let new = call.resource.strategy.with_scale(old.value.clone(), &scale);
    update(state, call, new, actor, now)?;
    let scale = call.resource.strategy.scale_of(&current(state, call)?.value);
    Ok((200, Bytes::from(scale.to_string())))
}

fn bind(state: &mut State, call: &Call, actor: &str, now: Timestamp) -> Answer {
    let (pod, binding) = (current(state, call)?, read(&call.body)?);
    let bound = api::pod::bind(&pod.value, &binding, now).map_err(|error| {
        Status::conflict(&call.resource.group_resource(), &call.name, &error.to_string())
    })?;
    state.put(call.resource, bound, actor, now);
    Ok((201, Bytes::from(Status::success(None).to_string())))
}

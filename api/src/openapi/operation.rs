//! One operation: a method on a path, with what it takes and what it answers.

use serde_json::{Map, Value, json};

use super::form::Form;
use super::parameter::Parameter;

/// What can be done with a path by one method.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    /// The HTTP method, in lower case.
    pub(super) method: &'static str,
    /// A name of its own among all operations, such as `listCoreV1NamespacedPod`.
    pub(super) id: String,
    /// The group and version, such as `core_v1`.
    pub(super) tag: &'a str,
    /// `x-kubernetes-action`, "" for operations on no resource.
    pub(super) action: &'static str,
    /// Group, version and kind that it is about.
    pub(super) kind: (&'a str, &'a str, &'a str),
    /// Its parameters in the query.
    pub(super) parameters: &'static [Parameter],
    /// The body it takes.
    pub(super) body: Option<Body>,
    /// The status codes of success, and what they mean.
    pub(super) answers: &'static [(&'static str, &'static str)],
    /// What it answers with.
    pub(super) answer: Value,
    /// The media types it answers in.
    pub(super) produces: Vec<&'static str>,
}

/// The body of a request.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) schema: Value,
    pub(super) consumes: Vec<&'static str>,
    pub(super) required: bool,
}

impl Operation<'_> {
    /// As documents write it.
    pub(super) fn shown(&self, form: Form) -> Value {
        let mut parameters: Vec<Value> = self.parameters.iter().map(|p| p.shown(form)).collect();
        let mut shown = json!({"operationId": self.id, "tags": [self.tag]});
        if !self.action.is_empty() {
            let (group, version, kind) = self.kind;
            shown["x-kubernetes-action"] = self.action.into();
            shown["x-kubernetes-group-version-kind"] =
                json!({"group": group, "version": version, "kind": kind});
        }
        match (&self.body, form) {
            (Some(body), Form::V2) => {
                let schema = &body.schema;
                let mut of = json!({"name": "body", "in": "body", "schema": schema});
                if body.required {
                    of["required"] = true.into();
                }
                parameters.push(of);
                shown["consumes"] = json!(body.consumes);
            }
            (Some(body), Form::V3) => {
                shown["requestBody"] = json!({"content": content(&body.consumes, &body.schema)});
                if body.required {
                    shown["requestBody"]["required"] = true.into();
                }
            }
            (None, _) => {}
        }
        if form == Form::V2 {
            shown["produces"] = json!(self.produces);
        }
        if !parameters.is_empty() {
            shown["parameters"] = Value::Array(parameters);
        }
        shown["responses"] = self.responses(form);
        shown
    }

    fn responses(&self, form: Form) -> Value {
        let mut responses = Map::new();
        for (code, meaning) in self.answers {
            let mut response = json!({"description": meaning});
            match form {
                Form::V2 => response["schema"] = self.answer.clone(),
                Form::V3 => response["content"] = content(&self.produces, &self.answer),
            }
            responses.insert((*code).to_owned(), response);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        Value::Object(responses)
    }
}

fn content(types: &[&'static str], schema: &Value) -> Value {
    types.iter().map(|name| ((*name).to_owned(), json!({"schema": schema}))).collect()
}

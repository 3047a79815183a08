//! Rows of admission webhooks and admission policies.

use super::*;

fn length(list: &Value) -> Value {
    list.as_array().map_or(0, Vec::len).into()
}

fn webhooks(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), length(&object["webhooks"]), age(object, now)]
}

fn policy(object: &Value, rules: &str, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let parameters = match &spec["paramKind"] {
        Value::Null => "<unset>".to_owned(),
        kind => format!("{}/{}", text(kind, "/apiVersion"), text(kind, "/kind")),
    };
    vec![name(object), length(&spec[rules]), parameters.into(), age(object, now)]
}

fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let reference = &object["spec"]["paramRef"];
    let parameters = match text(reference, "/name") {
        "" if reference["selector"].is_null() => "<unset>".into(),
        "" => selector_text(&reference["selector"]),
        // Whether the parameters have a namespace cannot be told from here.
        name => format!("{}/{name}", or(text(reference, "/namespace"), "*")).into(),
    };
    vec![name(object), cell(object, "/spec/policyName"), parameters, age(object, now)]
}

pub(crate) const MUTATING_WEBHOOKS: Printer =
    Printer::new("MutatingWebhookConfiguration", webhooks);

pub(crate) const VALIDATING_WEBHOOKS: Printer =
    Printer::new("ValidatingWebhookConfiguration", webhooks);

pub(crate) const MUTATING_POLICY: Printer =
    Printer::new("MutatingAdmissionPolicy", |object, now| policy(object, "mutations", now));

pub(crate) const VALIDATING_POLICY: Printer =
    Printer::new("ValidatingAdmissionPolicy", |object, now| policy(object, "validations", now));

pub(crate) const MUTATING_BINDING: Printer =
    Printer::new("MutatingAdmissionPolicyBinding", binding);

pub(crate) const VALIDATING_BINDING: Printer =
    Printer::new("ValidatingAdmissionPolicyBinding", binding);

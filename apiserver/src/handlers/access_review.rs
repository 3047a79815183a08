//! May somebody do something? The authorizer, asked without doing anything.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::authz::{self, Attributes, decide, decide_selected};
use crate::context::Context;
use crate::user::User;

/// The status of a SubjectAccessReview of any kind; `user` asks, and is asked about unless the
/// spec names somebody else.
pub(super) fn access(context: &Context, spec: &Value, user: &User, about_self: bool) -> Value {
    let named = if about_self { None } else { Some(named(spec)) };
    let user = named.as_ref().unwrap_or(user);
    let text = |of: &Value, field: &str| of[field].as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let decision = if resource.is_object() {
        let [verb, group, mut full, namespace, name] =
            ["verb", "group", "resource", "namespace", "name"].map(|field| text(resource, field));
        let below = text(resource, "subresource");
        if !below.is_empty() {
            full = format!("{full}/{below}");
        }
        let asked = Attributes::Resource {
            verb: &verb,
            group: &group,
            resource: &full,
            namespace: &namespace,
            name: &name,
        };
        let selector = selector(&resource["fieldSelector"]);
        decide_selected(context, user, &asked, &selector)
    } else {
        let (verb, path) = (text(path, "verb"), text(path, "path"));
        decide(context, user, &Attributes::Path { verb: &verb, path: &path })
    };
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    status
}

/// The field selector that a review asks about, in the form of a query parameter: as it was sent, or
/// made of the requirements that demand one value.
fn selector(asked: &Value) -> String {
    if let Some(raw) = asked["rawSelector"].as_str() {
        return raw.to_owned();
    }
    let requirements = asked["requirements"].as_array().into_iter().flatten();
    let terms =
        requirements.filter(|term| term["operator"] == "In").filter_map(
            |term| match term["values"].as_array().map(Vec::as_slice) {
                Some([value]) => Some(format!("{}={}", term["key"].as_str()?, value.as_str()?)),
                _ => None,
            },
        );
    terms.collect::<Vec<_>>().join(",")
}

/// The user that a review names, in the groups that it names and no other.
fn named(spec: &Value) -> User {
    let texts = |list: &Value| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra: BTreeMap<_, _> = spec["extra"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, values)| (key.clone(), texts(values)))
        .collect();
    User::exactly(spec["user"].as_str().unwrap_or_default(), texts(&spec["groups"]))
        .with_uid(spec["uid"].as_str().unwrap_or_default())
        .with_extra(extra)
}

/// The status of a SelfSubjectRulesReview.
pub(super) fn rules(context: &Context, spec: &Value, user: &User) -> Value {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    let mut resources = Vec::new();
    let mut paths = Vec::new();
    if authz::is_trusted(user) {
        resources.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        paths.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    for rule in context.policies.index().rules(user, namespace) {
        let list = if rule.urls.is_empty() { &mut resources } else { &mut paths };
        let shown = rule.to_value();
        if !list.contains(&shown) {
            list.push(shown);
        }
    }
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

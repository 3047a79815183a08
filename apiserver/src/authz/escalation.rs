//! Nobody grants what they do not have: a role may be written by whoever has all that it grants,
//! or the verb `escalate` on it; a binding by whoever has all that its role grants, or the verb
//! `bind` on that role. Source: k8s.io/kubernetes/pkg/registry/rbac.

use api::resources::GroupResource;
use api::status::Status;
use serde_json::Value;

use super::rbac::{GROUP, RoleRef};
use super::rule::{self, Rule, quoted};
use super::{Attributes, decide, is_trusted};
use crate::context::Context;
use crate::dispatch::Target;
use crate::user::User;

/// Checks a role or binding that `user` is about to write; other resources pass. `old` is the
/// object as it was, null for a new one.
///
/// # Errors
/// 403 naming what is missing, 404 for a binding to a role that is not there.
pub(crate) fn check(
    context: &Context,
    target: &Target,
    new: &Value,
    old: &Value,
    user: &User,
) -> Result<(), Status> {
    let row = &target.resource;
    if row.group != GROUP || is_trusted(user) {
        return Ok(());
    }
    match &*row.plural {
        "clusterroles" | "roles" => role(context, target, new, old, user),
        "clusterrolebindings" | "rolebindings" => binding(context, target, new, old, user),
        _ => Ok(()),
    }
}

fn role(
    context: &Context,
    target: &Target,
    new: &Value,
    old: &Value,
    user: &User,
) -> Result<(), Status> {
    let same = |field: &str| new[field] == old[field];
    if old.is_object() && same("rules") && same("aggregationRule") {
        return Ok(());
    }
    let name = name(target, new);
    if may(context, user, "escalate", &target.resource.plural, &target.namespace, &name) {
        return Ok(());
    }
    let mut wanted = Rule::all_of(new);
    if new["aggregationRule"].is_object() {
        // What it will collect is not known: only who may do everything may ask for it.
        let all = || vec!["*".to_owned()];
        let anything = Rule { verbs: all(), groups: all(), resources: all(), ..Rule::default() };
        let any_url = Rule { verbs: all(), urls: all(), ..Rule::default() };
        wanted.extend([anything, any_url]);
    }
    confirm(context, target, &name, &wanted, user)
}

fn binding(
    context: &Context,
    target: &Target,
    new: &Value,
    old: &Value,
    user: &User,
) -> Result<(), Status> {
    if old.is_object() && new["subjects"] == old["subjects"] && new["roleRef"] == old["roleRef"] {
        return Ok(());
    }
    let role = RoleRef::read(&new["roleRef"], &target.namespace);
    let (plural, role_name) = match &role {
        RoleRef::Cluster(name) => ("clusterroles", name),
        RoleRef::Namespaced(_, name) => ("roles", name),
    };
    if may(context, user, "bind", plural, &target.namespace, role_name) {
        return Ok(());
    }
    let index = context.policies.index();
    let Some(rules) = index.role(&role) else {
        return Err(Status::not_found(&GroupResource::new(GROUP, plural), role_name));
    };
    confirm(context, target, &name(target, new), rules, user)
}

fn name(target: &Target, new: &Value) -> String {
    let given = new["metadata"]["name"].as_str().unwrap_or_default();
    if given.is_empty() { target.name.clone() } else { given.to_owned() }
}

fn may(
    context: &Context,
    user: &User,
    verb: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> bool {
    let asked = Attributes::Resource { verb, group: GROUP, resource, namespace, name };
    decide(context, user, &asked).allowed
}

/// Whether the user has all that is granted, where it is granted.
fn confirm(
    context: &Context,
    target: &Target,
    name: &str,
    wanted: &[Rule],
    user: &User,
) -> Result<(), Status> {
    let held = context.policies.index().rules(user, &target.namespace);
    let missing = rule::missing(&held, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<_> = missing.iter().map(Rule::compact).collect();
    let detail = format!(
        "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        api::field::go_quote(user.name()),
        quoted(user.groups()),
        missing.join("\n")
    );
    Err(Status::forbidden(&target.resource.group_resource(), name, &detail))
}

//! May this user do that? One chain; the first that says yes decides:
//!
//! 1. the masters group may do everything;
//! 2. everybody may read health and version;
//! 3. nodes: what the pods bound to them need ([`node`]);
//! 4. RBAC: the roles that are bound to the user or one of its groups ([`rbac`]). The cluster's own
//!    components are users like others, with the roles of every cluster's policy.
//!
//! [`rule`] says what a rule grants, [`escalation`] keeps users from granting what they do not
//! have, [`reviews`](crate::handlers) ask the same chain the same question.

pub(crate) mod escalation;
mod node;
pub(crate) mod rbac;
pub(crate) mod rule;

use api::resources::GroupResource;
use api::status::Status;

use crate::context::Context;
use crate::pki::MASTERS_GROUP;
use crate::user::User;

pub(crate) use node::{name_of as node_of, references};

/// Paths that answer without credentials, as Kubernetes' `system:public-info-viewer` role allows.
/// What is below them is not for everybody: a single health check says why it fails.
const PUBLIC: &[&str] = &["/healthz", "/livez", "/readyz", "/version", "/version/"];

/// What is being asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Attributes<'a> {
    /// Something about a resource.
    Resource {
        /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or
        /// one of the verbs that are only asked about: `impersonate`, `bind`, `escalate`.
        verb: &'a str,
        /// API group.
        group: &'a str,
        /// Plural name, with `/subresource` if there is one.
        resource: &'a str,
        /// Namespace, "" for cluster scope and for all namespaces.
        namespace: &'a str,
        /// Object name, "" for collections.
        name: &'a str,
    },
    /// A path that is no resource.
    Path {
        /// `get`, `post` and so on.
        verb: &'a str,
        /// The path.
        path: &'a str,
    },
}

/// The answer, with what made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Whether the user may.
    pub(crate) allowed: bool,
    /// Why, for people; "" if there is nothing to say.
    pub(crate) reason: String,
}

/// Decides.
///
/// # Errors
/// 401 for a user without credentials, 403 for one without the right.
pub(crate) fn authorize(
    context: &Context,
    user: &User,
    attributes: &Attributes<'_>,
) -> Result<(), Status> {
    authorize_selected(context, user, attributes, "")
}

/// Decides about a list, watch or deletion of objects that a field selector chooses.
///
/// # Errors
/// Those of [`authorize`].
pub(crate) fn authorize_selected(
    context: &Context,
    user: &User,
    attributes: &Attributes<'_>,
    selector: &str,
) -> Result<(), Status> {
    let decision = decide_selected(context, user, attributes, selector);
    if decision.allowed {
        Ok(())
    } else if user.is_anonymous() {
        Err(Status::unauthorized())
    } else {
        Err(forbidden(user, attributes, &decision.reason))
    }
}

/// Asks the chain.
pub(crate) fn decide(context: &Context, user: &User, attributes: &Attributes<'_>) -> Decision {
    decide_selected(context, user, attributes, "")
}

/// Asks the chain about objects that a field selector chooses, "" for none.
pub(crate) fn decide_selected(
    context: &Context,
    user: &User,
    attributes: &Attributes<'_>,
    selector: &str,
) -> Decision {
    if is_trusted(user) || is_public(attributes) {
        return Decision { allowed: true, reason: String::new() };
    }
    let own = node_of(user).map(|name| node::decide(context, name, attributes, selector));
    if let Some(own) = own.as_ref().filter(|own| own.allowed) {
        return own.clone();
    }
    let mut decision = context.policies.index().decide(user, attributes);
    if let Some(own) = own.filter(|own| !decision.allowed && !own.reason.is_empty()) {
        let reasons = [own.reason, decision.reason];
        let reasons: Vec<_> = reasons.into_iter().filter(|reason| !reason.is_empty()).collect();
        decision.reason = reasons.join("\n");
    }
    decision
}

/// Whether a user may do everything, whatever the roles say.
pub(crate) fn is_trusted(user: &User) -> bool {
    user.is_in(MASTERS_GROUP)
}

fn is_public(attributes: &Attributes<'_>) -> bool {
    matches!(attributes, Attributes::Path { verb: "get" | "head", path } if PUBLIC.contains(path))
}

fn forbidden(user: &User, attributes: &Attributes<'_>, reason: &str) -> Status {
    let mut status = match attributes {
        Attributes::Path { verb, path } => Status::forbidden_path(user.name(), verb, path),
        Attributes::Resource { verb, group, resource, namespace, name } => {
            let quoted = api::field::go_quote;
            let place = if namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {}", quoted(namespace))
            };
            let detail = format!(
                "User {} cannot {verb} resource {} in API group {} {place}",
                quoted(user.name()),
                quoted(resource),
                quoted(group),
            );
            let plural = resource.split('/').next().unwrap_or_default().to_owned();
            Status::forbidden(&GroupResource::new((*group).to_owned(), plural), name, &detail)
        }
    };
    if !reason.is_empty() {
        status.message.push_str(": ");
        status.message.push_str(reason);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_and_version_are_public() {
        for (verb, path, want) in [
            ("get", "/healthz", true),
            ("head", "/readyz", true),
            ("post", "/readyz", false),
            ("get", "/livez/ping", false),
            ("get", "/version", true),
            ("get", "/version/", true),
            ("get", "/versions", false),
            ("get", "/api", false),
            ("get", "/", false),
        ] {
            assert_eq!(is_public(&Attributes::Path { verb, path }), want, "{verb} {path}");
        }
    }

    #[test]
    fn masters_are_trusted() {
        let user = |name: &str, group: &str| User::new(name, vec![group.to_owned()]);
        assert!(is_trusted(&user("bob", "system:masters")));
        assert!(!is_trusted(&user("system:kube-scheduler", "x")));
        assert!(!is_trusted(&user("system:node:n1", "system:nodes")));
        assert!(!is_trusted(&user("system:masters", "masters")));
        assert!(!is_trusted(&User::anonymous()));
    }

    #[test]
    fn refusals_are_worded_as_kubernetes_words_them() {
        let bob = User::new("nobody", vec![]);
        let mut attributes = Attributes::Resource {
            verb: "list",
            group: "",
            resource: "pods",
            namespace: "gold",
            name: "",
        };
        let refused = forbidden(&bob, &attributes, "");
        let message = "pods is forbidden: User \"nobody\" cannot list resource \"pods\" in API \
            group \"\" in the namespace \"gold\"";
        assert_eq!(refused.message, message);
        let reason = "RBAC: clusterrole.rbac.authorization.k8s.io \"x\" not found";
        let refused = forbidden(&bob, &attributes, reason);
        assert_eq!(refused.message, format!("{message}: {reason}"));
        attributes = Attributes::Resource {
            verb: "update",
            group: "apps",
            resource: "deployments/scale",
            namespace: "",
            name: "d",
        };
        assert_eq!(
            forbidden(&bob, &attributes, "").message,
            "deployments.apps \"d\" is forbidden: User \"nobody\" cannot update resource \
             \"deployments/scale\" in API group \"apps\" at the cluster scope"
        );
    }
}

//! May this user do that?
//!
//! For now: the masters group and the cluster's own components may do everything, everybody may
//! read health and version, nobody else may do anything. The seam is the one that RBAC will fill:
//! a user, attributes, a decision.

use api::resources::GroupResource;
use api::status::Status;

use crate::pki::MASTERS_GROUP;
use crate::user::User;

/// Paths that answer without credentials, as Kubernetes' `system:public-info-viewer` role allows.
/// What is below them is not for everybody: a single health check says why it fails.
const PUBLIC: &[&str] = &["/healthz", "/livez", "/readyz", "/version", "/version/"];

/// The users that Wharf's own components have.
const COMPONENTS: &[&str] = &[
    "system:apiserver",
    "system:kube-controller-manager",
    "system:kube-proxy",
    "system:kube-scheduler",
    "kube-apiserver-kubelet-client",
];

/// What is being asked for.
pub(crate) enum Attributes<'a> {
    /// Something about a resource.
    Resource {
        /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
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

/// Decides.
///
/// # Errors
/// 401 for a user without credentials, 403 for one without the right.
pub(crate) fn authorize(user: &User, attributes: &Attributes<'_>) -> Result<(), Status> {
    if let Attributes::Path { verb: "get" | "head", path } = attributes
        && PUBLIC.contains(path)
    {
        return Ok(());
    }
    if user.is_anonymous() {
        return Err(Status::unauthorized());
    }
    let trusted = user.is_in(MASTERS_GROUP)
        || user.is_in("system:nodes")
        || COMPONENTS.contains(&user.name());
    if trusted { Ok(()) } else { Err(forbidden(user, attributes)) }
}

fn forbidden(user: &User, attributes: &Attributes<'_>) -> Status {
    match attributes {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(user: &User, path: &str) -> u16 {
        let attributes = Attributes::Path { verb: "get", path };
        authorize(user, &attributes).map_or_else(|status| status.code, |()| 200)
    }

    #[test]
    fn anonymous_sees_health_and_version_only() {
        let nobody = User::anonymous();
        for (path, want) in [
            ("/healthz", 200),
            ("/livez/ping", 401),
            ("/readyz", 200),
            ("/version", 200),
            ("/version/", 200),
            ("/versions", 401),
            ("/api", 401),
            ("/", 401),
        ] {
            assert_eq!(ask(&nobody, path), want, "{path}");
        }
        assert_eq!(ask(&User::new("bob", vec![]), "/api"), 403);
        assert_eq!(ask(&User::new("bob", vec!["system:masters".into()]), "/api"), 200);
        assert_eq!(ask(&User::new("system:kube-scheduler", vec![]), "/api"), 200);
        assert_eq!(ask(&User::new("system:node:n1", vec!["system:nodes".into()]), "/api"), 200);
    }

    #[test]
    fn refusals_are_worded_as_kubernetes_words_them() {
        let bob = User::new("nobody", vec![]);
        let attributes = Attributes::Resource {
            verb: "list",
            group: "",
            resource: "pods",
            namespace: "gold",
            name: "",
        };
        let status = authorize(&bob, &attributes).unwrap_err();
        assert_eq!(
            status.message,
            "pods is forbidden: User \"nobody\" cannot list resource \"pods\" in API group \"\" \
             in the namespace \"gold\""
        );
    }
}

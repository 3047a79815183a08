//! Under which labels a request is counted (k8s.io/apiserver/pkg/endpoints/metrics).

use api::resources::Resource;
use http::{Method, header};

use crate::request::Request;
use crate::request::info::{self, ResourcePath};
use crate::request::negotiate::is_apply;
use crate::request::options::Query;
use crate::telemetry::Labels;

/// Paths that are counted by name; what is below them counts as them.
const PATHS: [&str; 9] = [
    "/healthz",
    "/livez",
    "/readyz",
    "/metrics",
    "/version",
    "/openapi/v2",
    "/openapi/v3",
    "/apis",
    "/api",
];

/// The labels of a path that is no resource; `None` for one that nothing is behind.
pub(super) fn of_path(method: &Method, path: &str) -> Option<Labels<'static>> {
    let known = PATHS.into_iter().find(|known| {
        path.strip_prefix(known).is_some_and(|below| below.is_empty() || below.starts_with('/'))
    })?;
    let verb = if *method == Method::GET { "GET" } else { return None };
    let (group, version, resource) = ("", "", "");
    Some(Labels { verb, dry_run: false, group, version, resource, subresource: known, scope: "" })
}

/// What is asked of a resource, but which.
pub(super) struct Asked {
    verb: &'static str,
    dry_run: bool,
    scope: &'static str,
}

impl Asked {
    /// Of a request. `verb`: as authorization sees it.
    pub(super) fn new(request: &Request, path: &ResourcePath, verb: &str, query: &Query) -> Asked {
        let content_type = request.header(header::CONTENT_TYPE).unwrap_or_default();
        let dry_run = query.get("dryRun") == "All";
        Asked { verb: shown(path, verb, content_type), dry_run, scope: scope(path, verb) }
    }

    /// The labels of the request, now that its resource is known.
    pub(super) fn labels<'a>(&self, row: &'a Resource, subresource: &'a str) -> Labels<'a> {
        Labels {
            verb: self.verb,
            dry_run: self.dry_run,
            group: &row.group,
            version: &row.version,
            resource: &row.plural,
            subresource,
            scope: self.scope,
        }
    }
}

fn shown(path: &ResourcePath, verb: &str, content_type: &str) -> &'static str {
    match verb {
        // Logs are relayed, too, but read like an object.
        _ if info::is_relayed(path) && path.subresource != "log" => "CONNECT",
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" => "POST",
        "update" => "PUT",
        "patch" if is_apply(content_type) => "APPLY",
        "patch" => "PATCH",
        "delete" => "DELETE",
        _ => "DELETECOLLECTION",
    }
}

fn scope(path: &ResourcePath, verb: &str) -> &'static str {
    if !path.name.is_empty() || verb == "create" {
        "resource"
    } else if !path.namespace.is_empty() {
        "namespace"
    } else {
        "cluster"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_and_scopes_are_those_of_kubernetes() {
        let apply = "application/apply-patch+yaml";
        for (path, verb, content_type, want) in [
            ("/api/v1/pods", "list", "", ("LIST", "cluster")),
            ("/api/v1/namespaces/d/pods", "watch", "", ("WATCH", "namespace")),
            ("/api/v1/namespaces/d/pods", "create", "", ("POST", "resource")),
            (
                "/api/v1/namespaces/d/pods",
                "deletecollection",
                "",
                ("DELETECOLLECTION", "namespace"),
            ),
            ("/api/v1/namespaces/d/pods/a", "get", "", ("GET", "resource")),
            ("/api/v1/namespaces/d/pods/a", "patch", "", ("PATCH", "resource")),
            ("/api/v1/namespaces/d/pods/a/status", "patch", apply, ("APPLY", "resource")),
            ("/api/v1/namespaces/d/pods/a/log", "get", "", ("GET", "resource")),
            ("/api/v1/namespaces/d/pods/a/exec", "create", "", ("CONNECT", "resource")),
            ("/api/v1/nodes/n/proxy/a/b", "get", "", ("CONNECT", "resource")),
        ] {
            let named = info::parse(path).expect(path);
            assert_eq!((shown(&named, verb, content_type), scope(&named, verb)), want, "{path}");
        }
    }

    #[test]
    fn paths_are_counted_by_names_that_no_client_makes_up() {
        let of = |path: &str| of_path(&Method::GET, path).map(|labels| labels.subresource);
        for (path, want) in [
            ("/livez", Some("/livez")),
            ("/readyz/etcd", Some("/readyz")),
            ("/openapi/v3/apis/apps/v1", Some("/openapi/v3")),
            ("/apis/apps", Some("/apis")),
            ("/livezz", None),
            ("/anything", None),
            ("/", None),
        ] {
            assert_eq!(of(path), want, "{path}");
        }
        assert_eq!(of_path(&Method::HEAD, "/livez"), None);
    }
}

//! From a path to what it names, as k8s.io/apiserver/pkg/endpoints/request.RequestInfo.
//!
//! ```text
//! /api/v1/namespaces/NS/pods/NAME/log     group "", version v1, namespace NS, pods, NAME, log
//! /apis/GROUP/VERSION/RESOURCE[/NAME[/SUBRESOURCE]]
//! /api/v1/namespaces/NAME[/status|/finalize]   the namespace itself
//! anything else                           a path that is no resource
//! ```

use std::borrow::Cow;

use http::Method;

/// A resource path, taken apart and percent-decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    /// API group, "" for the core group.
    pub(crate) group: String,
    /// API version.
    pub(crate) version: String,
    /// Namespace, "" for cluster-scoped resources and lists over all namespaces.
    pub(crate) namespace: String,
    /// Plural name.
    pub(crate) resource: String,
    /// Object name, "" for collections.
    pub(crate) name: String,
    /// Subresource, "" for none. What follows it (as in `proxy/a/b`) is kept with it.
    pub(crate) subresource: String,
}

/// Takes a path apart; `None` when it is not below `/api/v1` or `/apis/GROUP/VERSION`, or names
/// no resource.
pub(crate) fn parse(path: &str) -> Option<ResourcePath> {
    let mut parts = path.trim_start_matches('/').trim_end_matches('/').splitn(9, '/');
    let group = match parts.next()? {
        "api" => Cow::Borrowed(""),
        "apis" => decode(parts.next()?),
        _ => return None,
    };
    let version = decode(parts.next()?);
    let rest: Vec<_> = parts.map(decode).collect();
    let text = |at: usize| rest.get(at).map(|part| part.clone().into_owned()).unwrap_or_default();
    let tail = |at: usize| rest.get(at..).map(|parts| parts.join("/")).unwrap_or_default();
    let first = rest.first().filter(|first| !first.is_empty())?;
    let inside = first == "namespaces"
        && rest.len() > 2
        && !(rest.len() == 3 && matches!(&*rest[2], "status" | "finalize"));
    let (namespace, resource, name, subresource) = if inside {
        (text(1), text(2), text(3), tail(4))
    } else {
        (String::new(), text(0), text(1), tail(2))
    };
    let (group, version) = (group.into_owned(), version.into_owned());
    Some(ResourcePath { group, version, namespace, resource, name, subresource })
}

/// Whether a request is relayed to a node for as long as its client likes.
pub(crate) fn is_relayed(path: &ResourcePath) -> bool {
    let below = path.subresource.split('/').next().unwrap_or_default();
    matches!(below, "attach" | "exec" | "log" | "portforward" | "proxy")
}

/// The verb that authorization sees (k8s.io/apiserver's RequestInfo.Verb).
pub(crate) fn verb(method: &Method, path: &ResourcePath, watch: bool) -> &'static str {
    match (method.as_str(), path.name.is_empty()) {
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        (_, true) if watch => "watch",
        (_, true) => "list",
        (_, false) => "get",
    }
}

/// The name that a field selector asks for, "" if it asks for none.
pub(crate) fn selected_name(selector: &str) -> String {
    let terms = selector.split(',').filter_map(|term| term.trim().strip_prefix("metadata.name="));
    let mut names = terms.map(|name| name.strip_prefix('=').unwrap_or(name));
    names.next().unwrap_or_default().to_owned()
}

/// Decodes `%XX`; a malformed escape stays as it is.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str) -> Option<[String; 6]> {
        parse(path).map(|p| [p.group, p.version, p.namespace, p.resource, p.name, p.subresource])
    }

    #[test]
    fn paths_are_taken_apart() {
        for (path, want) in [
            ("/api/v1/pods", ["", "v1", "", "pods", "", ""]),
            ("/api/v1/namespaces/d/pods", ["", "v1", "d", "pods", "", ""]),
            ("/api/v1/namespaces/d/pods/", ["", "v1", "d", "pods", "", ""]),
            ("/api/v1/namespaces/d/pods/a/log", ["", "v1", "d", "pods", "a", "log"]),
            ("/api/v1/namespaces/d", ["", "v1", "", "namespaces", "d", ""]),
            ("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]),
            ("/api/v1/namespaces/d/finalize", ["", "v1", "", "namespaces", "d", "finalize"]),
            ("/api/v1/namespaces/d/status", ["", "v1", "", "namespaces", "d", "status"]),
            ("/apis/apps/v1/deployments/x", ["apps", "v1", "", "deployments", "x", ""]),
            (
                "/apis/coordination.k8s.io/v1/namespaces/n/leases/a%2Db",
                ["coordination.k8s.io", "v1", "n", "leases", "a-b", ""],
            ),
            ("/api/v1/nodes/n/proxy/a/b", ["", "v1", "", "nodes", "n", "proxy/a/b"]),
        ] {
            assert_eq!(told(path), Some(want.map(str::to_owned)), "{path}");
        }
        for path in ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/version"] {
            assert_eq!(told(path), None, "{path}");
        }
    }

    #[test]
    fn selectors_may_ask_for_one_name() {
        for (selector, want) in [
            ("", ""),
            ("metadata.name=a", "a"),
            ("status.phase=x,metadata.name==b", "b"),
            ("metadata.name!=a", ""),
            ("metadata.namespace=a", ""),
        ] {
            assert_eq!(selected_name(selector), want, "{selector}");
        }
    }

    #[test]
    fn bad_escapes_are_kept() {
        assert_eq!(decode("a%2"), "a%2");
        assert_eq!(decode("%zz%20"), "%zz ");
        assert_eq!(decode("%e4%bd%a0"), "你");
    }
}

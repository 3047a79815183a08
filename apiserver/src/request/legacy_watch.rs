//! The older paths of watches, `/api/v1/watch/pods`, which some clients still use: what they mean
//! in today's form, `/api/v1/pods?watch=true`.
//! Source: k8s.io/apiserver/pkg/endpoints/installer.go (WATCH and WATCHLIST).

use http::Uri;
use http::uri::PathAndQuery;

/// Today's form of an older path; `None` for all others.
pub(crate) fn modern(uri: &Uri) -> Option<Uri> {
    let modern = rewrite(uri.path(), uri.query().unwrap_or_default())?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(modern).ok()?);
    Uri::from_parts(parts).ok()
}

fn rewrite(path: &str, query: &str) -> Option<String> {
    let (root, rest) = path.split_once("/watch/")?;
    // The word after the version, and no other.
    let below = if root.starts_with("/apis/") { 3 } else { 2 };
    if !(root.starts_with("/api/") || root.starts_with("/apis/"))
        || root.matches('/').count() != below
    {
        return None;
    }
    let parts: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
    let (collection, name) = match parts[..] {
        ["namespaces", _, _] => (parts.join("/"), ""),
        ["namespaces", namespace, plural, name] => {
            (format!("namespaces/{namespace}/{plural}"), name)
        }
        [plural] if !plural.is_empty() => (plural.to_owned(), ""),
        [plural, name] => (plural.to_owned(), name),
        _ => return None,
    };
    let mut modern = format!("{root}/{collection}?watch=true");
    if !name.is_empty() {
        modern.push_str("&fieldSelector=metadata.name%3D");
        modern.push_str(name);
    }
    if !query.is_empty() {
        modern.push('&');
        modern.push_str(query);
    }
    Some(modern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_paths_are_watches() {
        for (path, query, want) in [
            ("/api/v1/watch/pods", "", Some("/api/v1/pods?watch=true")),
            (
                "/api/v1/watch/nodes/n",
                "",
                Some("/api/v1/nodes?watch=true&fieldSelector=metadata.name%3Dn"),
            ),
            ("/api/v1/watch/namespaces", "a=b", Some("/api/v1/namespaces?watch=true&a=b")),
            (
                "/api/v1/watch/namespaces/d/pods",
                "resourceVersion=7",
                Some("/api/v1/namespaces/d/pods?watch=true&resourceVersion=7"),
            ),
            (
                "/apis/apps/v1/watch/namespaces/d/deployments/x",
                "",
                Some(
                    "/apis/apps/v1/namespaces/d/deployments?watch=true&fieldSelector=metadata.name%3Dx",
                ),
            ),
            ("/api/v1/pods", "watch=true", None),
            ("/api/v1/namespaces/watch/pods", "", None),
            ("/api/v1/namespaces/d/pods/watch/log", "", None),
            ("/api/v1/watch/", "", None),
            ("/openapi/watch/x", "", None),
        ] {
            assert_eq!(rewrite(path, query).as_deref(), want, "{path}");
        }
        let uri = Uri::from_static("/api/v1/watch/pods?a=b");
        assert_eq!(modern(&uri), Some(Uri::from_static("/api/v1/pods?watch=true&a=b")));
    }
}

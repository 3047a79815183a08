//! A request, taken apart.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use api::resources::{self, Resource};
use api::status::Status;
use bytes::Bytes;
use http::{Method, header};
use serde_json::Value;

/// How much of a patch is told, in characters.
const PATCH_SHOWN: usize = 400;

/// What is asked of what.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) resource: &'static Arc<Resource>,
    /// Empty for objects of the cluster, and for all namespaces.
    pub(crate) namespace: String,
    /// Empty for a collection.
    pub(crate) name: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

impl Call {
    /// Reads a request.
    ///
    /// # Errors
    /// 404 for what the API does not have.
    pub(crate) fn read(parts: &http::request::Parts, body: Bytes) -> Result<Self, Status> {
        let segments: Vec<&str> = parts.uri.path().split('/').filter(|s| !s.is_empty()).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Status::path_not_found()),
        };
        let (namespace, rest) = match rest {
            // A subresource of the namespace itself.
            ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let plural = rest.first().copied().unwrap_or_default();
        let resource = resources::by_path(group, version, plural);
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let segment = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
        Ok(Self {
            method: parts.method.clone(),
            resource: resource.ok_or_else(Status::path_not_found)?,
            namespace: namespace.to_owned(),
            name: segment(1),
            subresource: segment(2),
            query: query(parts.uri.query().unwrap_or_default()),
            content_type: content_type.and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned(),
            body,
        })
    }

    /// A request of a user.
    pub(crate) fn of_user(
        method: Method,
        resource: &'static Arc<Resource>,
        path: (&str, &str, &str),
        body: &Value,
    ) -> Self {
        let patch = "application/merge-patch+json";
        let kind = if method == Method::PATCH { patch } else { "application/json" };
        Self {
            method,
            resource,
            namespace: path.0.to_owned(),
            name: path.1.to_owned(),
            subresource: path.2.to_owned(),
            query: BTreeMap::new(),
            content_type: kind.to_owned(),
            body: Bytes::from(body.to_string()),
        }
    }

    /// Whether it changes nothing.
    pub(crate) fn reads(&self) -> bool {
        self.method == Method::GET
    }

    /// What a patch changes and what an event says, as far as a line of the log has room for it.
    pub(crate) fn told(&self) -> String {
        if self.method == Method::POST && self.resource.kind == "Event" {
            let event: Value = serde_json::from_slice(&self.body).unwrap_or_default();
            let message = event.get("note").or(event.get("message")).unwrap_or(&Value::Null);
            return format!(" {}: {message}", event["reason"]);
        }
        if self.method != Method::PATCH {
            return String::new();
        }
        let body = String::from_utf8_lossy(&self.body);
        let shown: String = body.chars().take(PATCH_SHOWN).collect();
        format!(" {shown}{}", if shown.len() < body.len() { "…" } else { "" })
    }

    /// Whether it is a watch.
    pub(crate) fn watches(&self) -> bool {
        self.reads() && self.query.get("watch").is_some_and(|value| value != "false")
    }

    /// Whether nothing goes wrong with it: definitions are watched by a library that waits by chance
    /// after a failure, and no seed fixes that.
    pub(crate) fn is_exempt(&self) -> bool {
        self.resource.plural == "customresourcedefinitions"
    }

    /// A parameter; "" when it is not given.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.resource.plural)?;
        for part in [&self.name, &self.subresource] {
            if !part.is_empty() {
                write!(f, "/{part}")?;
            }
        }
        Ok(())
    }
}

pub(super) fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                out.push(u8::from_str_radix(&hex, 16).unwrap_or(b'%'));
            }
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_objects_and_collections() {
        for (path, want) in [
            ("/api/v1/pods?watch=true", "GET pods - - true"),
            ("/api/v1/namespaces/a/pods/b/status", "GET pods/b/status a - false"),
            ("/api/v1/namespaces/a", "GET namespaces/a - - false"),
            ("/api/v1/namespaces/a/finalize", "GET namespaces/a/finalize - - false"),
            (
                "/apis/apps/v1/namespaces/a/replicasets?fieldSelector=x%3Dy",
                "GET replicasets a x=y false",
            ),
        ] {
            let (parts, ()) = http::Request::get(path).body(()).unwrap().into_parts();
            let call = Call::read(&parts, Bytes::new()).unwrap();
            let or = |text: &str| if text.is_empty() { "-" } else { text }.to_owned();
            let fields = or(call.parameter("fieldSelector"));
            let have = format!("{call} {} {fields} {}", or(&call.namespace), call.watches());
            assert_eq!(have, want);
        }
        let (parts, ()) = http::Request::get("/apis/none/v1/x").body(()).unwrap().into_parts();
        assert_eq!(Call::read(&parts, Bytes::new()).unwrap_err().code, 404);
    }
}

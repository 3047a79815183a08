//! The name of a request in everybody's logs: a UUID, or what the client calls it
//! (k8s.io/apiserver/pkg/endpoints/filters/audit_init.go).

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::context::uuid_text;

/// The header in which a client names its request, and is told the name.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("audit-id");

/// The name of a request.
pub(crate) fn id(headers: &HeaderMap) -> HeaderValue {
    match headers.get(HEADER) {
        Some(given) if !given.is_empty() => given.clone(),
        _ => HeaderValue::from_bytes(&uuid_text()).expect("a UUID is made of letters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_name_that_its_client_gave_it() {
        let mut headers = HeaderMap::new();
        assert_eq!(id(&headers).len(), 36);
        assert_ne!(id(&headers), id(&headers));
        headers.insert(HEADER, HeaderValue::from_static(""));
        assert_eq!(id(&headers).len(), 36);
        headers.insert(HEADER, HeaderValue::from_static("mine"));
        assert_eq!(id(&headers), "mine");
    }
}

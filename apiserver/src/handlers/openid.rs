//! How others check ServiceAccount tokens without asking: who issues them and with which keys
//! (OpenID Connect Discovery 1.0, as far as Kubernetes serves it).

use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::authn::Issuer;
use crate::response::{Answer, json as answer};

/// Answers the two paths; `None` for any other.
pub(super) fn answer_path(issuer: &Issuer, path: &str) -> Option<Answer> {
    let (document, kind) = match path {
        "/.well-known/openid-configuration" => (
            json!({
                "issuer": issuer.url, "jwks_uri": issuer.jwks_uri,
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }),
            "application/json",
        ),
        "/openid/v1/jwks" => (json!({"keys": [issuer.key.jwk()]}), "application/jwk-set+json"),
        _ => return None,
    };
    let mut answer = answer(StatusCode::OK, &document);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let hour = HeaderValue::from_static("public, max-age=3600");
    headers.insert(header::CACHE_CONTROL, hour);
    Some(answer)
}

//! `authentication.k8s.io`: TokenReview, SelfSubjectReview, and the TokenRequest that is posted to
//! a ServiceAccount. Source: k8s.io/kubernetes/pkg/apis/authentication.

use serde_json::Value;

use super::{Strategy, set_default};
use crate::field::{Errors, FieldError, Path};

/// For how long a token is asked for that says nothing, in seconds.
const DEFAULT_EXPIRATION: i64 = 60 * 60;
/// For how long a token is given at least, in seconds.
const MIN_EXPIRATION: i64 = 10 * 60;
/// For how long a token is given at most, in seconds.
const MAX_EXPIRATION: i64 = 1 << 32;

/// Who is asking?
#[derive(Debug)]
pub(crate) struct SelfSubjectReview;

impl Strategy for SelfSubjectReview {
    fn validate(&self, _object: &Value) -> Errors {
        Errors::new()
    }
}

/// Whose token is that?
#[derive(Debug)]
pub(crate) struct TokenReview;

impl Strategy for TokenReview {
    fn validate(&self, _object: &Value) -> Errors {
        Errors::new()
    }
}

/// Fills in what a TokenRequest leaves out: an hour.
pub fn default_token_request(request: &mut Value) {
    set_default(request, "spec", serde_json::json!({}));
    set_default(&mut request["spec"], "expirationSeconds", DEFAULT_EXPIRATION);
}

/// Checks a TokenRequest.
#[must_use]
pub fn validate_token_request(request: &Value) -> Errors {
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(0);
    let path = Path::new("spec").child("expirationSeconds");
    let detail = if seconds < MIN_EXPIRATION {
        "may not specify a duration less than 10 minutes"
    } else if seconds > MAX_EXPIRATION {
        "may not specify a duration larger than 2^32 seconds"
    } else {
        return Errors::new();
    };
    vec![FieldError::invalid(&path, seconds, detail)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_live_between_ten_minutes_and_a_century() {
        for (seconds, fine) in [
            (Value::Null, true),
            (json!(599), false),
            (json!(600), true),
            (json!(1_i64 << 33), false),
        ] {
            let mut request = json!({"spec": {"expirationSeconds": seconds}});
            default_token_request(&mut request);
            let errors = validate_token_request(&request);
            assert_eq!(errors.is_empty(), fine, "{seconds}: {errors:?}");
        }
        let mut empty = json!({});
        default_token_request(&mut empty);
        assert_eq!(empty["spec"]["expirationSeconds"], 3600);
    }
}

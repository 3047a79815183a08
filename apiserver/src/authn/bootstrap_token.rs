//! Bootstrap tokens: `ID.SECRET`, kept in Secrets of kube-system, for machines that join.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::token::TokenError;
use crate::context::{Context, now};
use crate::user::User;

/// The type of Secrets that hold one.
const TYPE: &str = "bootstrap.kubernetes.io/token";
/// The group of all who come with one; extra groups begin with it.
const GROUP: &str = "system:bootstrappers";

/// Public and secret part of what has the form of a bootstrap token.
pub(super) fn parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some((id, secret))
}

/// Checks a token against the Secret named after it.
///
/// # Errors
/// [`TokenError::Bootstrap`].
pub(super) fn check(context: &Context, (id, secret): (&str, &str)) -> Result<User, TokenError> {
    let key = format!("kube-system/bootstrap-token-{id}");
    let found = context.core("secrets").get(&key).map(|object| object.encoded().parse());
    found
        .and_then(|object: Value| judge(&object, id, secret, now()))
        .ok_or_else(|| TokenError::Bootstrap { id: id.to_owned() })
}

/// The user that the token stands for, if the Secret says so.
fn judge(object: &Value, id: &str, secret: &str, now: jiff::Timestamp) -> Option<User> {
    let data = |key: &str| -> String {
        let text = object["data"][key].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(text).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    };
    if object["type"] != TYPE || object["metadata"]["deletionTimestamp"].is_string() {
        return None;
    }
    // Comparing digests takes the same time wherever the first difference is.
    let digest_of = |text: &str| digest(&SHA256, text.as_bytes());
    if digest_of(&data("token-secret")).as_ref() != digest_of(secret).as_ref()
        || data("token-id") != id
        || data("usage-bootstrap-authentication") != "true"
    {
        return None;
    }
    let expiration = data("expiration");
    if !expiration.is_empty() && expiration.parse::<jiff::Timestamp>().ok()? <= now {
        return None;
    }
    let mut groups = vec![GROUP.to_owned()];
    for group in data("auth-extra-groups").split(',').map(str::trim).filter(|g| !g.is_empty()) {
        if !group.strip_prefix(GROUP)?.starts_with(':') {
            return None;
        }
        groups.push(group.to_owned());
    }
    Some(User::new(format!("system:bootstrap:{id}"), groups))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_form_of_a_token() {
        let good = "abcdef.0123456789abcdef";
        assert_eq!(parts(good), Some(("abcdef", "0123456789abcdef")));
        for bad in ["abcdef", "Abcdef.0123456789abcdef", "abcdef.0123", "a.b.c", ""] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_secret_vouches_for_its_token() {
        let now: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let good = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
            ("auth-extra-groups", "system:bootstrappers:a, system:bootstrappers:b"),
            ("expiration", "2026-01-02T00:00:00Z"),
        ];
        let ask = |changed: &str, value: &str| {
            let data: serde_json::Map<String, Value> = good
                .into_iter()
                .map(|(key, text)| (key, if key == changed { value } else { text }))
                .map(|(key, text)| (key.to_owned(), STANDARD.encode(text).into()))
                .collect();
            let kind = if changed == "type" { value } else { TYPE };
            let object = json!({"type": kind, "data": data});
            judge(&object, "abcdef", "0123456789abcdef", now)
        };
        let user = ask("", "").unwrap();
        assert_eq!(user.name(), "system:bootstrap:abcdef");
        assert_eq!(user.groups()[..3].join(" "), format!("{GROUP} {GROUP}:a {GROUP}:b"));
        assert!(ask("expiration", "").is_some() && ask("auth-extra-groups", "").is_some());
        for (key, value) in [
            ("token-id", "fedcba"),
            ("token-secret", "0123456789abcdee"),
            ("usage-bootstrap-authentication", "false"),
            ("auth-extra-groups", "system:masters"),
            ("auth-extra-groups", "system:bootstrappersx"),
            ("expiration", "2026-01-01T00:00:00Z"),
            ("expiration", "soon"),
            ("type", "Opaque"),
        ] {
            assert_eq!(ask(key, value), None, "{key}={value}");
        }
    }
}

//! JSON Web Tokens in the one form that this server makes and reads: compact, signed by ES256
//! (RFC 7515, RFC 7519).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::claims::Claims;
use crate::pki::SigningKey;

/// Bytes of a token at most: far more than any that this server makes.
const LIMIT: usize = 16 * 1024;

/// Why a token proves nothing. The words are Kubernetes' where users see them, in TokenReviews.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// No token at all, or of another server.
    #[error("invalid bearer token")]
    Unknown,
    /// Signed by this server, but for others.
    #[error("token audiences do not match the audiences asked for")]
    Audience,
    /// Its time is over.
    #[error("service account token has expired")]
    Expired,
    /// Its time has not come.
    #[error("service account token is not valid yet")]
    NotYet,
    /// Its account is gone.
    #[error("service account {namespace}/{name} has been deleted")]
    NoAccount {
        /// The account's namespace.
        namespace: String,
        /// The account's name.
        name: String,
    },
    /// Its account, or what it is bound to, was deleted and made again.
    #[error("{kind} UID ({have}) does not match claim ({claimed})")]
    Uid {
        /// The kind of the object.
        kind: &'static str,
        /// The UID of the object that there is.
        have: String,
        /// The UID that the token names.
        claimed: String,
    },
    /// What it is bound to is gone.
    #[error("service account token has been invalidated")]
    Invalidated,
    /// A bootstrap token that is not, or no longer, good.
    #[error("bootstrap token {id:?} is not valid")]
    Bootstrap {
        /// The public part of the token.
        id: String,
    },
}

/// Makes a token of claims.
pub(crate) fn sign(key: &SigningKey, claims: &Claims) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({"alg": "ES256", "kid": key.id()});
    let claims = serde_json::to_value(claims).expect("claims are text and numbers");
    let mut token = format!("{}.{}", encode(&header), encode(&claims));
    let signature = key.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

/// The claims of a token that `key` has signed.
///
/// # Errors
/// [`TokenError::Unknown`] for everything else.
pub(super) fn verify(key: &SigningKey, token: &str) -> Result<Claims, TokenError> {
    claims(key, token).ok_or(TokenError::Unknown)
}

fn claims(key: &SigningKey, token: &str) -> Option<Claims> {
    if token.len() > LIMIT {
        return None;
    }
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, payload) = signed.split_once('.')?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
    // The algorithm is not for the token to choose.
    if header["alg"] != "ES256" || header.get("crit").is_some() {
        return None;
    }
    if !key.has_signed(signed.as_bytes(), &decode(signature)?) {
        return None;
    }
    serde_json::from_slice(&decode(payload)?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::claims::tests::grant;
    use super::*;

    #[test]
    fn only_whole_tokens_of_this_key_are_believed() {
        let dir = tempfile::tempdir().unwrap();
        let authority = crate::pki::Authority::open(dir.path()).unwrap();
        let key = authority.signing_key();
        let claims = Claims::new(&grant());
        let token = sign(key, &claims);
        assert_eq!(verify(key, &token), Ok(claims.clone()));

        let parts: Vec<&str> = token.split('.').collect();
        let unsigned = URL_SAFE_NO_PAD.encode(json!({"alg": "none"}).to_string());
        let mut other = claims;
        other.sub = "system:serviceaccount:kube-system:admin".to_owned();
        let forged = URL_SAFE_NO_PAD.encode(serde_json::to_string(&other).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let stranger = crate::pki::Authority::open(dir.path()).unwrap();
        for wrong in [
            String::new(),
            "a.b".to_owned(),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{unsigned}.{}.{}", parts[1], parts[2]),
            format!("{unsigned}.{}.", parts[1]),
            format!("{}.{forged}.{}", parts[0], parts[2]),
            format!("{token}A"),
            sign(stranger.signing_key(), &other),
            "x".repeat(LIMIT + 1),
        ] {
            assert_eq!(verify(key, &wrong), Err(TokenError::Unknown), "{wrong:.80}");
        }
    }
}

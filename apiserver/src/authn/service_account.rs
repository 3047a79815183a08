//! Whether the objects that a ServiceAccount token rests on are still there.

use serde_json::Value;

use super::Authenticated;
use super::claims::{Bound, Claims, Subject};
use super::token::{self, TokenError};
use crate::context::{Context, now};

/// Seconds that a deleted object, on its way out, still counts.
const LEEWAY: i64 = 60;

/// Checks a token for any of `audiences`.
///
/// # Errors
/// [`TokenError`].
pub(super) async fn check(
    context: &Context,
    token: &str,
    audiences: &[String],
) -> Result<Authenticated, TokenError> {
    let claims = token::verify(&context.issuer.key, token)?;
    let audiences = claims.check(&context.issuer.url, audiences, now().as_second())?;
    if let Err(error) = exists(context, &claims) {
        // The object may have been made a moment ago, by another server.
        context.freshness.consistent().await.map_err(|_| error)?;
        exists(context, &claims)?;
    }
    Ok(Authenticated { user: claims.user(), audiences })
}

fn exists(context: &Context, claims: &Claims) -> Result<(), TokenError> {
    let namespace = claims.namespace();
    let look = |plural: &str, key: &str| -> Option<Value> {
        context.core(plural).get(key).map(|object| object.encoded().parse())
    };
    let inside = |name: &str| format!("{namespace}/{name}");
    let account = claims.account();
    let found = look("serviceaccounts", &inside(&account.name));
    let gone =
        TokenError::NoAccount { namespace: namespace.to_owned(), name: account.name.clone() };
    same("service account", found, account, gone)?;
    let bound = |kind, found, subject| same(kind, found, subject, TokenError::Invalidated);
    match claims.bound() {
        Bound::Account => Ok(()),
        Bound::Pod(pod, _) => bound("pod", look("pods", &inside(&pod.name)), &pod),
        Bound::Secret(secret) => bound("secret", look("secrets", &inside(&secret.name)), &secret),
        Bound::Node(node) => bound("node", look("nodes", &node.name), &node),
    }
}

/// Whether what was found is what the token names, and stays.
fn same(
    kind: &'static str,
    found: Option<Value>,
    subject: &Subject,
    gone: TokenError,
) -> Result<(), TokenError> {
    let Some(found) = found else { return Err(gone) };
    let metadata = &found["metadata"];
    let deleted = metadata["deletionTimestamp"].as_str();
    let deleted = deleted.and_then(|time| time.parse::<jiff::Timestamp>().ok());
    if deleted.is_some_and(|deleted| deleted.as_second() < now().as_second() - LEEWAY) {
        return Err(gone);
    }
    let have = metadata["uid"].as_str().unwrap_or_default();
    if have != subject.uid {
        let (have, claimed) = (have.to_owned(), subject.uid.clone());
        return Err(TokenError::Uid { kind, have, claimed });
    }
    Ok(())
}

//! Who is asking? One chain, from the strongest proof to none:
//!
//! 1. the client certificate of the connection ([`crate::pki`]), or, for components of this
//!    process, the identity that their [`crate::LocalService`] was made with;
//! 2. a bearer token: of a ServiceAccount ([`service_account`]), or a bootstrap token
//!    ([`bootstrap_token`]); browsers hide it in a subprotocol ([`websocket`]);
//! 3. nobody: the anonymous user.
//!
//! Whoever it is may then act as somebody else ([`impersonate`]).
//!
//! A token that proves nothing is a refusal and not an anonymous request, so that a client with an
//! outdated token learns of it. The tokens themselves are made and read in [`token`].

mod bootstrap_token;
mod claims;
mod impersonate;
mod service_account;
mod token;
mod websocket;

use std::sync::Arc;

use api::status::Status;
use http::header;

use crate::context::Context;
use crate::pki::SigningKey;
use crate::request::Request;
use crate::user::User;

pub(crate) use claims::{Bound, Grant, Subject};
pub(crate) use impersonate::impersonate;
pub(crate) use token::TokenError;

/// Whose words are believed: what tokens are signed with, and for whom.
#[derive(Debug)]
pub(crate) struct Issuer {
    /// Signs and verifies.
    pub(crate) key: Arc<SigningKey>,
    /// `iss` of the tokens, also the audience of this API server.
    pub(crate) url: String,
    /// Where others find the public key.
    pub(crate) jwks_uri: String,
}

/// A believed token.
#[derive(Debug)]
pub(crate) struct Authenticated {
    /// Its owner.
    pub(crate) user: User,
    /// Those of the audiences asked for that it is meant for.
    pub(crate) audiences: Vec<String>,
}

/// Replaces the anonymous user of a request by the owner of its bearer token, if it has one.
///
/// # Errors
/// 401 for a token that proves nothing.
pub(crate) async fn authenticate(context: &Context, request: &mut Request) -> Result<(), Status> {
    // Whoever asks, it is for nobody further on.
    let hidden = websocket::take_token(&mut request.parts.headers);
    if !request.user.is_anonymous() {
        return Ok(());
    }
    let token = match request.header(header::AUTHORIZATION).and_then(bearer) {
        Some(token) => Some(token.to_owned()),
        None if !websocket::is_wanted(&request.parts.headers) => None,
        None => hidden.map_err(|error| {
            tracing::debug!(%error, "a WebSocket's bearer token was refused");
            Status::unauthorized()
        })?,
    };
    let Some(token) = token else { return Ok(()) };
    let audiences = [context.issuer.url.clone()];
    match check(context, &token, &audiences).await {
        Ok(authenticated) => {
            request.user = authenticated.user;
            Ok(())
        }
        Err(error) => {
            tracing::debug!(%error, "a bearer token was refused");
            Err(Status::unauthorized())
        }
    }
}

/// Checks a token for any of `audiences`.
///
/// # Errors
/// [`TokenError`]: why it proves nothing.
pub(crate) async fn check(
    context: &Context,
    token: &str,
    audiences: &[String],
) -> Result<Authenticated, TokenError> {
    if let Some(parts) = bootstrap_token::parts(token) {
        let own = &context.issuer.url;
        if !audiences.contains(own) {
            return Err(TokenError::Audience);
        }
        let user = bootstrap_token::check(context, parts)?;
        return Ok(Authenticated { user, audiences: vec![own.clone()] });
    }
    service_account::check(context, token, audiences).await
}

/// Makes a token.
pub(crate) fn issue(issuer: &Issuer, grant: &Grant) -> String {
    token::sign(&issuer.key, &claims::Claims::new(grant))
}

/// The token of an Authorization header, if that is what it holds.
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_tokens_are_tokens() {
        for (header, want) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Bearer ", None),
            ("Bearer", None),
            ("Basic abc", None),
            ("", None),
        ] {
            assert_eq!(bearer(header), want, "{header:?}");
        }
    }
}

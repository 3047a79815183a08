//! Bearer tokens of browsers, which cannot give a WebSocket an Authorization header: one of the
//! subprotocols that they offer is `base64url.bearer.authorization.k8s.io.TOKEN`, in base64url without
//! padding. Source: k8s.io/apiserver/pkg/authentication/request/websocket.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{self, HeaderMap, HeaderValue};

use crate::handlers::relay::wants_upgrade;

/// What the subprotocol begins with.
const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// Why a subprotocol holds no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtocolError {
    /// There are two.
    #[error("more than one subprotocol holds a bearer token")]
    Several,
    /// It is no base64url, or no text.
    #[error("the subprotocol with the bearer token cannot be decoded")]
    Malformed,
    /// No protocol is left to be chosen.
    #[error("no subprotocol is offered besides the bearer token")]
    Alone,
}

/// Whether a request wants to become a WebSocket.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let to = headers.get(header::UPGRADE).and_then(|value| value.to_str().ok());
    wants_upgrade(headers) && to.is_some_and(|to| to.trim().eq_ignore_ascii_case("websocket"))
}

/// Takes the token out of the subprotocols that a WebSocket offers. Whether it is any good or not, it is
/// gone from the headers.
///
/// # Errors
/// [`ProtocolError`]: a subprotocol that begins so holds no token.
pub(super) fn take_token(headers: &mut HeaderMap) -> Result<Option<String>, ProtocolError> {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let offered = offered.into_iter().filter_map(|value| value.to_str().ok());
    let offered = offered.flat_map(|value| value.split(',')).map(str::trim);
    let (tokens, others): (Vec<&str>, Vec<&str>) =
        offered.partition(|protocol| protocol.starts_with(PREFIX));
    let Some(token) = tokens.first() else { return Ok(None) };
    let token = match tokens.len() {
        1 if others.is_empty() => Err(ProtocolError::Alone),
        1 => {
            let bytes = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.map(Some).ok_or(ProtocolError::Malformed)
        }
        _ => Err(ProtocolError::Several),
    };
    let others = HeaderValue::from_str(&others.join(", ")).ok();
    headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    if let Some(others) = others.filter(|others| !others.is_empty()) {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, others);
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_out_of_the_subprotocols() {
        let secret = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode("a.b?c"));
        let both = format!("{secret}, v5.channel.k8s.io");
        let (odd, binary) = (format!("{PREFIX}%,x"), format!("{PREFIX}_w,x"));
        for (offered, token, left) in [
            (vec![], Ok(None), None),
            (vec!["v4.channel.k8s.io"], Ok(None), Some("v4.channel.k8s.io")),
            (
                vec![both.as_str(), "v4.channel.k8s.io"],
                Ok(Some("a.b?c".to_owned())),
                Some("v5.channel.k8s.io, v4.channel.k8s.io"),
            ),
            (vec![secret.as_str()], Err(ProtocolError::Alone), None),
            (vec![secret.as_str(), &secret, "x"], Err(ProtocolError::Several), Some("x")),
            (vec![odd.as_str()], Err(ProtocolError::Malformed), Some("x")),
            (vec![binary.as_str()], Err(ProtocolError::Malformed), Some("x")),
        ] {
            let mut headers = HeaderMap::new();
            for value in &offered {
                let value = HeaderValue::from_str(value).unwrap();
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, value);
            }
            assert_eq!(take_token(&mut headers), token, "{offered:?}");
            let all: Vec<_> = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().collect();
            assert_eq!(all, left.into_iter().collect::<Vec<_>>(), "{offered:?}");
        }
    }
}

//! From a request to a connection that speaks something else: WebSocket (RFC 6455) or SPDY/3.1.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::server::{Body, text};

/// Where SPDY callers list what they speak, and are told what was chosen.
const STREAM_VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// Where a SPDY caller that speaks none of it is told what would do.
const ACCEPTED_VERSIONS: HeaderName =
    HeaderName::from_static("x-accepted-stream-protocol-versions");

/// The version of SPDY, as the Upgrade header names it.
const SPDY: &str = "SPDY/3.1";

/// What is spoken on the connection, with the name of the chosen subprotocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) enum Protocol {
    WebSocket(String),
    Spdy(String),
}

/// What a kind of request can be answered with, the best first.
pub(in crate::server) struct Supported {
    pub(in crate::server) websocket: &'static [&'static str],
    pub(in crate::server) spdy: &'static [&'static str],
}

/// The answer to an upgrade, and what is spoken from then on.
///
/// # Errors
/// The answer to a request that is no upgrade, or to one that nothing common is found with.
pub(in crate::server) fn negotiate(
    headers: &HeaderMap,
    supported: &Supported,
) -> Result<(Response<Body>, Protocol), Box<Response<Body>>> {
    let refused = |status, message: String| Err(Box::new(text(status, message)));
    if !tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return refused(StatusCode::BAD_REQUEST, "Upgrade request required".to_owned());
    }
    let wanted: Vec<&str> = tokens(headers, &header::UPGRADE).collect();
    if wanted.iter().any(|name| name.eq_ignore_ascii_case("websocket")) {
        let offered: Vec<&str> = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).collect();
        let Some(chosen) = choose(&offered, supported.websocket) else {
            let message = format!(
                "unable to upgrade: none of the WebSocket subprotocols {offered:?} is served here, only {:?}",
                supported.websocket
            );
            return refused(StatusCode::BAD_REQUEST, message);
        };
        let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
            let message = "unable to upgrade: the Sec-WebSocket-Key header is missing".to_owned();
            return refused(StatusCode::BAD_REQUEST, message);
        };
        let mut response = switching("websocket");
        let accept = derive_accept_key(key.as_bytes());
        insert(&mut response, header::SEC_WEBSOCKET_ACCEPT, &accept);
        if !chosen.is_empty() {
            insert(&mut response, header::SEC_WEBSOCKET_PROTOCOL, &chosen);
        }
        return Ok((response, Protocol::WebSocket(chosen)));
    }
    if wanted.iter().any(|name| name.eq_ignore_ascii_case(SPDY)) {
        let offered: Vec<&str> = tokens(headers, &STREAM_VERSION).collect();
        let Some(chosen) = choose(&offered, supported.spdy) else {
            let message = format!(
                "unable to upgrade: unable to negotiate protocol: client supports {offered:?}, server accepts {:?}",
                supported.spdy
            );
            let mut response = text(StatusCode::FORBIDDEN, message);
            insert(&mut response, ACCEPTED_VERSIONS, &supported.spdy.join(", "));
            return Err(Box::new(response));
        };
        let mut response = switching(SPDY);
        if !chosen.is_empty() {
            insert(&mut response, STREAM_VERSION, &chosen);
        }
        return Ok((response, Protocol::Spdy(chosen)));
    }
    refused(StatusCode::BAD_REQUEST, format!("unable to upgrade to {wanted:?}"))
}

/// The caller's first choice that is supported; the empty name if it has none.
fn choose(offered: &[&str], supported: &[&str]) -> Option<String> {
    if offered.is_empty() {
        return Some(String::new());
    }
    offered.iter().find(|name| supported.contains(name)).map(|name| (*name).to_owned())
}

fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|token| !token.is_empty())
}

fn switching(to: &'static str) -> Response<Body> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(to));
    response
}

fn insert(response: &mut Response<Body>, name: HeaderName, value: &str) {
    // What is echoed came in a header, so it fits into one.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUPPORTED: Supported = Supported {
        websocket: &["v5.channel.k8s.io", "v4.channel.k8s.io"],
        spdy: &["v4.channel.k8s.io"],
    };

    fn asked(headers: &[(&'static str, &'static str)]) -> Result<(Response<Body>, Protocol), u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        negotiate(&map, &SUPPORTED).map_err(|response| response.status().as_u16())
    }

    #[test]
    fn websockets_take_the_callers_first_choice() {
        let base = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let offer = ("sec-websocket-protocol", "v9.channel.k8s.io, v4.channel.k8s.io");
        let (response, protocol) = asked(&[base[0], base[1], key, offer]).unwrap();
        assert_eq!(protocol, Protocol::WebSocket("v4.channel.k8s.io".into()));
        assert_eq!(response.status(), 101);
        // The example of RFC 6455, 1.3.
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(response.headers()["sec-websocket-protocol"], "v4.channel.k8s.io");
        let (response, protocol) = asked(&[base[0], base[1], key]).unwrap();
        assert_eq!(protocol, Protocol::WebSocket(String::new()));
        assert!(!response.headers().contains_key("sec-websocket-protocol"));
        assert_eq!(asked(&[base[0], base[1], offer]).unwrap_err(), 400);
        let unknown = ("sec-websocket-protocol", "chat");
        assert_eq!(asked(&[base[0], base[1], key, unknown]).unwrap_err(), 400);
    }

    #[test]
    fn spdy_and_what_is_no_upgrade() {
        let base = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
        let versions = [
            ("x-stream-protocol-version", "v5.channel.k8s.io"),
            ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ];
        let (response, protocol) = asked(&[base[0], base[1], versions[0], versions[1]]).unwrap();
        assert_eq!(protocol, Protocol::Spdy("v4.channel.k8s.io".into()));
        assert_eq!(response.headers()["x-stream-protocol-version"], "v4.channel.k8s.io");
        assert_eq!(asked(&[base[0], base[1], versions[0]]).unwrap_err(), 403);
        assert_eq!(asked(&[]).unwrap_err(), 400);
        assert_eq!(asked(&[base[0], ("upgrade", "h2c")]).unwrap_err(), 400);
    }
}

//! How a registry wants to be asked: a Basic or Bearer challenge, answered.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Method};
use serde::Deserialize;

use super::http::{Ask, Http, collect, host, parse_url};
use super::{Credentials, RegistryError};
use crate::image::reference::Reference;

/// Tokens are a few kilobytes.
const LARGEST_TOKEN: u64 = 1024 * 1024;

/// A value for the `Authorization` header. Its Debug form hides it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Authorization(String);

impl Authorization {
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&self.0).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn basic(credentials: &Credentials) -> Self {
        let pair = format!("{}:{}", credentials.username, credentials.password);
        Self(format!("Basic {}", STANDARD.encode(pair)))
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Authorization(hidden)")
    }
}

/// What a 401 asks for.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// Answers the challenge in `headers`.
pub(super) async fn obtain(
    http: &Http,
    headers: &HeaderMap,
    reference: &Reference,
    actions: &str,
    credentials: Option<&Credentials>,
) -> Result<Authorization, RegistryError> {
    let denied = || RegistryError::Denied {
        host: reference.host().to_owned(),
        repository: reference.repository().to_owned(),
        status: http::StatusCode::UNAUTHORIZED,
    };
    let challenge = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| parse(value.to_str().ok()?))
        .next()
        .ok_or_else(denied)?;
    match challenge {
        Challenge::Basic => credentials.map(Authorization::basic).ok_or_else(denied),
        Challenge::Bearer { realm, service, scope } => {
            let scope =
                scope.unwrap_or_else(|| format!("repository:{}:{actions}", reference.repository()));
            let url = token_url(&realm, service.as_deref(), &scope);
            let uri = parse_url(&url)?;
            if credentials.is_some() && uri.scheme_str() == Some("http") && !reference.is_loopback()
            {
                return Err(RegistryError::Protocol {
                    host: reference.host().to_owned(),
                    reason: "it wants credentials sent over plain http".to_owned(),
                });
            }
            let basic = credentials.map(Authorization::basic);
            let answer =
                http.send(Ask::new(Method::GET, url).authorization(basic.as_ref())).await?;
            if !answer.status().is_success() {
                return Err(denied());
            }
            let host = host(&uri);
            let body = collect(answer, "token", LARGEST_TOKEN, &host).await?;
            token(&body).ok_or(RegistryError::Protocol {
                host,
                reason: "its token service gave no token".to_owned(),
            })
        }
    }
}

fn token(body: &[u8]) -> Option<Authorization> {
    #[derive(Deserialize)]
    struct Token {
        token: Option<String>,
        access_token: Option<String>,
    }
    let token: Token = serde_json::from_slice(body).ok()?;
    let text = token.token.or(token.access_token).filter(|text| !text.is_empty())?;
    Some(Authorization(format!("Bearer {text}")))
}

fn token_url(realm: &str, service: Option<&str>, scope: &str) -> String {
    let mut url = realm.to_owned();
    let mut joint = if realm.contains('?') { '&' } else { '?' };
    for (name, value) in [("service", service), ("scope", Some(scope))] {
        if let Some(value) = value {
            url.push(joint);
            url.push_str(name);
            url.push('=');
            url.extend(value.bytes().map(encode));
            joint = '&';
        }
    }
    url
}

/// Percent-encodes all but the characters that mean nothing in a query.
fn encode(byte: u8) -> String {
    match byte {
        b'a'..=b'z'
        | b'A'..=b'Z'
        | b'0'..=b'9'
        | b'-'
        | b'.'
        | b'_'
        | b'~'
        | b':'
        | b'/'
        | b',' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

/// Reads one challenge: `Scheme name="value", name=value`.
fn parse(text: &str) -> Option<Challenge> {
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    let mut rest = rest.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value.to_owned()),
            "service" => service = Some(value.to_owned()),
            "scope" => scope = Some(value.to_owned()),
            _ => {}
        }
        rest = after.trim_start_matches([',', ' ']);
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        assert_eq!(parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(parse("Negotiate"), None);
        assert_eq!(parse("Bearer service=\"x\""), None);
        let bearer = parse(
            "Bearer realm=\"https://auth.example/token\",service=\"reg\", \
             scope=\"repository:a/b:pull,push\",error=invalid",
        );
        assert_eq!(
            bearer,
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".into(),
                service: Some("reg".into()),
                scope: Some("repository:a/b:pull,push".into()),
            })
        );
    }

    #[test]
    fn token_requests_are_encoded() {
        assert_eq!(
            token_url("https://a/t?x=1", Some("my reg"), "repository:a/b:pull"),
            "https://a/t?x=1&service=my%20reg&scope=repository:a/b:pull"
        );
        assert_eq!(token(br#"{"token":""}"#), None);
        assert_eq!(token(br#"{"access_token":"t"}"#), Some(Authorization("Bearer t".into())));
    }

    #[test]
    fn debug_output_hides_secrets() {
        let credentials = Credentials { username: "u".into(), password: "hunter2".into() };
        let shown = format!("{credentials:?} {:?}", Authorization::basic(&credentials));
        assert!(!shown.contains("hunter2") && !shown.contains("Basic"), "{shown}");
    }
}

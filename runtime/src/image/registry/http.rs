//! One HTTP exchange: connection, deadlines, redirects.

use std::error::Error as StdError;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::RegistryError;
use super::auth::Authorization;

/// A connection that takes longer is not going to be made.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// From the request to the answer's headers. Registries that fetch from elsewhere take their time.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Between two pieces of a body.
pub(super) const STALL_DEADLINE: Duration = Duration::from_secs(30);
/// Registries redirect blobs to their object store, once or twice.
const MOST_REDIRECTS: usize = 5;
/// How much of an error body is worth reading.
const LARGEST_ERROR: u64 = 16 * 1024;

pub(super) type Answer = Response<Incoming>;
type Body = Full<Bytes>;

/// A request that can be sent again: its parts, not yet bound to a connection.
#[derive(Clone)]
pub(super) struct Ask {
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    pub(super) fn new(method: Method, url: String) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// Whether it goes to `host` itself; what is meant for one host is not told to another.
    pub(super) fn is_for(&self, host: &str) -> bool {
        parse_url(&self.url).is_ok_and(|uri| self::host(&uri) == host)
    }

    pub(super) fn authorization(mut self, granted: Option<&Authorization>) -> Self {
        if let Some(value) = granted.and_then(Authorization::header) {
            self.headers.insert(AUTHORIZATION, value);
        }
        self
    }
}

/// Connections to registries, reused between requests.
pub(crate) struct Http {
    plain: Client<HttpConnector, Body>,
    // Reading the root certificates takes milliseconds and memory that a node
    // with a registry on loopback never needs.
    secure: OnceLock<Result<Client<HttpsConnector<HttpConnector>, Body>, RegistryError>>,
}

impl Http {
    pub(crate) fn new() -> Self {
        Self {
            plain: Client::builder(TokioExecutor::new()).build(connector()),
            secure: OnceLock::new(),
        }
    }

    /// Sends, follows redirects, and gives whatever status came in the end.
    pub(super) async fn send(&self, mut ask: Ask) -> Result<Answer, RegistryError> {
        for _ in 0..=MOST_REDIRECTS {
            let uri = parse_url(&ask.url)?;
            let response = self.exchange(&ask, &uri).await?;
            let redirect = matches!(
                response.status(),
                StatusCode::MOVED_PERMANENTLY
                    | StatusCode::FOUND
                    | StatusCode::SEE_OTHER
                    | StatusCode::TEMPORARY_REDIRECT
                    | StatusCode::PERMANENT_REDIRECT
            );
            let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let (true, Some(target)) = (redirect, target) else {
                return Ok(response);
            };
            let next = resolve(&ask.url, target)?;
            let to = parse_url(&next)?;
            if uri.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
                return Err(protocol(&uri, "it redirects from https to plain http".to_owned()));
            }
            if uri.authority() != to.authority() {
                // The token is for the registry, not for the object store it points to.
                ask.headers.remove(AUTHORIZATION);
            }
            ask.url = next;
        }
        Err(protocol(&parse_url(&ask.url)?, "it redirects in circles".to_owned()))
    }

    async fn exchange(&self, ask: &Ask, uri: &Uri) -> Result<Answer, RegistryError> {
        let host = host(uri);
        let mut request = Request::builder().method(&ask.method).uri(uri.clone());
        if let Some(headers) = request.headers_mut() {
            headers.extend(ask.headers.clone());
            headers.insert(
                USER_AGENT,
                HeaderValue::from_static(concat!("wharf/", env!("CARGO_PKG_VERSION"))),
            );
        }
        let request = request.body(Full::new(ask.body.clone())).map_err(|error| {
            RegistryError::Protocol { host: host.clone(), reason: error.to_string() }
        })?;
        let answer = async {
            match uri.scheme_str() {
                Some("https") => self.secure()?.request(request).await,
                _ => self.plain.request(request).await,
            }
            .map_err(|error| unreachable(&host, error))
        };
        match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(RegistryError::Timeout { host, after: ANSWER_DEADLINE }),
        }
    }

    fn secure(&self) -> Result<&Client<HttpsConnector<HttpConnector>, Body>, RegistryError> {
        self.secure
            .get_or_init(|| {
                let provider = rustls::crypto::ring::default_provider();
                let mut plain = connector();
                plain.enforce_http(false);
                let connector = HttpsConnectorBuilder::new()
                    .with_provider_and_native_roots(provider)
                    .map_err(|source| RegistryError::NoRoots { source: Arc::new(source) })?
                    .https_only()
                    .enable_all_versions()
                    .wrap_connector(plain);
                Ok(Client::builder(TokioExecutor::new()).build(connector))
            })
            .as_ref()
            .map_err(RegistryError::clone)
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT_DEADLINE));
    connector.set_nodelay(true);
    connector
}

pub(super) fn host(uri: &Uri) -> String {
    uri.authority().map(ToString::to_string).unwrap_or_default()
}

pub(super) fn parse_url(url: &str) -> Result<Uri, RegistryError> {
    let wrong = |reason: String| RegistryError::Protocol { host: url.to_owned(), reason };
    let uri: Uri = url.parse().map_err(|error: http::uri::InvalidUri| wrong(error.to_string()))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) => Ok(uri),
        _ => Err(wrong("not an http or https URL".to_owned())),
    }
}

/// The absolute form of `target`, which may be only a path.
pub(super) fn resolve(base: &str, target: &str) -> Result<String, RegistryError> {
    if target.starts_with("http://") || target.starts_with("https://") {
        return Ok(target.to_owned());
    }
    let base_uri = parse_url(base)?;
    let origin = format!("{}://{}", base_uri.scheme_str().unwrap_or("https"), host(&base_uri));
    Ok(match target.strip_prefix('/') {
        Some(path) => format!("{origin}/{path}"),
        None => {
            let folder = base_uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{origin}{folder}/{target}")
        }
    })
}

fn protocol(uri: &Uri, reason: String) -> RegistryError {
    RegistryError::Protocol { host: host(uri), reason }
}

pub(super) fn unreachable(
    host: &str,
    error: impl StdError + Send + Sync + 'static,
) -> RegistryError {
    RegistryError::Unreachable { host: host.to_owned(), source: Arc::new(error) }
}

/// The whole body, at most `limit` bytes.
pub(super) async fn collect(
    answer: Answer,
    what: &str,
    limit: u64,
    host: &str,
) -> Result<Vec<u8>, RegistryError> {
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    loop {
        let frame = tokio::time::timeout(STALL_DEADLINE, body.frame())
            .await
            .map_err(|_| RegistryError::Timeout { host: host.to_owned(), after: STALL_DEADLINE })?;
        let Some(frame) = frame else { return Ok(bytes) };
        let frame = frame.map_err(|error| unreachable(host, error))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() as u64 + data.len() as u64 > limit {
                return Err(RegistryError::TooLarge { what: what.to_owned(), limit });
            }
            bytes.extend_from_slice(data);
        }
    }
}

/// `: message` from a registry's error document, or nothing.
pub(super) async fn error_message(answer: Answer) -> String {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let body = collect(answer, "error", LARGEST_ERROR, "").await.unwrap_or_default();
    match serde_json::from_slice::<Errors>(&body) {
        Ok(Errors { errors }) if !errors.is_empty() => {
            let parts: Vec<String> =
                errors.iter().map(|one| format!("{} {}", one.code, one.message)).collect();
            format!(": {}", parts.join("; "))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_become_absolute() {
        let base = "http://127.0.0.1:5000/v2/a/blobs/uploads/";
        for (target, absolute) in [
            ("https://cdn.example/x?y", "https://cdn.example/x?y"),
            ("/v2/a/blobs/uploads/1?s=2", "http://127.0.0.1:5000/v2/a/blobs/uploads/1?s=2"),
            ("1", "http://127.0.0.1:5000/v2/a/blobs/uploads/1"),
        ] {
            assert_eq!(resolve(base, target).unwrap(), absolute);
        }
        assert!(parse_url("file:///etc/passwd").is_err());
    }
}

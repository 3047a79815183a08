//! A request of any kind at an API server, and what must hold of the answer.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{Config, LocalService, User, pki};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use store::Store;
use tower::ServiceExt as _;

/// For how long a watch is listened to.
const LISTEN: Duration = Duration::from_millis(20);

/// An API server without sockets, on a store of its own.
pub(crate) struct Server {
    service: LocalService,
    _server: apiserver::Server,
    _folder: tempfile::TempDir,
}

/// A request, right or wrong.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Reads `METHOD TARGET`, lines of `Name: value`, an empty line, and the body.
    pub(crate) fn read(bytes: &[u8]) -> Option<Request> {
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap_or(bytes.len());
        let mut lines = std::str::from_utf8(&bytes[..end]).ok()?.split('\n');
        let (method, target) = lines.next()?.split_once(' ')?;
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let body = bytes.get(end + 2..).unwrap_or_default().to_vec();
        Some(Request { method: method.to_owned(), target: target.to_owned(), headers, body })
    }
}

impl Server {
    pub(crate) async fn start() -> Server {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = pki::Authority::open(&folder.path().join("pki")).expect("an authority");
        let url = format!("sqlite://{}", folder.path().join("state.db").display());
        let store = Store::open(&url, store::Options::default()).await.expect("a store");
        let config = Config::new(store, Arc::new(authority));
        let server = apiserver::Server::bind(config).await.expect("a server");
        let service = server.local(User::new("test", vec!["system:masters".to_owned()]));
        Server { service, _server: server, _folder: folder }
    }

    /// Sends a request, if it is one that HTTP can carry.
    ///
    /// - No handler panics.
    /// - What says that it is JSON is JSON; every line of a watch is an event.
    /// - A Status has the code of the answer.
    pub(crate) async fn check(&self, request: Request) {
        let shown = format!("{request:?}");
        let mut built =
            http::Request::builder().method(request.method.as_str()).uri(request.target.as_str());
        for (name, value) in &request.headers {
            built = built.header(name, value);
        }
        let Ok(built) = built.body(Full::new(Bytes::from(request.body))) else { return };
        let head = built.method() == http::Method::HEAD;
        let Ok(answer) = self.service.clone().oneshot(built).await;
        let (parts, mut body) = answer.into_parts();
        let mut bytes = Vec::new();
        let whole = loop {
            match tokio::time::timeout(LISTEN, body.frame()).await {
                Ok(Some(frame)) => {
                    let Ok(frame) = frame else { break false };
                    bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
                }
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("caused the API server to panic"), "{shown}: {text}");
        let json = header(http::header::CONTENT_TYPE) == Some("application/json");
        if !json || head || header(http::header::CONTENT_ENCODING).is_some() {
            return;
        }
        if !whole {
            for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                let event: Value = serde_json::from_str(line).expect("an event in a line");
                assert!(
                    event["type"].is_string() && event["object"].is_object(),
                    "{shown}: {line}"
                );
            }
            return;
        }
        // A watch that is over has any number of lines.
        let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        if let Some(value) = values.next() {
            let value = value.unwrap_or_else(|error| panic!("{shown}: {error}: {text}"));
            if value["kind"] == "Status" && value["status"] == "Failure" {
                assert_eq!(value["code"], parts.status.as_u16(), "{shown}");
            }
        }
        assert!(values.all(|value| value.is_ok()), "{shown}: {text}");
    }
}

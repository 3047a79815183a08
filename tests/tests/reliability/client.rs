//! Plain requests: what was answered, down to the headers, and nothing tried twice.

use std::path::Path;

use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tests::cluster::PATIENCE;
use tokio::sync::watch;
use tokio::time::timeout;

/// The config maps that everybody works on.
pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// The way to one server, which may be another process after a while.
#[derive(Clone)]
pub(crate) struct Door(watch::Receiver<Client>);

/// What a server said.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    /// The body as JSON, null if it is none.
    pub(crate) body: Value,
}

/// A client that is the administrator and never repeats a request by itself.
pub(crate) async fn connect(kubeconfig: &Path) -> Result<Client, String> {
    let file = Kubeconfig::read_from(kubeconfig).map_err(|error| error.to_string())?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options).await;
    let mut config = config.map_err(|error| error.to_string())?;
    config.default_retry = false;
    Client::try_from(config).map_err(|error| error.to_string())
}

impl Door {
    /// A door, and where to say who is behind it now.
    pub(crate) fn to(client: Client) -> (watch::Sender<Client>, Self) {
        let (sender, receiver) = watch::channel(client);
        (sender, Self(receiver))
    }

    /// Sends a request; an error means that there was no (whole) answer.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let asking = async {
            let response = self.open(method, path, body).await?;
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            let body = serde_json::from_slice(&bytes).unwrap_or_default();
            Ok(Answer { code: parts.status.as_u16(), headers: parts.headers, body })
        };
        timeout(PATIENCE, asking).await.unwrap_or_else(|late| Err(late.to_string()))
    }

    /// Sends a request whose answer is read by the caller.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<http::Response<Body>, String> {
        let content = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(content))
            .unwrap();
        let client = self.0.borrow().clone();
        client.send(request).await.map_err(|error| error.to_string())
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, String> {
        self.ask(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer, String> {
        self.ask(Method::POST, path, Some(body)).await
    }
}

impl Answer {
    /// The body, if the code is this one.
    #[track_caller]
    pub(crate) fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.body);
        self.body
    }

    /// That this is a refusal which says what is wrong and when to come again.
    #[track_caller]
    pub(crate) fn expect_later(&self) {
        let body = &self.body;
        assert_eq!((&body["kind"], &body["status"]), (&"Status".into(), &"Failure".into()));
        assert_eq!(body["code"], self.code);
        assert!(!body["reason"].as_str().unwrap_or_default().is_empty(), "{body}");
        let after = self.headers.get("retry-after").and_then(|value| value.to_str().ok());
        let after: Option<u32> = after.and_then(|seconds| seconds.parse().ok());
        assert!(after.is_some_and(|seconds| seconds > 0), "no Retry-After: {body}");
    }
}

/// The revision of an object.
pub(crate) fn revision(object: &Value) -> i64 {
    let text = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    text.parse().unwrap_or_else(|_| panic!("no resourceVersion: {object}"))
}

/// Whether an object is the tests' own; a cluster puts its root certificate into every namespace.
pub(crate) fn is_ours(object: &Value) -> bool {
    object["metadata"]["name"] != "kube-root-ca.crt"
}

//! A server in a temporary directory and a plain HTTPS client for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{Config, RunError, Server, pki};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long a test waits for something before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server. Ends when dropped.
pub(crate) struct TestServer {
    pub(crate) client: HttpsClient,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) store: Store,
    pub(crate) authority: Arc<pki::Authority>,
    pub(crate) local: apiserver::LocalService,
    shutdown: CancellationToken,
    running: Option<AbortOnDropHandle<Result<(), RunError>>>,
    _dir: Option<tempfile::TempDir>,
}

impl TestServer {
    /// A server on a fresh store.
    pub(crate) async fn start() -> TestServer {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut server = TestServer::start_in(dir.path()).await;
        server._dir = Some(dir);
        server
    }

    /// A server on a fresh store, configured as the test likes.
    pub(crate) async fn start_with(configure: impl FnOnce(&mut Config)) -> TestServer {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut server = TestServer::configured_in(dir.path(), configure).await;
        server._dir = Some(dir);
        server
    }

    /// A server that has been stopped and started again, so that its window of events begins
    /// after the objects every cluster has.
    pub(crate) async fn restarted() -> TestServer {
        let dir = tempfile::tempdir().expect("a temporary directory");
        TestServer::start_in(dir.path()).await.stop().await.expect("a clean stop");
        let mut server = TestServer::start_in(dir.path()).await;
        server._dir = Some(dir);
        server
    }

    /// A server on the store in `dir`.
    pub(crate) async fn start_in(dir: &Path) -> TestServer {
        TestServer::configured_in(dir, |_| {}).await
    }

    async fn configured_in(dir: &Path, configure: impl FnOnce(&mut Config)) -> TestServer {
        let authority = pki::Authority::open(&dir.join("pki")).expect("a certificate authority");
        let authority = Arc::new(authority);
        let url = format!("sqlite://{}", dir.join("state.db").display());
        let store = Store::open(&url, store::Options::default()).await.expect("a store");
        let mut config = Config::new(store.clone(), authority.clone());
        configure(&mut config);
        let server = Server::bind(config).await.expect("a server");
        let address = server.local_addr();
        let admin = authority.client(pki::ADMIN_USER, Some(pki::MASTERS_GROUP)).expect("a client");
        let client =
            HttpsClient::new(format!("https://{address}"), authority.ca_pem(), Some(&admin));
        let local = server.local(apiserver::User::new("test", vec!["system:masters".to_owned()]));
        let shutdown = CancellationToken::new();
        let tracker = tokio_util::task::TaskTracker::new();
        let running = AbortOnDropHandle::new(tracker.spawn(server.run(shutdown.clone())));
        let running = Some(running);
        TestServer { client, address, store, authority, local, shutdown, running, _dir: None }
    }

    /// Stops the server as an operator does and returns what it said.
    pub(crate) async fn stop(mut self) -> Result<(), RunError> {
        self.shutdown.cancel();
        let running = self.running.take().expect("stopped once");
        let ran = running.await.expect("no panic");
        self.store.close().await;
        ran
    }

    /// A client with another identity, or none.
    pub(crate) fn client_of(&self, identity: Option<&pki::Identity>) -> HttpsClient {
        HttpsClient::new(self.client.server.clone(), self.authority.ca_pem(), identity)
    }

    /// A client of the cluster's administrator that speaks HTTP/1.1 only.
    pub(crate) fn client_of_http1(&self) -> HttpsClient {
        let admin = self.authority.client(pki::ADMIN_USER, Some(pki::MASTERS_GROUP));
        let identity = admin.expect("a client");
        let ca = self.authority.ca_pem();
        HttpsClient::connecting(self.client.server.clone(), ca, Some(&identity), true)
    }

    /// A client of nobody that speaks HTTP/1.1 only.
    pub(crate) fn nobody_of_http1(&self) -> HttpsClient {
        HttpsClient::connecting(self.client.server.clone(), self.authority.ca_pem(), None, true)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.client.send(Method::GET, path, "", Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.client.send(Method::POST, path, "application/json", body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.client.send(Method::PUT, path, "application/json", body.to_string()).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Answer {
        let kind = "application/merge-patch+json";
        self.client.send(Method::PATCH, path, kind, body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str, body: &Value) -> Answer {
        self.client.send(Method::DELETE, path, "application/json", body.to_string()).await
    }
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
    /// The body as JSON, null if it is none.
    pub(crate) body: Value,
}

impl Answer {
    /// Fails with the whole answer unless it has this code.
    #[track_caller]
    pub(crate) fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", String::from_utf8_lossy(&self.bytes));
        self.body
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).expect("text")
    }
}

/// A client that trusts the cluster CA and presents an identity.
#[derive(Clone)]
pub(crate) struct HttpsClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    server: String,
}

impl HttpsClient {
    pub(crate) fn new(
        server: String,
        ca_pem: &str,
        identity: Option<&pki::Identity>,
    ) -> HttpsClient {
        HttpsClient::connecting(server, ca_pem, identity, false)
    }

    fn connecting(
        server: String,
        ca_pem: &str,
        identity: Option<&pki::Identity>,
        http1: bool,
    ) -> HttpsClient {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).expect("a certificate");
        roots.add(ca).expect("a usable CA");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let tls = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
                let chain = vec![chain.expect("a certificate")];
                builder.with_client_auth_cert(chain, key.expect("a key")).expect("an identity")
            }
        };
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_only();
        let connector = if http1 {
            connector.enable_http1().build()
        } else {
            connector.enable_all_versions().build()
        };
        HttpsClient { client: Client::builder(TokioExecutor::new()).build(connector), server }
    }

    /// Sends a request and returns the response with its body still to come.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a valid request");
        tokio::time::timeout(PATIENCE, self.client.request(request))
            .await
            .expect("an answer in time")
            .expect("an answer")
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let headers = [("content-type", content_type)];
        let headers = if content_type.is_empty() { &[][..] } else { &headers[..] };
        read(self.open(method, path, headers, body).await).await
    }

    /// [`HttpsClient::send`] for a future that outlives its arguments.
    pub(crate) async fn send_owned(
        self,
        method: Method,
        path: String,
        content_type: &'static str,
        body: String,
    ) -> Answer {
        self.send(method, &path, content_type, body).await
    }

    /// A GET whose connection may be refused.
    pub(crate) async fn try_get(&self, path: &str) -> Result<u16, String> {
        let request = Request::get(format!("{}{path}", self.server)).body(Full::default());
        let request = self.client.request(request.expect("a valid request"));
        match tokio::time::timeout(PATIENCE, request).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Answer {
        read(self.open(Method::GET, path, &[("accept", accept)], Bytes::new()).await).await
    }
}

/// Reads a response to its end.
pub(crate) async fn read(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("a body in time");
    let bytes = body.expect("a body").to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    Answer { code: parts.status.as_u16(), headers: parts.headers, bytes, body }
}

/// A small pod.
pub(crate) fn pod(name: &str) -> Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "nginx"}]},
    })
}

/// A config map with one entry.
pub(crate) fn config_map(name: &str, value: &str) -> Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name}, "data": {"a": value},
    })
}

/// The config maps of the default namespace.
pub(crate) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// The pods of the default namespace.
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

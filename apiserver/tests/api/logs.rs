//! Logs are relayed from the node that runs the pod.
//!
//! The node here is a stand-in that speaks TLS with a certificate of the cluster CA and demands the
//! API server's: what a real agent answers is the agent's tests' business.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::server::{Answer, PODS, TestServer, pod};

/// TLS of a node that demands a certificate of the cluster CA.
pub(crate) fn acceptor(server: &TestServer) -> TlsAcceptor {
    let identity =
        server.authority.node("n1", &["127.0.0.1".to_owned()]).expect("a working stand-in");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(
            CertificateDer::from_pem_slice(server.authority.ca_pem().as_bytes())
                .expect("a working stand-in"),
        )
        .expect("a working stand-in");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chain = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes())
        .expect("a working stand-in");
    let key =
        PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("a working stand-in");
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("a working stand-in")
        .with_client_cert_verifier(verifier.build().expect("a working stand-in"))
        .with_single_cert(vec![chain], key)
        .expect("a working stand-in");
    TlsAcceptor::from(Arc::new(tls))
}

/// Answers every request with its path, for one client that the CA vouches for; does not know pods of which
/// the previous log is wanted.
async fn node(server: &TestServer) -> (u16, AbortOnDropHandle<()>) {
    let tls = acceptor(server);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a working stand-in");
    let port = listener.local_addr().expect("a working stand-in").port();
    let tracker = TaskTracker::new();
    let connections = tracker.clone();
    let task = tracker.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            connections.spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
                    let path =
                        request.uri().path_and_query().expect("a working stand-in").to_string();
                    let unknown = path.contains("previous");
                    let mut response = Response::new(Full::new(Bytes::from(path)));
                    if unknown {
                        *response.status_mut() = StatusCode::NOT_FOUND;
                    }
                    Ok::<_, Infallible>(response)
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (port, AbortOnDropHandle::new(task))
}

async fn log_of_stream(server: &TestServer, path: &str, stream: &str) -> Answer {
    server.get(&format!("{path}?stream={stream}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_comes_from_the_pods_node() {
    let server = TestServer::start().await;
    let (port, _node) = node(&server).await;
    server.post(PODS, &pod("p")).await.expect(201);
    let path = format!("{PODS}/p/log");
    let unscheduled = server.get(&path).await;
    assert_eq!((unscheduled.code, unscheduled.text()), (204, ""));
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    server.post(&format!("{PODS}/p/binding"), &binding).await.expect(201);
    let status = server.get(&path).await.expect(500);
    assert!(status["message"].as_str().unwrap().contains("n1"), "{status}");
    let made = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    server.post("/api/v1/nodes", &made).await.expect(201);
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    server.merge("/api/v1/nodes/n1/status", &status).await.expect(200);
    let log = server.get(&format!("{path}?follow=true&tailLines=5&container=c&other=1")).await;
    assert_eq!(log.code, 200, "{}", log.text());
    assert_eq!(log.text(), "/containerLogs/default/p/c?follow=true&tailLines=5");
    assert_eq!(log.headers["content-type"], "text/plain");
    server.get(&format!("{path}?container=zz")).await.expect(400);
    let status = server.get(&format!("{path}?previous=true")).await.expect(404);
    let message = "the server could not find the requested resource ( pods/log p)";
    assert_eq!((&status["message"], &status["reason"]), (&message.into(), &"NotFound".into()));
    let errors = log_of_stream(&server, &path, "Stderr").await;
    assert_eq!(errors.text(), "/containerLogs/default/p/c?stream=Stderr");
    let status = log_of_stream(&server, &path, "Both").await.expect(422);
    assert_eq!(status["details"]["causes"][0]["field"], "stream");
    assert_eq!(status["details"]["kind"], "PodLogOptions");
    server.get(&format!("{PODS}/none/log")).await.expect(404);
}

//! Connections that ask nothing, or too slowly, or are too many.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use apiserver::Limits;
use http::Method;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::server::{PATIENCE, TestServer};

const SOON: Duration = Duration::from_millis(200);
const NEVER: Duration = Duration::from_secs(3600);

fn patient() -> Limits {
    let limits = Limits::default();
    Limits { handshake: NEVER, first_request: NEVER, head: NEVER, connections: 100, ..limits }
}

async fn server(limits: Limits) -> TestServer {
    TestServer::start_with(|config| config.limits = limits).await
}

async fn tls(server: &TestServer, protocol: &[u8]) -> TlsStream<TcpStream> {
    tls_as(server, protocol, None).await
}

/// A connection of a user with a client certificate, or of nobody.
pub(crate) async fn tls_as(
    server: &TestServer,
    protocol: &[u8],
    identity: Option<&apiserver::pki::Identity>,
) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(server.authority.ca_pem().as_bytes());
    roots.add(ca.expect("a certificate")).expect("a usable CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
            let chain = vec![chain.expect("a certificate")];
            builder.with_client_auth_cert(chain, key.expect("a key")).expect("an identity")
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(server.address).await.expect("a connection");
    let name = ServerName::from(server.address.ip());
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let connected = tokio::time::timeout(PATIENCE, connecting).await;
    connected.expect("a handshake in time").expect("a handshake")
}

/// Reads until the other end closes, however it does; returns what it said before.
async fn closed(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said));
    match read.await.expect("the server closes the connection") {
        Ok(_) => said,
        Err(error) => {
            let broken = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
            assert!(broken.contains(&error.kind()), "{error}");
            said
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_begins_tls_is_closed() {
    let server = server(Limits { handshake: SOON, ..patient() }).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert!(closed(&mut silent).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_asks_is_closed() {
    let server = server(Limits { first_request: SOON, ..patient() }).await;
    // Nothing; less than tells HTTP/1.1 from HTTP/2; an HTTP/2 preface without a request; a head
    // without an end.
    for (protocol, words) in [
        (&b"h2"[..], &b""[..]),
        (b"http/1.1", b""),
        (b"h2", b"PRI * HTT"),
        (b"h2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (b"http/1.1", b"GET /livez HTTP/1.1\r\nhost: x\r\n"),
    ] {
        let mut stream = tls(&server, protocol).await;
        // The connection may be closed before this is through.
        let _ = stream.write_all(words).await;
        let said = closed(&mut stream).await;
        assert!(!said.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&said));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_comes_drop_by_drop_is_not_waited_for() {
    let server = server(Limits { first_request: SOON, ..patient() }).await;
    let (mut reading, mut writing) = tokio::io::split(tls(&server, b"http/1.1").await);
    let drops = async {
        let _ = writing.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\nx: ").await;
        while writing.write_all(b"a").await.is_ok() && writing.flush().await.is_ok() {
            tokio::time::sleep(SOON / 10).await;
        }
    };
    tokio::select! {
        _ = closed(&mut reading) => {}
        () = drops => {}
        () = tokio::time::sleep(PATIENCE) => panic!("the server goes on listening"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_head_has_a_deadline_too() {
    let server = server(Limits { head: SOON, ..patient() }).await;
    let mut stream = tls(&server, b"http/1.1").await;
    // Both heads in one piece: however slow the machine, the first one is whole.
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\n")
        .await
        .unwrap();
    let said = String::from_utf8(closed(&mut stream).await).unwrap();
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 1, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_asked_may_be_silent() {
    let server = server(Limits { first_request: Duration::from_secs(2), ..patient() }).await;
    let watch = "/api/v1/namespaces/default/configmaps?watch=true&resourceVersion=0";
    let response = server.client.open(Method::GET, watch, &[], "").await;
    // A connection that came later and asked nothing is gone, the watch goes on.
    let mut silent = tls(&server, b"h2").await;
    closed(&mut silent).await;
    let value = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"}}"#;
    let maps = "/api/v1/namespaces/default/configmaps";
    server.client.send(Method::POST, maps, "application/json", value).await.expect(201);
    let mut body = response.into_body();
    let frame = tokio::time::timeout(PATIENCE, http_body_util::BodyExt::frame(&mut body));
    let frame = frame.await.expect("an event in time").expect("an open watch").unwrap();
    assert!(frame.into_data().unwrap().starts_with(b"{\"type\":\"ADDED\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_closed_until_one_ends() {
    let server = server(Limits { connections: 2, ..patient() }).await;
    let first = TcpStream::connect(server.address).await.unwrap();
    let second = TcpStream::connect(server.address).await.unwrap();
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert!(closed(&mut third).await.is_empty());
    assert!(server.client.try_get("/livez").await.is_err());
    drop(first);
    // The server needs a moment to see that.
    let end = tokio::time::Instant::now() + PATIENCE;
    while let Err(error) = server.client.try_get("/livez").await {
        assert!(tokio::time::Instant::now() < end, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_does_not_hold_up_the_end() {
    let server = server(patient()).await;
    let mut silent = tls(&server, b"h2").await;
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    server.get("/livez").await.expect(200);
    server.stop().await.expect("nobody is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_as_long_as_it_asks_for() {
    let server = server(patient()).await;
    let admin = server.authority.client(apiserver::pki::ADMIN_USER, Some("system:masters"));
    let mut slow = tls_as(&server, b"http/1.1", Some(&admin.expect("an identity"))).await;
    let head = "POST /api/v1/namespaces/default/configmaps?timeout=200ms HTTP/1.1\r\nhost: x\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.expect("a head");
    let mut said = [0; 12];
    let answer = tokio::time::timeout(PATIENCE, slow.read_exact(&mut said)).await;
    answer.expect("an answer in time").expect("an open connection");
    assert_eq!(&said, b"HTTP/1.1 504");
    server.get("/api/v1/namespaces?timeout=0s").await.expect(200);
    let status = server.get("/api/v1/namespaces?timeout=soon").await.expect(400);
    assert_eq!(
        status["message"],
        "invalid timeout specified in the request URL - time: invalid duration \"soon\""
    );
}

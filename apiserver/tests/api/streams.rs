//! What is passed on: upgraded connections to nodes, and requests through the proxy.
//!
//! The node here is a stand-in that demands the API server's certificate and echoes whatever comes on a
//! connection that it has upgraded; what a real agent does there is the agent's tests' business.

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::logs::acceptor;
use crate::server::{Answer, PODS, TestServer, pod, read};

/// Answers with what it was asked; upgrades what begins with `/exec`, and refuses `/attach`.
async fn answer(
    mut request: Request<Incoming>,
    tracker: TaskTracker,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path_and_query().expect("a path").to_string();
    if path.starts_with("/attach") {
        let mut refused = Response::new(Full::from("not this one"));
        *refused.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(refused);
    }
    if path.starts_with("/exec") {
        let upgrade = hyper::upgrade::on(&mut request);
        let protocols = request.headers().get("sec-websocket-protocol");
        let protocols = protocols.and_then(|value| value.to_str().ok());
        let protocols = protocols.map(|all| format!(" {all}")).unwrap_or_default();
        tracker.spawn(async move {
            let mut io = TokioIo::new(upgrade.await.expect("an upgraded connection"));
            io.write_all(format!("{path}{protocols}\n").as_bytes()).await.expect("a caller");
            let (mut from, mut to) = tokio::io::split(io);
            let _ = tokio::io::copy(&mut from, &mut to).await;
            let _ = to.shutdown().await;
        });
        let mut switching = Response::new(Full::default());
        *switching.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = switching.headers_mut();
        headers.insert("connection", "Upgrade".parse().expect("a value"));
        headers.insert("upgrade", "echo".parse().expect("a value"));
        return Ok(switching);
    }
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let seen = |name: &str| {
        let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("-").to_owned()
    };
    let text = format!(
        "{} {path} {} auth={} kept={} for={}",
        parts.method,
        String::from_utf8_lossy(&body),
        seen("authorization"),
        seen("x-kept"),
        seen("x-forwarded-for")
    );
    let mut response = Response::new(Full::from(text));
    if path.ends_with("/moved") {
        *response.status_mut() = StatusCode::FOUND;
        response.headers_mut().insert("location", "/elsewhere".parse().expect("a value"));
    }
    Ok(response)
}

/// Serves on a port of its own, with TLS if `server`'s authority is given.
async fn stand_in(server: Option<&TestServer>) -> (u16, AbortOnDropHandle<()>) {
    let tls = server.map(acceptor);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let tracker = TaskTracker::new();
    let connections = tracker.clone();
    let task = tracker.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, tasks) = (tls.clone(), connections.clone());
            connections.spawn(async move {
                let service =
                    hyper::service::service_fn(move |request| answer(request, tasks.clone()));
                let builder = hyper::server::conn::http1::Builder::new();
                // Whoever hangs up in between is no concern here.
                let _ = match tls {
                    Some(tls) => {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        builder
                            .serve_connection(TokioIo::new(stream), service)
                            .with_upgrades()
                            .await
                    }
                    None => {
                        builder
                            .serve_connection(TokioIo::new(stream), service)
                            .with_upgrades()
                            .await
                    }
                };
            });
        }
    });
    (port, AbortOnDropHandle::new(task))
}

/// A node whose kubelet endpoint is at this port, with the pod `p` on it.
async fn node_with_pod(server: &TestServer, port: u16) {
    let made = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        "spec": {"podCIDR": "127.0.0.0/8"}});
    server.post("/api/v1/nodes", &made).await.expect(201);
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    server.merge("/api/v1/nodes/n1/status", &status).await.expect(200);
    server.post(PODS, &pod("p")).await.expect(201);
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    server.post(&format!("{PODS}/p/binding"), &binding).await.expect(201);
}

fn location(answer: &Answer) -> String {
    answer.headers["location"].to_str().expect("text").to_owned()
}

const UPGRADE: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "echo")];

#[tokio::test(flavor = "multi_thread")]
async fn an_upgraded_connection_leads_to_the_pods_node() {
    let server = TestServer::start().await;
    let (port, _node) = stand_in(Some(&server)).await;
    node_with_pod(&server, port).await;
    let client = server.client_of_http1();
    let path = format!("{PODS}/p/exec?command=sh&command=a+b&stdin=true&stdout=1&tty=false");
    let response = client.open(Method::POST, &path, &UPGRADE, "").await;
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["upgrade"], "echo");
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.expect("an upgrade"));
    let want = "/exec/default/p/c?input=1&output=1&command=sh&command=a%20b\n";
    let mut seen = vec![0; want.len()];
    io.read_exact(&mut seen).await.expect("the path");
    assert_eq!(String::from_utf8_lossy(&seen), want);
    io.write_all(b"hello").await.expect("a connection");
    let mut echo = [0; 5];
    io.read_exact(&mut echo).await.expect("an echo");
    assert_eq!(&echo, b"hello");
    io.shutdown().await.expect("an end");
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await.expect("the end of the other side");
    assert!(rest.is_empty());

    let refused = read(client.open(Method::POST, &format!("{PODS}/p/attach"), &UPGRADE, "").await);
    // The node's own words, which clients show as they are.
    let refused = refused.await;
    assert_eq!((refused.code, refused.text()), (400, "not this one"));
    let status = server.get(&path).await.expect(400);
    assert_eq!(status["message"], "Upgrade request required");
    server.get(&format!("{PODS}/p/exec?container=x")).await.expect(400);
    server.get(&format!("{PODS}/none/exec")).await.expect(404);
    server.put(&format!("{PODS}/p/exec"), &json!({})).await.expect(405);
    let status = server.get(&format!("{PODS}/p/portforward?ports=a")).await.expect(400);
    assert_eq!(status["message"], "invalid port \"a\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_brings_its_token_as_a_subprotocol() {
    let server = TestServer::start().await;
    let (port, _node) = stand_in(Some(&server)).await;
    node_with_pod(&server, port).await;
    let token = crate::tokens::of_robot(&server).await;
    let hidden = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(token));
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = json!({"metadata": {"name": "exec"}, "rules": [
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]}]});
    server.post(&format!("{rbac}/roles"), &role).await.expect(201);
    let binding = json!({"metadata": {"name": "exec"},
        "roleRef": {"kind": "Role", "name": "exec"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": "default"}]});
    server.post(&format!("{rbac}/rolebindings"), &binding).await.expect(201);
    // A list is answered when the authorizer knows of them too.
    server.get(&format!("{rbac}/rolebindings")).await.expect(200);
    server.get(&format!("{rbac}/roles")).await.expect(200);
    let client = server.nobody_of_http1();
    let path = format!("{PODS}/p/exec?command=sh&stdout=1");
    let open = async |protocols: &str, upgrade: &str| {
        let headers = [
            ("connection", "Upgrade"),
            ("upgrade", upgrade),
            ("sec-websocket-protocol", protocols),
        ];
        client.open(Method::GET, &path, &headers, "").await
    };
    let response = open(&format!("{hidden}, v5.channel.k8s.io"), "websocket").await;
    assert_eq!(response.status(), 101);
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.expect("an upgrade"));
    let want = "/exec/default/p/c?output=1&command=sh v5.channel.k8s.io\n";
    let mut seen = vec![0; want.len()];
    io.read_exact(&mut seen).await.expect("the path");
    assert_eq!(String::from_utf8_lossy(&seen), want);
    // Without a token, or with one that is not looked at or is none, it is nobody who asks.
    let (other, odd) = ("v5.channel.k8s.io", "base64url.bearer.authorization.k8s.io.AAAA");
    for (protocols, upgrade) in [
        (other.to_owned(), "websocket"),
        (hidden.clone(), "websocket"),
        (format!("{odd}, {other}"), "websocket"),
        (format!("{hidden}, {other}"), "SPDY/3.1"),
    ] {
        assert_eq!(open(&protocols, upgrade).await.status(), 401, "{protocols} {upgrade}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_is_not_enough_to_execute() {
    let server = TestServer::start().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let role = |verbs: serde_json::Value| {
        json!({"metadata": {"name": "look"}, "rules": [
            {"apiGroups": [""], "resources": ["pods/exec"], "verbs": verbs}]})
    };
    server.post(&format!("{rbac}/roles"), &role(json!(["get"]))).await.expect(201);
    let binding = json!({"metadata": {"name": "look"},
        "roleRef": {"kind": "Role", "name": "look"}, "subjects": [{"kind": "User", "name": "bob"}]});
    server.post(&format!("{rbac}/rolebindings"), &binding).await.expect(201);
    // A list is answered when the authorizer knows of them too.
    server.get(&format!("{rbac}/rolebindings")).await.expect(200);
    server.get(&format!("{rbac}/roles")).await.expect(200);
    let bob = server.authority.client("bob", None).expect("an identity");
    let bob = server.client_of(Some(&bob));
    let path = format!("{PODS}/p/exec?command=sh&stdout=1");
    let status = bob.send(Method::GET, &path, "", "").await.expect(403);
    let message = status["message"].as_str().expect("a message");
    assert!(message.contains("cannot create resource \"pods/exec\""), "{message}");
    server.put(&format!("{rbac}/roles/look"), &role(json!(["get", "create"]))).await.expect(200);
    server.get(&format!("{rbac}/roles")).await.expect(200);
    let status = bob.send(Method::GET, &path, "", "").await.expect(400);
    assert_eq!(status["message"], "pod p does not have a host assigned");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_passed_on_as_they_are() {
    let server = TestServer::start().await;
    let (kubelet, _node) = stand_in(Some(&server)).await;
    let (port, _pod) = stand_in(None).await;
    node_with_pod(&server, kubelet).await;
    let status = json!({"status": {"podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}});
    server.merge(&format!("{PODS}/p/status"), &status).await.expect(200);
    let proxy = format!("{PODS}/p:{port}/proxy");
    let headers =
        [("x-kept", "yes"), ("authorization", "Bearer secret"), ("x-forwarded-for", "192.0.2.7")];
    let path = format!("{proxy}/a%20b//c/?q=%2F&r");
    let answer = read(server.client.open(Method::PATCH, &path, &headers, "some").await).await;
    assert_eq!(
        answer.text(),
        "PATCH /a%20b//c/?q=%2F&r some auth=- kept=yes for=192.0.2.7, 127.0.0.1"
    );
    let answer = server.get(&format!("{proxy}/")).await;
    assert_eq!(answer.text(), "GET /  auth=- kept=- for=127.0.0.1");
    let folder = server.get(&proxy).await;
    assert_eq!((folder.code, location(&folder)), (301, format!("{proxy}/")));
    let moved = server.get(&format!("{proxy}/moved")).await;
    assert_eq!((moved.code, location(&moved)), (302, format!("{proxy}/elsewhere")));
    // The node itself, with the API server's certificate.
    let answer = server.get("/api/v1/nodes/n1/proxy/stats/summary?x").await;
    assert_eq!(answer.text(), "GET /stats/summary?x  auth=- kept=- for=127.0.0.1");
    for (path, code, message) in [
        (format!("{PODS}/ftp:p:1/proxy/"), 400, "invalid pod request \"ftp:p:1\""),
        (format!("/api/v1/nodes/n1:{port}/proxy/"), 400, "address not allowed"),
        (
            "/api/v1/namespaces/default/services/kubernetes:1/proxy/".to_owned(),
            503,
            "no service port 1 found for service \"kubernetes\"",
        ),
        (
            "/api/v1/namespaces/default/services/kubernetes:https/proxy/".to_owned(),
            503,
            "no endpoints available for service \"kubernetes:https\"",
        ),
    ] {
        assert_eq!(server.get(&path).await.expect(code)["message"], message, "{path}");
    }
    let status =
        json!({"status": {"podIP": "169.254.169.254", "podIPs": [{"ip": "169.254.169.254"}]}});
    server.merge(&format!("{PODS}/p/status"), &status).await.expect(200);
    assert_eq!(server.get(&path).await.expect(400)["message"], "address not allowed");
}

//! What HTTP clients meet before and behind the objects: heads without bodies, bodies that nobody reads,
//! JSON for people, names of components.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, header};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::server::{Answer, MAPS, TestServer, config_map, read};

const BLOCK: usize = 64 * 1024;
const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints";

/// Sends `blocks` blocks to where nothing is, and counts those that the server has taken.
async fn sent_to_nowhere(server: &TestServer, blocks: usize, expect: Option<&str>) -> usize {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let body = futures_util::stream::iter(0..blocks).map(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b' '; BLOCK])))
    });
    let mut request = Request::post("/api/v1/namespaces/default/nothings");
    if let Some(expect) = expect {
        request = request.header(header::EXPECT, expect);
    }
    let request = request.body(StreamBody::new(body)).expect("a valid request");
    let Ok(answer) = server.local.clone().oneshot(request).await;
    assert_eq!(answer.status(), 404);
    taken.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_wants_is_read_within_reason() {
    let server = TestServer::start().await;
    assert_eq!(sent_to_nowhere(&server, 4, None).await, 4);
    let taken = sent_to_nowhere(&server, 1000, None).await;
    assert!((48..60).contains(&taken), "{taken} blocks of a body without end");
    // Who asks first sends nothing until told to.
    assert_eq!(sent_to_nowhere(&server, 4, Some("100-continue")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_no_body() {
    let server = TestServer::start().await;
    for client in [server.client.clone(), server.client_of_http1()] {
        let head = async |path: &str| {
            let answer = client.send(Method::HEAD, path, "", "").await;
            assert!(answer.bytes.is_empty(), "{path}: {}", answer.text());
            let length = answer.headers.get("content-length");
            (answer.code, length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok()))
        };
        assert_eq!(head("/livez").await, (200, Some(2)));
        let index = client.send(Method::GET, "/", "", "").await;
        assert_eq!(head("/").await, (200, Some(index.bytes.len())));
        // As Kubernetes, which knows them only by GET.
        for path in [MAPS, "/api/v1/namespaces/default", "/apis", "/api/v1"] {
            assert!(matches!(head(path).await, (405, Some(1..))), "{path}");
        }
        assert_eq!(head("/api/v1/nothings").await.0, 404);
    }
}

/// What was said, but for the version of a list, which others may move on.
fn said(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    body["metadata"]["resourceVersion"] = Value::Null;
    body
}

async fn get_as(server: &TestServer, path: &str, agent: &str) -> Answer {
    read(server.client.open(Method::GET, path, &[("user-agent", agent)], "").await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_get_a_field_per_line() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("a", "1")).await.expect(201);
    server.post(MAPS, &config_map("b", &"x".repeat(200_000))).await.expect(201);
    let one = format!("{MAPS}/a");
    for path in [MAPS, &one, "/api/v1/namespaces/default/configmaps/none", "/api", "/apis/apps/v1"]
    {
        let plain = server.get(path).await;
        for (answer, lines) in [
            (get_as(&server, path, "curl/8.5.0").await, true),
            (server.get(&format!("{path}?pretty=true")).await, true),
            (get_as(&server, &format!("{path}?pretty=false"), "curl/8.5.0").await, false),
        ] {
            assert_eq!((answer.code, said(&answer)), (plain.code, said(&plain)), "{path}");
            let text = answer.text();
            let shape = (text.starts_with("{\n  \""), text.ends_with("\n}"));
            assert_eq!(shape, (lines, lines), "{path}: {text}");
        }
    }
    assert!(server.get("/version").await.text().starts_with("{\n  \""));
    let headers = [("user-agent", "curl/8.5.0"), ("accept-encoding", "gzip")];
    let answer = server.client.open(Method::GET, MAPS, &headers, "").await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let yaml = [("user-agent", "curl/8.5.0"), ("accept", "application/yaml")];
    let answer = read(server.client.open(Method::GET, &one, &yaml, "").await).await;
    assert!(answer.text().contains("kind: ConfigMap\n"), "{}", answer.text());
    // An event is a line, whoever reads it.
    let watch = format!("{MAPS}?watch=true&resourceVersion=0&timeoutSeconds=1");
    let events = get_as(&server, &watch, "curl/8.5.0").await;
    let kinds = events.text().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(kinds.filter(|event| event["type"] == "ADDED").count() >= 2, "{}", events.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_done_with_endpoints_they_are_deprecated() {
    let server = TestServer::start().await;
    let want =
        "299 - \"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\"";
    let warned = |answer: Answer, code: u16| {
        let warnings = answer.headers.get_all("warning").iter();
        let all: Vec<_> = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
        answer.expect(code);
        all
    };
    let body =
        json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "e"}, "odd": 1});
    let made = warned(server.post(ENDPOINTS, &body).await, 201);
    assert_eq!(made, [want, "299 - \"unknown field \\\"odd\\\"\""]);
    let one = format!("{ENDPOINTS}/e");
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let watch = format!("{ENDPOINTS}?watch=true&timeoutSeconds=1");
    for (answer, code) in [
        (server.get(&one).await, 200),
        (server.get(ENDPOINTS).await, 200),
        (server.get("/api/v1/endpoints").await, 200),
        (server.get(&watch).await, 200),
        (server.get(&format!("{ENDPOINTS}/none")).await, 404),
        (server.merge(&one, &patch).await, 200),
        (server.delete(&one, &json!({})).await, 200),
    ] {
        assert_eq!(warned(answer, code), [want]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn components_of_this_process_have_names() {
    let server = TestServer::start().await;
    let scheduler = server.local.clone().named("kube-scheduler");
    for (name, agent, manager) in
        [("a", None, "kube-scheduler"), ("b", Some("mine/1.0 (x)"), "mine")]
    {
        let mut request = Request::post(MAPS).header(header::CONTENT_TYPE, "application/json");
        if let Some(agent) = agent {
            request = request.header(header::USER_AGENT, agent);
        }
        let body = http_body_util::Full::new(Bytes::from(config_map(name, "1").to_string()));
        let request = request.body(body).expect("a valid request");
        let Ok(answer) = scheduler.clone().oneshot(request).await;
        assert_eq!(answer.status(), 201);
        let made = server.get(&format!("{MAPS}/{name}")).await.expect(200);
        assert_eq!(made["metadata"]["managedFields"][0]["manager"], manager);
    }
}

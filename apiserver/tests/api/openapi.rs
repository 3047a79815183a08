//! OpenAPI documents over HTTP: where they are, and when they need not be sent again.

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::server::TestServer;

const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

#[tokio::test(flavor = "multi_thread")]
async fn every_document_is_where_the_index_says() {
    let server = TestServer::start().await;
    let index = server.get("/openapi/v3").await.expect(200);
    let paths = index["paths"].as_object().expect("paths");
    for row in api::resources::table() {
        let path = api::openapi::document_path(&row.group, &row.version);
        assert!(paths.contains_key(&path), "{path}");
    }
    for (path, place) in paths {
        let url = place["serverRelativeURL"].as_str().expect("an address");
        assert!(url.starts_with(&format!("/openapi/v3/{path}?hash=")), "{url}");
        let document = server.get(url).await.expect(200);
        assert_eq!(document["openapi"], "3.0.0", "{path}");
        assert!(document["components"]["schemas"].is_object(), "{path}");
    }
    for path in ["/openapi/v3/apis/nope.example.com/v1", "/openapi/v3/api/v7", "/openapi/v4"] {
        assert_eq!(server.get(path).await.code, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_sent_once() {
    let server = TestServer::start().await;
    let open = async |path: &str, headers: &[(&str, &str)]| {
        server.client.open(Method::GET, path, headers, Bytes::new()).await
    };
    let index = server.get("/openapi/v3").await.expect(200);
    let apps = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().expect("there");
    for (path, cached) in [
        ("/openapi/v3", None),
        ("/openapi/v3/apis/apps/v1", Some("no-cache, private")),
        (apps, Some("public, immutable")),
        ("/openapi/v2", Some("no-cache, private")),
    ] {
        let answer = open(path, &[]).await;
        assert_eq!(answer.status(), 200, "{path}");
        let header = |name: &str| answer.headers()[name].to_str().expect("text").to_owned();
        if let Some(cached) = cached {
            assert_eq!(header("cache-control"), cached, "{path}");
            assert_eq!(answer.headers().contains_key("expires"), cached.starts_with("public"));
        }
        let (tag, modified) = (header("etag"), header("last-modified"));
        for (known, value, want) in [
            ("if-none-match", &*tag, 304),
            ("if-none-match", "\"other\"", 200),
            ("if-modified-since", &*modified, 304),
            ("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT", 200),
        ] {
            let again = open(path, &[(known, value)]).await;
            assert_eq!(again.status(), want, "{path} {known}: {value}");
            assert_eq!(again.headers()["etag"], tag.as_str());
        }
    }
    let moved = open("/openapi/v3/apis/apps/v1?hash=00", &[]).await;
    assert_eq!(moved.status(), 301);
    assert_eq!(moved.headers()["location"], apps);
}

#[tokio::test(flavor = "multi_thread")]
async fn version_2_comes_in_json_and_protobuf_compressed_or_not() {
    let server = TestServer::start().await;
    let fetch = async |accept: &str, encoding: &str| {
        let headers = [("accept", accept), ("accept-encoding", encoding)];
        let answer = server.client.open(Method::GET, "/openapi/v2", &headers, Bytes::new()).await;
        let (parts, body) = answer.into_parts();
        (parts, body.collect().await.expect("a whole body").to_bytes())
    };
    let (parts, plain) = fetch("application/json", "identity").await;
    assert_eq!(parts.headers["content-type"], "application/json");
    let document: Value = serde_json::from_slice(&plain).expect("JSON");
    assert_eq!(document["swagger"], "2.0");
    let (parts, zipped) = fetch("application/json", "gzip").await;
    assert_eq!(parts.headers["content-encoding"], "gzip");
    assert!(zipped.starts_with(&[0x1f, 0x8b]) && zipped.len() < plain.len() / 5);
    let (parts, message) = fetch(PROTOBUF, "identity").await;
    assert_eq!(
        parts.headers["content-type"],
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    );
    assert!(message.starts_with(b"\x0a\x032.0"), "the first field is the version");
    assert_eq!(fetch("text/html", "identity").await.0.status, 406);
}

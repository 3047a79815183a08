//! Who gets in, and what they see without asking for a resource.

use apiserver::pki;
use bytes::Bytes;
use http::Method;
use serde_json::Value;

use crate::server::{MAPS, PODS, TestServer, config_map};

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_clients_see_health_and_version_only() {
    let server = TestServer::start().await;
    let nobody = server.client_of(None);
    for path in ["/healthz", "/livez", "/readyz", "/readyz?verbose"] {
        let answer = nobody.send(Method::GET, path, "", "").await;
        assert_eq!(answer.code, 200, "{path}: {}", answer.text());
    }
    let version = nobody.send(Method::GET, "/version", "", "").await.expect(200);
    assert_eq!((&version["major"], &version["minor"]), (&"1".into(), &"36".into()));
    for path in ["/api", "/apis", PODS, "/openapi/v3", "/metrics", "/", "/readyz/etcd"] {
        let status = nobody.send(Method::GET, path, "", "").await.expect(401);
        assert_eq!(status["reason"], "Unauthorized", "{path}");
    }
    assert_eq!(nobody.send(Method::POST, PODS, "application/json", "{}").await.code, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_check_by_check() {
    let server = TestServer::start().await;
    for (path, want) in [
        ("/livez", "ok"),
        ("/livez?verbose", "[+]ping ok\nlivez check passed\n"),
        ("/livez?verbose&exclude=etcd", "[+]ping ok\nlivez check passed\n"),
        ("/healthz?verbose", "[+]ping ok\n[+]etcd ok\n[+]watch-cache ok\nhealthz check passed\n"),
        (
            "/readyz?verbose&exclude=none",
            "[+]ping ok\n[+]etcd ok\n[+]etcd-readiness ok\n[+]watch-cache ok\n[+]shutdown ok\n\
             warn: some health checks cannot be excluded: no matches for \"none\"\n\
             readyz check passed\n",
        ),
        ("/readyz/etcd", "ok"),
        ("/readyz/etcd-readiness", "ok"),
        ("/livez/etcd", "ok"),
        ("/healthz/ping", "ok"),
        ("/readyz/watch-cache", "ok"),
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.code, answer.text()), (200, want), "{path}");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8", "{path}");
    }
    for path in ["/readyz/none", "/livez/watch-cache", "/readyz/"] {
        assert_eq!(server.get(path).await.code, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_without_rights_are_forbidden() {
    let server = TestServer::start().await;
    let identity = server.authority.client("nobody", None).unwrap();
    let client = server.client_of(Some(&identity));
    let status = client.send(Method::GET, PODS, "", "").await.expect(403);
    assert_eq!(
        status["message"],
        "pods is forbidden: User \"nobody\" cannot list resource \"pods\" in API group \"\" in \
         the namespace \"default\""
    );
    let status = client.send(Method::GET, "/metrics", "", "").await.expect(403);
    assert_eq!(status["message"], "forbidden: User \"nobody\" cannot get path \"/metrics\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_another_authority_do_not_count() {
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let stranger = pki::Authority::open(dir.path()).unwrap();
    let identity = stranger.client("kubernetes-admin", Some("system:masters")).unwrap();
    let client = server.client_of(Some(&identity));
    // The handshake is refused, so there is no answer at all.
    let asked = client.try_get(PODS).await;
    assert!(asked.is_err(), "a stranger's certificate was accepted: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_4_mib_is_too_large() {
    let server = TestServer::start().await;
    let body = config_map("big", &"x".repeat(4 * 1024 * 1024)).to_string();
    let answer = server.client.send(Method::POST, MAPS, "application/json", body).await;
    let status = answer.expect(413);
    assert_eq!(status["reason"], "RequestEntityTooLarge");
    // Others are not disturbed.
    server.post(MAPS, &config_map("small", "x")).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_comes_in_both_forms_and_with_tags() {
    let server = TestServer::start().await;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
        application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
    let answer = server.client.get_as("/api?timeout=32s", aggregated).await;
    assert_eq!(answer.code, 200);
    assert_eq!(
        answer.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    assert_eq!(answer.body["kind"], "APIGroupDiscoveryList");
    let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    let older = server.client.get_as("/api", &format!("{beta},application/json")).await;
    assert_eq!(older.headers["content-type"], beta);
    assert_eq!(older.expect(200)["apiVersion"], "apidiscovery.k8s.io/v2beta1");
    let yaml = server.client.get_as("/apis/apps", "application/yaml").await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert!(yaml.text().contains("kind: APIGroup\n"), "{}", yaml.text());
    let tag = answer.headers["etag"].to_str().unwrap().to_owned();
    let headers = [("accept", aggregated), ("if-none-match", tag.as_str())];
    let again = server.client.open(Method::GET, "/api?timeout=32s", &headers, Bytes::new()).await;
    assert_eq!(again.status(), 304);
    for (path, kind) in [
        ("/api", "APIVersions"),
        ("/apis", "APIGroupList"),
        ("/api/v1", "APIResourceList"),
        ("/apis/coordination.k8s.io", "APIGroup"),
        ("/apis/coordination.k8s.io/v1", "APIResourceList"),
    ] {
        assert_eq!(server.get(path).await.expect(200)["kind"], kind, "{path}");
    }
    let index = server.get("/openapi/v3").await.expect(200);
    let core = index["paths"]["api/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert!(server.get(&core).await.expect(200)["paths"].is_object(), "{core}");
    for path in ["/nothing", "/apis/nope.example.com/v1", "/api/v1/namespaces/default/nopes"] {
        assert_eq!(server.get(path).await.code, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_the_table_is_guarded_and_served() {
    let server = TestServer::start().await;
    let nobody = server.client_of(None);
    for row in api::resources::table() {
        let group =
            if row.group.is_empty() { "api".to_owned() } else { format!("apis/{}", row.group) };
        let namespace = if row.namespaced() { "/namespaces/default" } else { "" };
        let path = format!("/{group}/{}{namespace}/{}", row.version, row.plural);
        let mut paths = vec![path.clone(), format!("{path}/x")];
        paths.extend(row.subresources.iter().map(|sub| format!("{path}/x/{}", sub.name)));
        for path in paths {
            for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
                let code = nobody.send(method.clone(), &path, "", "").await.code;
                assert_eq!(code, 401, "{method} {path} without credentials");
            }
        }
        if row.is_stored() {
            let list = server.get(&path).await.expect(200);
            assert_eq!(list["kind"], Value::from(row.list_kind()), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_private_and_the_authority_survives_a_restart() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let first = pki::Authority::open(&dir.path().join("pki")).unwrap();
    let again = pki::Authority::open(&dir.path().join("pki")).unwrap();
    assert_eq!(first.ca_pem(), again.ca_pem());
    let key = std::fs::metadata(dir.path().join("pki/ca.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    assert!(!format!("{:?}", first.client("a", None).unwrap()).contains("PRIVATE"));
}

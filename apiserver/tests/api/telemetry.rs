//! `/metrics`: what monitoring asks of a kube-apiserver.

use http::Method;
use serde_json::json;

use crate::server::{MAPS, PATIENCE, TestServer, config_map};

/// The value of a line that begins like this.
fn value(page: &str, line: &str) -> Option<f64> {
    let line = page.lines().find(|shown| shown.starts_with(line))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

async fn page(server: &TestServer) -> String {
    let answer = server.get("/metrics").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.code, 200);
    answer.text().to_owned()
}

/// The page once `line` has this value.
async fn when(server: &TestServer, line: &str, want: f64) -> String {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let page = page(server).await;
        if value(&page, line) == Some(want) {
            return page;
        }
        assert!(tokio::time::Instant::now() < end, "no {line} {want} in\n{page}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_counted() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    server.post(MAPS, &config_map("m", "1")).await.expect(409);
    server.post(&format!("{MAPS}?dryRun=All"), &config_map("n", "1")).await.expect(201);
    server.get(&format!("{MAPS}/none")).await.expect(404);
    server.get("/api/v1/nothings").await.expect(404);
    server.get("/livez").await.expect(200);
    let of = |verb: &str, resource: &str, scope: &str| {
        format!(
            "{{verb=\"{verb}\",dry_run=\"\",group=\"\",version=\"v1\",resource=\"{resource}\",\
             subresource=\"\",scope=\"{scope}\",component=\"apiserver\""
        )
    };
    let posts = of("POST", "configmaps", "resource");
    let page = page(&server).await;
    for (line, want) in [
        (format!("apiserver_request_total{posts},code=\"201\"}}"), Some(1.0)),
        (format!("apiserver_request_total{posts},code=\"409\"}}"), Some(1.0)),
        (
            format!(
                "apiserver_request_total{},code=\"201\"}}",
                posts.replace("dry_run=\"\"", "dry_run=\"All\"")
            ),
            Some(1.0),
        ),
        (
            format!(
                "apiserver_request_total{},code=\"404\"}}",
                of("GET", "configmaps", "resource")
            ),
            Some(1.0),
        ),
        (format!("apiserver_request_duration_seconds_count{posts}}}"), Some(2.0)),
        (format!("apiserver_request_duration_seconds_bucket{posts},le=\"+Inf\"}}"), Some(2.0)),
        (
            "apiserver_resource_objects{group=\"\",resource=\"configmaps\"}".to_owned(),
            value(&page, "apiserver_storage_objects{resource=\"configmaps\"}"),
        ),
        // The one that asks.
        ("apiserver_current_inflight_requests{request_kind=\"readOnly\"}".to_owned(), Some(1.0)),
        ("apiserver_current_inflight_requests{request_kind=\"mutating\"}".to_owned(), Some(0.0)),
    ] {
        assert_eq!(value(&page, &line), want, "{line} in\n{page}");
    }
    assert!(value(&page, "apiserver_storage_objects{resource=\"configmaps\"}") >= Some(1.0));
    assert!(value(&page, "process_resident_memory_bytes ") > Some(0.0));
    assert!(page.contains("subresource=\"/livez\""), "{page}");
    assert!(!page.contains("nothings"), "what is not there makes no series");
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_open_until_they_end() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let labels = "group=\"\",version=\"v1\",resource=\"configmaps\"";
    let open = format!(
        "apiserver_longrunning_requests{{verb=\"WATCH\",{labels},subresource=\"\",\
         scope=\"namespace\",component=\"apiserver\"}}"
    );
    let over = format!(
        "apiserver_request_total{{verb=\"WATCH\",dry_run=\"\",{labels},subresource=\"\",\
         scope=\"namespace\",component=\"apiserver\",code=\"200\"}}"
    );
    let sent = format!("apiserver_watch_events_total{{{labels}}}");
    let watch = format!("{MAPS}?watch=1&resourceVersion=0");
    let watch = server.client.open(Method::GET, &watch, &[], "").await;
    let during = when(&server, &open, 1.0).await;
    assert_eq!(value(&during, &over), None);
    drop(watch);
    let after = when(&server, &over, 1.0).await;
    assert_eq!(value(&after, &open), None);
    let short = format!("{MAPS}?watch=1&resourceVersion=0&timeoutSeconds=1");
    server.get(&short).await;
    let after = when(&server, &over, 2.0).await;
    assert!(value(&after, &sent) >= Some(1.0), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_monitors_may_read_and_nobody_else() {
    let server = TestServer::start().await;
    let get = async |user: &str, group: Option<&str>| {
        let identity = server.authority.client(user, group).expect("a client");
        server.client_of(Some(&identity)).send(Method::GET, "/metrics", "", "").await.code
    };
    assert_eq!(get("bob", None).await, 403);
    assert_eq!(get("prometheus", Some("system:monitoring")).await, 200);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "scrape"},
        "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]});
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    server.post(&format!("{rbac}/clusterroles"), &role).await.expect(201);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "scrape"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "scrape"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "bob"}]});
    server.post(&format!("{rbac}/clusterrolebindings"), &binding).await.expect(201);
    // Roles are read from memory, which follows.
    server.get(&format!("{rbac}/clusterrolebindings")).await.expect(200);
    assert_eq!(get("bob", None).await, 200);
}

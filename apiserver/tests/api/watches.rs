//! Watches: from now, from a version, with everything first; and how they end.

use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::server::{MAPS, PATIENCE, PODS, TestServer, config_map, pod};

/// A watch being read, event by event.
pub(crate) struct Events {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Events {
    pub(crate) async fn open(server: &TestServer, path: &str) -> Events {
        Events::open_as(server, path, "application/json").await
    }

    async fn open_as(server: &TestServer, path: &str, accept: &str) -> Events {
        let headers = [("accept", accept)];
        let response = server.client.open(Method::GET, path, &headers, "").await;
        assert_eq!(response.status(), 200, "{path}");
        Events { body: response.into_body(), buffer: Vec::new() }
    }

    /// The next event, or none if the watch has ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("an event per line"));
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame());
            let frame = frame.await.expect("an event in time")?.expect("an unbroken stream");
            self.buffer.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }

    /// Type and name of the next event.
    async fn told(&mut self) -> (String, String) {
        let event = self.next().await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }

    #[track_caller]
    fn expect(told: (String, String), event: &str, name: &str) {
        assert_eq!(told, (event.to_owned(), name.to_owned()));
    }
}

async fn version(server: &TestServer, path: &str) -> String {
    let list = server.get(path).await.expect(200);
    list["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_in_order_after_what_there_is() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("old", "1")).await.expect(201);
    let mut events = Events::open(&server, &format!("{MAPS}?watch=true")).await;
    Events::expect(events.told().await, "ADDED", "old");
    server.post(MAPS, &config_map("new", "1")).await.expect(201);
    server.merge(&format!("{MAPS}/new"), &json!({"data": {"a": "2"}})).await.expect(200);
    server.delete(&format!("{MAPS}/new"), &json!({})).await.expect(200);
    let mut versions = Vec::new();
    for kind in ["ADDED", "MODIFIED", "DELETED"] {
        let event = events.next().await.expect("an event");
        assert_eq!(event["type"], kind);
        assert_eq!(event["object"]["kind"], "ConfigMap");
        let version = event["object"]["metadata"]["resourceVersion"].as_str().unwrap();
        versions.push(version.parse::<u64>().unwrap());
    }
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    // Other namespaces are not seen.
    server
        .post("/api/v1/namespaces/kube-public/configmaps", &config_map("there", "1"))
        .await
        .expect(201);
    server.post(MAPS, &config_map("here", "1")).await.expect(201);
    Events::expect(events.told().await, "ADDED", "here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_resumes_from_a_version() {
    let server = TestServer::start().await;
    let start = version(&server, MAPS).await;
    server.post(MAPS, &config_map("a", "1")).await.expect(201);
    server.delete(&format!("{MAPS}/a"), &json!({})).await.expect(200);
    let path = format!("{MAPS}?watch=1&resourceVersion={start}");
    let mut events = Events::open(&server, &path).await;
    Events::expect(events.told().await, "ADDED", "a");
    Events::expect(events.told().await, "DELETED", "a");
    server.post(MAPS, &config_map("b", "1")).await.expect(201);
    Events::expect(events.told().await, "ADDED", "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_from_before_the_window_is_gone() {
    let server = TestServer::restarted().await;
    let path = format!("{MAPS}?watch=1&resourceVersion=1");
    let mut events = Events::open(&server, &path).await;
    let event = events.next().await.expect("an event");
    assert_eq!(event["type"], "ERROR");
    assert_eq!(
        (&event["object"]["code"], &event["object"]["reason"]),
        (&410.into(), &"Expired".into())
    );
    assert!(
        event["object"]["message"].as_str().unwrap().starts_with("too old resource version: 1 (")
    );
    assert!(events.next().await.is_none(), "the watch ends with the error");
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_turn_changes_into_arrivals_and_departures() {
    let server = TestServer::start().await;
    let mut events = Events::open(&server, &format!("{PODS}?watch=1&labelSelector=app%3Dx")).await;
    let mut scheduled =
        Events::open(&server, &format!("{PODS}?watch=1&fieldSelector=spec.nodeName%3Dn1")).await;
    server.post(PODS, &pod("x")).await.expect(201);
    Events::expect(events.told().await, "ADDED", "x");
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "x"},
        "target": {"kind": "Node", "name": "n1"}});
    server.post(&format!("{PODS}/x/binding"), &binding).await.expect(201);
    Events::expect(events.told().await, "MODIFIED", "x");
    Events::expect(scheduled.told().await, "ADDED", "x");
    let labels = |app: &str| json!({"metadata": {"labels": {"app": app}}});
    server.merge(&format!("{PODS}/x"), &labels("y")).await.expect(200);
    let event = events.next().await.expect("an event");
    assert_eq!(event["type"], "DELETED");
    // Shown as it last matched, at the version of the change.
    assert_eq!(event["object"]["metadata"]["labels"]["app"], "x");
    let change = scheduled.next().await.expect("an event");
    assert_eq!(change["type"], "MODIFIED");
    let version = |event: &Value| event["object"]["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&event), version(&change));
    server.merge(&format!("{PODS}/x"), &labels("x")).await.expect(200);
    Events::expect(events.told().await, "ADDED", "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn initial_events_end_with_a_bookmark() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("a", "1")).await.expect(201);
    let path = format!(
        "{MAPS}?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    );
    let mut events = Events::open(&server, &path).await;
    Events::expect(events.told().await, "ADDED", "a");
    let bookmark = events.next().await.expect("a bookmark");
    assert_eq!(bookmark["type"], "BOOKMARK");
    let object = &bookmark["object"];
    assert_eq!((&object["kind"], &object["apiVersion"]), (&"ConfigMap".into(), &"v1".into()));
    assert_eq!(object["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(
        object["metadata"]["resourceVersion"].as_str(),
        Some(&*version(&server, MAPS).await)
    );
    let path =
        format!("{MAPS}?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan");
    let mut events = Events::open(&server, &path).await;
    server.post(MAPS, &config_map("b", "1")).await.expect(201);
    Events::expect(events.told().await, "ADDED", "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_from_nowhere_says_when_it_has_shown_everything() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("a", "1")).await.expect(201);
    for version in ["", "&resourceVersion=0"] {
        let path = format!("{MAPS}?watch=true&allowWatchBookmarks=true{version}");
        let mut events = Events::open(&server, &path).await;
        Events::expect(events.told().await, "ADDED", "a");
        let bookmark = events.next().await.expect("a bookmark");
        let metadata = &bookmark["object"]["metadata"];
        assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true", "{version}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_a_bookmark() {
    let server = TestServer::start().await;
    let start = version(&server, MAPS).await;
    let from = format!("{MAPS}?watch=1&resourceVersion={start}&timeoutSeconds=3");
    let mut plain = Events::open(&server, &from).await;
    let mut events = Events::open(&server, &format!("{from}&allowWatchBookmarks=true")).await;
    let made = server.post(MAPS, &config_map("a", "1")).await.expect(201);
    Events::expect(events.told().await, "ADDED", "a");
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    let last = last.expect("a bookmark before the end");
    assert_eq!((&last["type"], &last["object"]["kind"]), (&"BOOKMARK".into(), &"ConfigMap".into()));
    let number = |object: &Value| -> u64 {
        object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
    };
    assert!(number(&last["object"]) >= number(&made), "{last}");
    // Who has not said that it understands them gets none.
    Events::expect(plain.told().await, "ADDED", "a");
    assert!(plain.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_describe_their_columns_once() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("a", "1")).await.expect(201);
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let mut events = Events::open_as(&server, &format!("{MAPS}?watch=1"), table).await;
    let first = events.next().await.expect("an event");
    assert_eq!(first["object"]["kind"], "Table");
    assert!(!first["object"]["columnDefinitions"].as_array().unwrap().is_empty());
    assert_eq!(first["object"]["rows"][0]["cells"][0], "a");
    server.post(MAPS, &config_map("b", "1")).await.expect(201);
    let second = events.next().await.expect("an event");
    assert!(second["object"]["columnDefinitions"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(second["object"]["rows"][0]["cells"][0], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_when_its_time_is_over_or_the_server_stops() {
    let server = TestServer::start().await;
    let path = format!("{MAPS}?watch=1&timeoutSeconds=1&resourceVersion=0");
    let mut events = Events::open(&server, &path).await;
    assert!(events.next().await.is_none());
    let mut events = Events::open(&server, &format!("{MAPS}?watch=1")).await;
    let stopped = server.stop();
    let (stopped, ended) = tokio::join!(stopped, events.next());
    stopped.expect("no stragglers");
    assert!(ended.is_none(), "the watch ends cleanly: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_watchers_see_every_change() {
    let server = TestServer::start().await;
    let path = format!("{MAPS}?watch=1");
    let mut watchers = Vec::new();
    for _ in 0..50 {
        watchers.push(Events::open(&server, &path).await);
    }
    for n in 0..40 {
        server.post(MAPS, &config_map(&format!("n{n:02}"), "1")).await.expect(201);
    }
    for mut events in watchers {
        for n in 0..40 {
            Events::expect(events.told().await, "ADDED", &format!("n{n:02}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_does_not_read_is_closed_and_disturbs_nobody() {
    let server = TestServer::start().await;
    let mut stuck = Events::open(&server, &format!("{MAPS}?watch=1")).await;
    // More than its queue, its stream window and the sockets' buffers hold.
    let value = "x".repeat(200_000);
    let path = format!("{MAPS}/fat");
    server.post(MAPS, &config_map("fat", "0")).await.expect(201);
    let mut seen = Events::open(&server, &format!("{MAPS}?watch=1")).await;
    Events::expect(seen.told().await, "ADDED", "fat");
    for n in 0..40 {
        let body = json!({"data": {"a": n.to_string(), "b": value}});
        server.merge(&path, &body).await.expect(200);
        Events::expect(seen.told().await, "MODIFIED", "fat");
    }
    for round in 0..24 {
        let posts = (0..50).map(|n| {
            let body = config_map(&format!("thin-{round}-{n}"), "1").to_string();
            let client = server.client.clone();
            client.send_owned(Method::POST, MAPS.to_owned(), "application/json", body)
        });
        for answer in futures_util::future::join_all(posts).await {
            answer.expect(201);
        }
        for _ in 0..50 {
            assert_eq!(seen.told().await.0, "ADDED");
        }
    }
    let mut told = 0;
    while stuck.next().await.is_some() {
        told += 1;
    }
    assert!(told < 41 + 24 * 50, "the stuck watcher was sent everything: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kube_clients_watch_in_process() {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{Api, PostParams, WatchEvent, WatchParams};
    let server = TestServer::start().await;
    let client = kube::Client::new(server.local.clone(), "default");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let stream = maps.watch(&WatchParams::default(), "0").await.expect("a watch");
    let mut stream = std::pin::pin!(stream);
    let map: ConfigMap = serde_json::from_value(config_map("local", "1")).unwrap();
    let made = maps.create(&PostParams::default(), &map).await.expect("created");
    // The watch has begun with the nothing there was, and says so with a bookmark.
    let event = loop {
        let event = tokio::time::timeout(PATIENCE, futures_util::StreamExt::next(&mut stream));
        match event.await.expect("an event in time") {
            Some(Ok(WatchEvent::Bookmark(_))) => {}
            event => break event,
        }
    };
    match event {
        Some(Ok(WatchEvent::Added(seen))) => assert_eq!(seen, made),
        other => panic!("not an ADDED event: {other:?}"),
    }
    let list = maps.list(&kube::api::ListParams::default()).await.expect("a list");
    assert_eq!(list.items, [made]);
    let error = maps.get("none").await.expect_err("nothing there");
    assert!(matches!(error, kube::Error::Api(status) if status.code == 404));
}

//! GET: one, all, a page, at a version, as a table.

use http::Method;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::server::{MAPS, TestServer, config_map, read};

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("items");
    items.iter().map(|item| item["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

async fn filled(count: usize) -> TestServer {
    let server = TestServer::restarted().await;
    for n in 0..count {
        let mut map = config_map(&format!("m{n}"), &n.to_string());
        map["metadata"]["labels"] = json!({"even": (n % 2 == 0).to_string()});
        server.post(MAPS, &map).await.expect(201);
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_the_shape_of_kubernetes() {
    let server = filled(3).await;
    let answer = server.get(MAPS).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let list = answer.expect(200);
    assert_eq!((&list["kind"], &list["apiVersion"]), (&"ConfigMapList".into(), &"v1".into()));
    assert_eq!(names(&list), ["m0", "m1", "m2"]);
    // Items carry neither kind nor apiVersion, but a version each.
    assert!(list["items"][0].get("kind").is_none());
    let version = list["items"][2]["metadata"]["resourceVersion"].as_str().unwrap();
    assert_eq!(version, list["metadata"]["resourceVersion"].as_str().unwrap());
    let empty = server.get("/api/v1/namespaces/kube-public/configmaps").await.expect(200);
    assert_eq!(empty["items"], json!([]));
    let everywhere = server.get("/api/v1/configmaps").await.expect(200);
    assert_eq!(names(&everywhere), ["m0", "m1", "m2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_select() {
    let server = filled(4).await;
    for (selector, want) in [
        ("labelSelector=even%3Dtrue", &["m0", "m2"][..]),
        ("labelSelector=even+in+(false)", &["m1", "m3"]),
        ("fieldSelector=metadata.name%3Dm2", &["m2"]),
        ("fieldSelector=metadata.name%3Dm2&labelSelector=even%3Dfalse", &[]),
        ("fieldSelector=metadata.name!%3Dm2", &["m0", "m1", "m3"]),
        ("labelSelector=nope", &[]),
    ] {
        let list = server.get(&format!("{MAPS}?{selector}")).await.expect(200);
        assert_eq!(names(&list), want, "{selector}");
        let list = server.get(&format!("/api/v1/configmaps?{selector}")).await.expect(200);
        assert_eq!(names(&list), want, "{selector} in all namespaces");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_one_moment() {
    let server = filled(5).await;
    let first = server.get(&format!("{MAPS}?limit=2")).await.expect(200);
    assert_eq!(names(&first), ["m0", "m1"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    let moment = first["metadata"]["resourceVersion"].clone();
    // What happens between pages is not seen by them.
    server.delete(&format!("{MAPS}/m2"), &json!({})).await.expect(200);
    server.post(MAPS, &config_map("m3a", "new")).await.expect(201);
    server.merge(&format!("{MAPS}/m4"), &json!({"data": {"a": "changed"}})).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = server.get(&format!("{MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&second), ["m2", "m3"]);
    assert_eq!(second["metadata"]["resourceVersion"], moment);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = server.get(&format!("{MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&third), ["m4"]);
    assert_eq!(third["items"][0]["data"]["a"], "4");
    assert!(third["metadata"].get("continue").is_none());
    // With a selector nobody knows how many remain.
    let selected = format!("{MAPS}?limit=1&labelSelector=even%3Dtrue");
    let page = server.get(&selected).await.expect(200);
    assert!(page["metadata"]["continue"].is_string());
    assert!(page["metadata"].get("remainingItemCount").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_at_versions() {
    let server = filled(2).await;
    let before = server.get(MAPS).await.expect(200);
    let version = before["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let change = json!({"data": {"a": "later"}});
    let changed = server.merge(&format!("{MAPS}/m0"), &change).await.expect(200);
    let changed = changed["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let exact = format!("{MAPS}?resourceVersion={version}&resourceVersionMatch=Exact");
    let list = server.get(&exact).await.expect(200);
    assert_eq!(list, before);
    // The old version would allow an answer from before the change; the change's own does not.
    let newer = format!("{MAPS}?resourceVersion={changed}&resourceVersionMatch=NotOlderThan");
    let list = server.get(&newer).await.expect(200);
    assert_eq!(list["items"][0]["data"]["a"], "later");
    server.get(&format!("{MAPS}?resourceVersion=0")).await.expect(200);
    server.get(&format!("{MAPS}/m0?resourceVersion=0")).await.expect(200);
    let both = server.get(&format!("{MAPS}?continue=c&resourceVersion={version}")).await;
    assert_eq!(
        both.expect(400)["message"],
        "specifying resource version is not allowed when using continue"
    );
    let old = format!("{MAPS}?resourceVersion=1&resourceVersionMatch=Exact");
    assert_eq!(server.get(&old).await.expect(410)["reason"], "Expired");
    let future = server.get(&format!("{MAPS}?resourceVersion=999999")).await;
    assert_eq!(future.headers["retry-after"], "1");
    assert_eq!(future.expect(504)["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_moment_is_forgotten_can_be_continued_inconsistently() {
    let server = filled(3).await;
    // The window began when the server started, after revision 1.
    let start = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJkZWZhdWx0L20wXHUwMDAwIn0";
    let status = server.get(&format!("{MAPS}?limit=1&continue={start}")).await.expect(410);
    assert_eq!(status["reason"], "Expired");
    let token = status["metadata"]["continue"].as_str().expect("a token to go on with");
    let page = server.get(&format!("{MAPS}?limit=1&continue={token}")).await.expect(200);
    assert_eq!(names(&page), ["m1"]);
    let token = page["metadata"]["continue"].as_str().expect("the next page");
    let page = server.get(&format!("{MAPS}?continue={token}")).await.expect(200);
    assert_eq!(names(&page), ["m2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_metadata() {
    let server = filled(2).await;
    let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let list = server.client.get_as(&format!("{MAPS}?limit=500"), table).await.expect(200);
    assert_eq!(list["kind"], "Table");
    assert_eq!(list["rows"][0]["cells"][0], "m0");
    assert_eq!(list["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let one = server.client.get_as(&format!("{MAPS}/m1"), table).await.expect(200);
    assert_eq!(one["rows"][0]["cells"][0], "m1");
    let metadata = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = server.client.get_as(MAPS, metadata).await.expect(200);
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"][0].get("data").is_none());
    assert_eq!(list["items"][0]["metadata"]["name"], "m0");
    let metadata = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let one = server.client.get_as(&format!("{MAPS}/m0"), metadata).await.expect(200);
    assert_eq!((&one["kind"], one.get("data")), (&"PartialObjectMetadata".into(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_lists_are_compressed_for_those_who_ask() {
    use std::io::Read as _;
    let server = TestServer::start().await;
    for n in 0..4 {
        let map = config_map(&format!("big{n}"), &"wharf ".repeat(20_000));
        server.post(MAPS, &map).await.expect(201);
    }
    let plain = server.get(MAPS).await;
    assert_eq!(plain.headers["content-length"].to_str().unwrap(), plain.bytes.len().to_string());
    let headers = [("accept-encoding", "gzip")];
    let gzip = read(server.client.open(Method::GET, MAPS, &headers, "").await).await;
    assert_eq!(gzip.headers["content-encoding"], "gzip");
    assert!(gzip.bytes.len() < plain.bytes.len() / 10);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&gzip.bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text.as_bytes(), &plain.bytes[..]);
    let headers = [("accept-encoding", "gzip")];
    let path = format!("{MAPS}?limit=1&fieldSelector=metadata.name%3Dno");
    let small = read(server.client.open(Method::GET, &path, &headers, "").await).await;
    assert!(!small.headers.contains_key("content-encoding"));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_that_are_none_are_refused() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    for path in [
        format!("{MAPS}?limit=abc"),
        format!("{MAPS}?timeoutSeconds=abc"),
        format!("{MAPS}?watch=true&timeoutSeconds=abc"),
        "/api/v1/namespaces/default/pods/none/log?tailLines=abc".to_owned(),
    ] {
        let status = server.get(&path).await.expect(400);
        assert_eq!(
            status["message"], "strconv.ParseInt: parsing \"abc\": invalid syntax",
            "{path}"
        );
        assert_eq!(status["reason"], "BadRequest", "{path}");
    }
    for path in [
        format!("{MAPS}?resourceVersion=abc"),
        format!("{MAPS}?watch=true&resourceVersion=abc"),
        format!("{MAPS}/m?resourceVersion=abc"),
    ] {
        let status = server.get(&path).await.expect(400);
        let message = status["message"].as_str().unwrap();
        assert!(message.ends_with("parsing \"abc\": invalid syntax"), "{path}: {message}");
    }
    for path in [format!("{MAPS}/m?gracePeriodSeconds=abc"), format!("{MAPS}?limit=abc")] {
        let status = server.delete(&path, &serde_json::json!({})).await.expect(400);
        assert_eq!(
            status["message"], "strconv.ParseInt: parsing \"abc\": invalid syntax",
            "{path}"
        );
    }
    server.get(&format!("{MAPS}/m")).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_yaml() {
    let server = filled(2).await;
    let yaml = |path: String| {
        let client = server.client.clone();
        async move {
            let answer = client.get_as(&path, "application/yaml").await;
            assert_eq!(answer.headers["content-type"], "application/yaml", "{path}");
            let value: Value = serde_saphyr::from_str(answer.text()).expect("YAML");
            (answer.code, value)
        }
    };
    for path in [MAPS.to_owned(), format!("{MAPS}?limit=1"), format!("{MAPS}/m0")] {
        let json = server.get(&path).await.expect(200);
        assert_eq!(yaml(path.clone()).await, (200, json), "{path}");
    }
    let (code, status) = yaml(format!("{MAPS}/none")).await;
    assert_eq!((code, &status["reason"]), (404, &"NotFound".into()));
    let body =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\ndata: {a: 'yes', b: '007'}\n";
    let headers = [("content-type", "application/yaml"), ("accept", "application/yaml")];
    let made = read(server.client.open(Method::POST, MAPS, &headers, body).await).await;
    assert_eq!(made.code, 201, "{}", made.text());
    assert!(made.text().contains("kind: ConfigMap\n"), "{}", made.text());
    // What only older readers of YAML take for a boolean or a number is still text to them.
    assert!(!made.text().contains("a: yes") && !made.text().contains("b: 007"), "{}", made.text());
    let have = server.get(&format!("{MAPS}/made")).await.expect(200);
    assert_eq!(have["data"], json!({"a": "yes", "b": "007"}));
    let watch = server.client.get_as(&format!("{MAPS}?watch=1"), "application/yaml").await;
    assert_eq!(watch.code, 406);
    assert!(watch.text().contains("reason: NotAcceptable\n"), "{}", watch.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_http_will_do() {
    let server = filled(2).await;
    let client = server.client_of_http1();
    let response = client.open(Method::GET, MAPS, &[], "").await;
    assert_eq!(response.version(), http::Version::HTTP_11);
    assert_eq!(read(response).await.expect(200), server.get(MAPS).await.expect(200));
    let body = config_map("late", "1").to_string();
    client.send(Method::POST, MAPS, "application/json", body).await.expect(201);
    let response = client.open(Method::GET, &format!("{MAPS}?watch=1"), &[], "").await;
    assert_eq!(response.headers()["transfer-encoding"], "chunked");
    let mut body = response.into_body();
    let mut seen = Vec::new();
    while seen.iter().filter(|byte| **byte == b'\n').count() < 3 {
        let frame = tokio::time::timeout(crate::server::PATIENCE, body.frame());
        let frame = frame.await.expect("an event in time").expect("an open watch").unwrap();
        seen.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
}

//! Postgres is down: what still works, what is refused, and how it ends.

use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tests::cluster::PATIENCE;
use tests::postgres;
use tokio::time::{Instant, sleep, timeout};

use super::client::{MAPS, revision};
use super::server::ApiServer;
use super::writers::config_map;

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_reads_go_on_and_writes_are_told_when_to_come_again() {
    let mut database = postgres::Instance::start().unwrap();
    let server = ApiServer::start(Some(&database.database().unwrap())).await;
    let door = server.door();
    let made = door.post(MAPS, &config_map("before", "1", None)).await.unwrap().expect(201);
    let from = revision(&made);
    let watch = format!("{MAPS}?watch=1&resourceVersion={from}&timeoutSeconds=300");
    let mut watch = door.open(Method::GET, &watch, None).await.unwrap().into_body();

    database.stop().unwrap();
    for how in ["", "?resourceVersion=0", &format!("?resourceVersion={from}")] {
        let list = door.get(&format!("{MAPS}{how}")).await.unwrap().expect(200);
        assert_eq!(list["items"][0]["metadata"]["uid"], made["metadata"]["uid"], "list{how}");
        let one = door.get(&format!("{MAPS}/before{how}")).await.unwrap().expect(200);
        assert_eq!(revision(&one), from, "get{how}");
    }
    let writes = [
        (Method::POST, MAPS.to_owned(), config_map("during", "1", None)),
        (Method::PUT, format!("{MAPS}/before"), config_map("before", "2", Some(from))),
        (Method::DELETE, format!("{MAPS}/before"), serde_json::json!({})),
    ];
    for (method, path, body) in writes {
        let refused = door.ask(method.clone(), &path, Some(&body)).await.unwrap();
        refused.expect_later();
        let body = refused.expect(503);
        assert_eq!(body["reason"], "ServiceUnavailable", "{method} {body}");
    }
    let end = Instant::now() + PATIENCE;
    while door.get("/readyz").await.unwrap().code != 500 {
        assert!(Instant::now() < end, "the server stays ready without its database");
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(door.get("/livez").await.unwrap().code, 200);

    database.launch().unwrap();
    // Nobody tells the server: it finds out by itself.
    let end = Instant::now() + PATIENCE;
    let after = loop {
        let answer = door.post(MAPS, &config_map("after", "1", None)).await.unwrap();
        match answer.code {
            201 => break answer.body,
            503 | 504 if Instant::now() < end => sleep(Duration::from_millis(50)).await,
            code => panic!("still answered with {code}: {}", answer.body),
        }
    };
    // The watch was open all the time, and nothing of what was refused has happened.
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let frame = timeout(PATIENCE, watch.frame()).await.expect("an event").expect("no end");
        line.extend_from_slice(&frame.expect("no break").into_data().unwrap_or_default());
    }
    let event: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!((&event["type"], &event["object"]), (&"ADDED".into(), &after));
    let end = Instant::now() + PATIENCE;
    while door.get("/readyz").await.unwrap().code != 200 {
        assert!(Instant::now() < end, "the server does not become ready again");
        sleep(Duration::from_millis(50)).await;
    }
}

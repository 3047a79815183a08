//! Objects in protobuf, as typed Go clients send and read them. What the server writes is read
//! with prost's messages, which know nothing of ours.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use k8s_pb::api::core::v1 as core;
use k8s_pb::apimachinery::pkg::apis::meta::v1 as meta;
use k8s_pb::apimachinery::pkg::runtime::Unknown;
use prost::Message;
use serde_json::{Value, json};

use crate::server::{Answer, MAPS, PATIENCE, PODS, TestServer, config_map, pod, read};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// What kubectl accepts when it sends protobuf.
const EITHER: &str = "application/vnd.kubernetes.protobuf,application/json";

async fn send(server: &TestServer, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
    let headers = [("content-type", PROTOBUF), ("accept", EITHER)];
    read(server.client.open(method, path, &headers, body).await).await
}

/// The message of a body, of this kind.
#[track_caller]
fn opened<M: Message + Default>(kind: &str, body: &[u8]) -> M {
    let body = body.strip_prefix(b"k8s\0").expect("the magic number");
    let unknown = Unknown::decode(body).expect("an envelope");
    assert_eq!(unknown.type_meta.as_ref().map_or("", |of| of.kind()), kind);
    M::decode(unknown.raw()).expect("a message")
}

#[track_caller]
fn in_protobuf<M: Message + Default>(answer: &Answer, code: u16, kind: &str) -> M {
    assert_eq!(answer.code, code, "{}", String::from_utf8_lossy(&answer.bytes));
    assert_eq!(answer.headers["content-type"], PROTOBUF);
    opened(kind, &answer.bytes)
}

fn name(metadata: &Option<meta::ObjectMeta>) -> &str {
    metadata.as_ref().map_or("", |metadata| metadata.name())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kubectl_creates_is_taken() {
    let server = TestServer::start().await;
    let records = include_str!("../../../fixtures/wire/protobuf.jsonl").lines();
    let mut records: Vec<Value> =
        records.map(|line| serde_json::from_str(line).expect("a record")).collect();
    records.sort_by_key(|record| record["object"]["kind"] != "Namespace");
    let mut taken = 0;
    for record in records {
        let text = |field: &str| record[field].as_str().expect("a text");
        let (version, kind) = (&record["object"]["apiVersion"], &record["object"]["kind"]);
        let row = api::resources::by_kind(
            version.as_str().expect("a version"),
            kind.as_str().expect("a kind"),
        );
        let Some(row) = row.filter(|row| row.is_stored()) else { continue };
        let body = STANDARD.decode(text("body")).expect("base64");
        let answer = send(&server, Method::POST, text("path"), body).await;
        assert_eq!(answer.code, 201, "{}: {:?}", text("name"), answer.bytes);
        assert_eq!(answer.headers["content-type"], PROTOBUF, "{}", text("name"));
        let object = api::protobuf::read(&answer.bytes).expect("an object");
        assert_eq!(object["kind"], *kind);
        let want = &record["object"]["metadata"]["name"];
        assert_eq!(object["metadata"]["name"], *want, "{} of {}", text("name"), row.plural);
        let path = text("path").split('?').next().unwrap_or_default();
        let stored = server.get(&format!("{path}/{}", want.as_str().unwrap_or_default())).await;
        let stored = stored.expect(200);
        assert_eq!(stored["metadata"]["uid"], object["metadata"]["uid"], "{}", text("name"));
        taken += 1;
    }
    assert!(taken >= 8, "only {taken} of kubectl's bodies were tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_in_both_encodings() {
    let server = TestServer::start().await;
    server.post(PODS, &pod("a")).await.expect(201);
    let path = format!("{PODS}/a");
    let shown = server.get(&path).await.expect(200);
    let answer = server.client.get_as(&path, PROTOBUF).await;
    let pod: core::Pod = in_protobuf(&answer, 200, "Pod");
    let (metadata, spec) = (pod.metadata.expect("metadata"), pod.spec.expect("a spec"));
    assert_eq!(metadata.uid(), shown["metadata"]["uid"]);
    assert_eq!(metadata.resource_version(), shown["metadata"]["resourceVersion"]);
    assert_eq!(metadata.labels["app"], "a");
    assert_eq!(spec.containers[0].image(), "nginx");
    assert_eq!(spec.termination_grace_period_seconds, Some(30));
    assert_eq!(spec.active_deadline_seconds, None);
    assert_eq!(pod.status.expect("a status").phase(), "Pending");
    // A change in protobuf changes the same object.
    let mut changed = api::protobuf::read(&answer.bytes).expect("an object");
    changed["metadata"]["labels"]["tier"] = "one".into();
    let body = api::protobuf::write(&changed).expect("a body");
    let answer = send(&server, Method::PUT, &path, body).await;
    let pod: core::Pod = in_protobuf(&answer, 200, "Pod");
    assert_eq!(pod.metadata.expect("metadata").labels["tier"], "one");
    // A patch is JSON, its answer what the client likes best.
    let headers = [("content-type", "application/merge-patch+json"), ("accept", EITHER)];
    let patch = json!({"metadata": {"labels": {"tier": "two"}}}).to_string();
    let answer = read(server.client.open(Method::PATCH, &path, &headers, patch).await).await;
    let pod: core::Pod = in_protobuf(&answer, 200, "Pod");
    assert_eq!(pod.metadata.expect("metadata").labels["tier"], "two");
}

/// A body need not say what it is where that is clear; and may say that it is an older version of the
/// same.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_what_their_path_is_about() {
    let server = TestServer::start().await;
    let message = |of: &Value| {
        let body = api::protobuf::write(of).expect("a body");
        api::protobuf::envelope::open(&body).expect("an envelope").message.to_vec()
    };
    let map = message(&config_map("m", "1"));
    let nameless = api::protobuf::envelope::seal("", "", &map);
    let answer = send(&server, Method::POST, MAPS, nameless).await;
    let made: core::ConfigMap = in_protobuf(&answer, 201, "ConfigMap");
    assert_eq!((name(&made.metadata), made.data["a"].as_str()), ("m", "1"));
    let options = api::protobuf::envelope::seal("", "", b"");
    let answer = send(&server, Method::DELETE, &format!("{MAPS}/m"), options).await;
    assert_eq!(answer.code, 200, "{}", String::from_utf8_lossy(&answer.bytes));
    server.post(PODS, &pod("p")).await.expect(201);
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let path = format!("{PODS}/p/eviction");
    for version in ["policy/v1beta1", ""] {
        let kind = if version.is_empty() { "" } else { "Eviction" };
        let body = api::protobuf::envelope::seal(version, kind, &message(&eviction));
        let answer = send(&server, Method::POST, &format!("{path}?dryRun=All"), body).await;
        assert_eq!(answer.code, 201, "{version}: {}", String::from_utf8_lossy(&answer.bytes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists() {
    let server = TestServer::start().await;
    for n in 0..5 {
        let value = "x".repeat(n * 50_000);
        server.post(MAPS, &config_map(&format!("m{n}"), &value)).await.expect(201);
    }
    let answer = server.client.get_as(MAPS, PROTOBUF).await;
    assert_eq!(answer.headers["content-length"], answer.bytes.len().to_string());
    let list: core::ConfigMapList = in_protobuf(&answer, 200, "ConfigMapList");
    let shown = server.get(MAPS).await.expect(200);
    assert_eq!(list.items.len(), shown["items"].as_array().expect("items").len());
    for (item, shown) in list.items.iter().zip(shown["items"].as_array().expect("items")) {
        assert_eq!(name(&item.metadata), shown["metadata"]["name"]);
        let length = shown["data"]["a"].as_str().unwrap_or_default().len();
        assert_eq!(item.data.get("a").map_or(0, String::len), length);
    }
    let version = list.metadata.expect("metadata").resource_version().to_owned();
    assert_eq!(version, shown["metadata"]["resourceVersion"]);
    // Pages, and nothing at all.
    let answer = server.client.get_as(&format!("{MAPS}?limit=2"), EITHER).await;
    let page: core::ConfigMapList = in_protobuf(&answer, 200, "ConfigMapList");
    let metadata = page.metadata.expect("metadata");
    assert_eq!(page.items.len(), 2);
    assert_eq!(metadata.remaining_item_count(), list.items.len() as i64 - 2);
    assert!(!metadata.r#continue().is_empty());
    let answer = server.client.get_as("/api/v1/namespaces/nowhere/pods", PROTOBUF).await;
    let none: core::PodList = in_protobuf(&answer, 200, "PodList");
    assert!(none.items.is_empty());
    // Metadata alone.
    let accept = format!("{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    let answer = server.client.get_as(MAPS, &accept).await;
    let list: meta::PartialObjectMetadataList =
        in_protobuf(&answer, 200, "PartialObjectMetadataList");
    assert!(list.items.iter().any(|item| name(&item.metadata) == "m4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    let server = TestServer::start().await;
    let says = |answer: Answer, code: u16, text: &str| {
        let status: meta::Status = in_protobuf(&answer, code, "Status");
        assert_eq!((status.code(), status.status()), (i32::from(code), "Failure"));
        assert!(status.message().contains(text), "{}", status.message());
    };
    let answer = server.client.get_as(&format!("{MAPS}/none"), PROTOBUF).await;
    says(answer, 404, "configmaps \"none\" not found");
    let answer = send(&server, Method::POST, MAPS, "{\"kind\":\"ConfigMap\"}").await;
    says(answer, 400, "does not appear to be a protobuf message, expected prefix [107 56 115 0]");
    let whole = api::protobuf::write(&config_map("a", "b")).expect("a body");
    let answer = send(&server, Method::POST, MAPS, whole[..whole.len() - 9].to_vec()).await;
    says(answer, 400, "unexpected EOF");
    let answer = send(&server, Method::POST, PODS, whole).await;
    says(answer, 400, "ConfigMap in version \"v1\" cannot be handled as a Pod");
    let foo = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []});
    let answer =
        send(&server, Method::POST, PODS, api::protobuf::write(&foo).expect("a body")).await;
    says(answer, 400, "no kind \"PodList\" is registered for version \"v1\" in scheme");
    // A table is for people.
    let table = format!("{PROTOBUF};as=Table;g=meta.k8s.io;v=v1");
    let answer = server.client.get_as(PODS, &table).await;
    assert_eq!(answer.code, 406, "{:?}", answer.bytes);
    let answer = server.client.get_as(PODS, &format!("{table},application/json")).await;
    assert_eq!(answer.expect(200)["kind"], "PodList");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_a_deletion() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("a", "b")).await.expect(201);
    let path = format!("{MAPS}/a");
    let options = |uid: Option<String>| {
        let preconditions =
            uid.map(|uid| meta::Preconditions { uid: Some(uid), ..Default::default() });
        let options = meta::DeleteOptions { preconditions, ..Default::default() };
        api::protobuf::envelope::seal("v1", "DeleteOptions", &options.encode_to_vec())
    };
    let answer = send(&server, Method::DELETE, &path, options(Some("another".to_owned()))).await;
    let status: meta::Status = in_protobuf(&answer, 409, "Status");
    assert_eq!(status.reason(), "Conflict");
    let answer = send(&server, Method::DELETE, &path, options(None)).await;
    let status: meta::Status = in_protobuf(&answer, 200, "Status");
    assert_eq!(status.status(), "Success");
    let answer = send(&server, Method::DELETE, &path, "").await;
    in_protobuf::<meta::Status>(&answer, 404, "Status");
}

/// A watch being read, frame by frame.
struct Frames {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Frames {
    async fn open(server: &TestServer, path: &str, accept: &str) -> Frames {
        let response = server.client.open(Method::GET, path, &[("accept", accept)], "").await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["content-type"], format!("{PROTOBUF};stream=watch"));
        Frames { body: response.into_body(), buffer: Vec::new() }
    }

    /// Type and body of the next event.
    async fn next(&mut self) -> (String, Vec<u8>) {
        loop {
            if let Some((length, rest)) = self.buffer.split_first_chunk() {
                let length = u32::from_be_bytes(*length) as usize;
                if let Some(frame) = rest.get(..length) {
                    let event = meta::WatchEvent::decode(frame).expect("an event");
                    self.buffer.drain(..4 + length);
                    let object = event.object.as_ref().expect("an object").raw().to_vec();
                    return (event.r#type().to_owned(), object);
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            let frame = frame.expect("a frame in time").expect("no end").expect("no break");
            self.buffer.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watches() {
    let server = TestServer::restarted().await;
    server.post(PODS, &pod("a")).await.expect(201);
    let initial = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let mut frames = Frames::open(&server, &format!("{PODS}?{initial}"), EITHER).await;
    let (event, body) = frames.next().await;
    assert_eq!((&*event, name(&opened::<core::Pod>("Pod", &body).metadata)), ("ADDED", "a"));
    let (event, body) = frames.next().await;
    let bookmark = opened::<core::Pod>("Pod", &body).metadata.expect("metadata");
    assert_eq!(event, "BOOKMARK");
    assert_eq!(bookmark.annotations["k8s.io/initial-events-end"], "true");
    assert!(!bookmark.resource_version().is_empty());
    let label = json!({"metadata": {"labels": {"tier": "one"}}});
    server.merge(&format!("{PODS}/a"), &label).await.expect(200);
    let (event, body) = frames.next().await;
    let changed = opened::<core::Pod>("Pod", &body).metadata.expect("metadata");
    assert_eq!((&*event, &*changed.labels["tier"]), ("MODIFIED", "one"));
    server.delete(&format!("{PODS}/a"), &json!({"gracePeriodSeconds": 0})).await.expect(200);
    let (event, body) = frames.next().await;
    let gone = opened::<core::Pod>("Pod", &body).metadata.expect("metadata");
    assert_eq!((&*event, gone.name()), ("DELETED", "a"));
    assert!(gone.resource_version() > changed.resource_version());
    // Too far back.
    let mut frames =
        Frames::open(&server, &format!("{PODS}?watch=true&resourceVersion=1"), PROTOBUF).await;
    let (event, body) = frames.next().await;
    let status: meta::Status = opened("Status", &body);
    assert_eq!((&*event, status.code(), status.reason()), ("ERROR", 410, "Expired"));
    // Metadata alone.
    let accept = format!("{PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    let path = "/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Ddefault";
    let mut frames = Frames::open(&server, path, &accept).await;
    let (event, body) = frames.next().await;
    let only: meta::PartialObjectMetadata = opened("PartialObjectMetadata", &body);
    assert_eq!((&*event, name(&only.metadata)), ("ADDED", "default"));
}

//! What a real API server answered to watches, and to a list in pages, asked of this one.
//!
//! The records are in fixtures/wire/watch.jsonl. Versions, times, UIDs, addresses and the owners of
//! fields differ from run to run, and are left out.

use serde_json::{Value, json};

use crate::server::{TestServer, config_map, read};

async fn setting(server: &TestServer) -> Value {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "gold"}});
    let made = server.post("/api/v1/namespaces", &namespace).await.expect(201);
    let maps = "/api/v1/namespaces/gold/configmaps";
    server.post(maps, &config_map("min", "b")).await.expect(201);
    server.delete(&format!("{maps}/min"), &json!({})).await.expect(200);
    let mut specs = vec![
        ("ext", json!({"type": "ExternalName", "externalName": "example.org"})),
        ("hl", json!({"clusterIP": "None", "selector": {"a": "b"}})),
    ];
    specs.extend(["min", "np", "zz"].map(|name| (name, json!({"ports": [{"port": 80}]}))));
    for (name, spec) in specs {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": spec});
        server.post("/api/v1/namespaces/gold/services", &service).await.expect(201);
    }
    made["metadata"]["resourceVersion"].clone()
}

/// Takes out what is different each time.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for field in [
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "managedFields",
                "continue",
                "clusterIP",
                "clusterIPs",
            ] {
                map.remove(field);
            }
            map.values_mut().for_each(timeless);
        }
        Value::Array(list) => list.iter_mut().for_each(timeless),
        _ => {}
    }
}

/// The events of a stream, or the one answer.
fn events(response: &Value) -> Vec<Value> {
    let mut events: Vec<Value> = match response {
        Value::String(text) => text
            .lines()
            .map(|line| serde_json::from_str(line).expect("an event per line"))
            .collect(),
        one => vec![one.clone()],
    };
    events.iter_mut().for_each(timeless);
    events
}

/// Compares tables with a record that ends amid the columns of the first: with the columns it has.
fn tables(have: &str, want: &str) {
    let mut tables = have.lines().map(|line| serde_json::from_str::<Value>(line).expect("events"));
    let first = tables.next().expect("an event");
    let have = first["object"]["columnDefinitions"].as_array().expect("columns").iter();
    let (_, mut rest) = want.split_once("\"columnDefinitions\":[").expect("columns");
    let mut compared = 0;
    for column in have {
        let mut columns = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        let Some(Ok(recorded)) = columns.next() else { break };
        assert_eq!(*column, recorded);
        let end = columns.byte_offset();
        rest = rest[end..].trim_start_matches(',');
        compared += 1;
    }
    assert!(compared > 1, "{compared} columns are recorded");
    assert_eq!((&first["type"], &first["object"]["kind"]), (&json!("ADDED"), &json!("Table")));
    for table in tables {
        assert_eq!(table["object"]["columnDefinitions"], Value::Null, "described once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_are_those_of_a_real_server() {
    let server = TestServer::start().await;
    let start = setting(&server).await;
    let start = start.as_str().expect("a version");
    for line in include_str!("../../../fixtures/wire/watch.jsonl").lines() {
        let record: Value = serde_json::from_str(line).expect("a record per line");
        let name = record["name"].as_str().expect("a name");
        let path = record["path"].as_str().expect("a path");
        // The first version that this server remembers is not 1.
        let path = path.replace("resourceVersion=1&", &format!("resourceVersion={start}&"));
        let accept = record["accept"].as_str().unwrap_or("application/json");
        let headers = [("accept", accept)];
        let answer = read(server.client.open(http::Method::GET, &path, &headers, "").await).await;
        assert_eq!(u64::from(answer.code), record["status"].as_u64().unwrap(), "{name}");
        if name == "table" {
            tables(answer.text(), record["response"].as_str().expect("text"));
            continue;
        }
        let have = events(&Value::String(answer.text().to_owned()));
        assert_eq!(have, events(&record["response"]), "{name}");
    }
}

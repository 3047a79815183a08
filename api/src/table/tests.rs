use serde_json::{Value, json};

use super::*;
use crate::resources::{by_path, table};

fn records(file: &str) -> Vec<Value> {
    file.lines().map(|line| serde_json::from_str(line).expect("a record per line")).collect()
}

fn served(path: &str) -> Option<&'static std::sync::Arc<Resource>> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version) = if parts[0] == "api" { ("", parts[1]) } else { (parts[1], parts[2]) };
    by_path(group, version, parts.last().expect("plural"))
}

/// Every column, and every cell that does not depend on when it was recorded, of every object that
/// a real server defaulted: `defaulting.jsonl` has the objects, `tables.jsonl` their rows.
#[test]
fn columns_and_cells_match_recorded_ones() {
    let objects = records(include_str!("../../../fixtures/wire/defaulting.jsonl"));
    let tables = records(include_str!("../../../fixtures/wire/tables.jsonl"));
    let now: Timestamp = "2026-11-21T00:00:00Z".parse().expect("a time");
    let mut compared = 0;
    for record in &objects {
        let Some(golden) = tables.iter().find(|table| table["name"] == record["name"]) else {
            panic!("{} has a recorded table", record["name"]);
        };
        let Some(resource) = served(record["path"].as_str().expect("path")) else { continue };
        let object = &record["response"];
        let ours = render(resource, &[object], json!({}), IncludeObject::Metadata, true, now);
        assert_eq!(
            ours["columnDefinitions"], golden["response"]["columnDefinitions"],
            "{}",
            resource.plural
        );
        let name = &object["metadata"]["name"];
        let rows = golden["response"]["rows"].as_array().expect("rows");
        let golden =
            rows.iter().find(|row| row["object"]["metadata"]["name"] == *name).expect("a row");
        let mut shown = ours["rows"][0]["object"].clone();
        // In Kubernetes' own form of a DaemonSet, which its tables are made from, this is a field.
        if resource.kind == "DaemonSet" {
            shown["metadata"].as_object_mut().map(|metadata| metadata.remove("annotations"));
        }
        let mut golden_object = golden["object"].clone();
        // The table was asked for later, when the server had written the status.
        let later = ["CustomResourceDefinition", "APIService", "FlowSchema"];
        if later.contains(&&*resource.kind) {
            for object in [&mut shown, &mut golden_object] {
                object["metadata"].as_object_mut().map(|metadata| metadata.remove("managedFields"));
            }
        }
        assert_eq!(shown, golden_object);
        let cells = ours["rows"][0]["cells"].as_array().expect("cells");
        assert_eq!(Some(cells.len()), golden["cells"].as_array().map(Vec::len));
        for (n, cell) in golden["cells"].as_array().expect("cells").iter().enumerate() {
            let column = &ours["columnDefinitions"][n]["name"];
            // Ages depend on the clock; in the records they stand for "<time>". The others tell what
            // a controller found out between the answer to the creation and the list.
            let later = ["Age", "Last Seen", "First Seen", "MissingPL", "Available"];
            if !later.iter().any(|later| column == later) {
                assert_eq!(&cells[n], cell, "{} {name}: {column}", resource.plural);
                compared += 1;
            }
        }
    }
    assert!(compared > 60, "only {compared} cells were compared");
}

/// Rows and order of the lists of objects that a real server makes for itself: `bootstrap.jsonl`
/// has the objects.
#[test]
fn bootstrap_objects_are_listed_as_recorded() {
    let lists = records(include_str!("../../../fixtures/wire/bootstrap.jsonl"));
    let tables = records(include_str!("../../../fixtures/wire/tables.jsonl"));
    for plural in ["flowschemas", "prioritylevelconfigurations", "apiservices"] {
        let of = |record: &&Value| record["path"].as_str().is_some_and(|p| p.ends_with(plural));
        let path = lists.iter().find(of).expect("recorded")["path"].clone();
        let items = lists.iter().find(of).expect("recorded")["response"]["items"].clone();
        let items: Vec<&Value> = items.as_array().expect("items").iter().collect();
        let resource = served(path.as_str().expect("a path")).expect("served");
        let now = Timestamp::UNIX_EPOCH;
        let ours = render(resource, &items, json!({}), IncludeObject::None, true, now);
        let names: Vec<&Value> = items.iter().map(|item| &item["metadata"]["name"]).collect();
        let golden = tables.iter().find(of).expect("recorded")["response"]["rows"].clone();
        // The table has more: what was made between the two records.
        let golden = golden.as_array().expect("rows").iter();
        let golden: Vec<&Value> = golden.filter(|row| names.contains(&&row["cells"][0])).collect();
        assert_eq!(ours["rows"].as_array().map(Vec::len), Some(golden.len()));
        for (n, row) in golden.iter().enumerate() {
            let mut cells = row["cells"].clone();
            for (at, column) in
                ours["columnDefinitions"].as_array().into_iter().flatten().enumerate()
            {
                if column["name"] == "Age" {
                    cells[at] = ours["rows"][n]["cells"][at].clone();
                }
            }
            assert_eq!(ours["rows"][n]["cells"], cells, "{plural}");
        }
    }
}

#[test]
fn every_printer_fills_every_column() {
    let now = Timestamp::UNIX_EPOCH;
    for resource in table() {
        let object = json!({"metadata": {"name": "x"}});
        let shown = render(resource, &[&object], json!({}), IncludeObject::None, true, now);
        let (columns, cells) = (&shown["columnDefinitions"], &shown["rows"][0]["cells"]);
        assert_eq!(
            columns.as_array().map(Vec::len),
            cells.as_array().map(Vec::len),
            "{}",
            resource.plural
        );
        assert!(shown["rows"][0]["object"].is_null());
        let again = render(resource, &[&object], json!({}), IncludeObject::Object, false, now);
        assert!(again["columnDefinitions"].is_null());
        assert_eq!(again["rows"][0]["object"], object);
    }
}

#[test]
fn durations_are_kubectls() {
    let cases = [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (150, "2m30s"),
        (600, "10m"),
        (179 * 60, "179m"),
        (180 * 60, "3h"),
        (3 * 3600 + 720, "3h12m"),
        (8 * 3600, "8h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86_400, "8d"),
        (730 * 86_400, "2y"),
        (731 * 86_400, "2y1d"),
        (8 * 365 * 86_400, "8y"),
    ];
    for (seconds, text) in cases {
        assert_eq!(human_duration(seconds), text, "{seconds}");
    }
}

#[test]
fn pod_states() {
    let now: Timestamp = "2026-01-01T00:10:00Z".parse().expect("a time");
    let spec =
        json!({"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]});
    let up = |name: &str| json!({"name": name, "ready": true, "restartCount": 0, "state": {"running": {}}});
    let cases = [
        (json!({"phase": "Pending"}), "0/2", "Pending", "0"),
        (
            json!({"phase": "Running", "containerStatuses": [up("a"), up("b")]}),
            "2/2",
            "Running",
            "0",
        ),
        (
            json!({"phase": "Running", "containerStatuses": [up("a"), {"name": "b", "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"finishedAt": "2026-01-01T00:05:00Z"}}}]}),
            "1/2",
            "CrashLoopBackOff",
            "3 (5m ago)",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]}),
            "0/2",
            "Init:0/1",
            "0",
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 3}}}]}),
            "0/2",
            "Init:ExitCode:3",
            "0",
        ),
        (
            json!({"phase": "Failed", "containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 137, "signal": 9}}}]}),
            "0/2",
            "Signal:9",
            "0",
        ),
        (json!({"phase": "Failed", "reason": "Evicted"}), "0/2", "Evicted", "0"),
        (
            json!({"phase": "Running", "containerStatuses": [up("a"), {"name": "b", "state": {"terminated": {"reason": "Completed"}}}]}),
            "1/2",
            "NotReady",
            "0",
        ),
    ];
    for (status, ready, word, restarts) in cases {
        let pod = json!({"metadata": {"name": "p"}, "spec": spec, "status": status});
        let cells = (pod::POD.cells)(&pod, now);
        assert_eq!((&cells[1], &cells[3]), (&json!(ready), &json!(restarts)), "{status}");
        assert_eq!(cells[2], word, "{status}");
    }
    let mut pod = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}});
    assert_eq!((pod::POD.cells)(&pod, now)[2], "Terminating");
    pod["status"]["phase"] = "Succeeded".into();
    assert_eq!((pod::POD.cells)(&pod, now)[2], "Succeeded");
}

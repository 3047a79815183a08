//! A pod for people: where it is, each container's state, conditions.

use serde_json::Value;

use super::fields::{field, head};
use crate::output::table::Grid;

/// The pod without its events.
pub(super) fn describe(pod: &Value) -> String {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let mut text = head(pod);
    let node = spec["nodeName"].as_str().unwrap_or("<none>");
    let node = match status["hostIP"].as_str() {
        Some(ip) => format!("{node}/{ip}"),
        None => node.to_owned(),
    };
    field(&mut text, 0, "Node", &node);
    optional(&mut text, "Start Time", &status["startTime"]);
    let terminating = pod["metadata"]["deletionTimestamp"].is_string();
    let phase = status["phase"].as_str().unwrap_or("Unknown");
    field(&mut text, 0, "Status", if terminating { "Terminating" } else { phase });
    optional(&mut text, "Reason", &status["reason"]);
    optional(&mut text, "Message", &status["message"]);
    optional(&mut text, "IP", &status["podIP"]);
    optional(&mut text, "QoS Class", &status["qosClass"]);
    containers(
        &mut text,
        "Init Containers",
        &spec["initContainers"],
        &status["initContainerStatuses"],
    );
    containers(&mut text, "Containers", &spec["containers"], &status["containerStatuses"]);
    conditions(&mut text, &status["conditions"]);
    text
}

fn containers(text: &mut String, title: &str, specs: &Value, statuses: &Value) {
    let specs: Vec<&Value> = specs.as_array().into_iter().flatten().collect();
    if specs.is_empty() {
        return;
    }
    text.push_str(&format!("{title}:\n"));
    for spec in specs {
        let name = spec["name"].as_str().unwrap_or_default();
        let statuses = statuses.as_array().into_iter().flatten();
        let status = statuses.into_iter().find(|status| status["name"] == name);
        container(text, name, spec, status.unwrap_or(&Value::Null));
    }
}

fn container(text: &mut String, name: &str, spec: &Value, status: &Value) {
    text.push_str(&format!("  {name}:\n"));
    let mut line = |name: &str, value: &str| field(text, 2, name, value);
    for (title, value) in [
        ("Container ID", &status["containerID"]),
        ("Image", &spec["image"]),
        ("Image ID", &status["imageID"]),
    ] {
        if let Some(value) = value.as_str().filter(|value| !value.is_empty()) {
            line(title, value);
        }
    }
    let ports: Vec<String> = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            format!("{}/{}", port["containerPort"], port["protocol"].as_str().unwrap_or("TCP"))
        })
        .collect();
    if !ports.is_empty() {
        line("Ports", &ports.join(", "));
    }
    for list in ["command", "args"] {
        let words: Vec<&str> =
            spec[list].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !words.is_empty() {
            line(if list == "args" { "Args" } else { "Command" }, &words.join("\n"));
        }
    }
    state(&mut line, "State", &status["state"]);
    state(&mut line, "Last State", &status["lastState"]);
    line("Ready", if status["ready"] == true { "True" } else { "False" });
    line("Restart Count", &status["restartCount"].as_i64().unwrap_or(0).to_string());
    for limits in ["limits", "requests"] {
        let amounts: Vec<String> = spec["resources"][limits]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, amount)| format!("{name}: {}", amount.as_str().unwrap_or_default()))
            .collect();
        if !amounts.is_empty() {
            line(if limits == "limits" { "Limits" } else { "Requests" }, &amounts.join("\n"));
        }
    }
}

fn state(line: &mut impl FnMut(&str, &str), title: &str, state: &Value) {
    let Some((word, detail)) = state.as_object().and_then(|state| state.iter().next()) else {
        return;
    };
    let mut name = word.clone();
    name[..1].make_ascii_uppercase();
    line(title, &name);
    for (title, value) in [
        ("  Reason", &detail["reason"]),
        ("  Message", &detail["message"]),
        ("  Exit Code", &detail["exitCode"]),
        ("  Started", &detail["startedAt"]),
        ("  Finished", &detail["finishedAt"]),
    ] {
        match value {
            Value::String(value) if !value.is_empty() => line(title, value.trim_end()),
            Value::Number(number) => line(title, &number.to_string()),
            _ => {}
        }
    }
}

fn conditions(text: &mut String, conditions: &Value) {
    let conditions: Vec<&Value> = conditions.as_array().into_iter().flatten().collect();
    if conditions.is_empty() {
        return;
    }
    let mut grid = Grid::new(&["  Type", "Status", "Reason"]);
    for condition in conditions {
        let of = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        grid.row(vec![format!("  {}", of("type")), of("status"), of("reason")]);
    }
    text.push_str(&format!("Conditions:\n{}", grid.render(true)));
}

fn optional(text: &mut String, name: &str, value: &Value) {
    if let Some(value) = value.as_str().filter(|value| !value.is_empty()) {
        field(text, 0, name, value);
    }
}

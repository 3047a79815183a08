//! Any object as indented `Name:  value` lines.

use serde_json::Value;

use crate::output::table::labels;

/// Fields that say nothing to people.
const HIDDEN: &[&str] = &["managedFields", "apiVersion", "kind"];

/// The whole object: metadata first, then everything else.
pub(super) fn describe(object: &Value) -> String {
    let mut text = head(object);
    for (name, value) in object.as_object().into_iter().flatten() {
        if name != "metadata" && !HIDDEN.contains(&name.as_str()) {
            write(&mut text, 0, name, value);
        }
    }
    text
}

/// Name, namespace, labels, annotations, owner.
pub(super) fn head(object: &Value) -> String {
    let metadata = &object["metadata"];
    let mut text = String::new();
    field(&mut text, 0, "Name", metadata["name"].as_str().unwrap_or_default());
    if let Some(namespace) = metadata["namespace"].as_str() {
        field(&mut text, 0, "Namespace", namespace);
    }
    field(&mut text, 0, "Labels", &labels(&metadata["labels"]).replace(',', "\n"));
    field(&mut text, 0, "Annotations", &labels(&metadata["annotations"]));
    for owner in metadata["ownerReferences"].as_array().into_iter().flatten() {
        let (kind, name) = (owner["kind"].as_str(), owner["name"].as_str());
        let label = if owner["controller"] == true { "Controlled By" } else { "Owned By" };
        field(
            &mut text,
            0,
            label,
            &format!("{}/{}", kind.unwrap_or_default(), name.unwrap_or_default()),
        );
    }
    if let Some(since) = metadata["deletionTimestamp"].as_str() {
        field(&mut text, 0, "Terminating", &format!("since {since}"));
    }
    text
}

/// One line; further lines of the value line up below its first.
pub(super) fn field(text: &mut String, depth: usize, name: &str, value: &str) {
    let start = format!("{}{name}:", "  ".repeat(depth));
    let column = 22 + 2 * depth;
    for (number, part) in value.split('\n').enumerate() {
        let before = if number == 0 { start.as_str() } else { "" };
        let line = format!("{before:<column$}{part}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn write(text: &mut String, depth: usize, name: &str, value: &Value) {
    let title = title(name);
    match value {
        Value::Object(fields) if fields.is_empty() => {}
        Value::Object(fields) => {
            text.push_str(&format!("{}{title}:\n", "  ".repeat(depth)));
            for (name, value) in fields {
                write(text, depth + 1, name, value);
            }
        }
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            field(text, depth, &title, &items.join("\n"));
        }
        Value::Array(items) => {
            text.push_str(&format!("{}{title}:\n", "  ".repeat(depth)));
            for (number, item) in items.iter().enumerate() {
                for (name, value) in item.as_object().into_iter().flatten() {
                    write(text, depth + 1, name, value);
                }
                if number + 1 < items.len() {
                    text.push('\n');
                }
            }
        }
        scalar_value => field(text, depth, &title, &scalar(scalar_value)),
    }
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `clusterIP` → `Cluster IP`.
fn title(name: &str) -> String {
    let mut title = String::new();
    let mut previous_lower = false;
    for (at, letter) in name.chars().enumerate() {
        if at == 0 {
            title.extend(letter.to_uppercase());
        } else {
            if letter.is_uppercase() && previous_lower {
                title.push(' ');
            }
            title.push(letter);
        }
        previous_lower = letter.is_lowercase() || letter.is_numeric();
    }
    title
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_as_lines() {
        let service = json!({"kind": "Service", "metadata": {"name": "web", "namespace": "x", "labels": {"a": "1", "b": "2"}},
            "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}, {"port": 81}], "externalIPs": []}});
        assert_eq!(
            describe(&service),
            "Name:                 web\nNamespace:            x\nLabels:               a=1\n                      b=2\n\
             Annotations:          <none>\nSpec:\n  Cluster IP:           10.96.0.9\n  External IPs:\n  Ports:\n    Port:                 80\n\n    Port:                 81\n"
        );
    }
}

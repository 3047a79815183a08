//! Where each field is in protobuf: its number, and whether absent and zero differ.
//!
//! Both are in the Go types of Kubernetes, as struct tags and pointers. The facts file has a line
//! per field, tab-separated: Go package, type, `json` tag, `protobuf` tag, Go type (a leading `*`
//! for pointers, types of other packages with their path), as reflection over the types of
//! k8s.io/api shows them.

use std::collections::BTreeMap;

/// The protobuf column of every field: (type, field) -> column.
pub(crate) type Wire = BTreeMap<(String, String), String>;

struct Field<'a> {
    json: &'a str,
    number: &'a str,
    go_type: &'a str,
}

/// Reads a facts file.
pub(crate) fn of_facts(text: &str) -> Wire {
    let mut types: BTreeMap<String, Vec<Field<'_>>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [package, name, json, protobuf, go_type] = line.split('\t').collect::<Vec<_>>()[..]
        else {
            continue;
        };
        let Some(number) = protobuf.split(',').nth(1) else { continue };
        let json = json.split(',').next().unwrap_or_default();
        let of = types.entry(short(&format!("{package}.{name}"))).or_default();
        of.push(Field { json, number, go_type });
    }
    let mut wire = Wire::new();
    for name in types.keys() {
        flatten(&types, name, name, "", &mut wire);
    }
    wire
}

/// Adds the fields of `name` to `of`. What Go embeds is one object in JSON, and a message of its
/// own in protobuf, so the number of such a field is a path.
fn flatten(
    types: &BTreeMap<String, Vec<Field<'_>>>,
    of: &str,
    name: &str,
    prefix: &str,
    wire: &mut Wire,
) {
    for field in types.get(name).into_iter().flatten() {
        let number = format!("{prefix}{}", field.number);
        if field.json.is_empty() {
            flatten(types, of, &short(field.go_type), &format!("{number}."), wire);
            continue;
        }
        let pointer = if field.go_type.starts_with('*') { "*" } else { "" };
        wire.insert(
            (of.to_owned(), field.json.to_owned()),
            format!("{number}{pointer}{}", form(field.go_type)),
        );
    }
}

/// How a type that JSON shows without its own fields is written.
fn form(go_type: &str) -> &'static str {
    match go_type.rsplit('.').next().unwrap_or_default() {
        "JSONSchemaPropsOrArray" => ":schemas",
        "JSONSchemaPropsOrBool" => ":bool",
        "JSONSchemaPropsOrStringArray" => ":strings",
        "CustomResourceSubresourceStatus" => ":empty",
        _ => "",
    }
}

/// `core.v1.Pod` of `k8s.io/api/core/v1.Pod`.
fn short(go_type: &str) -> String {
    let mut name = go_type;
    for prefix in [
        "k8s.io/apiextensions-apiserver/pkg/apis/",
        "k8s.io/kube-aggregator/pkg/apis/",
        "k8s.io/apimachinery/pkg/apis/",
        "k8s.io/apimachinery/pkg/",
        "k8s.io/api/",
    ] {
        name = name.strip_prefix(prefix).unwrap_or(name);
    }
    name.replace('/', ".")
}

/// Keeps what the present data file says.
pub(crate) fn of_data(text: &str) -> Wire {
    let mut wire = Wire::new();
    let mut name = "";
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        match columns[..] {
            ["", field, _, number, ..] => {
                wire.insert((name.to_owned(), field.to_owned()), number.to_owned());
            }
            ["", ..] => {}
            _ => name = columns[0],
        }
    }
    wire
}

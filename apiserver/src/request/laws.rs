//! Laws of what comes with a request, tried on generated input: whatever it is, it is understood or
//! refused, and what this server writes itself it reads as it was meant.

use api::status::Status;
use proptest::prelude::*;
use serde_json::Value;

use super::info::{self, ResourcePath};
use super::negotiate;
use super::options::{ListOptions, Query, parse_version};
use super::yaml;

/// Percent-encodes everything that is not a letter or digit.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    text.bytes().map(byte).collect()
}

/// A refusal that is the client's fault and says so.
fn is_refusal(status: &Status) -> bool {
    matches!(status.code, 400 | 406 | 415 | 422) && !status.message.is_empty()
}

/// JSON that YAML can say as well: no numbers that the two write differently.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~äß€]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z.~ -]{0,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_path_names_what_it_was_made_of(
        group in "[a-z][a-z.]{0,8}",
        version in "v[0-9]{1,2}",
        namespace in prop::option::of("[ -~é]{1,6}"),
        resource in "[a-z]{1,10}",
        name in prop::option::of("[ -~é]{1,6}"),
    ) {
        prop_assume!(resource != "namespaces");
        // What Kubernetes takes for the namespace's own subresources.
        prop_assume!(!matches!(resource.as_str(), "status" | "finalize"));
        let mut path = format!("/apis/{}/{version}", encoded(&group));
        if let Some(namespace) = &namespace {
            path += &format!("/namespaces/{}", encoded(namespace));
        }
        path += &format!("/{resource}");
        if let Some(name) = &name {
            path += &format!("/{}", encoded(name));
        }
        let (namespace, name) = (namespace.unwrap_or_default(), name.unwrap_or_default());
        let subresource = String::new();
        let want = ResourcePath { group, version, namespace, resource, name, subresource };
        prop_assert_eq!(info::parse(&path), Some(want), "{}", path);
    }

    #[test]
    fn any_path_is_taken_apart(path in "[/a-z%0-9.é]{0,60}", query in "[ -~]{0,30}") {
        if let Some(path) = info::parse(&path) {
            prop_assert!(!path.resource.is_empty());
            let _ = info::is_relayed(&path);
        }
        info::selected_name(&query);
    }

    #[test]
    fn a_query_says_what_it_was_made_of(pairs in prop::collection::btree_map("[a-z]{1,5}", "[ -~é]{0,8}", 0..5)) {
        let text: Vec<String> =
            pairs.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let query = Query::parse(&text.join("&"));
        for (key, value) in &pairs {
            prop_assert!(query.has(key));
            prop_assert_eq!(query.get(key), value);
        }
        prop_assert!(!query.has("A"));
    }

    #[test]
    fn list_options_are_understood_or_refused(
        version in prop_oneof![Just(String::new()), "[0-9]{1,20}".prop_map(String::from), "[ -~]{0,4}".prop_map(String::from)],
        matching in "(Exact|NotOlderThan|x|)",
        limit in "(-?[0-9]{1,20}|[a-z]|)",
        flags in prop::collection::vec("(watch|sendInitialEvents|allowWatchBookmarks)=(true|false|0|x|)", 0..3),
    ) {
        let text = format!(
            "resourceVersion={}&resourceVersionMatch={matching}&limit={limit}&{}",
            encoded(&version), flags.join("&"),
        );
        if let Err(status) = ListOptions::parse(&Query::parse(&text)) {
            prop_assert!(is_refusal(&status), "{}: {:?}", text, status);
        }
        if let Ok(Some(revision)) = parse_version(&version) {
            prop_assert!(revision.0 >= 0);
        }
    }

    #[test]
    fn media_types_are_accepted_or_refused(
        header in "(application/json|application/yaml|application/vnd.kubernetes.protobuf|\\*/\\*|;|,| |=|as=Table|v=v1|g=meta.k8s.io|q=0|stream=watch|\"){0,9}",
        protobuf in any::<bool>(),
    ) {
        for accepted in [negotiate::accepted(Some(&header), protobuf), negotiate::accepted_stream(Some(&header), protobuf)] {
            if let Err(status) = accepted {
                prop_assert!(is_refusal(&status), "{}: {:?}", header, status);
            }
        }
        if let Err(status) = negotiate::format(Some(&header), protobuf) {
            prop_assert!(is_refusal(&status), "{}: {:?}", header, status);
        }
        negotiate::accepts_gzip(Some(&header));
        negotiate::aggregated_discovery(Some(&header));
    }

    /// JSON is YAML.
    #[test]
    fn yaml_says_what_json_says(value in value()) {
        let text = value.to_string();
        let read = yaml::read(text.as_bytes()).expect("it is YAML");
        prop_assert_eq!(read, yaml::Yaml { value, twice: None });
    }

    #[test]
    fn any_yaml_is_read_or_refused(text in "(a|b|: |- |\n|  |\\{|\\}|\\[|\\]|&x|\\*x|!!str|!!binary|\"|'|\\||>|0644|~|<<|1e3|é|#|%|---|\\.\\.\\.){0,16}") {
        if let Err(reason) = yaml::read(text.as_bytes()) {
            prop_assert!(reason.starts_with("yaml: "), "{}: {}", text, reason);
        }
    }
}

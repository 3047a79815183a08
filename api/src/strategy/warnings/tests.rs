mod kinds;

use serde_json::{Value, json};

use super::*;

#[test]
fn addresses_in_unusual_forms() {
    let path = Path::new("spec").child("x").index(0);
    let old = |text: &str, usual: &str| {
        Some(format!(
            "spec.x[0]: non-standard IP address \"{text}\" will be considered invalid in a future \
             Kubernetes release: use \"{usual}\""
        ))
    };
    for (text, want) in [
        ("192.12.2.2", None),
        ("2001:db8::2", None),
        ("192.012.2.2", old("192.012.2.2", "192.12.2.2")),
        ("05.06.07.08", old("05.06.07.08", "5.6.7.8")),
        ("10.0.00.1", old("10.0.00.1", "10.0.0.1")),
        ("::ffff:1.2.3.4", old("::ffff:1.2.3.4", "1.2.3.4")),
        ("::ffff:01.2.3.4", old("::ffff:01.2.3.4", "1.2.3.4")),
        (
            "2001:db8:0:0::2",
            Some(
                "spec.x[0]: IPv6 address \"2001:db8:0:0::2\" should be in RFC 5952 canonical format \
                 (\"2001:db8::2\")"
                    .to_owned(),
            ),
        ),
        ("host.example", None),
        ("", None),
        ("1.2.3", None),
    ] {
        assert_eq!(of_address(text, &path), want, "{text}");
    }
}

#[test]
fn networks_in_unusual_forms() {
    let path = Path::new("p");
    let old = |text: &str, usual: &str| {
        format!(
            "p: non-standard CIDR value \"{text}\" will be considered invalid in a future Kubernetes \
             release: use \"{usual}\""
        )
    };
    let ambiguous = |text: &str, network: &str, alone: &str| {
        format!(
            "p: CIDR value \"{text}\" is ambiguous in this context (should be \"{network}\" or \
             \"{alone}\"?)"
        )
    };
    let mapped = "::ffff:192.12.2.0/120";
    for (text, want) in [
        ("192.12.2.0/24", vec![]),
        ("0.0.0.0/0", vec![]),
        ("2001:db8::/64", vec![]),
        ("192.012.2.0/24", vec![old("192.012.2.0/24", "192.12.2.0/24")]),
        ("192.12.2.0/024", vec![old("192.12.2.0/024", "192.12.2.0/24")]),
        (mapped, vec![old(mapped, "192.12.2.0/24")]),
        ("192.12.2.8/24", vec![ambiguous("192.12.2.8/24", "192.12.2.0/24", "192.12.2.8/32")]),
        (
            "192.012.2.8/24",
            vec![
                ambiguous("192.012.2.8/24", "192.12.2.0/24", "192.12.2.8/32"),
                old("192.012.2.8/24", "192.12.2.0/24"),
            ],
        ),
        (
            "2001:db8:0:0::/64",
            vec![
                "p: IPv6 CIDR value \"2001:db8:0:0::/64\" should be in RFC 5952 canonical format \
                 (\"2001:db8::/64\")"
                    .to_owned(),
            ],
        ),
        ("10.0.0.0/33", vec![]),
        ("10.0.0.0", vec![]),
        ("x/8", vec![]),
    ] {
        assert_eq!(of_network(text, &path), want, "{text}");
    }
}

#[test]
fn fractions_of_a_byte() {
    let path = Path::new("requests");
    for (amount, want) in [
        (json!("200Mi"), None),
        (json!("1000m"), None),
        (json!("100m"), Some("100m")),
        (json!("0.5"), Some("500m")),
        (json!("8Ei"), None),
        (Value::Null, None),
    ] {
        let told = of_fraction(&json!({"memory": amount}), "memory", &path);
        let want = want.map(|shown| {
            format!(
                "requests[memory]: fractional byte value \"{shown}\" is invalid, must be an integer"
            )
        });
        assert_eq!(told, want, "{amount}");
    }
    assert_eq!(of_fraction(&Value::Null, "memory", &path), None);
}

#[test]
fn names_that_are_no_labels() {
    let named = |name: &str| json!({"metadata": {"name": name}});
    assert_eq!(of_workload_name(&named("a-1")), None);
    assert_eq!(
        of_workload_name(&named("a.b")).as_deref(),
        Some(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising \
             behavior; a DNS label is recommended: [must not contain dots]"
        )
    );
    let long = of_host_name(&named(&"a".repeat(64)), "the Pod's hostname").expect("warns");
    assert!(long.starts_with("metadata.name: this is used in the Pod's hostname, which"), "{long}");
    assert!(long.ends_with(": [must be no more than 63 bytes]"), "{long}");
}

#[test]
fn labels_of_nodes_that_are_called_otherwise_now() {
    let selector = json!({
        "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["-1"]},
            {"key": "beta.kubernetes.io/os", "operator": "Exists"},
        ],
        "matchLabels": {"failure-domain.beta.kubernetes.io/zone": "z", "topology.kubernetes.io/zone": "z"},
    });
    let path = Path::new("nodeTopology");
    let os = "nodeTopology.matchExpressions[1].key: beta.kubernetes.io/os is deprecated since v1.14; \
              use \"kubernetes.io/os\" instead";
    assert_eq!(
        of_selector(&selector, &path),
        [
            os,
            "nodeTopology.matchLabels.failure-domain.beta.kubernetes.io/zone: deprecated since \
             v1.17; use \"topology.kubernetes.io/zone\" instead",
        ]
    );
    let with_values = of_expressions(&selector, true, &path);
    assert!(
        with_values[0].starts_with(
            "nodeTopology.matchExpressions[0].values[0]: -1 is invalid, a valid label must be"
        ),
        "{with_values:?}"
    );
    assert_eq!(with_values[1..], [os]);
    assert!(of_selector(&Value::Null, &path).is_empty());
}

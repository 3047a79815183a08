use serde_json::{Value, json};

use super::*;
use crate::resources::by_path;

fn pods() -> &'static Resource {
    by_path("", "v1", "pods").expect("pods exist")
}

fn refused(body: &str) -> String {
    decode(pods(), body.as_bytes()).expect_err(body).message
}

#[test]
fn reports_unknown_and_duplicate_fields() {
    let body = r#"{"metadata":{"name":"a","name":"b","nope":{}},
        "spec":{"containers":[{"name":"c","imagee":"x","env":[{"name":"A","value":"1","value":"2"}]}]}}"#;
    let decoded = decode(pods(), body.as_bytes()).expect("decodes");
    assert_eq!(
        decoded.problems,
        [
            "unknown field \"metadata.nope\"",
            "unknown field \"spec.containers[0].imagee\"",
            "duplicate field \"metadata.name\"",
            "duplicate field \"spec.containers[0].env[0].value\"",
        ]
    );
    assert_eq!(
        decoded.object,
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"},
            "spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "2"}]}]}})
    );
    let status = decoded.strict(pods()).expect_err("strict");
    assert_eq!(status.code, 400);
    assert!(status.message.starts_with(
        "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"metadata.nope\", "
    ));
}

#[test]
fn refuses_wrong_types_with_gos_words() {
    let cases = [
        (
            r#"{"spec":{"containers":"x"}}"#,
            "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            r#"{"spec":{"containers":[{"ports":[{"containerPort":70000000000}]}]}}"#,
            "json: cannot unmarshal number 70000000000 into Go struct field ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            r#"{"spec":{"restartPolicy":5}}"#,
            "json: cannot unmarshal number into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            r#"{"spec":{"containers":[{"resources":{"limits":"x"}}]}}"#,
            "json: cannot unmarshal string into Go struct field ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList",
        ),
        (
            r#"{"spec":{"containers":[{"securityContext":{"capabilities":{"add":"x"}}}]}}"#,
            "json: cannot unmarshal string into Go struct field Capabilities.spec.containers.securityContext.capabilities.add of type []v1.Capability",
        ),
        (
            r#"{"spec":{"hostNetwork":"yes"}}"#,
            "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
        ),
        (
            r#"{"metadata":{"labels":{"a":1}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            r#"{"metadata":[]}"#,
            "json: cannot unmarshal array into Go struct field Pod.metadata of type v1.ObjectMeta",
        ),
        (
            r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1x"}}}]}}"#,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            r#"{"metadata":{"creationTimestamp":"x"}}"#,
            "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"",
        ),
    ];
    for (body, detail) in cases {
        assert_eq!(
            refused(body),
            format!("Pod in version \"v1\" cannot be handled as a Pod: {detail}"),
            "{body}"
        );
    }
}

#[test]
fn what_a_body_is_comes_first() {
    let parse = "the object provided is unrecognized (must be of type Pod): couldn't get \
                 version/kind; json parse error:";
    let kinds = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    for (body, want) in [
        ("", format!("{parse} unexpected end of JSON input (<empty>)")),
        (
            "{\"a\":x}",
            format!("{parse} invalid character 'x' looking for beginning of value ({{\"a\":x}})"),
        ),
        (
            "[]",
            format!("{parse} json: cannot unmarshal array into Go value of type {kinds} (5b5d)"),
        ),
        (
            r#"{"apiVersion":[],"spec":5}"#,
            format!(
                "{parse} json: cannot unmarshal array into Go struct field .apiVersion of type \
                 string ({{\"apiVersion\":[],\"spec\":5}})"
            ),
        ),
        (
            r#"{"apiVersion":"v1","kind":"Service"}"#,
            "Service in version \"v1\" cannot be handled as a Pod: converting (v1.Service) to \
             (core.Pod): unknown conversion"
                .to_owned(),
        ),
        (
            r#"{"apiVersion":"v2"}"#,
            "Pod in version \"v2\" cannot be handled as a Pod: no kind \"Pod\" is registered for \
             version \"v2\" in scheme"
                .to_owned(),
        ),
    ] {
        assert_eq!(refused(body), want, "{body}");
    }
    let null = decode(pods(), b"null").expect("an object without fields");
    assert_eq!(null.object, json!({"apiVersion": "v1", "kind": "Pod"}));
    let events = by_path("events.k8s.io", "v1", "events").expect("events exist");
    let status = decode(events, br#"{"apiVersion":"v1","kind":"Event"}"#).expect_err("the other");
    let want = "the API version in the data (v1) does not match the expected API version \
                (events.k8s.io/v1)";
    assert_eq!((status.code, &*status.message), (400, want));
}

#[test]
fn null_means_absent_and_empty_lists_go() {
    let body = r#"{"metadata":{"name":"a","labels":{},"finalizers":null},
        "spec":{"nodeSelector":{"a":null},"containers":[null],"volumes":[{"name":"v","emptyDir":{}}],"tolerations":[]}}"#;
    let decoded = decode(pods(), body.as_bytes()).expect("decodes");
    assert_eq!(
        decoded.object,
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {
            "containers": [{}], "nodeSelector": {"a": ""}, "volumes": [{"name": "v", "emptyDir": {}}]}})
    );
}

#[test]
fn canonical_quantities_and_times() {
    let body = r#"{"metadata":{"creationTimestamp":"2024-01-01T01:00:00.5+01:00"},
        "spec":{"containers":[{"resources":{"limits":{"cpu":"1500m","memory":1073741824,"x":"1024Mi","y":0.5}}}]}}"#;
    let decoded = decode(pods(), body.as_bytes()).expect("decodes");
    assert_eq!(decoded.object["metadata"]["creationTimestamp"], "2024-01-01T00:00:00Z");
    assert_eq!(
        decoded.object["spec"]["containers"][0]["resources"]["limits"],
        json!({"cpu": "1500m", "memory": "1073741824", "x": "1Gi", "y": "500m"})
    );
}

#[test]
fn garbage_is_refused_without_panic() {
    for body in ["", "{\"a\":", "[]", "1", "\u{0}", "{\"metadata\":{\"name\":\"\\ud80\"}}"] {
        assert_eq!(decode(pods(), body.as_bytes()).expect_err(body).code, 400);
    }
    assert_eq!(decode(pods(), &[0xff, 0xfe]).expect_err("not UTF-8").code, 400);
    let deep = "[".repeat(100_000);
    assert_eq!(decode(pods(), deep.as_bytes()).expect_err("too deep").code, 400);
    let typed: Value =
        decode(pods(), br#"{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":1.5}}}]}}"#)
            .map_or(Value::Null, |d| d.object);
    assert_eq!(typed, Value::Null, "a port is an int32 or a string");
}

/// Whatever passes the schema walk must parse as the typed view that every component uses.
#[test]
fn what_passes_is_typed() {
    let body = br#"{"metadata":{"name":"a","deletionGracePeriodSeconds":5},"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":"http"}},
        "ports":[{"containerPort":-1}]}],"overhead":{"cpu":1}},"status":{"startTime":"2024-01-01T00:00:00Z"}}"#;
    let decoded = decode(pods(), body).expect("decodes");
    let pod: k8s_openapi::api::core::v1::Pod =
        serde_json::from_value(decoded.object).expect("typed");
    assert_eq!(pod.metadata.name.as_deref(), Some("a"));
}

#[test]
fn delete_options_belong_to_every_group() {
    for (body, want) in [
        (
            "x",
            "couldn't get version/kind; json parse error: invalid character 'x' looking for beginning of value",
        ),
        (
            r#"{"kind":"Pod","apiVersion":"v1"}"#,
            "no kind \"Pod\" is registered for version \"v1\" in scheme",
        ),
        (
            r#"{"kind":"fixed"}"#,
            "no kind \"fixed\" is registered for version \"meta.k8s.io/v1\" in scheme",
        ),
        (
            r#"{"dryRun":"All"}"#,
            "json: cannot unmarshal string into Go struct field DeleteOptions.dryRun of type []string",
        ),
    ] {
        let status = delete_options(body.as_bytes()).expect_err(body);
        assert_eq!((status.code, &*status.message), (400, want), "{body}");
    }
    let body = br#"{"kind":"DeleteOptions","apiVersion":"apps/v1","propagationPolicy":"Orphan"}"#;
    let decoded = decode_as("meta.v1.DeleteOptions", "v1", "DeleteOptions", body).expect("decodes");
    assert_eq!(decoded.object["propagationPolicy"], "Orphan");
    assert!(
        decode_as("meta.v1.DeleteOptions", "v1", "DeleteOptions", br#"{"kind":"Pod"}"#).is_err()
    );
}

#[test]
fn times_that_typed_clients_cannot_read_are_refused() {
    let pod = |time: &str| {
        json!({"metadata": {"name": "a"}, "spec": {"containers": []},
            "status": {"startTime": time}})
        .to_string()
    };
    for bad in ["-000001-01-01T00:00:00Z", "+002024-01-02T03:04:05Z", "2024-01-02 03:04:05Z"] {
        assert!(refused(&pod(bad)).contains("parsing time"), "{bad}");
    }
    assert!(refused(&pod("0000-01-01T00:00:00+23:00")).contains("year outside of range"));
    let decoded = decode(pods(), pod("2024-01-02T03:04:05+01:00").as_bytes()).expect("decodes");
    assert_eq!(decoded.object["status"]["startTime"], "2024-01-02T02:04:05Z");
}

/// With a path per value this takes hours and all memory.
#[test]
fn a_long_key_over_many_values_costs_its_length_once() {
    let (key, values) = ("k".repeat(1 << 20), vec!["0"; 1 << 19].join(","));
    let body = format!("{{\"{key}\":[{values}]}}");
    let decoded = decode(pods(), body.as_bytes()).expect("decodes");
    assert_eq!(decoded.problems.len(), 1);
    let twice = format!("{{\"{key}\":1,\"{key}\":2}}");
    assert!(refused(&twice).contains("too many duplicate keys"));
}

#[test]
fn a_refusal_names_so_many_causes_and_no_more() {
    let object =
        json!({"metadata": {"name": "a"}, "spec": {"containers": vec![json!({}); 100_000]}});
    let mut object = decode(pods(), object.to_string().as_bytes()).expect("decodes").object;
    let creation = crate::lifecycle::Creation {
        namespace: Some("d"),
        uid: "u",
        now: jiff::Timestamp::UNIX_EPOCH,
        random: 0,
    };
    let status = crate::lifecycle::before_create(pods(), &mut object, &creation).expect_err("bad");
    assert_eq!(status.details.expect("details").causes.len(), 1000);
}

#[test]
fn what_is_dropped_may_be_as_deep_as_in_go() {
    let nested = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
    let pod =
        |depth: usize| format!("{{\"metadata\":{{\"name\":\"a\"}},\"odd\":{}}}", nested(depth));
    for depth in [1, 99, 100, 9_998] {
        let decoded = decode(pods(), pod(depth).as_bytes()).expect("decodes");
        assert_eq!(decoded.problems, ["unknown field \"odd\""], "{depth}");
    }
    assert!(refused(&pod(10_001)).contains("invalid character '{' exceeded max depth"));
    // The owners of fields are kept as they come, so deep ones are refused.
    let owned = |depth: usize| {
        let fields = nested(depth);
        format!("{{\"metadata\":{{\"managedFields\":[{{\"fieldsV1\":{fields}}}]}}}}")
    };
    assert!(decode(pods(), owned(parse::DEEPEST - 4).as_bytes()).is_ok());
    for depth in [parse::DEEPEST - 3, 5_000] {
        let want = "Pod in version \"v1\" cannot be handled as a Pod: exceeded max depth: at most \
                    100 lists and objects inside of each other";
        assert_eq!(refused(&owned(depth)), want, "{depth}");
    }
    assert!(json(nested(101).as_bytes()).is_err() && json(nested(100).as_bytes()).is_ok());
}

#[test]
fn a_group_is_not_told_with_its_version() {
    let deployments = by_path("apps", "v1", "deployments").expect("deployments exist");
    let body = br#"{"apiVersion":"apps/v1","kind":"Deployment","spec":{"replicas":"x"},"odd":1}"#;
    let status = decode(deployments, body).expect_err("no number");
    let head = "Deployment in version \"v1\" cannot be handled as a Deployment: ";
    assert_eq!(
        status.message,
        format!(
            "{head}json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas \
             of type int32"
        )
    );
    let decoded = decode(deployments, br#"{"odd":1}"#).expect("decodes");
    let strict = decoded.strict(deployments).expect_err("strict");
    assert_eq!(strict.message, format!("{head}strict decoding error: unknown field \"odd\""));
    let other = br#"{"apiVersion":"extensions/v1beta1","kind":"Deployment"}"#;
    let status = decode(deployments, other).expect_err("another version");
    let want = "Deployment in version \"v1beta1\" cannot be handled as a Deployment: no kind \
                \"Deployment\" is registered for version \"extensions/v1beta1\" in scheme";
    assert_eq!(status.message, want);
}

#[test]
fn numbers_that_do_not_fit_are_named() {
    let services = by_path("", "v1", "services").expect("services exist");
    for (port, kind) in [
        ("70000000000", "number 70000000000"),
        ("-2147483649", "number -2147483649"),
        ("1.5", "number 1.5"),
        ("true", "bool"),
        ("[]", "array"),
    ] {
        let body = format!("{{\"spec\":{{\"ports\":[{{\"targetPort\":{port}}}]}}}}");
        let status = decode(services, body.as_bytes()).expect_err(port);
        let want = format!(
            "Service in version \"v1\" cannot be handled as a Service: json: cannot unmarshal {kind} \
             into Go struct field ServicePort.spec.ports.targetPort of type int32"
        );
        assert_eq!(status.message, want);
    }
}

#[test]
fn micro_times_have_six_digits() {
    let leases = by_path("coordination.k8s.io", "v1", "leases").expect("leases exist");
    let lease = |time: &str| json!({"spec": {"renewTime": time}}).to_string();
    let decoded = decode(leases, lease("2024-01-02T03:04:05.000100+01:00").as_bytes());
    let spec = decoded.expect("decodes").object["spec"].take();
    assert_eq!(spec, json!({"renewTime": "2024-01-02T02:04:05.000100Z"}));
    for bad in ["2024-01-02T03:04:05Z", "2024-01-02T03:04:05.1Z", "2024-01-02T03:04:05.1234567Z"] {
        let status = decode(leases, lease(bad).as_bytes()).expect_err(bad);
        assert!(status.message.contains("as \"2006-01-02T15:04:05.000000Z07:00\""), "{status}");
    }
}

#[test]
fn bytes_are_read_as_leniently_as_go_does() {
    let secrets = by_path("", "v1", "secrets").expect("secrets exist");
    for (sent, kept) in [("MUU=", "MUU="), ("MUV=", "MUU="), ("M\\nUU=", "MUU="), ("", "")] {
        let body = format!(r#"{{"metadata":{{"name":"a"}},"data":{{"b":"{sent}"}}}}"#);
        let decoded = decode(secrets, body.as_bytes()).expect(sent);
        assert_eq!(decoded.object["data"]["b"], kept, "{sent}");
    }
    for wrong in ["MUU", "M=UU", "MU U="] {
        let body = format!(r#"{{"metadata":{{"name":"a"}},"data":{{"b":"{wrong}"}}}}"#);
        let message = decode(secrets, body.as_bytes()).expect_err(wrong).message;
        assert!(message.contains("illegal base64 data at input byte"), "{message}");
    }
}

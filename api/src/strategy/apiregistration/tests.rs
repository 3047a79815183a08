use serde_json::{Value, json};

use crate::lifecycle::before_status_update;
use crate::strategy::tests::{accepts_update, changed, create, refuses, refuses_update, resource};

const GROUP: &str = "apiregistration.k8s.io";

fn remote() -> Value {
    json!({"metadata": {"name": "v1.x.io"}, "spec": {"group": "x.io", "version": "v1",
        "groupPriorityMinimum": 100, "versionPriority": 15, "service": {"name": "s", "namespace": "n"}}})
}

#[test]
fn api_services() {
    let services = resource(GROUP, "apiservices");
    let spec = |spec: Value| json!({"spec": spec});
    refuses(
        services,
        &remote(),
        &[
            (
                json!({"metadata": {"name": "x"}}),
                "metadata.name: Invalid value: \"x\": must be `spec.version+\".\"+spec.group`: \"v1.x.io\"",
            ),
            (
                json!({"metadata": {"name": "a/b"}}),
                "metadata.name: Invalid value: \"a/b\": may not contain '/'",
            ),
            (
                json!({"metadata": {"name": "v2."}, "spec": {"group": "", "version": "v2"}}),
                "spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
            ),
            (spec(json!({"group": "A"})), "spec.group: Invalid value: \"A\""),
            (spec(json!({"version": "1"})), "spec.version: Invalid value: \"1\""),
            (
                spec(json!({"groupPriorityMinimum": 0})),
                "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
            ),
            (
                spec(json!({"versionPriority": 1001})),
                "spec.versionPriority: Invalid value: 1001: must be positive and less than 1000",
            ),
            (spec(json!({"service": {"name": ""}})), "spec.service.name: Required value"),
            (spec(json!({"service": {"namespace": ""}})), "spec.service.namespace: Required value"),
            (
                spec(json!({"insecureSkipTLSVerify": true, "caBundle": "AAAA"})),
                "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present",
            ),
            (
                spec(json!({"service": null, "caBundle": "AAAA"})),
                "spec.caBundle: Invalid value: \"3 bytes\": local APIServices may not have a caBundle",
            ),
            (
                spec(json!({"service": null, "insecureSkipTLSVerify": true})),
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have",
            ),
        ],
    );
    refuses_update(
        services,
        &remote(),
        &[(spec(json!({"version": "v2"})), "must be `spec.version+\".\"+spec.group`: \"v2.x.io\"")],
    );
    accepts_update(services, &remote(), &[spec(json!({"service": {"port": 8443}}))]);
}

#[test]
fn local_services_are_available_at_once() {
    let services = resource(GROUP, "apiservices");
    let local =
        create(services, changed(&remote(), &json!({"spec": {"service": null}}))).expect("valid");
    assert_eq!(
        local["status"]["conditions"],
        json!([{"type": "Available", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z",
            "reason": "Local", "message": "Local APIServices are always available"}])
    );
    assert!(services.strategy.warnings(&local).is_empty());
    let remote = create(services, remote()).expect("valid");
    assert_eq!(remote["status"], json!({}));
    assert_eq!(services.strategy.warnings(&remote).len(), 1);
}

#[test]
fn status_has_its_own_path() {
    let services = resource(GROUP, "apiservices");
    let old = create(services, remote()).expect("valid");
    let conditions =
        |status: &str| json!({"status": {"conditions": [{"type": "Available", "status": status}]}});
    let mut new = changed(&old, &conditions("False"));
    new["metadata"]["labels"] = json!({"a": "b"});
    before_status_update(services, &mut new, &old).expect("valid");
    assert_eq!(new["metadata"]["labels"], Value::Null);
    assert_eq!(new["status"]["conditions"][0]["status"], "False");
    let mut new = changed(&old, &conditions("Perhaps"));
    let status = before_status_update(services, &mut new, &old).expect_err("no status");
    let wanted = "status.conditions[0].status: Unsupported value: \"Perhaps\": supported values: \"True\", \"False\", \"Unknown\"";
    assert!(status.message.contains(wanted), "{status}");
}

//! Defaults that depend on other fields.

use serde_json::{Value, json};

use super::*;

fn defaulted(spec: &Value) -> Value {
    let mut pod = json!({"spec": spec});
    Pod.default(&mut pod);
    pod["spec"].clone()
}

#[test]
fn ports_of_the_host_are_those_of_pods() {
    let spec = json!({"hostNetwork": true,
        "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]});
    assert_eq!(defaulted(&spec)["containers"][0]["ports"][0]["hostPort"], 80);
    let mut template = json!({"spec": spec});
    default_template(&mut template);
    assert_eq!(template["spec"]["containers"][0]["ports"][0]["hostPort"], Value::Null);
}

#[test]
fn a_pod_as_a_whole_gets_what_its_containers_ask_for() {
    let with = |of_pod: Value, of_container: Value| {
        let spec = json!({"resources": of_pod,
            "containers": [{"name": "c", "image": "i", "resources": of_container}]});
        defaulted(&spec)["resources"].clone()
    };
    let cases = [
        (
            json!({"limits": {"cpu": "2"}}),
            json!({}),
            json!({"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}),
        ),
        (
            json!({"limits": {"cpu": "2"}}),
            json!({"requests": {"cpu": "1", "memory": "1Gi"}}),
            json!({"limits": {"cpu": "2"}, "requests": {"cpu": "1", "memory": "1Gi"}}),
        ),
        (
            json!({"limits": {"cpu": "2"}}),
            json!({"limits": {"hugepages-2Mi": "4Mi", "cpu": "1"}}),
            json!({"limits": {"cpu": "2", "hugepages-2Mi": "4Mi"}, "requests": {"cpu": "1", "hugepages-2Mi": "4Mi"}}),
        ),
        (json!({"requests": {"cpu": "2"}}), json!({}), json!({"requests": {"cpu": "2"}})),
    ];
    for (of_pod, of_container, wanted) in cases {
        assert_eq!(with(of_pod.clone(), of_container.clone()), wanted, "{of_pod} {of_container}");
    }
}

#[test]
fn volumes_say_how_they_are_used() {
    let volumes = defaulted(&json!({"containers": [], "volumes": [
        {"name": "a", "image": {"reference": "x:1"}}, {"name": "b", "image": {"reference": "x"}},
        {"name": "c", "iscsi": {}}, {"name": "d", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]}))["volumes"]
        .clone();
    assert_eq!(volumes[0]["image"]["pullPolicy"], "IfNotPresent");
    assert_eq!(volumes[1]["image"]["pullPolicy"], "Always");
    assert_eq!(volumes[2]["iscsi"]["iscsiInterface"], "default");
    assert_eq!(volumes[3]["ephemeral"]["volumeClaimTemplate"]["spec"]["volumeMode"], "Filesystem");
}

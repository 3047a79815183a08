//! What changes of a pod, and of its status, are refused.

use serde_json::{Value, json};

use super::*;

fn pod(metadata: &Value, spec: &Value) -> Value {
    let mut pod = json!({"metadata": {"name": "p", "namespace": "d"}, "spec": {
        "containers": [{"name": "c", "image": "i"}]}});
    json_patch::merge(&mut pod["metadata"], metadata);
    json_patch::merge(&mut pod["spec"], spec);
    let resource = by_path("", "v1", "pods").expect("served");
    let mut pod = check(resource, pod).expect("decodes").object;
    Pod.default(&mut pod);
    Pod.prepare_for_create(&mut pod);
    assert_eq!(Pod.validate(&pod), Errors::new());
    pod
}

fn changed(old: &Value, change: &Value) -> Vec<String> {
    let mut new = old.clone();
    json_patch::merge(&mut new, change);
    Pod.validate_update(&new, old).iter().map(ToString::to_string).collect()
}

#[test]
fn only_few_fields_change() {
    let resource = by_path("", "v1", "pods").expect("served");
    let mut old = json!({"metadata": {"name": "p", "namespace": "d"}, "spec": {"activeDeadlineSeconds": 60,
        "containers": [{"name": "c", "image": "i"}], "tolerations": [{"key": "a", "operator": "Exists"}]}});
    old = check(resource, old).expect("decodes").object;
    Pod.default(&mut old);
    Pod.prepare_for_create(&mut old);
    let changed = |change: Value| {
        let mut new = old.clone();
        json_patch::merge(&mut new["spec"], &change);
        Pod.validate_update(&new, &old).iter().map(|e| e.field.clone()).collect::<Vec<_>>()
    };
    let none = Vec::<String>::new();
    let mut image = old["spec"]["containers"].clone();
    image[0]["image"] = "j".into();
    let mut more = old["spec"]["tolerations"].clone();
    more.as_array_mut().expect("a list").push(json!({"key": "b", "operator": "Exists"}));
    assert_eq!(changed(json!({"containers": image})), none);
    assert_eq!(changed(json!({"tolerations": more})), none);
    assert_eq!(changed(json!({"activeDeadlineSeconds": 30})), none);
    assert_eq!(changed(json!({"activeDeadlineSeconds": 90})), ["spec.activeDeadlineSeconds"]);
    assert_eq!(changed(json!({"activeDeadlineSeconds": null})), ["spec.activeDeadlineSeconds"]);
    assert_eq!(changed(json!({"tolerations": []})), ["spec.tolerations"]);
    assert_eq!(changed(json!({"nodeName": "n"})), ["spec"]);
    assert_eq!(changed(json!({"hostNetwork": true})), ["spec"]);
    let mut command = old["spec"]["containers"].clone();
    command[0]["command"] = json!(["sh"]);
    assert_eq!(changed(json!({"containers": command})), ["spec"]);
    let mut two = old["spec"]["containers"].clone();
    two.as_array_mut().expect("a list").push(json!({"name": "d", "image": "i"}));
    assert!(changed(json!({"containers": two})).contains(&"spec.containers".to_owned()));
}

#[test]
fn status_of_ended_containers_is_final() {
    let old = json!({"metadata": {"name": "p"}, "spec": {"restartPolicy": "Never", "containers": []},
        "status": {"qosClass": "Burstable", "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0}}}]}});
    let mut new = old.clone();
    assert!(Pod.validate_status_update(&new, &old).is_empty());
    new["status"]["containerStatuses"][0]["state"] = json!({"running": {}});
    new["status"]["qosClass"] = "Guaranteed".into();
    new["status"]["phase"] = "Sleeping".into();
    let fields: Vec<String> =
        Pod.validate_status_update(&new, &old).into_iter().map(|e| e.field).collect();
    assert_eq!(fields, ["status.qosClass", "status.phase", "status.containerStatuses[0].state"]);
}

#[test]
fn a_gated_pod_narrows_its_nodes() {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let expression = |key: &str| json!({"key": key, "operator": "Exists"});
    let term = |keys: &[&str]| {
        let all: Vec<Value> = keys.iter().map(|key| expression(key)).collect();
        json!({"matchExpressions": all})
    };
    let affinity = |terms: Value| json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}});
    let spec = json!({"nodeSelector": {"a": "b"}, "affinity": affinity(json!([term(&["x"])]))});
    let free = pod(&json!({}), &spec);
    let mut gated = spec.clone();
    gated["schedulingGates"] = json!([{"name": "x.io/wait"}]);
    let gated = pod(&json!({}), &gated);
    let selector = json!({"spec": {"nodeSelector": {"c": "d"}}});
    let more = json!({"spec": {"affinity": affinity(json!([term(&["x", "y"])]))}});
    for change in [&selector, &more, &json!({"spec": {"schedulingGates": null}})] {
        assert_eq!(changed(&gated, change), Vec::<String>::new(), "{change}");
    }
    for change in [&selector, &more] {
        let errors = changed(&free, change);
        assert!(
            errors[0].starts_with("spec: Forbidden: pod updates may not change fields other than"),
            "{errors:?}"
        );
    }
    let at = format!("spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms");
    for (change, start, end) in [
        (
            json!({"spec": {"nodeSelector": {"a": "z"}}}),
            "spec.nodeSelector: Invalid value: {\"a\":\"z\"}".to_owned(),
            "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
        ),
        (
            json!({"spec": {"affinity": affinity(json!([term(&["x"]), term(&["y"])]))}}),
            format!("{at}: Invalid value:"),
            "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
        ),
        (
            json!({"spec": {"affinity": affinity(json!([term(&["y"])]))}}),
            format!("{at}[0]: Invalid value:"),
            "only additions are allowed (no mutations or deletions)",
        ),
        (
            json!({"spec": {"schedulingGates": [{"name": "x.io/other"}]}}),
            "spec.schedulingGates[0].name: Forbidden:".to_owned(),
            "only deletion is allowed, but found new scheduling gate 'x.io/other'",
        ),
        (
            json!({"spec": {"nodeName": "n"}}),
            "spec: Forbidden: pod updates may not change fields".to_owned(),
            "if it was previously negative)",
        ),
    ] {
        let errors = changed(&gated, &change);
        assert_eq!(errors.len(), 1, "{change}: {errors:?}");
        assert!(errors[0].starts_with(&start) && errors[0].ends_with(end), "{errors:?}");
    }
}

#[test]
fn some_annotations_stay() {
    let profile = "container.apparmor.security.beta.kubernetes.io/c";
    let old =
        pod(&json!({"annotations": {profile: "unconfined", "a": "b"}}), &json!({"nodeName": "n"}));
    let annotate = |key: &str, value: Value| json!({"metadata": {"annotations": {key: value}}});
    let mirror = "kubernetes.io/config.mirror";
    for (change, wanted) in [
        (annotate("a", json!("c")), None),
        (
            annotate(profile, Value::Null),
            Some(format!(
                "metadata.annotations[{profile}]: Forbidden: may not remove or update AppArmor annotations"
            )),
        ),
        (
            annotate(mirror, json!("x")),
            Some(format!(
                "metadata.annotations[{mirror}]: Forbidden: may not add mirror pod annotation"
            )),
        ),
    ] {
        assert_eq!(changed(&old, &change), Vec::from_iter(wanted), "{change}");
    }
}

#[test]
fn tolerations_are_added_or_last_longer() {
    let old = pod(
        &json!({}),
        &json!({"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]}),
    );
    let mut longer = old["spec"]["tolerations"].clone();
    longer[0]["tolerationSeconds"] = 9.into();
    assert_eq!(changed(&old, &json!({"spec": {"tolerations": longer}})), Vec::<String>::new());
    longer[0]["key"] = "b".into();
    assert_eq!(
        changed(&old, &json!({"spec": {"tolerations": longer}})),
        [
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
        ]
    );
}

#[test]
fn a_status_is_consistent() {
    let old = pod(
        &json!({}),
        &json!({"nodeName": "n", "resourceClaims": [{"name": "a", "resourceClaimName": "x"}]}),
    );
    let claim = |name: &str| json!({"name": name, "resourceClaimName": "x"});
    for (status, wanted) in [
        (json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}), vec![]),
        (
            json!({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}]}),
            vec![
                "status.podIPs: Invalid value: [{\"IP\":\"10.0.0.1\"},{\"IP\":\"10.0.0.2\"}]: may specify no more than one IP for each IP family",
            ],
        ),
        (
            json!({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.2"}]}),
            vec!["status.hostIPs[0].ip: Invalid value: \"10.0.0.2\": must be equal to `hostIP`"],
        ),
        (
            json!({"nominatedNodeName": "m"}),
            vec![
                "status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node",
            ],
        ),
        (
            json!({"observedGeneration": -1}),
            vec!["status.observedGeneration: Invalid value: -1: must be a non-negative integer"],
        ),
        (json!({"resourceClaimStatuses": [claim("a")]}), vec![]),
        (
            json!({"resourceClaimStatuses": [claim("a"), claim("a"), claim("b")]}),
            vec![
                "status.resourceClaimStatuses[1].name: Duplicate value: \"a\"",
                "status.resourceClaimStatuses[2].name: Invalid value: \"b\": must match the name of an entry in `spec.resourceClaims`",
            ],
        ),
    ] {
        let mut new = old.clone();
        json_patch::merge(&mut new["status"], &status);
        let errors: Vec<String> =
            Pod.validate_status_update(&new, &old).iter().map(ToString::to_string).collect();
        assert_eq!(errors, wanted, "{status}");
    }
}

#[test]
fn who_may_come_back() {
    let rule = |operator: &str| json!([{"action": "Restart", "exitCodes": {"operator": operator, "values": [42]}}]);
    for (policy, own, rules, code, may) in [
        ("Always", None, Value::Null, 0, true),
        ("OnFailure", None, Value::Null, 0, false),
        ("OnFailure", None, Value::Null, 1, true),
        ("Never", None, Value::Null, 1, false),
        ("Never", Some("OnFailure"), Value::Null, 1, true),
        ("Always", Some("Never"), Value::Null, 1, false),
        ("Never", Some("Never"), rule("In"), 42, true),
        ("Never", Some("Never"), rule("In"), 1, false),
        ("Never", Some("Never"), rule("NotIn"), 1, true),
    ] {
        let container =
            json!({"name": "c", "image": "i", "restartPolicy": own, "restartPolicyRules": rules});
        let mut old = pod(&json!({}), &json!({"restartPolicy": policy, "containers": [container]}));
        let status = |state: Value| json!([{"name": "c", "state": state}]);
        old["status"]["containerStatuses"] = status(json!({"terminated": {"exitCode": code}}));
        let mut new = old.clone();
        new["status"]["containerStatuses"] = status(json!({"running": {}}));
        let came_back = Pod.validate_status_update(&new, &old).is_empty();
        assert_eq!(came_back, may, "{policy} {own:?} {rules} {code}");
    }
}

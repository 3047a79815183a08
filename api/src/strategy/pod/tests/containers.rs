//! Hooks, restart rules, mounts, devices, ports and variables.

use serde_json::{Value, json};

use super::{assert_errors, container, errors_of, template_errors_of};

#[test]
fn hooks_end_before_the_pod_does() {
    let sleep = |seconds: i64| {
        container(json!({"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}}))
    };
    let at = "spec.containers[0].lifecycle.preStop.sleep";
    let long = format!(
        "{at}: Invalid value: 31: must be non-negative and less than terminationGracePeriodSeconds (30)"
    );
    let past = format!(
        "{at}: Invalid value: -1: must be non-negative and less than terminationGracePeriodSeconds (30)"
    );
    assert_errors(&[
        (sleep(0), &[]),
        (sleep(30), &[]),
        (sleep(31), &[&long]),
        (sleep(-1), &[&past]),
    ]);
}

#[test]
fn stop_signals_are_those_of_the_operating_system() {
    let with = |os: Option<&str>, signal: &str| {
        let mut spec = container(json!({"lifecycle": {"stopSignal": signal}}));
        if let Some(os) = os {
            spec["os"] = json!({"name": os});
        }
        spec
    };
    let at = "spec.containers[0].lifecycle.stopSignal";
    let none = format!("{at}: Forbidden: may not be set for containers with empty `spec.os.name`");
    let windows =
        format!("{at}: Unsupported value: \"SIGUSR1\": supported values: \"SIGKILL\", \"SIGTERM\"");
    assert_errors(&[
        (with(None, "SIGTERM"), &[&none]),
        (with(Some("windows"), "SIGTERM"), &[]),
        (with(Some("windows"), "SIGUSR1"), &[&windows]),
        (with(Some("linux"), "SIGUSR1"), &[]),
        (with(Some("linux"), "SIGRTMIN+15"), &[]),
        (with(Some("linux"), "SIGRTMAX-14"), &[]),
    ]);
    for signal in ["SIGRTMIN+16", "SIGRTMAX-15", "SIGRTMIN+01", "15"] {
        let errors = errors_of(&with(Some("linux"), signal));
        let start = format!("{at}: Unsupported value: \"{signal}\": supported values: \"SIGABRT\"");
        assert!(errors.len() == 1 && errors[0].starts_with(&start), "{errors:?}");
    }
}

#[test]
fn containers_have_restart_policies_of_their_own() {
    let rule = |action: &str, codes: Value| json!({"action": action, "exitCodes": codes});
    let with = |policy: Option<&str>, rules: Value| {
        container(json!({"restartPolicy": policy, "restartPolicyRules": rules}))
    };
    let one = json!({"operator": "In", "values": [42]});
    let at = "spec.containers[0]";
    let needs = format!(
        "{at}.restartPolicy: Required value: must specify restartPolicy when restart rules are used"
    );
    let policy = format!(
        "{at}.restartPolicy: Unsupported value: \"Now\": supported values: \"Always\", \"Never\", \"OnFailure\""
    );
    let action = format!(
        "{at}.restartPolicyRules[0].action: Unsupported value: \"RestartAllContainers\": supported values: \"Restart\""
    );
    let operator = format!(
        "{at}.restartPolicyRules[0].exitCodes.operator: Unsupported value: \"Is\": supported values: \"In\", \"NotIn\""
    );
    let codes = format!("{at}.restartPolicyRules[0].exitCodes: Required value: must be specified");
    let many = format!("{at}.restartPolicyRules: Too many: 21: must have at most 20 items");
    let rules = |n: usize| Value::Array(vec![rule("Restart", one.clone()); n]);
    let init = |policy: &str| json!({"initContainers": [{"name": "i", "image": "i", "restartPolicy": policy, "restartPolicyRules": rules(1)}]});
    let sidecar = "spec.initContainers[0].restartPolicyRules: Forbidden: restartPolicyRules are not allowed for init containers with restart policy Always";
    assert_errors(&[
        (with(Some("Never"), json!([rule("Restart", one.clone())])), &[]),
        (init("Never"), &[]),
        (init("Always"), &[sidecar]),
        (with(None, rules(1)), &[&needs]),
        (with(Some("Now"), json!([])), &[&policy]),
        (with(Some("Never"), json!([rule("RestartAllContainers", one.clone())])), &[&action]),
        (with(Some("Never"), json!([rule("Restart", json!({"operator": "Is"}))])), &[&operator]),
        (with(Some("Never"), json!([{"action": "Restart"}])), &[&codes]),
        (with(Some("Never"), rules(20)), &[]),
        (with(Some("Never"), rules(21)), &[&many]),
    ]);
}

#[test]
fn mounts_and_devices() {
    let mount = |fields: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/m"});
        json_patch::merge(&mut mount, &fields);
        container(json!({"volumeMounts": [mount]}))
    };
    let at = "spec.containers[0].volumeMounts";
    let shared = format!(
        "{at}.mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers"
    );
    let writable =
        format!("{at}.recursiveReadOnly: Forbidden: may only be specified when readOnly is true");
    let propagated = format!(
        "{at}.recursiveReadOnly: Forbidden: may only be specified when mountPropagation is None or not specified"
    );
    let unknown = format!(
        "{at}.recursiveReadOnly: Unsupported value: \"Deep\": supported values: \"Disabled\", \"Enabled\", \"IfPossible\""
    );
    let recursive = |way: &str| json!({"readOnly": true, "recursiveReadOnly": "Enabled", "mountPropagation": way});
    let privileged = {
        let mut spec = mount(json!({"mountPropagation": "Bidirectional"}));
        spec["containers"][0]["securityContext"] = json!({"privileged": true});
        spec
    };
    assert_errors(&[
        (mount(json!({"mountPath": "/a:b"})), &[]),
        (privileged, &[]),
        (mount(json!({"mountPropagation": "Bidirectional"})), &[&shared]),
        (mount(json!({"recursiveReadOnly": "Disabled"})), &[]),
        (mount(recursive("None")), &[]),
        (mount(json!({"recursiveReadOnly": "IfPossible"})), &[&writable]),
        (mount(recursive("HostToContainer")), &[&propagated]),
        (mount(json!({"recursiveReadOnly": "Deep"})), &[&unknown]),
    ]);

    let devices = |devices: Value, mounts: Value| {
        let mut spec = container(json!({"volumeDevices": devices, "volumeMounts": mounts}));
        spec["volumes"] = json!([{"name": "v", "emptyDir": {}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "x"}},
            {"name": "e", "persistentVolumeClaim": {"claimName": "y"}}]);
        spec
    };
    let device = |name: &str, path: &str| json!({"name": name, "devicePath": path});
    let at = "spec.containers[0].volumeDevices";
    let folder = format!(
        "{at}[0].name: Invalid value: \"v\": can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
    );
    let twice = format!("{at}[1].name: Invalid value: \"d\": must be unique");
    let path = format!("{at}[1].devicePath: Invalid value: \"/d\": must be unique");
    let back =
        format!("{at}[0].devicePath: Invalid value: \"/a/../b\": can not contain backsteps ('..')");
    let mounts = "spec.containers[0].volumeMounts";
    assert_errors(&[
        (devices(json!([device("d", "/d")]), json!([{"name": "v", "mountPath": "/v"}])), &[]),
        (devices(json!([device("v", "/d")]), json!([])), &[&folder]),
        (devices(json!([device("d", "/d"), device("d", "/e")]), json!([])), &[&twice]),
        (devices(json!([device("d", "/d"), device("e", "/d")]), json!([])), &[&path]),
        (devices(json!([device("d", "/a/../b")]), json!([])), &[&back]),
        (
            devices(json!([device("d", "/d")]), json!([{"name": "d", "mountPath": "/d"}])),
            &[
                &format!(
                    "{mounts}[0].name: Invalid value: \"d\": must not already exist in volumeDevices"
                ),
                &format!(
                    "{mounts}[0].mountPath: Invalid value: \"/d\": must not already exist as a path in volumeDevices"
                ),
                &format!(
                    "{at}[0].name: Invalid value: \"d\": must not already exist in volumeMounts"
                ),
                &format!(
                    "{at}[0].devicePath: Invalid value: \"/d\": must not already exist as a path in volumeMounts"
                ),
            ],
        ),
    ]);
}

#[test]
fn ports_of_the_host() {
    let port = |port: i32, host: i32| json!([{"containerPort": port, "hostPort": host}]);
    let mut other = container(json!({"ports": port(80, 81)}));
    other["hostNetwork"] = true.into();
    let wrong =
        "hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true";
    let twice =
        json!([{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]);
    assert_errors(&[
        (other.clone(), &[&format!("spec.containers[0].ports[0].{wrong}")]),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "ports": port(1, 9)}, {"name": "j", "image": "i", "ports": port(1, 9)}]}),
            &[],
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "ports": twice}]}),
            &["spec.initContainers[0].ports[1].hostPort: Duplicate value: \"TCP//80\""],
        ),
    ]);
    // A template may leave it to its pods.
    let mut none = container(json!({"ports": [{"containerPort": 80}]}));
    none["hostNetwork"] = true.into();
    assert_eq!(template_errors_of(&json!({}), &none), Vec::<String>::new());
    let wrong = format!("spec.template.spec.containers[0].ports[0].{wrong}");
    assert_eq!(template_errors_of(&json!({}), &other), [wrong]);
}

#[test]
fn variables_from_fields_and_files() {
    let from = |source: Value| container(json!({"env": [{"name": "A", "valueFrom": source}]}));
    let at = "spec.containers[0].env[0].valueFrom";
    let field = |path: &str| from(json!({"fieldRef": {"fieldPath": path}}));
    let resource = |name: &str, divisor: &str| {
        from(json!({"resourceFieldRef": {"resource": name, "divisor": divisor}}))
    };
    let file = |fields: Value| {
        let mut file = json!({"volumeName": "v", "path": "p", "key": "K"});
        json_patch::merge(&mut file, &fields);
        from(json!({"fileKeyRef": file}))
    };
    let mut map = file(json!({}));
    map["volumes"] = json!([{"name": "v", "configMap": {"name": "m"}}]);
    assert_errors(&[
        (field("metadata.annotations['x.io/Y']"), &[]),
        (
            field("spec.nope"),
            &[&format!(
                "{at}.fieldRef.fieldPath: Invalid value: \"spec.nope\": error converting fieldPath: field label not supported: spec.nope"
            )],
        ),
        (
            field("spec.nodeName['a']"),
            &[&format!(
                "{at}.fieldRef.fieldPath: Invalid value: \"spec.nodeName['a']\": error converting fieldPath: field label does not support subscript: spec.nodeName['a']"
            )],
        ),
        (
            from(json!({"fieldRef": {"apiVersion": "v2", "fieldPath": "metadata.name"}})),
            &[&format!(
                "{at}.fieldRef.fieldPath: Invalid value: \"metadata.name\": error converting fieldPath: unsupported pod version: v2"
            )],
        ),
        (resource("limits.cpu", "1m"), &[]),
        (resource("requests.hugepages-2Mi", "1Mi"), &[]),
        (
            resource("limits.cpu", "1k"),
            &[&format!(
                "{at}.resourceFieldRef.divisor: Invalid value: \"limits.cpu\": only divisor's values 1m and 1 are supported with the cpu resource"
            )],
        ),
        (
            resource("limits.memory", "3"),
            &[&format!(
                "{at}.resourceFieldRef.divisor: Invalid value: \"limits.memory\": only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the memory resource"
            )],
        ),
        (file(json!({})), &[]),
        (
            file(json!({"path": "../p"})),
            &[&format!("{at}.fileKeyRef.path: Invalid value: \"../p\": must not contain '..'")],
        ),
        (file(json!({"key": ""})), &[&format!("{at}.fileKeyRef.key: Required value")]),
        (
            file(json!({"volumeName": "w"})),
            &[&format!("{at}.fileKeyRef.volumeName: Not found: \"w\"")],
        ),
        (
            map,
            &[&format!(
                "{at}.fileKeyRef.volumeName: Invalid value: \"v\": referenced volume must be of type emptyDir"
            )],
        ),
    ]);
}

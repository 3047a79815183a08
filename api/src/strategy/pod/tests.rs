use serde_json::{Value, json};

mod containers;
mod defaulting;
mod os;
mod parts;
mod resources;
mod updates;
mod volumes;

use super::*;
use crate::decode::check;
use crate::resources::by_path;

/// A valid pod with the fields of `change` merged into its spec, defaulted; then its errors as
/// `path: message`.
fn errors_of(change: &Value) -> Vec<String> {
    let mut pod = json!({"metadata": {"name": "p"}, "spec": {
        "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
    json_patch::merge(&mut pod["spec"], change);
    let resource = by_path("", "v1", "pods").expect("served");
    let mut pod = check(resource, pod).unwrap_or_else(|status| panic!("{change}: {status}")).object;
    Pod.default(&mut pod);
    Pod.prepare_for_create(&mut pod);
    Pod.validate(&pod).iter().map(ToString::to_string).collect()
}

/// What the template of a Deployment with the fields of `change` in its spec gives.
fn template_errors_of(metadata: &Value, change: &Value) -> Vec<String> {
    let mut template = json!({"metadata": metadata, "spec": {
        "containers": [{"name": "c", "image": "i"}], "volumes": [{"name": "v", "emptyDir": {}}]}});
    json_patch::merge(&mut template["spec"], change);
    default_template(&mut template);
    let errors = crate::strategy::template::validate(&template, &Path::new("spec.template"));
    errors.iter().map(ToString::to_string).collect()
}

/// Every change of the base gives exactly its errors.
fn assert_errors(cases: &[(Value, &[&str])]) {
    for (change, wanted) in cases {
        assert_eq!(errors_of(change), *wanted, "{change}");
    }
}

fn container(fields: Value) -> Value {
    let mut container = json!({"name": "c", "image": "i"});
    json_patch::merge(&mut container, &fields);
    json!({"containers": [container]})
}

#[test]
fn every_rule_names_its_field() {
    let mount = |fields: Value| {
        let mut mount = json!({"name": "v", "mountPath": "/m"});
        json_patch::merge(&mut mount, &fields);
        container(json!({"volumeMounts": [mount]}))
    };
    let volume = |source: Value| {
        let mut volume = json!({"name": "v"});
        json_patch::merge(&mut volume, &source);
        json!({"volumes": [volume]})
    };
    let node_affinity = |term: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}});
    let cases = [
        (
            json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}),
            "spec.containers[1].name: Duplicate value: \"c\"",
        ),
        (
            json!({"initContainers": [{"name": "c", "image": "i"}]}),
            "spec.initContainers[0].name: Duplicate value: \"c\"",
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "readinessProbe": {"exec": {"command": ["x"]}}}]}),
            "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
        ),
        (
            json!({"ephemeralContainers": [{"name": "e", "image": "i"}]}),
            "spec.ephemeralContainers: Forbidden: cannot be set on create",
        ),
        (
            container(json!({"image": " i"})),
            "spec.containers[0].image: Invalid value: \" i\": must not have leading or trailing whitespace",
        ),
        (
            container(json!({"imagePullPolicy": "Often"})),
            "spec.containers[0].imagePullPolicy: Unsupported value: \"Often\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
        ),
        (
            container(json!({"ports": [{"containerPort": 80, "protocol": "ICMP"}]})),
            "spec.containers[0].ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
        ),
        (
            container(
                json!({"ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]}),
            ),
            "spec.containers[0].ports[1].name: Duplicate value: \"a\"",
        ),
        (
            container(
                json!({"ports": [{"containerPort": 80, "hostPort": 9}, {"containerPort": 81, "hostPort": 9}]}),
            ),
            "spec.containers[0].ports[1].hostPort: Duplicate value: \"TCP//9\"",
        ),
        (
            container(json!({"env": [{"name": "A", "valueFrom": {}}]})),
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ),
        (
            container(
                json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]}),
            ),
            "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"status.phase\": supported values: \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
        ),
        (
            container(
                json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
            ),
            "spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
        ),
        (
            container(
                json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": ""}}}]}),
            ),
            "spec.containers[0].env[0].valueFrom.secretKeyRef.key: Required value",
        ),
        (
            container(json!({"envFrom": [{"prefix": "p"}]})),
            "spec.containers[0].envFrom: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
        ),
        (
            container(json!({"livenessProbe": {}})),
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
        ),
        (
            container(
                json!({"livenessProbe": {"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}}),
            ),
            "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            container(
                json!({"livenessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}}),
            ),
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            container(json!({"readinessProbe": {"httpGet": {"port": 0}}})),
            "spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (
            container(json!({"readinessProbe": {"httpGet": {"port": "UP"}}})),
            "spec.containers[0].readinessProbe.httpGet.port: Invalid value: \"UP\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (
            container(json!({"readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": -1}})),
            "spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            container(
                json!({"readinessProbe": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a", "value": "b\r\nc"}]}}}),
            ),
            "spec.containers[0].readinessProbe.httpGet.httpHeaders[0].value: Invalid value: \"b\\r\\nc\": must not contain line breaks",
        ),
        (
            container(json!({"lifecycle": {"preStop": {"exec": {}}}})),
            "spec.containers[0].lifecycle.preStop.exec.command: Required value",
        ),
        (
            container(json!({"resources": {"limits": {"dogs": "1"}}})),
            "spec.containers[0].resources.limits[dogs]: Invalid value: \"dogs\": must be a standard resource type or fully qualified",
        ),
        (
            container(
                json!({"resources": {"limits": {"x.io/gpu": "2"}, "requests": {"x.io/gpu": "1"}}}),
            ),
            "spec.containers[0].resources.requests: Invalid value: \"1\": must be equal to x.io/gpu limit of 2",
        ),
        (
            mount(json!({"name": "zz"})),
            "spec.containers[0].volumeMounts[0].name: Not found: \"zz\"",
        ),
        (
            mount(json!({"mountPath": ""})),
            "spec.containers[0].volumeMounts[0].mountPath: Required value",
        ),
        (
            mount(json!({"subPath": "a/../../b"})),
            "spec.containers[0].volumeMounts.subPath: Invalid value: \"a/../../b\": must not contain '..'",
        ),
        (
            container(json!({"securityContext": {"runAsUser": -1}})),
            "spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
        ),
        (
            container(json!({"securityContext": {"seccompProfile": {"type": "Localhost"}}})),
            "spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost",
        ),
        (
            volume(json!({"hostPath": {"path": "/"}, "emptyDir": {}})),
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        (
            volume(json!({"emptyDir": null, "hostPath": {"path": "/a/../b"}})),
            "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
        ),
        (
            volume(json!({"emptyDir": null, "hostPath": {"path": "/", "type": "Castle"}})),
            "spec.volumes[0].hostPath.type: Unsupported value: \"Castle\": supported values: \"\", \"BlockDevice\", \"CharDevice\", \"Directory\", \"DirectoryOrCreate\", \"File\", \"FileOrCreate\", \"Socket\"",
        ),
        (
            volume(json!({"secret": {"secretName": "s", "defaultMode": 4096}})),
            "spec.volumes[0].secret.defaultMode: Invalid value: 4096: must be a number between 0 and 0777 (octal), both inclusive",
        ),
        (
            volume(json!({"configMap": {"name": "m", "items": [{"key": "k", "path": "../x"}]}})),
            "spec.volumes[0].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
        ),
        (
            volume(
                json!({"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]}}),
            ),
            "spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
        ),
        (
            json!({"restartPolicy": "Sometimes"}),
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ),
        (
            json!({"dnsPolicy": "None"}),
            "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None",
        ),
        (
            json!({"activeDeadlineSeconds": 0}),
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
        ),
        (
            json!({"hostAliases": [{"ip": "x", "hostnames": ["a"]}]}),
            "spec.hostAliases[0].ip: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
        (
            json!({"tolerations": [{"operator": "Equal"}]}),
            "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
        ),
        (
            json!({"tolerations": [{"key": "a", "tolerationSeconds": 5, "effect": "NoSchedule"}]}),
            "spec.tolerations[0].effect: Invalid value: \"NoSchedule\": effect must be 'NoExecute' when `tolerationSeconds` is set",
        ),
        (
            json!({"tolerations": [{"key": "a", "effect": "Maybe"}]}),
            "spec.tolerations[0].effect: Unsupported value: \"Maybe\": supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
        ),
        (
            node_affinity(json!({"matchExpressions": [{"key": "a", "operator": "In"}]})),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            node_affinity(json!({"matchExpressions": [{"key": "a", "operator": "Like"}]})),
            "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator: Invalid value: \"Like\": not a valid selector operator",
        ),
        (
            json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "podAffinityTerm": {"topologyKey": "z"}}]}}}),
            "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 0: must be in the range 1-100",
        ),
        (
            json!({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]}),
            "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero",
        ),
        (
            json!({"securityContext": {"sysctls": [{"name": "Bad"}]}}),
            "spec.securityContext.sysctls[0].name: Invalid value: \"Bad\": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$",
        ),
        (
            json!({"securityContext": {"supplementalGroupsPolicy": "Some"}}),
            "spec.securityContext.supplementalGroupsPolicy: Unsupported value: \"Some\": supported values: \"Merge\", \"Strict\"",
        ),
        (
            container(json!({"securityContext": {"procMount": "Unmasked"}})),
            "spec.containers[0].securityContext.procMount: Invalid value: \"Unmasked\": `hostUsers` must be false to use `Unmasked`",
        ),
        (
            json!({"overhead": {"cpu": "-1"}}),
            "spec.overhead.limits[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
    ];
    assert_eq!(errors_of(&json!({})), Vec::<String>::new(), "the base is valid");
    for (change, error) in cases {
        let errors = errors_of(&change);
        assert!(errors.iter().any(|e| e == error), "{change}\nwanted {error}\ngot    {errors:?}");
    }
}

#[test]
fn accepts_what_kubernetes_accepts() {
    let cases = [
        json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}),
        json!({"initContainers": [{"name": "s", "image": "i", "restartPolicy": "Always", "readinessProbe": {"tcpSocket": {"port": "http"}}}]}),
        json!({"tolerations": [{"operator": "Exists"}]}),
        json!({"terminationGracePeriodSeconds": -5}),
        container(
            json!({"env": [{"name": "a.b-c", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['x.io/y']"}}},
            {"name": "M", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}}]}),
        ),
        container(
            json!({"resources": {"limits": {"cpu": "0.5", "memory": "128Mi", "x.io/gpu": 1}}}),
        ),
        container(json!({"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}})),
        json!({"volumes": [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}}, {"name": "w"}]}),
        json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a_b.c."], "options": [{"name": "ndots", "value": "2"}]}}),
    ];
    for change in cases {
        assert_eq!(errors_of(&change), Vec::<String>::new(), "{change}");
    }
}

#[test]
fn deletion_grace() {
    let pod = |node: &str, phase: &str| json!({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 30}, "status": {"phase": phase}});
    let cases = [
        (pod("n", "Running"), None, 30),
        (pod("n", "Running"), Some(5), 5),
        (pod("n", "Running"), Some(0), 0),
        (pod("n", "Running"), Some(-3), 1),
        (pod("", "Pending"), None, 0),
        (pod("n", "Succeeded"), None, 0),
        (pod("n", "Failed"), Some(9), 0),
    ];
    for (pod, requested, expected) in cases {
        assert_eq!(Pod.deletion_grace_seconds(&pod, requested), Some(expected), "{pod}");
    }
}

#[test]
fn classes_of_service() {
    let class = |resources: Value| qos::class(&json!({"containers": [{"resources": resources}]}));
    assert_eq!(class(json!({})), "BestEffort");
    assert_eq!(class(json!({"limits": {"cpu": "1"}})), "Burstable");
    let both = json!({"cpu": "1", "memory": "1Gi"});
    assert_eq!(class(json!({"limits": both, "requests": both})), "Guaranteed");
    assert_eq!(
        class(json!({"limits": both, "requests": {"cpu": "500m", "memory": "1Gi"}})),
        "Burstable"
    );
    assert_eq!(class(json!({"requests": {"x.io/gpu": "1"}})), "BestEffort");
}

/// Whatever a client puts anywhere: refused or accepted, never a panic, and what is accepted has
/// the types that every component relies on.
#[test]
fn hostile_values_anywhere() {
    let resource = by_path("", "v1", "pods").expect("served");
    let record = include_str!("../../../../fixtures/wire/defaulting.jsonl")
        .lines()
        .nth(1)
        .expect("pod-rich");
    let record: Value = serde_json::from_str(record).expect("a record");
    let mut pointers = Vec::new();
    collect(&record["body"], String::new(), &mut pointers);
    assert!(pointers.len() > 50);
    let hostile = [
        Value::Null,
        json!(true),
        json!(-1),
        json!(0),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1.5),
        json!(""),
        json!("\0"),
        json!("../.."),
        json!([]),
        json!([null]),
        json!({}),
        json!({"a": null}),
        json!("9".repeat(400)),
        json!("é".repeat(100)),
    ];
    let (mut accepted, mut refused) = (0, 0);
    for pointer in &pointers {
        for value in &hostile {
            let mut body = record["body"].clone();
            if let Some(slot) = body.pointer_mut(pointer) {
                *slot = value.clone();
            }
            let Ok(decoded) = crate::decode::decode(resource, body.to_string().as_bytes()) else {
                refused += 1;
                continue;
            };
            let mut object = decoded.object;
            let creation = crate::lifecycle::Creation {
                namespace: Some("d"),
                uid: "u",
                now: jiff::Timestamp::UNIX_EPOCH,
                random: 1,
            };
            if crate::lifecycle::before_create(resource, &mut object, &creation).is_err() {
                refused += 1;
                continue;
            }
            accepted += 1;
            let pod: core::Pod = serde_json::from_value(object.clone())
                .unwrap_or_else(|e| panic!("{pointer} = {value}: {e}"));
            assert!(pod.spec.is_some_and(|spec| !spec.containers.is_empty()));
            let _ = crate::table::render(
                resource,
                &[&object],
                json!({}),
                crate::table::IncludeObject::None,
                true,
                jiff::Timestamp::UNIX_EPOCH,
            );
        }
    }
    assert!(accepted > 50 && refused > 200, "{accepted} accepted, {refused} refused");
}

fn collect(value: &Value, at: String, pointers: &mut Vec<String>) {
    pointers.push(at.clone());
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(k, v)| collect(v, format!("{at}/{}", k.replace('/', "~1")), pointers)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, v)| collect(v, format!("{at}/{n}"), pointers))
        }
        _ => {}
    }
}

#[test]
fn a_gated_pod_says_why_it_waits() {
    for (gates, reason) in [
        (json!([{"name": "example.com/wait"}]), json!("SchedulingGated")),
        (json!([]), Value::Null),
        (Value::Null, Value::Null),
    ] {
        let mut pod = json!({"spec": {"schedulingGates": gates}});
        Pod.prepare_for_create(&mut pod);
        assert_eq!(pod["status"]["conditions"][0]["reason"], reason, "{gates}");
    }
}

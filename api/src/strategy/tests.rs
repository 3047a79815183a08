//! Rules of the smaller kinds, by resource: a change to a valid object, and the error it earns.

mod updates;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::decode::check;
use crate::lifecycle::{Creation, before_create, before_status_update, before_update};
use crate::resources::{Resource, by_path};
use crate::status::Status;

pub(super) fn resource(group: &str, plural: &str) -> &'static Resource {
    by_path(group, "v1", plural).expect("served")
}

pub(super) fn create(resource: &Resource, object: Value) -> Result<Value, Status> {
    let mut object = check(resource, object)?.object;
    let creation = Creation {
        namespace: resource.namespaced().then_some("d"),
        uid: "u",
        now: Timestamp::UNIX_EPOCH,
        random: 1,
    };
    before_create(resource, &mut object, &creation)?;
    Ok(object)
}

pub(super) fn changed(base: &Value, change: &Value) -> Value {
    let mut object = base.clone();
    json_patch::merge(&mut object, change);
    object
}

pub(super) fn refuses(resource: &Resource, base: &Value, cases: &[(Value, &str)]) {
    create(resource, base.clone()).unwrap_or_else(|e| panic!("{} base: {e}", resource.plural));
    for (change, wanted) in cases {
        let status = create(resource, changed(base, change)).expect_err(wanted);
        assert!(status.message.contains(wanted), "{change}\nwanted {wanted}\ngot    {status}");
    }
}

/// Changes to an object that was created, and the error that each earns.
pub(super) fn refuses_update(resource: &Resource, base: &Value, cases: &[(Value, &str)]) {
    let old = create(resource, base.clone()).expect("valid");
    for (change, wanted) in cases {
        let mut new = changed(&old, change);
        let status = before_update(resource, &mut new, &old).expect_err(wanted);
        assert!(status.message.contains(wanted), "{change}\nwanted {wanted}\ngot    {status}");
    }
}

/// Changes to an object that was created, and that are accepted.
pub(super) fn accepts_update(resource: &Resource, base: &Value, cases: &[Value]) {
    let old = create(resource, base.clone()).expect("valid");
    for change in cases {
        let mut new = changed(&old, change);
        before_update(resource, &mut new, &old).unwrap_or_else(|e| panic!("{change}: {e}"));
    }
}

#[test]
fn services() {
    let services = resource("", "services");
    let base = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let ports = |ports: Value| json!({"spec": {"ports": ports}});
    refuses(
        services,
        &base,
        &[
            (json!({"spec": {"ports": null}}), "spec.ports: Required value"),
            (
                ports(json!([{"port": 0}])),
                "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ),
            (ports(json!([{"port": 1}, {"port": 2}])), "spec.ports[0].name: Required value"),
            (
                ports(json!([{"port": 1, "name": "a"}, {"port": 2, "name": "a"}])),
                "spec.ports[1].name: Duplicate value: \"a\"",
            ),
            (
                ports(json!([{"port": 1, "name": "a"}, {"port": 1, "name": "b"}])),
                "spec.ports[1]: Duplicate value",
            ),
            (
                ports(json!([{"port": 1, "targetPort": "NO"}])),
                "spec.ports[0].targetPort: Invalid value: \"NO\"",
            ),
            (
                ports(json!([{"port": 1, "protocol": "X"}])),
                "spec.ports[0].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ),
            (
                ports(json!([{"port": 1, "nodePort": 30000}])),
                "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            ),
            (
                json!({"spec": {"type": "Magic"}}),
                "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
            ),
            (
                json!({"spec": {"type": "NodePort", "clusterIP": "None"}}),
                "may not be set to 'None' for NodePort services",
            ),
            (json!({"spec": {"type": "ExternalName"}}), "spec.externalName: Required value"),
            (
                json!({"spec": {"clusterIP": "10.0.0.999"}}),
                "spec.clusterIPs[0]: Invalid value: \"10.0.0.999\": must be a valid IP address",
            ),
            (
                json!({"spec": {"sessionAffinity": "Sticky"}}),
                "spec.sessionAffinity: Unsupported value: \"Sticky\"",
            ),
            (
                json!({"spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}}),
                "must be greater than 0 and less than 86400",
            ),
            (
                json!({"spec": {"externalTrafficPolicy": "Local"}}),
                "may only be set for externally-accessible services",
            ),
            (json!({"spec": {"selector": {"a": "b c"}}}), "spec.selector: Invalid value: \"b c\""),
            (json!({"metadata": {"name": "a.b"}}), "metadata.name: Invalid value: \"a.b\""),
        ],
    );
}

#[test]
fn service_updates_keep_what_was_allocated() {
    let services = resource("", "services");
    let base =
        json!({"metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let mut old = create(services, base.clone()).expect("valid");
    old["spec"]["clusterIP"] = "10.96.0.5".into();
    old["spec"]["clusterIPs"] = json!(["10.96.0.5"]);
    old["spec"]["ports"][0]["nodePort"] = 30_080.into();
    let update = |change: Value| {
        let mut new = check(services, changed(&base, &change)).expect("decodes").object;
        before_update(services, &mut new, &old).map(|()| new)
    };
    let same = update(json!({})).expect("the manifest again");
    assert_eq!(same["spec"], old["spec"]);
    let plain = update(json!({"spec": {"type": "ClusterIP"}})).expect("another type");
    assert!(plain["spec"]["ports"][0].get("nodePort").is_none());
    assert!(plain["spec"].get("externalTrafficPolicy").is_none());
    assert_eq!(plain["spec"]["clusterIP"], "10.96.0.5");
    let mut named = old.clone();
    named["spec"]["type"] = "ExternalName".into();
    named["spec"]["externalName"] = "x.org".into();
    before_update(services, &mut named, &old).expect("gives its address up");
    assert!(named["spec"].get("clusterIP").is_none() && named["spec"].get("clusterIPs").is_none());
    let moved = update(json!({"spec": {"clusterIP": "10.96.0.6"}})).expect_err("moved");
    assert!(moved.message.contains("may not change once set"), "{moved}");
    // The proxy's status must not depend on who writes the spec.
    let mut status = old.clone();
    status["status"] = json!({"loadBalancer": {}, "conditions": [{"type": "A"}]});
    status["spec"]["type"] = "ClusterIP".into();
    before_status_update(services, &mut status, &old).expect("a status");
    assert_eq!(
        (&status["spec"]["type"], &status["status"]["conditions"][0]["type"]),
        (&json!("NodePort"), &json!("A"))
    );
}

#[test]
fn config_maps_and_secrets() {
    let maps = resource("", "configmaps");
    let base = json!({"metadata": {"name": "m"}, "data": {"a": "b"}});
    refuses(
        maps,
        &base,
        &[
            (
                json!({"data": {"a/b": "x"}}),
                "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of",
            ),
            (
                json!({"binaryData": {"a": "YQ=="}}),
                "data[a]: Invalid value: \"a\": duplicate of key present in binaryData",
            ),
            (json!({"binaryData": {"b": "%%"}}), "illegal base64 data at input byte 0"),
            (
                json!({"data": {"big": "x".repeat(1 << 20)}}),
                "Too long: may not be more than 1048576 bytes",
            ),
        ],
    );
    let old = create(maps, changed(&base, &json!({"immutable": true}))).expect("valid");
    let mut new = changed(&old, &json!({"data": {"a": "c"}, "immutable": false}));
    let error = before_update(maps, &mut new, &old).expect_err("immutable");
    assert!(
        error.message.contains(
            "immutable: Forbidden: field is immutable when `immutable` is set, data: Forbidden"
        ),
        "{error}"
    );

    let secrets = resource("", "secrets");
    let base = json!({"metadata": {"name": "s"}, "data": {"a": "YQ=="}});
    refuses(
        secrets,
        &base,
        &[
            (
                json!({"type": "kubernetes.io/tls"}),
                "[data[tls.crt]: Required value, data[tls.key]: Required value]",
            ),
            (
                json!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "YQ=="}}),
                "<secret contents redacted>",
            ),
            (json!({"type": "kubernetes.io/basic-auth"}), "data[username]: Required value"),
            (json!({"data": {"..": "YQ=="}}), "data[..]: Invalid value"),
        ],
    );
    let clear = create(secrets, changed(&base, &json!({"stringData": {"a": "new", "b": "é"}})))
        .expect("valid");
    assert_eq!(clear["data"], json!({"a": "bmV3", "b": "w6k="}));
    assert!(clear.get("stringData").is_none());
}

#[test]
fn nodes_namespaces_and_leases() {
    refuses(
        resource("", "nodes"),
        &json!({"metadata": {"name": "n"}}),
        &[
            (
                json!({"spec": {"taints": [{"key": "a b", "effect": "NoSchedule"}]}}),
                "metadata.taints[0].key: Invalid value: \"a b\"",
            ),
            (
                json!({"spec": {"taints": [{"key": "a", "effect": "Perhaps"}]}}),
                "metadata.taints[0].effect: Unsupported value: \"Perhaps\"",
            ),
            (
                json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "value": "x", "effect": "NoSchedule"}]}}),
                "taints must be unique by key and effect pair",
            ),
            (
                json!({"spec": {"podCIDRs": ["10.0.0.0"]}}),
                "spec.podCIDRs[0]: Invalid value: \"10.0.0.0\": must be a valid CIDR value",
            ),
            (
                json!({"spec": {"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}}),
                "spec.podCIDRs: Invalid value: [\"10.0.0.0/24\",\"10.0.1.0/24\"]: may specify no more than one CIDR for each IP family",
            ),
            (
                json!({"status": {"capacity": {"pods": "1500m"}}}),
                "status.capacity.pods: Invalid value: \"1500m\": must be an integer",
            ),
            (
                json!({"status": {"declaredFeatures": ["B", "A", "a"]}}),
                "status.declaredFeatures[1]: Invalid value: \"A\": list must be sorted alphabetically",
            ),
            (
                json!({"status": {"capacity": {"cpu": "-1"}}}),
                "status.capacity.cpu: Invalid value: \"-1\"",
            ),
        ],
    );
    let nodes = resource("", "nodes");
    let node = create(nodes, json!({"metadata": {"name": "n"}, "spec": {"podCIDRs": ["10.0.0.0/24"]}, "status": {"capacity": {"cpu": "4"}}})).expect("valid");
    assert_eq!(node["status"]["allocatable"]["cpu"], "4");
    assert_eq!(node["spec"]["podCIDR"], "10.0.0.0/24");
    let older =
        create(nodes, json!({"metadata": {"name": "m"}, "spec": {"podCIDR": "10.0.2.0/24"}}));
    assert_eq!(older.expect("valid")["spec"]["podCIDRs"], json!(["10.0.2.0/24"]));
    // The older of the two fields counts: alone, the other one changes nothing.
    let mut new = changed(&node, &json!({"spec": {"podCIDRs": ["10.0.1.0/24"]}}));
    before_update(nodes, &mut new, &node).expect("nothing changes");
    assert_eq!(new["spec"]["podCIDRs"], json!(["10.0.0.0/24"]));
    let mut new = changed(&node, &json!({"spec": {"podCIDR": "10.0.1.0/24"}}));
    let moved = before_update(nodes, &mut new, &node).expect_err("moved");
    assert!(
        moved.message.contains("node updates may not change podCIDR except from \"\" to valid")
    );

    let namespaces = resource("", "namespaces");
    refuses(
        namespaces,
        &json!({"metadata": {"name": "x"}}),
        &[
            (json!({"metadata": {"name": "a.b"}}), "metadata.name: Invalid value: \"a.b\""),
            (json!({"spec": {"finalizers": ["a b"]}}), "spec.finalizers[0]: Invalid value"),
        ],
    );
    let mut old = create(namespaces, json!({"metadata": {"generateName": "x-"}})).expect("valid");
    assert_eq!(old["metadata"]["labels"]["kubernetes.io/metadata.name"], old["metadata"]["name"]);
    let mut new =
        changed(&old, &json!({"spec": {"finalizers": null}, "status": {"phase": "Terminating"}}));
    before_update(namespaces, &mut new, &old).expect("valid");
    assert_eq!(
        (&new["spec"]["finalizers"], &new["status"]["phase"]),
        (&json!(["kubernetes"]), &json!("Active"))
    );
    let mut early = changed(&old, &json!({"status": {"phase": "Terminating"}}));
    assert!(before_status_update(namespaces, &mut early, &old).is_err());
    old["metadata"]["deletionTimestamp"] = "2024-01-01T00:00:00Z".into();
    before_status_update(namespaces, &mut early, &old).expect("terminating");

    refuses(
        resource("coordination.k8s.io", "leases"),
        &json!({"metadata": {"name": "l"}}),
        &[
            (
                json!({"spec": {"leaseDurationSeconds": 0}}),
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            ),
            (
                json!({"spec": {"leaseTransitions": -1}}),
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ),
            (json!({"spec": {"renewTime": "yesterday"}}), "parsing time \"yesterday\""),
        ],
    );
}

#[test]
fn endpoints_of_both_kinds() {
    let base = json!({"metadata": {"name": "e"}, "subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]});
    refuses(
        resource("", "endpoints"),
        &base,
        &[
            (
                json!({"subsets": [{}]}),
                "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
            ),
            (
                json!({"subsets": [{"addresses": [{"ip": "x"}]}]}),
                "subsets[0].addresses[0].ip: Invalid value: \"x\": must be a valid IP address",
            ),
            (
                json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 0}]}]}),
                "subsets[0].ports[0].port: Invalid value: 0",
            ),
            (
                json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}, {"port": 2}]}]}),
                "subsets[0].ports[0].name: Required value",
            ),
        ],
    );
    let slices = resource("discovery.k8s.io", "endpointslices");
    let base = json!({"metadata": {"name": "e"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]});
    let many: Vec<Value> = (0..1001).map(|_| json!({"addresses": ["10.0.0.1"]})).collect();
    refuses(
        slices,
        &base,
        &[
            (
                json!({"addressType": "IPX"}),
                "addressType: Unsupported value: \"IPX\": supported values: \"FQDN\", \"IPv4\", \"IPv6\"",
            ),
            (json!({"addressType": null}), "addressType: Required value"),
            (
                json!({"addressType": "IPv6"}),
                "endpoints[0].addresses[0]: Invalid value: \"10.0.0.1\": must be an IPv6 address",
            ),
            (
                json!({"endpoints": [{"addresses": []}]}),
                "endpoints[0].addresses: Required value: must contain at least 1 address",
            ),
            (json!({"endpoints": many}), "endpoints: Too many: 1001: must have at most 1000 items"),
            (json!({"ports": [{"port": 1}, {"port": 2}]}), "ports[1].name: Duplicate value: \"\""),
        ],
    );
    let old = create(slices, base).expect("valid");
    let mut new = changed(&old, &json!({"addressType": "FQDN"}));
    assert!(
        before_update(slices, &mut new, &old)
            .expect_err("fixed")
            .message
            .contains("addressType: Invalid value: \"FQDN\": field is immutable")
    );
    let empty = create(slices, json!({"metadata": {"name": "e"}, "addressType": "IPv4"}))
        .expect("an empty slice");
    assert_eq!(empty["endpoints"], json!([]));
}

#[test]
fn replication_controllers() {
    let base = json!({"metadata": {"name": "r"}, "spec": {"template": {"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let template = |change: Value| json!({"spec": {"template": {"spec": change}}});
    let controllers = resource("", "replicationcontrollers");
    refuses(
        controllers,
        &base,
        &[
            (
                json!({"spec": {"replicas": -1}}),
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                json!({"spec": {"selector": {"x": "y"}}}),
                "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`",
            ),
            (json!({"spec": {"template": {"metadata": null}}}), "spec.selector: Required value"),
            (json!({"spec": {"template": null}}), "spec.template: Required value"),
            (template(json!({"containers": []})), "spec.template.spec.containers: Required value"),
            (
                template(json!({"restartPolicy": "Never"})),
                "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
            ),
            (
                template(json!({"activeDeadlineSeconds": 5})),
                "spec.template.spec.activeDeadlineSeconds: Forbidden",
            ),
        ],
    );
    let old = create(controllers, base).expect("valid");
    let mut new = changed(&old, &json!({"status": {"replicas": 1, "readyReplicas": 2}}));
    let error =
        before_status_update(controllers, &mut new, &old).expect_err("more ready than there are");
    assert!(error.message.contains(
        "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"
    ));
    let mut scaled = super::with_scale(old.clone(), &json!({"spec": {"replicas": 5}}));
    before_update(controllers, &mut scaled, &old).expect("scaled");
    assert_eq!(
        (&scaled["spec"]["replicas"], &scaled["metadata"]["generation"]),
        (&json!(5), &json!(2))
    );
    let scale = super::scale_of(&scaled);
    assert_eq!(scale["spec"], json!({"replicas": 5}));
    assert_eq!(scale["status"], json!({"replicas": 0, "selector": "a=b"}));
    let errors = super::validate_scale(&json!({"spec": {"replicas": -1}}));
    assert_eq!(
        errors[0].to_string(),
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
}

#[test]
fn events_and_bindings() {
    let base =
        json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "d", "name": "p"}});
    refuses(
        resource("", "events"),
        &base,
        &[
            (
                json!({"involvedObject": {"namespace": "other"}}),
                "involvedObject.namespace: Invalid value: \"other\": does not match event.namespace",
            ),
            // Who says when it happened says who acted, too.
            (
                json!({"eventTime": "2024-01-01T00:00:00.000000Z", "reportingInstance": "i",
                       "action": "a", "reason": "r"}),
                "reportingController: Required value",
            ),
        ],
    );
    let base = json!({"metadata": {"name": "e"}, "eventTime": "2024-01-01T00:00:00.000000Z", "reportingController": "x.io/y",
        "reportingInstance": "i", "action": "A", "reason": "R", "type": "Normal", "regarding": {"namespace": "d"}});
    refuses(
        resource("events.k8s.io", "events"),
        &base,
        &[
            (json!({"eventTime": null}), "eventTime: Required value"),
            (json!({"type": "Loud"}), "type: Invalid value: \"\": has invalid value: Loud"),
            (json!({"action": null}), "action: Required value"),
            (
                json!({"note": "x".repeat(1025)}),
                "message: Invalid value: \"\": can have at most 1024 characters",
            ),
        ],
    );
    refuses(
        resource("", "bindings"),
        &json!({"metadata": {"name": "p"}, "target": {"name": "n"}}),
        &[
            (json!({"target": {"name": null}}), "target.name: Required value"),
            (json!({"target": {"kind": "Pod"}}), "target.kind: Unsupported value: \"Pod\""),
        ],
    );
}

/// As many items as a request holds, all different: comparing each with all others takes minutes.
#[test]
fn long_lists_are_checked_in_one_pass() {
    const MANY: usize = 100_000;
    let list = |item: fn(usize) -> Value| (0..MANY).map(item).collect::<Vec<_>>();
    let taints = list(|n| json!({"key": format!("k{n}"), "effect": "NoSchedule"}));
    let node = json!({"metadata": {"name": "n"}, "spec": {"taints": taints}});
    let ports = list(|n| json!({"name": format!("p{n}"), "port": 1 + n % 65_535}));
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": ports}});
    for (plural, object) in [("nodes", node), ("services", service)] {
        let row = resource("", plural);
        let mut object = check(row, object).expect("decodes").object;
        row.strategy.default(&mut object);
        let errors = row.strategy.validate(&object);
        // The ports begin to repeat after the last number there is.
        let repeated = if plural == "services" { MANY - 65_535 } else { 0 };
        assert_eq!(errors.len(), repeated, "{plural}: {:?}", errors.first());
    }
}

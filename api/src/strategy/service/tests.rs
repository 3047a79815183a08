//! Services as the server takes them: completed, refused, changed.

use serde_json::{Value, json};

use crate::decode::check;
use crate::lifecycle::{Creation, before_create, before_status_update, before_update};
use crate::resources::{Resource, by_path};
use crate::status::Status;

fn services() -> &'static Resource {
    by_path("", "v1", "services").expect("services exist")
}

fn decoded(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec.get("ports").is_none() {
        spec["ports"] = json!([{"port": 80}]);
    }
    let object = json!({"metadata": {"name": "s"}, "spec": spec});
    check(services(), object).expect("decodes").object
}

fn create(spec: &Value) -> Result<Value, Status> {
    let mut object = decoded(spec);
    let creation =
        Creation { namespace: Some("d"), uid: "u", now: jiff::Timestamp::UNIX_EPOCH, random: 0 };
    before_create(services(), &mut object, &creation).map(|()| object)
}

/// A Service that has been given what it needs.
fn stored(spec: &Value) -> Value {
    let mut object = create(spec).unwrap_or_else(|status| panic!("{spec}: {status}"));
    let spec = &mut object["spec"];
    if spec["type"] != "ExternalName" && spec["clusterIP"] != "None" {
        spec["clusterIP"] = "10.96.0.5".into();
        spec["clusterIPs"] = json!(["10.96.0.5"]);
    }
    if super::needs_health_check(spec) {
        spec["healthCheckNodePort"] = 32_000.into();
    }
    object
}

fn update(old: &Value, spec: &Value) -> Result<Value, Status> {
    let mut new = decoded(spec);
    before_update(services(), &mut new, old).map(|()| new)
}

#[track_caller]
fn refused(made: Result<Value, Status>, want: &str) {
    let said = made.expect_err(want).message;
    let head = "Service \"s\" is invalid: ";
    let said = said.strip_prefix(head).unwrap_or(&said);
    assert!(
        said == want || (want.ends_with('…') && said.contains(want.trim_matches('…'))),
        "{said}"
    );
}

#[test]
fn families_are_those_of_the_cluster() {
    let (one, both) = (json!(["IPv4"]), json!(["IPv4", "IPv6"]));
    for (spec, families, policy) in [
        (json!({}), &one, "SingleStack"),
        (json!({"ipFamilyPolicy": "PreferDualStack"}), &one, "PreferDualStack"),
        (json!({"clusterIP": "10.96.0.9"}), &one, "SingleStack"),
        (json!({"clusterIP": "None", "selector": {"a": "b"}}), &one, "SingleStack"),
        // Somebody else lists its addresses, which may be of any family.
        (json!({"clusterIP": "None"}), &both, "RequireDualStack"),
        (json!({"clusterIP": "None", "ipFamilyPolicy": "SingleStack"}), &one, "SingleStack"),
        (
            json!({"clusterIP": "None", "ipFamilies": ["IPv6"]}),
            &json!(["IPv6", "IPv4"]),
            "RequireDualStack",
        ),
    ] {
        let made = create(&spec).unwrap_or_else(|status| panic!("{spec}: {status}"));
        let got = (&made["spec"]["ipFamilies"], &made["spec"]["ipFamilyPolicy"]);
        assert_eq!(got, (families, &json!(policy)), "{spec}");
    }
}

#[test]
fn addresses_and_families_that_the_cluster_does_not_have_are_refused() {
    let unavailable = "not configured on this cluster";
    let several = "must be 'RequireDualStack' or 'PreferDualStack' when multiple";
    for (spec, want) in [
        (
            json!({"ipFamilies": ["IPv6"]}),
            format!("spec.ipFamilies[0]: Invalid value: \"IPv6\": {unavailable}"),
        ),
        (
            json!({"ipFamilyPolicy": "RequireDualStack"}),
            "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not \
             configured for dual-stack services"
                .to_owned(),
        ),
        (
            json!({"ipFamilies": ["IPv4", "IPv6"]}),
            format!(
                "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": {several} IP families are \
                 specified"
            ),
        ),
        (
            json!({"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"}),
            format!("spec.ipFamilies[1]: Invalid value: \"IPv6\": {unavailable}"),
        ),
        (
            json!({"clusterIP": "fd00::1"}),
            format!("spec.clusterIPs[0]: Invalid value: [\"fd00::1\"]: IPv6 is {unavailable}"),
        ),
        (
            json!({"ipFamilies": ["IPv4", "IPv4"]}),
            "spec.ipFamilies[1]: Duplicate value: \"IPv4\"".to_owned(),
        ),
        (
            json!({"ipFamilies": ["IPv5"]}),
            "spec.ipFamilies[0]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\""
                .to_owned(),
        ),
        (
            json!({"ipFamilyPolicy": "Any"}),
            "spec.ipFamilyPolicy: Unsupported value: \"Any\": supported values: \
             \"PreferDualStack\", \"RequireDualStack\", \"SingleStack\""
                .to_owned(),
        ),
        (
            json!({"clusterIPs": ["10.96.0.9"]}),
            "spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: must be empty when `clusterIP` is \
             not specified"
                .to_owned(),
        ),
        (
            json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.8"]}),
            "spec.clusterIPs: Invalid value: [\"10.96.0.8\"]: first value must match `clusterIP`"
                .to_owned(),
        ),
        (
            json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "10.96.0.8"],
                "ipFamilyPolicy": "PreferDualStack"}),
            "spec.clusterIPs: Invalid value: [\"10.96.0.9\",\"10.96.0.8\"]: may specify no more \
             than one IP for each IP family"
                .to_owned(),
        ),
        (
            json!({"clusterIP": "None", "clusterIPs": ["None", "10.96.0.8"]}),
            "spec.clusterIPs: Invalid value: [\"None\",\"10.96.0.8\"]: 'None' must be the first \
             and only value"
                .to_owned(),
        ),
        (
            json!({"clusterIP": "010.96.0.9"}),
            "spec.clusterIPs[0]: Invalid value: \"010.96.0.9\": must not have leading 0s".to_owned(),
        ),
        (
            json!({"clusterIP": "10.96.0.9", "ipFamilies": ["IPv6"]}),
            "spec.clusterIPs[0]: Invalid value: \"10.96.0.9\": expected an IPv6 value as indicated \
             by `ipFamilies[0]`"
                .to_owned(),
        ),
    ] {
        refused(create(&spec), &want);
    }
}

#[test]
fn what_a_type_does_not_have_is_refused() {
    let only = "may only be used when `type` is 'LoadBalancer'";
    let not_external = "may not be set for ExternalName services";
    let external = |more: Value| {
        let mut spec = json!({"type": "ExternalName", "externalName": "a.b"});
        json_patch::merge(&mut spec, &more);
        spec
    };
    for (spec, want) in [
        (json!({"loadBalancerClass": "a/b"}), format!("spec.loadBalancerClass: Forbidden: {only}")),
        (
            json!({"type": "LoadBalancer", "loadBalancerClass": "a b"}),
            "…spec.loadBalancerClass: Invalid value: \"a b\": name part must consist of…".to_owned(),
        ),
        (
            json!({"allocateLoadBalancerNodePorts": false}),
            format!("spec.allocateLoadBalancerNodePorts: Forbidden: {only}"),
        ),
        (
            json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]}),
            format!("spec.LoadBalancerSourceRanges: Forbidden: {only}"),
        ),
        (
            json!({"type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.0.0.0/8 ", "10.0.0.1/8"]}),
            "spec.LoadBalancerSourceRanges[1]: Invalid value: \"10.0.0.1/8\": must not have bits set \
             beyond the prefix length"
                .to_owned(),
        ),
        (
            json!({"type": "NodePort", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000}),
            "spec.healthCheckNodePort: Invalid value: 32000: may only be set when `type` is \
             'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
                .to_owned(),
        ),
        (
            external(json!({"clusterIP": "10.96.0.9"})),
            format!("spec.clusterIPs: Forbidden: {not_external}"),
        ),
        (
            external(json!({"ipFamilies": ["IPv4"]})),
            format!("spec.ipFamilies: Forbidden: {not_external}"),
        ),
        (
            external(json!({"ipFamilyPolicy": "SingleStack"})),
            format!("spec.ipFamilyPolicy: Forbidden: {not_external}"),
        ),
        (
            external(json!({"externalIPs": ["1.2.3.4"], "externalTrafficPolicy": "Local"})),
            "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for \
             externally-accessible services"
                .to_owned(),
        ),
        (
            json!({"trafficDistribution": "Near"}),
            "spec.trafficDistribution: Unsupported value: \"Near\": supported values: \
             \"PreferClose\", \"PreferSameZone\", \"PreferSameNode\""
                .to_owned(),
        ),
        (
            json!({"externalIPs": ["127.0.0.1"]}),
            "spec.externalIPs[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range \
             (127.0.0.0/8, ::1/128)"
                .to_owned(),
        ),
        (
            json!({"externalIPs": ["0.0.0.0"]}),
            "spec.externalIPs[0]: Invalid value: \"0.0.0.0\": may not be unspecified (0.0.0.0)"
                .to_owned(),
        ),
        (
            json!({"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]}),
            "spec.ports[1]: Duplicate value: {\"Name\":\"\",\"Protocol\":\"TCP\",\"AppProtocol\":\
             null,\"Port\":1,\"TargetPort\":0,\"NodePort\":0}"
                .to_owned(),
        ),
    ] {
        refused(create(&spec), &want);
    }
    let affinity = json!({"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}}});
    let made = create(&affinity).expect("means nothing without its affinity");
    assert!(made["spec"].get("sessionAffinityConfig").is_none());
    create(&external(json!({"internalTrafficPolicy": "Local"})))
        .expect("taken for historical reasons");
}

#[test]
fn annotations_that_are_fields_by_now_are_checked_as_well() {
    let annotated = |annotations: Value, kind: &str| {
        let mut object = decoded(&json!({"type": kind}));
        object["metadata"]["annotations"] = annotations;
        super::validate::service(&object, None).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let ranges = "service.beta.kubernetes.io/load-balancer-source-ranges";
    let path = format!("metadata.annotations[{ranges}]");
    let none = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let (hints, mode) =
        ("service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode");
    let policies = |mut all: Vec<String>| {
        // These objects have no defaults yet.
        all.retain(|error| error.starts_with("metadata"));
        all
    };
    for (annotations, kind, want) in [
        (json!({ranges: "10.0.0.0/8, 10.96.0.0/16"}), "LoadBalancer", vec![]),
        (
            json!({ranges: "10.0.0.0/8,x"}),
            "LoadBalancer",
            vec![format!("{path}: Invalid value: \"x\": {none}")],
        ),
        (
            json!({ranges: ""}),
            "ClusterIP",
            vec![format!("{path}: Forbidden: may only be used when `type` is 'LoadBalancer'")],
        ),
        (
            json!({hints: "auto", mode: "disabled"}),
            "ClusterIP",
            vec![format!(
                "metadata.annotations[{mode}]: Invalid value: \"disabled\": must match \
                 annotations[{hints}] when both are specified"
            )],
        ),
    ] {
        assert_eq!(policies(annotated(annotations.clone(), kind)), want, "{annotations}");
    }
}

#[test]
fn a_load_balancer_keeps_what_it_was_given() {
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local",
        "loadBalancerClass": "a/b"});
    let old = stored(&local);
    let same = update(&old, &local).expect("the manifest again");
    assert_eq!(same["spec"], old["spec"]);
    let mut other = local.clone();
    other["loadBalancerClass"] = "a/c".into();
    refused(
        update(&old, &other),
        "spec.loadBalancerClass: Invalid value: \"a/c\": may not change once set",
    );
    other["loadBalancerClass"] = Value::Null;
    refused(
        update(&old, &other),
        "spec.loadBalancerClass: Invalid value: \"null\": may not change once set",
    );
    let mut moved = local.clone();
    moved["healthCheckNodePort"] = 32_001.into();
    refused(update(&old, &moved), "spec.healthCheckNodePort: Forbidden: field is immutable");
    // A client that has read the whole object and changes its type means that alone.
    let mut plain = old["spec"].clone();
    plain["type"] = "ClusterIP".into();
    let plain = update(&old, &plain).expect("another type")["spec"].take();
    for field in ["loadBalancerClass", "healthCheckNodePort", "externalTrafficPolicy"] {
        assert!(plain.get(field).is_none(), "{field}: {plain}");
    }
}

#[test]
fn node_ports_stay_with_the_names_of_ports() {
    let port = |name: &str, port: i64, node: i64| {
        let mut port = json!({"name": name, "port": port, "protocol": "TCP"});
        if node > 0 {
            port["nodePort"] = node.into();
        }
        port
    };
    let ports = |ports: Vec<Value>| json!({"type": "NodePort", "ports": ports});
    let old = stored(&ports(vec![port("a", 80, 30_001), port("b", 81, 30_002)]));
    for (given, want) in [
        (vec![port("a", 80, 0), port("b", 81, 0)], [Some(30_001), Some(30_002)]),
        (vec![port("b", 80, 0), port("a", 81, 0)], [Some(30_002), Some(30_001)]),
        (vec![port("c", 80, 0), port("b", 90, 0)], [None, Some(30_002)]),
        (vec![port("a", 80, 30_002), port("b", 81, 0)], [Some(30_002), None]),
    ] {
        let new = update(&old, &ports(given.clone())).unwrap_or_else(|e| panic!("{given:?}: {e}"));
        let of_node = |n: usize| new["spec"]["ports"][n]["nodePort"].as_i64();
        assert_eq!([of_node(0), of_node(1)], want, "{given:?}");
    }
}

#[test]
fn what_was_taken_once_is_not_looked_at_again() {
    let ranges =
        |ranges: Value| json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ranges});
    let mut old = stored(&ranges(json!(["10.0.0.0/8"])));
    old["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.1/8"]);
    old["spec"]["externalIPs"] = json!(["010.1.2.3"]);
    let mut same = ranges(json!(["10.0.0.1/8", "10.1.0.0/16"]));
    same["externalIPs"] = json!(["010.1.2.3"]);
    update(&old, &same).expect("what was there, and something good");
    refused(
        update(&old, &ranges(json!(["10.0.0.1/9"]))),
        "spec.LoadBalancerSourceRanges[0]: Invalid value: \"10.0.0.1/9\": must not have bits set \
         beyond the prefix length",
    );
}

#[test]
fn a_status_says_where_a_load_balancer_is() {
    let update = |kind: &str, ingress: Value| {
        let old = stored(&json!({ "type": kind }));
        let mut new = old.clone();
        new["status"] = json!({"loadBalancer": {"ingress": [ingress]}});
        before_status_update(services(), &mut new, &old).map(|()| new["status"].take())
    };
    let status = update("LoadBalancer", json!({"ip": "1.2.3.4"})).expect("a status");
    assert_eq!(status, json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}}));
    update("LoadBalancer", json!({"hostname": "a.b"})).expect("a name");
    let path = "status.loadBalancer.ingress";
    for (kind, ingress, want) in [
        (
            "NodePort",
            json!({"ip": "1.2.3.4"}),
            format!("{path}: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"),
        ),
        (
            "LoadBalancer",
            json!({"ip": "1.2.3"}),
            format!(
                "{path}[0].ip: Invalid value: \"1.2.3\": must be a valid IP address, (e.g. 10.9.8.7 \
                 or 2001:db8::ffff)"
            ),
        ),
        (
            "LoadBalancer",
            json!({"ip": "1.2.3.4", "ipMode": "Magic"}),
            format!(
                "{path}[0].ipMode: Unsupported value: \"Magic\": supported values: \"Proxy\", \"VIP\""
            ),
        ),
        (
            "LoadBalancer",
            json!({"hostname": "a.b", "ipMode": "VIP"}),
            format!("{path}[0].ipMode: Forbidden: may not be specified when `ip` is not set"),
        ),
        (
            "LoadBalancer",
            json!({"hostname": "1.2.3.4"}),
            format!(
                "{path}[0].hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address"
            ),
        ),
    ] {
        refused(update(kind, ingress), &want);
    }
}

use serde_json::{Value, json};

use crate::lifecycle::before_status_update;
use crate::strategy::tests::{accepts_update, changed, create, refuses, refuses_update, resource};

const GROUP: &str = "networking.k8s.io";

#[test]
fn ingresses() {
    let ingresses = resource(GROUP, "ingresses");
    let service = json!({"service": {"name": "s", "port": {"number": 80}}});
    let path = |path: Value| json!({"spec": {"rules": [{"http": {"paths": [path]}}]}});
    let backend = |backend: Value| json!({"spec": {"defaultBackend": backend}});
    let base = json!({"metadata": {"name": "i"}, "spec": {"rules": [
        {"host": "*.a.b", "http": {"paths": [{"path": "/", "pathType": "Exact", "backend": service}]}}],
        "tls": [{"hosts": ["*.a.b", "c"], "secretName": "s"}], "ingressClassName": "c"}});
    let at = "spec.rules[0].http.paths[0]";
    refuses(
        ingresses,
        &base,
        &[
            (
                json!({"spec": {"rules": null}}),
                "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified",
            ),
            (
                json!({"spec": {"rules": [{"host": "1.2.3.4"}]}}),
                "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
            ),
            (
                json!({"spec": {"rules": [{"host": "a.*"}]}}),
                "spec.rules[0].host: Invalid value: \"a.*\": a wildcard DNS-1123 subdomain must start with '*.'",
            ),
            (
                json!({"spec": {"rules": [{"http": {}}]}}),
                "spec.rules[0].http.paths: Required value",
            ),
            (
                path(json!({"backend": service})),
                &format!("{at}.pathType: Required value: pathType must be specified"),
            ),
            (
                path(json!({"pathType": "X", "backend": service})),
                &format!(
                    "{at}.pathType: Unsupported value: \"X\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\""
                ),
            ),
            (
                path(json!({"pathType": "Prefix", "path": "a", "backend": service})),
                &format!("{at}.path: Invalid value: \"a\": must be an absolute path"),
            ),
            (
                path(json!({"pathType": "Prefix", "path": "/a//b", "backend": service})),
                "must not contain '//'",
            ),
            (
                path(json!({"pathType": "Prefix", "path": "/a/..", "backend": service})),
                "cannot end with '/..'",
            ),
            (
                path(json!({"pathType": "Exact", "path": "/"})),
                &format!(
                    "{at}.backend: Invalid value: \"\": resource or service backend is required"
                ),
            ),
            (
                backend(json!({"service": {"name": "s"}})),
                "spec.defaultBackend: Required value: port name or number is required",
            ),
            (
                backend(json!({"service": {"name": "s", "port": {"number": 1, "name": "a"}}})),
                "spec.defaultBackend: Invalid value: \"\": cannot set both port name & port number",
            ),
            (
                backend(json!({"service": {"name": "", "port": {"number": 1}}})),
                "spec.defaultBackend.service.name: Required value",
            ),
            (
                backend(json!({"service": {"name": "s", "port": {"number": 70000}}})),
                "spec.defaultBackend.service.port.number: Invalid value: 70000",
            ),
            (
                backend(json!({"resource": {"kind": "", "name": "x"}})),
                "spec.defaultBackend.resource.kind: Required value",
            ),
            (
                backend(json!({"resource": {"kind": "K", "name": "x"}, "service": {"name": "s"}})),
                "cannot set both resource and service backends",
            ),
            (
                json!({"spec": {"tls": [{"hosts": ["A"]}]}}),
                "spec.tls[0].hosts[0]: Invalid value: \"A\"",
            ),
            (
                json!({"spec": {"tls": [{"secretName": "A"}]}}),
                "spec.tls[0].secretName: Invalid value: \"A\"",
            ),
            (
                json!({"spec": {"ingressClassName": "A"}}),
                "spec.ingressClassName: Invalid value: \"A\"",
            ),
            (
                json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "d"}}}),
                "must match `ingressClassName` when both are specified",
            ),
        ],
    );
    let old = create(ingresses, base).expect("valid");
    let told = |new: &Value, old: &Value| ingresses.strategy.warnings_of_change(new, old);
    assert!(told(&old, &Value::Null).is_empty());
    let annotated = json!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "d"}}});
    assert_eq!(
        told(&annotated, &Value::Null),
        ["annotation \"kubernetes.io/ingress.class\" is deprecated, please use \
             'spec.ingressClassName' instead"]
    );
    assert!(told(&annotated, &old).is_empty());
    for (address, wanted) in [
        (json!({"ip": "x"}), Some("status.loadBalancer.ingress[0].ip: Invalid value")),
        (json!({"hostname": "1.2.3.4"}), Some("must be a DNS name, not an IP address")),
        (json!({"ip": "1.2.3.4", "hostname": "a.b"}), None),
    ] {
        let mut new = changed(&old, &json!({"status": {"loadBalancer": {"ingress": [address]}}}));
        match (before_status_update(ingresses, &mut new, &old), wanted) {
            (Ok(()), None) => {}
            (Err(status), Some(wanted)) => assert!(status.message.contains(wanted), "{status}"),
            (got, wanted) => panic!("{got:?} instead of {wanted:?}"),
        }
    }
}

#[test]
fn ingress_classes() {
    let classes = resource(GROUP, "ingressclasses");
    let base = json!({"metadata": {"name": "c"}, "spec": {"controller": "a.io/b",
        "parameters": {"kind": "K", "name": "n"}}});
    let parameters = |change: Value| json!({"spec": {"parameters": change}});
    refuses(
        classes,
        &base,
        &[
            (json!({"spec": {"controller": ""}}), "spec.controller: Required value"),
            (
                json!({"spec": {"controller": "b"}}),
                "must be a domain-prefixed path (such as \"acme.io/foo\")",
            ),
            (
                json!({"spec": {"controller": "A/b"}}),
                "spec.controller: Invalid value: \"A\": a lowercase RFC 1123 subdomain",
            ),
            (
                json!({"spec": {"controller": "a.io/b c"}}),
                "spec.controller: Invalid value: \"b c\": Invalid path",
            ),
            (
                json!({"spec": {"controller": format!("a.io/{}", "x".repeat(250))}}),
                "spec.controller: Too long: may not be more than 250 bytes",
            ),
            (parameters(json!({"kind": ""})), "spec.parameters.kind: Required value"),
            (parameters(json!({"name": "a/b"})), "spec.parameters.name: Invalid value: \"a/b\""),
            (
                parameters(json!({"apiGroup": "A"})),
                "spec.parameters.apiGroup: Invalid value: \"A\"",
            ),
            (
                parameters(json!({"scope": "X"})),
                "spec.parameters.scope: Unsupported value: \"X\": supported values: \"Cluster\", \"Namespace\"",
            ),
            (
                parameters(json!({"scope": "Namespace"})),
                "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
            ),
            (
                parameters(json!({"namespace": "d"})),
                "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
            ),
        ],
    );
    let moved = json!({"spec": {"controller": "a.io/c"}});
    refuses_update(
        classes,
        &base,
        &[(moved, "spec.controller: Invalid value: \"a.io/c\": field is immutable")],
    );
    accepts_update(classes, &base, &[parameters(json!({"scope": "Namespace", "namespace": "d"}))]);
    let made = create(classes, base).expect("valid");
    assert_eq!(made["spec"]["parameters"]["scope"], "Cluster");
}

#[test]
fn network_policies() {
    let policies = resource(GROUP, "networkpolicies");
    let peer = |peer: Value| json!({"spec": {"ingress": [{"from": [peer]}]}});
    let port = |port: Value| json!({"spec": {"egress": [{"ports": [port]}]}});
    let base = json!({"metadata": {"name": "p"}, "spec": {"podSelector": {"matchLabels": {"a": "b"}},
        "ingress": [{"ports": [{"port": "http"}, {"port": 80, "endPort": 90}],
            "from": [{"podSelector": {}, "namespaceSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}],
        "egress": [{}]}});
    let (block, from) = ("spec.ingress[0].from[0].ipBlock", "spec.ingress[0].from[0]");
    refuses(
        policies,
        &base,
        &[
            (
                json!({"spec": {"podSelector": {"matchLabels": {"a": "b c"}}}}),
                "spec.podSelector.matchLabels: Invalid value: \"b c\"",
            ),
            (peer(json!({})), &format!("{from}: Required value: must specify a peer")),
            (
                peer(json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}})),
                &format!("{from}: Forbidden: may not specify both ipBlock and another peer"),
            ),
            (peer(json!({"ipBlock": {}})), &format!("{block}.cidr: Required value")),
            (
                peer(json!({"ipBlock": {"cidr": "x"}})),
                &format!("{block}.cidr: Invalid value: \"x\": must be a valid CIDR value"),
            ),
            (
                peer(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}})),
                &format!(
                    "{block}.except[0]: Invalid value: \"11.0.0.0/16\": must be a strict subset of `cidr`"
                ),
            ),
            (
                peer(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}})),
                "must be a strict subset of `cidr`",
            ),
            (
                port(json!({"protocol": "X"})),
                "spec.egress[0].ports[0].protocol: Unsupported value: \"X\": supported values: \"TCP\", \"UDP\", \"SCTP\"",
            ),
            (port(json!({"port": 0})), "spec.egress[0].ports[0].port: Invalid value: 0"),
            (port(json!({"port": "A"})), "spec.egress[0].ports[0].port: Invalid value: \"A\""),
            (port(json!({"endPort": 5})), "may not be specified when `port` is not specified"),
            (
                port(json!({"port": "a", "endPort": 5})),
                "may not be specified when `port` is non-numeric",
            ),
            (port(json!({"port": 6, "endPort": 5})), "must be greater than or equal to `port`"),
            (
                json!({"spec": {"policyTypes": ["X"]}}),
                "spec.policyTypes[0]: Unsupported value: \"X\": supported values: \"Ingress\", \"Egress\"",
            ),
            (
                json!({"spec": {"policyTypes": ["Ingress", "Egress", "Ingress"]}}),
                "may not specify more than two policyTypes",
            ),
        ],
    );
    let made = create(policies, base).expect("valid");
    assert_eq!(made["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(made["spec"]["ingress"][0]["ports"][0]["protocol"], "TCP");
}

#[test]
fn addresses_and_ranges() {
    let addresses = resource(GROUP, "ipaddresses");
    let base = json!({"metadata": {"name": "10.0.0.1"},
        "spec": {"parentRef": {"resource": "services", "name": "s", "namespace": "d"}}});
    let parent = |change: Value| json!({"spec": {"parentRef": change}});
    refuses(
        addresses,
        &base,
        &[
            (
                json!({"metadata": {"name": "a"}}),
                "metadata.name: Invalid value: \"a\": must be a valid IP address",
            ),
            (
                json!({"metadata": {"name": "2001:DB8::1"}}),
                "must be in canonical form (\"2001:db8::1\")",
            ),
            (json!({"spec": {"parentRef": null}}), "spec.parentRef: Required value"),
            (parent(json!({"resource": ""})), "spec.parentRef.resource: Required value"),
            (parent(json!({"name": ""})), "spec.parentRef.name: Required value"),
            (parent(json!({"group": "A"})), "spec.parentRef.group: Invalid value: \"A\""),
            (
                parent(json!({"namespace": "a/b"})),
                "spec.parentRef.namespace: Invalid value: \"a/b\"",
            ),
        ],
    );
    refuses_update(addresses, &base, &[(parent(json!({"name": "t"})), "field is immutable")]);

    let ranges = resource(GROUP, "servicecidrs");
    let cidrs = |cidrs: Value| json!({"spec": {"cidrs": cidrs}});
    let base = json!({"metadata": {"name": "c"}, "spec": {"cidrs": ["10.0.0.0/16"]}, "status": {"conditions": []}});
    refuses(
        ranges,
        &base,
        &[
            (cidrs(json!([])), "spec.cidrs: Required value: at least one CIDR required"),
            (cidrs(json!(["a", "b", "c"])), "may only hold up to 2 values"),
            (
                cidrs(json!(["x"])),
                "spec.cidrs[0]: Invalid value: \"x\": must be a valid CIDR value",
            ),
            (cidrs(json!(["10.0.0.1/16"])), "must not have bits set beyond the prefix length"),
            (cidrs(json!(["2001:DB8::/64"])), "must be in canonical form"),
            (
                cidrs(json!(["10.0.0.0/16", "10.1.0.0/16"])),
                "may specify no more than one IP for each IP family",
            ),
        ],
    );
    refuses_update(
        ranges,
        &base,
        &[
            (
                cidrs(json!(["10.1.0.0/16"])),
                "spec.cidrs[0]: Invalid value: \"10.1.0.0/16\": field is immutable",
            ),
            (
                cidrs(json!(["2001:db8::/64", "10.0.0.0/16"])),
                "spec.cidrs[0]: Invalid value: \"2001:db8::/64\": field is immutable",
            ),
            (cidrs(json!([])), "spec.cidrs: Invalid value"),
        ],
    );
    accepts_update(ranges, &base, &[cidrs(json!(["10.0.0.0/16", "2001:db8::/64"]))]);
    // Who writes the status changes not even labels.
    let old = create(ranges, base).expect("valid");
    let mut new = changed(
        &old,
        &json!({"metadata": {"labels": {"a": "b"}}, "spec": {"cidrs": []},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
    );
    before_status_update(ranges, &mut new, &old).expect("valid");
    assert_eq!((&new["metadata"], &new["spec"]), (&old["metadata"], &old["spec"]));
    assert_eq!(new["status"]["conditions"][0]["type"], "Ready");
}

//! Annotations, names, and what the scheduler reads.

use serde_json::{Value, json};

use super::*;
use super::{assert_errors, errors_of, template_errors_of};

fn errors_with(annotations: &Value, change: &Value) -> Vec<String> {
    let mut pod = json!({"metadata": {"name": "p", "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    json_patch::merge(&mut pod["spec"], change);
    Pod.default(&mut pod);
    Pod.prepare_for_create(&mut pod);
    Pod.validate(&pod).iter().map(ToString::to_string).collect()
}

#[test]
fn annotations_that_mean_something() {
    let none = json!({});
    let at = "metadata.annotations";
    for (annotations, change, wanted) in [
        (json!({"a": "b"}), &none, None),
        (json!({"kubernetes.io/config.mirror": "x"}), &json!({"nodeName": "n"}), None),
        (
            json!({"kubernetes.io/config.mirror": "x"}),
            &none,
            Some(format!("{at}[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is set")),
        ),
        (json!({"controller.kubernetes.io/pod-deletion-cost": "-5"}), &none, None),
        (
            json!({"controller.kubernetes.io/pod-deletion-cost": "+5"}),
            &none,
            Some(format!("{at}[controller.kubernetes.io/pod-deletion-cost]: Invalid value: \"+5\": must be a 32bit integer")),
        ),
        (
            json!({"container.apparmor.security.beta.kubernetes.io/d": "unconfined"}),
            &none,
            Some(format!("{at}[container.apparmor.security.beta.kubernetes.io/d]: Invalid value: \"d\": container not found")),
        ),
        (
            json!({"container.apparmor.security.beta.kubernetes.io/c": "x"}),
            &none,
            Some(format!("{at}[container.apparmor.security.beta.kubernetes.io/c]: Invalid value: \"x\": invalid AppArmor profile name: \"x\"")),
        ),
        (
            json!({"seccomp.security.alpha.kubernetes.io/pod": "x"}),
            &none,
            Some(format!("{at}.seccomp.security.alpha.kubernetes.io/pod: Invalid value: \"x\": must be a valid seccomp profile")),
        ),
        (
            json!({"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}),
            &json!({"securityContext": {"seccompProfile": {"type": "RuntimeDefault"}}}),
            Some("spec.securityContext.seccompProfile.type: Forbidden: seccomp type in annotation and field must match".to_owned()),
        ),
        (
            json!({"container.apparmor.security.beta.kubernetes.io/c": "localhost/a"}),
            &json!({"securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": "b"}}}),
            Some("spec.containers[0].securityContext.appArmorProfile.localhostProfile: Forbidden: apparmor profile in annotation and field must match".to_owned()),
        ),
    ] {
        assert_eq!(errors_with(&annotations, change), Vec::from_iter(wanted), "{annotations}");
    }
    let metadata = json!({"annotations": {"kubernetes.io/config.mirror": "x"}});
    assert_eq!(
        template_errors_of(&metadata, &json!({})),
        [
            "spec.template.annotations[kubernetes.io/config.mirror]: Invalid value: \"x\": must set spec.nodeName if mirror pod annotation is set"
        ]
    );
}

#[test]
fn a_gated_pod_has_no_node() {
    let gates = json!([{"name": "x.io/wait"}]);
    assert_errors(&[
        (json!({"schedulingGates": gates}), &[]),
        (
            json!({"schedulingGates": gates, "nodeName": "n"}),
            &[
                "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
            ],
        ),
    ]);
    // Its template may say so: the pods are refused.
    let both = json!({"schedulingGates": gates, "nodeName": "n"});
    assert_eq!(template_errors_of(&json!({}), &both), Vec::<String>::new());
}

#[test]
fn templates_obey_the_rules_of_pods() {
    let change = json!({"os": {"name": "linux"}, "hostUsers": false, "hostPID": true,
        "containers": [{"name": "c", "image": " i ", "resources": {"requests": {"x.io/gpu": "1"}},
            "lifecycle": {"preStop": {"sleep": {"seconds": 99}}}}]});
    assert_eq!(
        template_errors_of(&json!({"labels": {"a": "b"}}), &change),
        [
            "spec.template.spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources",
            "spec.template.spec.containers[0].lifecycle.preStop.sleep: Invalid value: 99: must be non-negative and less than terminationGracePeriodSeconds (30)",
            "spec.template.spec.HostPID: Forbidden: when `hostUsers` is false",
        ]
    );
}

#[test]
fn names_and_addresses() {
    let dns = |config: Value| json!({"dnsConfig": config});
    let long = "a".repeat(62);
    let many: Vec<&str> = vec![&long; 33];
    assert_errors(&[
        (dns(json!({"searches": [".", "_a._tcp.b.", "a_b.c"]})), &[]),
        (
            dns(json!({"nameservers": ["010.0.0.1", "::ffff:1.2.3.4"]})),
            &[
                "spec.dnsConfig.nameservers[0]: Invalid value: \"010.0.0.1\": must not have leading 0s",
                "spec.dnsConfig.nameservers[1]: Invalid value: \"::ffff:1.2.3.4\": must not be an IPv4-mapped IPv6 address",
            ],
        ),
        (
            json!({"dnsPolicy": "None", "dnsConfig": {"searches": ["a"]}}),
            &[
                "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
            ],
        ),
        (
            json!({"hostnameOverride": "x", "setHostnameAsFQDN": true, "hostNetwork": true}),
            &[
                "spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true",
                "spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true",
            ],
        ),
        (
            json!({"hostnameOverride": format!("{long}.{long}")}),
            &["spec.hostnameOverride: Too long: may not be more than 64 bytes"],
        ),
        (
            json!({"hostname": "a.b"}),
            &["spec.hostname: Invalid value: \"a.b\": must not contain dots"],
        ),
        (json!({"schedulerName": "any thing"}), &[]),
        (json!({"imagePullSecrets": [{"name": ""}]}), &[]),
    ]);
    let errors = errors_of(&dns(json!({"searches": many})));
    assert!(errors[0].ends_with("must not have more than 32 search paths"), "{errors:?}");
    assert!(
        errors[1].ends_with(
            "must not have more than 2048 characters (including spaces) in the search list"
        ),
        "{errors:?}"
    );
    assert!(
        errors_of(&json!({"runtimeClassName": ""}))[0]
            .starts_with("spec.runtimeClassName: Invalid value: \"\"")
    );
}

#[test]
fn tolerations_and_spread() {
    let spread = |fields: Value| {
        let mut constraint =
            json!({"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"});
        json_patch::merge(&mut constraint, &fields);
        json!({"topologySpreadConstraints": [constraint]})
    };
    let at = "spec.topologySpreadConstraints[0]";
    let soft = format!(
        "{at}.minDomains: Invalid value: 2: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway"
    );
    let zero = format!("{at}.minDomains: Invalid value: 0: must be greater than zero");
    let policy = format!(
        "{at}.nodeTaintsPolicy: Unsupported value: \"X\": supported values: \"Honor\", \"Ignore\""
    );
    let keys = format!(
        "{at}.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"
    );
    let both =
        format!("{at}[0]: Invalid value: \"app\": exists in both matchLabelKeys and labelSelector");
    let mut twice = spread(json!({}));
    let again = twice["topologySpreadConstraints"][0].clone();
    twice["topologySpreadConstraints"].as_array_mut().expect("a list").push(again);
    let toleration = |fields: Value| json!({"tolerations": [fields]});
    assert_errors(&[
        (spread(json!({"minDomains": 2, "nodeAffinityPolicy": "Honor"})), &[]),
        (spread(json!({"minDomains": 2, "whenUnsatisfiable": "ScheduleAnyway"})), &[&soft]),
        (spread(json!({"minDomains": 0})), &[&zero]),
        (spread(json!({"nodeTaintsPolicy": "X"})), &[&policy]),
        (spread(json!({"matchLabelKeys": ["app"]})), &[&keys]),
        (
            spread(
                json!({"matchLabelKeys": ["app"], "labelSelector": {"matchLabels": {"app": "x"},
                "matchExpressions": [{"key": "app", "operator": "Exists"}]}}),
            ),
            &[&both],
        ),
        (
            twice,
            &[&format!(
                "{at}.{{topologyKey, whenUnsatisfiable}}: Duplicate value: \"{{z, DoNotSchedule}}\""
            )],
        ),
        (
            toleration(json!({"key": "a", "operator": "Exists", "value": "x"})),
            &[
                "spec.tolerations[0].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'",
            ],
        ),
        (
            toleration(json!({"key": "a", "operator": "Lt", "value": "1"})),
            &[
                "spec.tolerations[0].operator: Unsupported value: \"Lt\": supported values: \"Equal\", \"Exists\", \"Lt\", \"Gt\"",
            ],
        ),
        (json!({"preemptionPolicy": "Never"}), &[]),
        (
            json!({"preemptionPolicy": "Now"}),
            &[
                "spec.preemptionPolicy: Unsupported value: \"Now\": supported values: \"PreemptLowerPriority\", \"Never\"",
            ],
        ),
    ]);
}

#[test]
fn affinity_to_nodes_and_pods() {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let node = |term: Value| json!({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}});
    let pod = |fields: Value| {
        let mut term = json!({"topologyKey": "z", "labelSelector": {"matchLabels": {"a": "b"}}});
        json_patch::merge(&mut term, &fields);
        json!({"affinity": {"podAffinity": {REQUIRED: [term]}}})
    };
    let at = format!("spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0]");
    let pods = format!("spec.affinity.podAffinity.{REQUIRED}[0]");
    let expression =
        json!({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]});
    let preferred = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
        [{"weight": 1, "preference": expression}]}}});
    assert_eq!(errors_of(&preferred), Vec::<String>::new());
    let errors = errors_of(&node(expression));
    assert!(
        errors[0]
            .starts_with(&format!("{at}.matchExpressions[0].values[0]: Invalid value: \"b c\"")),
        "{errors:?}"
    );
    assert_errors(&[
        (
            node(
                json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}),
            ),
            &[],
        ),
        (
            node(
                json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n", "m"]}]}),
            ),
            &[&format!(
                "{at}.matchFields[0].values: Required value: must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )],
        ),
        (
            node(json!({"matchFields": [{"key": "metadata.uid", "operator": "Exists"}]})),
            &[
                &format!(
                    "{at}.matchFields[0].operator: Invalid value: \"Exists\": not a valid selector operator"
                ),
                &format!(
                    "{at}.matchFields[0].key: Invalid value: \"metadata.uid\": not a valid field selector key"
                ),
            ],
        ),
        (
            pod(json!({"namespaces": ["a.b"]})),
            &[&format!("{pods}.namespace: Invalid value: \"a.b\": must not contain dots")],
        ),
        (
            pod(json!({"matchLabelKeys": ["x"], "mismatchLabelKeys": ["x"]})),
            &[&format!(
                "{pods}.matchLabelKeys[0]: Invalid value: \"x\": exists in both matchLabelKeys and mismatchLabelKeys"
            )],
        ),
    ]);
}

#[test]
fn label_keys_become_expressions_of_a_new_pod() {
    let term = json!({"topologyKey": "z", "labelSelector": {"matchLabels": {"app": "x"}},
        "matchLabelKeys": ["v", "absent"], "mismatchLabelKeys": ["t"]});
    let mut pod = json!({"metadata": {"name": "p", "labels": {"v": "1", "t": "2"}}, "spec": {
        "containers": [{"name": "c", "image": "i"}],
        "affinity": {
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {}, "matchLabelKeys": ["v"]}]}});
    Pod.default(&mut pod);
    Pod.prepare_for_create(&mut pod);
    assert_eq!(Pod.validate(&pod), Errors::new());
    let own = json!({"key": "v", "operator": "In", "values": ["1"]});
    let both = json!([own, {"key": "t", "operator": "NotIn", "values": ["2"]}]);
    let expressions =
        |at: &str| pod["spec"].pointer(&format!("{at}/labelSelector/matchExpressions"));
    let required = "/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/0";
    let preferred = "/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/0/podAffinityTerm";
    assert_eq!(expressions(required), Some(&both));
    assert_eq!(expressions(preferred), Some(&both));
    assert_eq!(expressions("/topologySpreadConstraints/0"), Some(&json!([own])));
}

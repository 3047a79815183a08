use serde_json::{Value, json};

use super::*;

fn of(spec: &Value) -> Vec<String> {
    of_pod(&json!({"metadata": {"name": "p"}, "spec": spec}))
}

#[track_caller]
fn tells(spec: Value, want: &[&str]) {
    assert_eq!(of(&spec), want, "{spec}");
}

#[test]
fn nothing_is_said_about_an_ordinary_pod() {
    let resources =
        json!({"requests": {"cpu": "100m", "memory": "4M"}, "limits": {"memory": "4Mi"}});
    tells(
        json!({
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
            "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}]}},
            "topologySpreadConstraints": [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}],
            "hostAliases": [{"ip": "1.1.1.1"}, {"ip": "2.2.2.2"}],
            "imagePullSecrets": [{"name": "a"}, {"name": "b"}],
            "terminationGracePeriodSeconds": 0,
            "dnsConfig": {"nameservers": ["1.1.1.1", "fd00::1"]},
            "containers": [
                {"name": "c", "resources": resources, "env": [{"name": "a", "value": "1"}, {"name": "b"}],
                 "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"},
                           {"containerPort": 80, "protocol": "UDP"},
                           {"containerPort": 81, "protocol": "TCP"}]},
                {"name": "d", "resources": resources},
            ],
            "volumes": [
                {"name": "v", "emptyDir": {}},
                {"name": "w", "projected": {"sources": [
                    {"serviceAccountToken": {"path": "token"}},
                    {"configMap": {"name": "m", "items": [{"key": "k", "path": "ca.crt"}]}},
                    {"downwardAPI": {"items": [{"path": "namespace"}]}}]}},
            ],
        }),
        &[],
    );
    assert!(of_pod(&json!({"metadata": {"name": "p"}})).is_empty());
    assert!(of_template(&Value::Null, &Path::new("spec.template")).is_empty());
}

#[test]
fn sources_that_nobody_mounts_any_more() {
    let gone = |n: usize, field: &str, old: &str, dead: &str| {
        format!("spec.volumes[{n}].{field}: deprecated in v{old}, non-functional in v{dead}+")
    };
    tells(
        json!({"volumes": [
            {"photonPersistentDisk": {}}, {"gitRepo": {}}, {"scaleIO": {}}, {"flocker": {}},
            {"storageos": {}}, {"quobyte": {}}, {"glusterfs": {}}, {"cephfs": {}}, {"rbd": {}},
            {"hostPath": {}}, {"iscsi": {}},
            {"ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "200m"}}}}}},
        ]}),
        &[
            &gone(0, "photonPersistentDisk", "1.11", "1.16"),
            "spec.volumes[1].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
            &gone(2, "scaleIO", "1.16", "1.22"),
            &gone(3, "flocker", "1.22", "1.25"),
            &gone(4, "storageOS", "1.22", "1.25"),
            &gone(5, "quobyte", "1.22", "1.25"),
            &gone(6, "glusterfs", "1.25", "1.26"),
            &gone(7, "cephfs", "1.28", "1.31"),
            &gone(8, "rbd", "1.28", "1.31"),
            "spec.volumes[11].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: \
             fractional byte value \"200m\" is invalid, must be an integer",
        ],
    );
}

#[test]
fn files_of_a_volume_in_each_others_way() {
    let items = |paths: &[&str]| {
        Value::from_iter(paths.iter().map(|path| json!({"key": "k", "path": path})))
    };
    for (volume, want) in [
        (
            json!({"configMap": {"name": "m", "items": items(&["test", "test"])}}),
            vec!["(ConfigMap \"m\"): overlapping paths: \"test\" with \"test\""],
        ),
        (
            json!({"configMap": {"name": "m", "items": items(&["test", "other", "test/app"])}}),
            vec!["(ConfigMap \"m\"): overlapping paths: \"test/app\" with \"test\""],
        ),
        (
            json!({"secret": {"secretName": "s", "items": items(&["test/app", "test/"])}}),
            vec!["(Secret \"s\"): overlapping paths: \"test\" with \"test/app\""],
        ),
        (json!({"secret": {"secretName": "s", "items": items(&["test", "test2", "te"])}}), vec![]),
        (
            json!({"downwardAPI": {"items": items(&["a", "a"])}}),
            vec!["(DownwardAPI): overlapping paths: \"a\" with \"a\""],
        ),
        (
            json!({"projected": {"sources": [
                {"clusterTrustBundle": {"signerName": "b", "path": "test/test"}},
                {"downwardAPI": {"items": items(&["test"])}},
                {"secret": {"name": "s", "items": items(&["test"])}},
                {"serviceAccountToken": {"path": "test/"}},
            ]}}),
            vec![
                "(Projected): overlapping paths: \"test\" (DownwardAPI) with \"test/test\" (ClusterTrustBundle \"b\")",
                "(Projected): overlapping paths: \"test\" (Secret \"s\") with \"test/test\" (ClusterTrustBundle \"b\")",
                "(Projected): overlapping paths: \"test\" (Secret \"s\") with \"test\" (DownwardAPI)",
                "(Projected): overlapping paths: \"test\" (ServiceAccountToken) with \"test/test\" (ClusterTrustBundle \"b\")",
                "(Projected): overlapping paths: \"test\" (ServiceAccountToken) with \"test\" (DownwardAPI)",
                "(Projected): overlapping paths: \"test\" (ServiceAccountToken) with \"test\" (Secret \"s\")",
            ],
        ),
        (
            json!({"projected": {"sources": [
                {"podCertificate": {"keyPath": "k", "certificateChainPath": "c"}},
                {"configMap": {"name": "m", "items": items(&["c", "k/x"])}},
            ]}}),
            vec![
                "(Projected): overlapping paths: \"c\" (ConfigMap \"m\") with \"c\" (PodCertificate chain)",
                "(Projected): overlapping paths: \"k/x\" (ConfigMap \"m\") with \"k\" (PodCertificate key)",
            ],
        ),
        (json!({"projected": {"sources": [{}]}}), vec!["(Projected) has no sources provided"]),
    ] {
        let mut volume = volume;
        volume["name"] = "v".into();
        let want: Vec<_> = want.iter().map(|line| format!("volume \"v\" {line}")).collect();
        assert_eq!(of(&json!({"volumes": [volume]})), want, "{volume}");
    }
}

#[test]
fn what_is_in_a_list_twice() {
    tells(
        json!({"hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.2"}, {"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}],
               "imagePullSecrets": [{"name": "a"}, {"name": "a"}, {"name": ""}, {}]}),
        &[
            "spec.hostAliases[2].ip: duplicate ip \"1.1.1.1\"",
            "spec.hostAliases[3].ip: duplicate ip \"1.1.1.1\"",
            "spec.imagePullSecrets[1].name: duplicate name \"a\"",
            "spec.imagePullSecrets[3].name: duplicate name \"\"",
            "spec.imagePullSecrets[2].name: invalid empty name \"\"",
            "spec.imagePullSecrets[3].name: invalid empty name \"\"",
        ],
    );
}

#[test]
fn variables_that_hide_others() {
    let env = json!([
        {"name": "a", "value": "1"},
        {"name": "a", "value": "1"},
        {"name": "a", "value": "other"},
        {"name": "a"},
        {"name": "a", "value": "$(a)"},
        {"name": "a", "valueFrom": {"fieldRef": {}}},
        {"name": "a", "value": "$(a) $(a)"},
        {"name": "b", "value": "$(a)"},
    ]);
    let hides = |list: &str, n: usize| {
        format!(
            "spec.{list}[0].env[{n}]: hides previous definition of \"a\", which may be dropped when \
             using apply"
        )
    };
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let spec =
        json!({lists[0]: [{"env": env}], lists[1]: [{"env": env}], lists[2]: [{"env": env}]});
    let want: Vec<_> = lists.iter().flat_map(|list| (1..6).map(move |n| hides(list, n))).collect();
    assert_eq!(of(&spec), want);
}

#[test]
fn fractions_of_bytes_in_resources() {
    let some = json!({"cpu": "100m", "memory": "4m", "ephemeral-storage": "4m"});
    let at = |path: &str| {
        format!("spec.{path}: fractional byte value \"4m\" is invalid, must be an integer")
    };
    let spec = json!({"overhead": some, "initContainers": [{"resources": {"limits": some, "requests": some}}]});
    assert_eq!(
        of(&spec),
        [
            at("overhead[memory]"),
            at("overhead[ephemeral-storage]"),
            at("initContainers[0].resources.limits[memory]"),
            at("initContainers[0].resources.requests[memory]"),
            at("initContainers[0].resources.limits[ephemeral-storage]"),
            at("initContainers[0].resources.requests[ephemeral-storage]"),
        ]
    );
}

#[test]
fn labels_of_nodes_by_their_old_names() {
    let old = json!({"matchExpressions": [
        {"key": "a", "operator": "In", "values": ["-1"]}, {"key": "beta.kubernetes.io/os", "operator": "Exists"}]});
    let os = "beta.kubernetes.io/os is deprecated since v1.14; use \"kubernetes.io/os\" instead";
    let spec = json!({
        "nodeSelector": {"a": "b", "beta.kubernetes.io/arch": "arm"},
        "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}, old]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": old}]}},
        "topologySpreadConstraints": [{"topologyKey": "beta.kubernetes.io/os", "labelSelector": {}}],
    });
    let told = of(&spec);
    let required = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution";
    let preferred = "spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution";
    assert_eq!(
        told[..2],
        [
            "spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use \
             \"kubernetes.io/arch\" instead"
                .to_owned(),
            format!("{required}.nodeSelectorTerms[1].matchExpressions[1].key: {os}"),
        ]
    );
    let value =
        format!("{preferred}[0].preference.matchExpressions[0].values[0]: -1 is invalid, a valid");
    assert!(told[2].starts_with(&value), "{}", told[2]);
    assert_eq!(
        told[3..],
        [
            format!("{preferred}[0].preference.matchExpressions[1].key: {os}"),
            format!("spec.topologySpreadConstraints[0].topologyKey: {os}"),
        ]
    );
}

#[test]
fn selectors_that_are_not_there_select_nothing() {
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    let affinity = json!({
        required: [{"labelSelector": {}}, {}],
        preferred: [{"podAffinityTerm": {"labelSelector": {}}}, {"podAffinityTerm": {"labelSelector": null}}],
    });
    let spec = json!({
        "topologySpreadConstraints": [{"labelSelector": {}}, {}],
        "affinity": {"podAffinity": affinity, "podAntiAffinity": affinity},
    });
    let of_kind = |kind: &str| {
        [
            format!("affinity.{kind}.{required}[1].labelSelector"),
            format!("affinity.{kind}.{preferred}[1].podAffinityTerm.labelSelector"),
        ]
    };
    let paths = [
        &["topologySpreadConstraints[1].labelSelector".to_owned()][..],
        &of_kind("podAffinity"),
        &of_kind("podAntiAffinity"),
    ]
    .concat();
    let want: Vec<_> = paths
        .iter()
        .map(|path| format!("spec.{path}: a null labelSelector results in matching no pod"))
        .collect();
    assert_eq!(of(&spec), want);
}

#[test]
fn ports_that_are_there_twice() {
    let port = |number: i64, host: i64, ip: &str| json!({"containerPort": number, "protocol": "UDP", "hostPort": host, "hostIP": ip});
    let no_host = "hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:UDP HostIP:10.0.0.1}";
    for (ports, want) in [
        (vec![port(80, 0, ""), port(81, 0, "")], vec![]),
        (vec![port(80, 80, ""), port(80, 81, "")], vec![]),
        (vec![port(80, 80, "10.0.0.1"), port(80, 80, "10.0.0.2")], vec![]),
        (vec![port(80, 0, ""), port(80, 0, "")], vec![(1, "duplicate", 0)]),
        (vec![port(80, 80, "10.0.0.1"), port(80, 80, "10.0.0.1")], vec![(1, "duplicate", 0)]),
        (vec![port(80, 80, ""), port(80, 0, "")], vec![(1, "overlapping", 0)]),
        (
            vec![port(80, 80, "10.0.0.1"), port(80, 80, ""), port(80, 80, "10.0.0.2")],
            vec![(1, "dangerously ambiguous", 0), (2, "dangerously ambiguous", 1)],
        ),
        (
            vec![port(80, 80, ""), port(180, 80, ""), port(80, 80, ""), port(80, 80, "")],
            vec![(2, "duplicate", 0), (3, "duplicate", 0), (3, "duplicate", 2)],
        ),
    ] {
        let apart = json!({"containers": Value::from_iter(ports.iter().map(|port| json!({"ports": [port]})))});
        let want_apart: Vec<_> = want
            .iter()
            .map(|(n, what, other)| {
                format!("spec.containers[{n}].ports[0]: {what} port definition with spec.containers[{other}].ports[0]")
            })
            .collect();
        assert_eq!(of(&apart), want_apart, "{apart}");
        let together = json!({"initContainers": [{"ports": ports}]});
        let want: Vec<_> = want
            .iter()
            .map(|(n, what, other)| {
                let at = "spec.initContainers[0].ports";
                format!("{at}[{n}]: {what} port definition with {at}[{other}]")
            })
            .collect();
        assert_eq!(of(&together), want, "{together}");
    }
    tells(
        json!({"containers": [{"ports": [port(80, 0, "10.0.0.1")]}]}),
        &[&format!("spec.containers[0].ports[0]: {no_host}")],
    );
    let named = |name: &str, number: i64| json!({"name": name, "containerPort": number});
    let first = "spec.initContainers[0].ports[0]";
    tells(
        json!({"initContainers": [{"ports": [named("a", 1)]}],
               "containers": [{"ports": [named("b", 2), named("a", 3)]}, {"ports": [named("a", 4), named("", 5)]}]}),
        &[
            &format!(
                "spec.containers[0].ports[1]: duplicate port name \"a\" with {first}, services and probes that select ports by name will use {first}"
            ),
            &format!(
                "spec.containers[1].ports[0]: duplicate port name \"a\" with {first}, services and probes that select ports by name will use {first}"
            ),
        ],
    );
}

#[test]
fn annotations_that_became_fields() {
    let pod = json!({
        "metadata": {"name": "p", "annotations": {
            "a": "b",
            "scheduler.alpha.kubernetes.io/critical-pod": "",
            "security.alpha.kubernetes.io/sysctls": "a=b",
            "security.alpha.kubernetes.io/unsafe-sysctls": "a=b",
            "seccomp.security.alpha.kubernetes.io/pod": "runtime/default",
            "container.seccomp.security.alpha.kubernetes.io/c": "runtime/default",
            "container.seccomp.security.alpha.kubernetes.io/other": "runtime/default",
        }},
        "spec": {"containers": [{"name": "c"}]},
    });
    let old = [
        "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; \
         use the \"priorityClassName\" field instead",
        "metadata.annotations[security.alpha.kubernetes.io/sysctls]: non-functional in v1.11+; use the \
         \"sysctls\" field instead",
        "metadata.annotations[security.alpha.kubernetes.io/unsafe-sysctls]: non-functional in v1.11+; \
         use the \"sysctls\" field instead",
    ];
    let seccomp = [
        "metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: non-functional in v1.27+; use \
         the \"seccompProfile\" field instead",
        "metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: non-functional in \
         v1.27+; use the \"seccompProfile\" field instead",
    ];
    let all = [&old[..], &seccomp].concat();
    assert_eq!(of_pod(&pod), all);
    let in_template: Vec<_> = all.iter().map(|line| format!("spec.template.{line}")).collect();
    assert_eq!(of_template(&pod, &Path::new("spec.template")), in_template);
    let profile = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    let mut with_fields = pod;
    with_fields["spec"]["securityContext"] = profile.clone();
    with_fields["spec"]["containers"][0]["securityContext"] = profile;
    assert_eq!(of_pod(&with_fields), old);
}

/// A template is told unless a field says something; a pod unless the fields say the same already.
#[test]
fn profiles_of_app_armor_in_annotations() {
    let key = "container.apparmor.security.beta.kubernetes.io/c";
    let with = |annotation: &str, of_pod: Value, own: Value| {
        json!({"metadata": {"name": "p", "annotations": {key: annotation}}, "spec": {
            "securityContext": {"appArmorProfile": of_pod},
            "containers": [{"name": "c", "securityContext": {"appArmorProfile": own}}]}})
    };
    let local = json!({"type": "Localhost", "localhostProfile": "a"});
    let default = json!({"type": "RuntimeDefault"});
    for (annotation, of_all, own, pod_warns, template_warns) in [
        ("unconfined", Value::Null, Value::Null, true, true),
        ("unconfined", json!({"type": "Unconfined"}), Value::Null, false, false),
        ("unconfined", default.clone(), Value::Null, true, false),
        ("runtime/default", default.clone(), Value::Null, false, false),
        ("", default, Value::Null, true, false),
        ("localhost/a", local.clone(), Value::Null, false, false),
        ("localhost/b", local.clone(), Value::Null, true, false),
        ("localhost/a", Value::Null, local, false, false),
    ] {
        let pod = with(annotation, of_all, own);
        let line = format!(
            "metadata.annotations[{key}]: deprecated since v1.30; use the \"appArmorProfile\" field instead"
        );
        let want: Vec<_> = pod_warns.then(|| line.clone()).into_iter().collect();
        assert_eq!(of_pod(&pod), want, "{pod}");
        let want: Vec<_> = template_warns.then(|| format!("t.{line}")).into_iter().collect();
        assert_eq!(of_template(&pod, &Path::new("t")), want, "{pod}");
    }
    let mut windows = with("unconfined", Value::Null, Value::Null);
    windows["spec"]["os"] = json!({"name": "windows"});
    assert!(of_pod(&windows).is_empty());
}

#[test]
fn the_rest() {
    tells(
        json!({"terminationGracePeriodSeconds": -1,
               "dnsConfig": {"nameservers": ["1.2.3.4", "05.06.07.08"]},
               "hostAliases": [{"ip": "::ffff:1.2.3.4"}]}),
        &[
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be \
             treated as 1",
            "spec.dnsConfig.nameservers[1]: non-standard IP address \"05.06.07.08\" will be considered \
             invalid in a future Kubernetes release: use \"5.6.7.8\"",
            "spec.hostAliases[0].ip: non-standard IP address \"::ffff:1.2.3.4\" will be considered \
             invalid in a future Kubernetes release: use \"1.2.3.4\"",
        ],
    );
    let dotted = of_pod(&json!({"metadata": {"name": "a.b"}}));
    assert_eq!(
        dotted,
        ["metadata.name: this is used in the Pod's hostname, which can result in surprising \
             behavior; a DNS label is recommended: [must not contain dots]"]
    );
}

/// Nobody reads so many lines; they must not cost what they are worth to nobody.
#[test]
fn long_lists_are_not_compared_for_ever() {
    let ports = vec![json!({"containerPort": 80, "protocol": "TCP"}); 20_000];
    assert_eq!(of(&json!({"containers": [{"ports": ports}]})).len(), MOST);
    let items = vec![json!({"path": "a"}); 20_000];
    let volumes = json!([{"name": "v", "configMap": {"name": "m", "items": items}}]);
    assert_eq!(of(&json!({"volumes": volumes})).len(), MOST);
}

//! What each kind warns about, and when.

use serde_json::{Value, json};

use crate::lifecycle::before_update;
use crate::resources::Resource;
use crate::strategy::tests::{changed, create, resource};

/// All that is told about a new object.
fn told(resource: &Resource, object: &Value) -> Vec<String> {
    told_of(resource, object, &Value::Null)
}

/// All that is told about a write.
fn told_of(resource: &Resource, new: &Value, old: &Value) -> Vec<String> {
    let mut told = resource.strategy.warnings(new);
    told.extend(resource.strategy.warnings_of_change(new, old));
    told
}

/// All that is told about a change of an object.
fn told_of_update(resource: &Resource, old: &Value, change: &Value) -> Vec<String> {
    let mut new = changed(old, change);
    before_update(resource, &mut new, old).unwrap_or_else(|e| panic!("{change}: {e}"));
    told_of(resource, &new, old)
}

const NAMED: &str = "metadata.name: this is used in Pod names and hostnames, which can result in \
                     surprising behavior; a DNS label is recommended: [must not contain dots]";

fn template() -> Value {
    json!({"metadata": {"labels": {"a": "b"}}, "spec": {
        "terminationGracePeriodSeconds": -1,
        "containers": [{"name": "c", "image": "i"}],
    }})
}

fn negative_grace(path: &str) -> String {
    format!(
        "{path}.spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will \
         be treated as 1"
    )
}

#[test]
fn workloads_warn_about_their_templates_when_something_changes() {
    let selector = json!({"matchLabels": {"a": "b"}});
    let job = changed(&template(), &json!({"spec": {"restartPolicy": "Never"}}));
    for (group, plural, spec, path, change, named) in [
        (
            "apps",
            "deployments",
            json!({"selector": selector}),
            "spec.template",
            json!({"replicas": 2}),
            true,
        ),
        (
            "apps",
            "replicasets",
            json!({"selector": selector}),
            "spec.template",
            json!({"replicas": 2}),
            true,
        ),
        (
            "apps",
            "daemonsets",
            json!({"selector": selector}),
            "spec.template",
            json!({"minReadySeconds": 2}),
            false,
        ),
        (
            "apps",
            "statefulsets",
            json!({"selector": selector, "serviceName": "s"}),
            "spec.template",
            json!({"replicas": 2}),
            false,
        ),
        (
            "",
            "replicationcontrollers",
            json!({"selector": {"a": "b"}}),
            "spec.template",
            json!({"replicas": 2}),
            true,
        ),
        (
            "batch",
            "jobs",
            json!({"template": job}),
            "spec.template",
            json!({"suspend": true}),
            true,
        ),
        (
            "batch",
            "cronjobs",
            json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": job}}}),
            "spec.jobTemplate.spec.template",
            json!({"suspend": true}),
            true,
        ),
    ] {
        let row = resource(group, plural);
        let mut spec = spec;
        if group != "batch" {
            spec["template"] = template();
        }
        let name = if plural == "statefulsets" { "a" } else { "a.b" };
        let object = json!({
            "apiVersion": row.api_version(), "kind": row.kind, "metadata": {"name": name}, "spec": spec,
        });
        let old = create(row, object).unwrap_or_else(|e| panic!("{plural}: {e}"));
        let grace = negative_grace(path);
        let want = if named { vec![NAMED.to_owned(), grace.clone()] } else { vec![grace.clone()] };
        assert_eq!(told(row, &old), want, "{plural}");
        assert!(told_of_update(row, &old, &json!({"metadata": {"labels": {"x": "y"}}})).is_empty());
        assert_eq!(told_of_update(row, &old, &json!({"spec": change})), [grace], "{plural}");
    }
}

#[test]
fn pod_templates_warn_about_themselves() {
    let row = resource("", "podtemplates");
    let object = json!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "a.b"}, "template": template(),
    });
    let old = create(row, object).expect("valid");
    let want = [negative_grace("template")];
    assert_eq!(told(row, &old), want);
    assert!(told_of_update(row, &old, &json!({"metadata": {"labels": {"x": "y"}}})).is_empty());
    let change = json!({"template": {"metadata": {"labels": {"x": "y"}}}});
    assert_eq!(told_of_update(row, &old, &change), want);
}

#[test]
fn pods_warn_when_they_are_new() {
    let row = resource("", "pods");
    let mut pod = template();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = "a.b".into();
    let old = create(row, pod).expect("valid");
    let grace = negative_grace("spec").replacen("spec.spec", "spec", 1);
    assert_eq!(
        told(row, &old),
        [NAMED.replace("Pod names and hostnames", "the Pod's hostname"), grace]
    );
    assert!(told_of_update(row, &old, &json!({"metadata": {"labels": {"x": "y"}}})).is_empty());
    let status = json!({"status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00:0::1"}],
        "hostIPs": [{"ip": "::ffff:10.0.0.1"}]}});
    assert_eq!(
        row.strategy.warnings_of_status(&status),
        [
            "status.podIPs[1].ip: IPv6 address \"fd00:0::1\" should be in RFC 5952 canonical format \
             (\"fd00::1\")",
            "status.hostIPs[0].ip: non-standard IP address \"::ffff:10.0.0.1\" will be considered \
             invalid in a future Kubernetes release: use \"10.0.0.1\"",
        ]
    );
}

#[test]
fn stateful_sets_warn_about_claims_and_revisions() {
    let row = resource("apps", "statefulsets");
    let claim = json!({"spec": {"resources": {"requests": {"storage": "1500m"}}}});
    let old = json!({"spec": {
        "revisionHistoryLimit": -1, "volumeClaimTemplates": [claim],
        "template": {"spec": {"containers": []}},
    }});
    let revisions = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a \
                     value >= 0 is recommended";
    let fraction = |path: &str| {
        format!(
            "spec.volumeClaimTemplates[0]{path}.resources.requests[storage]: fractional byte value \
             \"1500m\" is invalid, must be an integer"
        )
    };
    assert_eq!(told(row, &old), [fraction("").as_str(), revisions]);
    assert_eq!(told_of(row, &old, &old), [fraction(".Spec").as_str(), revisions]);
}

#[test]
fn jobs_of_very_many_indexes() {
    let spec = |completions: i64, parallelism: i64, mode: &str| json!({"completions": completions, "parallelism": parallelism, "completionMode": mode});
    let many = "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher \
                than 10^4, Kubernetes might not be able to track completedIndexes when a big number of \
                indexes fail";
    for (spec, warns) in [
        (spec(100_001, 10_001, "Indexed"), true),
        (spec(100_001, 10_001, "NonIndexed"), false),
        (spec(100_000, 10_001, "Indexed"), false),
        (spec(100_001, 10_000, "Indexed"), false),
    ] {
        let want: Vec<String> = warns.then(|| format!("spec: {many}")).into_iter().collect();
        let job = json!({"metadata": {"name": "j"}, "spec": spec});
        assert_eq!(told(resource("batch", "jobs"), &job), want, "{spec}");
        let job = json!({"metadata": {"name": "j"}, "spec": {"jobTemplate": {"spec": spec}}});
        let want: Vec<String> =
            warns.then(|| format!("spec.jobTemplate.spec: {many}")).into_iter().collect();
        assert_eq!(told(resource("batch", "cronjobs"), &job), want, "{spec}");
    }
}

#[test]
fn a_schedule_keeps_its_zone_and_warns() {
    let row = resource("batch", "cronjobs");
    let old = json!({"metadata": {"name": "c"}, "spec": {"schedule": "CRON_TZ=UTC * * * * *"}});
    assert!(told(row, &old).is_empty());
    assert_eq!(
        told_of(row, &old, &old),
        ["cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see \
             https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"]
    );
}

/// Objects of kinds that warn about what they are, however they came to be so.
#[test]
fn what_is_old_or_odd_in_other_kinds() {
    const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
    let class = format!(
        "metadata.annotations[{CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
    );
    let annotated = json!({"annotations": {CLASS: "x"}});
    let terms = |labels: &[&str]| {
        let all = labels.iter().map(|label| json!({"key": label, "operator": "Exists"}));
        json!({"matchExpressions": all.collect::<Vec<_>>()})
    };
    for (group, plural, object, want) in [
        (
            "",
            "persistentvolumeclaims",
            json!({"metadata": annotated, "spec": {"resources": {
                "requests": {"storage": "100m"}, "limits": {"storage": "1.5"}}}}),
            vec![
                class.as_str(),
                "spec.resources.requests[storage]: fractional byte value \"100m\" is invalid, must be \
                 an integer",
                "spec.resources.limits[storage]: fractional byte value \"1500m\" is invalid, must be \
                 an integer",
            ],
        ),
        (
            "",
            "persistentvolumes",
            json!({"metadata": annotated, "spec": {
                "persistentVolumeReclaimPolicy": "Recycle", "rbd": {}, "storageos": {}, "nfs": {},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [
                    terms(&["a"]), terms(&["b", "beta.kubernetes.io/arch"])]}}}}),
            vec![
                class.as_str(),
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. \
                 Instead, the recommended approach is to use dynamic provisioning.",
                "spec.nodeAffinity.required.nodeSelectorTerms[1].matchExpressions[1].key: \
                 beta.kubernetes.io/arch is deprecated since v1.14; use \"kubernetes.io/arch\" instead",
                "spec.storageOS: deprecated in v1.22, non-functional in v1.25+",
                "spec.rbd: deprecated in v1.28, non-functional in v1.31+",
            ],
        ),
        (
            "storage.k8s.io",
            "storageclasses",
            json!({"allowedTopologies": [{"matchLabelExpressions": [
                {"key": "a", "values": ["b"]}, {"key": "node-role.kubernetes.io/master", "values": ["b"]}]}]}),
            vec![
                "allowedTopologies[0].matchLabelExpressions[1].key: use \
                 \"node-role.kubernetes.io/control-plane\" instead",
            ],
        ),
        (
            "storage.k8s.io",
            "csistoragecapacities",
            json!({"nodeTopology": terms(&["beta.kubernetes.io/arch"])}),
            vec![
                "nodeTopology.matchExpressions[0].key: beta.kubernetes.io/arch is deprecated since \
                 v1.14; use \"kubernetes.io/arch\" instead",
            ],
        ),
        (
            "node.k8s.io",
            "runtimeclasses",
            json!({"scheduling": {"nodeSelector": {"a": "b", "beta.kubernetes.io/arch": "amd64"}}}),
            vec![
                "scheduling.nodeSelector: deprecated since v1.14; use \"kubernetes.io/arch\" instead",
            ],
        ),
        (
            "",
            "nodes",
            json!({"spec": {"configSource": {"configMap": {}}, "externalID": "x"}}),
            vec![
                "spec.configSource: the feature is removed",
                "spec.externalID: this field is deprecated, and is unused by Kubernetes",
            ],
        ),
        (
            "",
            "endpoints",
            json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "FD00::1"}]}]}),
            vec![
                "subsets[0].notReadyAddresses[0].ip: IPv6 address \"FD00::1\" should be in RFC 5952 \
                 canonical format (\"fd00::1\")",
            ],
        ),
        (
            "discovery.k8s.io",
            "endpointslices",
            json!({"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1"]}, {"addresses": ["fd00::1", "fd00::0"]}]}),
            vec![
                "endpoints[1].addresses[1]: IPv6 address \"fd00::0\" should be in RFC 5952 canonical \
                 format (\"fd00::\")",
            ],
        ),
        (
            "networking.k8s.io",
            "networkpolicies",
            json!({"spec": {
                "ingress": [{"from": [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.1/8", "except": ["10.1.0.0/16", "fd00::0/64"]}}]}],
                "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/08"}}]}]}}),
            vec![
                "spec.ingress[0].from[1].ipBlock.cidr: CIDR value \"10.0.0.1/8\" is ambiguous in this \
                 context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)",
                "spec.ingress[0].from[1].ipBlock.except[1]: IPv6 CIDR value \"fd00::0/64\" should be in \
                 RFC 5952 canonical format (\"fd00::/64\")",
                "spec.egress[0].to[0].ipBlock.cidr: non-standard CIDR value \"10.0.0.0/08\" will be \
                 considered invalid in a future Kubernetes release: use \"10.0.0.0/8\"",
            ],
        ),
    ] {
        let row = resource(group, plural);
        assert_eq!(told(row, &object), want, "{plural}");
        assert_eq!(told_of(row, &object, &object), want, "{plural}: every time");
        assert!(told(row, &json!({"metadata": {"name": "a"}})).is_empty(), "{plural}");
    }
}

#[test]
fn what_is_told_once() {
    let row = resource("", "serviceaccounts");
    let account =
        json!({"metadata": {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}});
    let want = [
        "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer \
         separate namespaces to isolate access to mounted secrets",
    ];
    assert_eq!(told(row, &account), want);
    assert_eq!(told_of(row, &account, &json!({"metadata": {}})), want);
    assert!(told_of(row, &account, &account).is_empty());
    let row = resource("discovery.k8s.io", "endpointslices");
    let names = json!({"addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}]});
    assert_eq!(told(row, &names), ["spec.addressType: FQDN endpoints are deprecated"]);
    assert!(told_of(row, &names, &names).is_empty());
}

#[test]
fn controllers_write_addresses_in_the_usual_way() {
    let row = resource("", "endpoints");
    let own = json!({
        "metadata": {"labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}},
        "subsets": [{"addresses": [{"ip": "FD00::1"}]}],
    });
    assert!(told(row, &own).is_empty());
    let row = resource("discovery.k8s.io", "endpointslices");
    let label = "endpointslice.kubernetes.io/managed-by";
    for controller in ["endpointslice-controller", "endpointslicemirroring-controller"] {
        let own = json!({
            "metadata": {"labels": {label: format!("{controller}.k8s.io")}},
            "endpoints": [{"addresses": ["FD00::1"]}],
        });
        assert!(told(row, &own).is_empty());
    }
}

#[test]
fn system_priority_classes_stay() {
    let strategy = &resource("scheduling.k8s.io", "priorityclasses").strategy;
    let detail = Some("this is a system priority class and cannot be deleted");
    for (name, want) in [
        ("system-node-critical", detail),
        ("system-cluster-critical", detail),
        ("system-other", None),
        ("mine", None),
    ] {
        assert_eq!(strategy.refuses_deletion(name), want, "{name}");
    }
    assert_eq!(resource("", "pods").strategy.refuses_deletion("system-node-critical"), None);
}

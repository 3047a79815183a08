use serde_json::json;

use super::*;

fn spell(amounts: &Amounts) -> String {
    told(amounts)
}

fn needs(name: &str, requests: Value, limits: Value) -> Value {
    json!({"name": name, "resources": {"requests": requests, "limits": limits}})
}

#[test]
fn a_pod_costs_what_runs_at_once() {
    let pod = |containers: Value, beginning: Value| json!({"spec": {"containers": containers, "initContainers": beginning}});
    let one = || needs("a", json!({"cpu": "1", "memory": "1Gi"}), json!({"cpu": "2"}));
    let sidecar = |cpu: &str| {
        let mut container = needs("s", json!({"cpu": cpu}), json!({}));
        container["restartPolicy"] = "Always".into();
        container
    };
    let begins = |cpu: &str| needs("i", json!({"cpu": cpu}), json!({}));
    for (pod, want) in [
        (pod(json!([one()]), json!([])), "cpu=1,memory=1Gi"),
        (pod(json!([one(), one()]), json!([])), "cpu=2,memory=2Gi"),
        (pod(json!([one()]), json!([begins("500m")])), "cpu=1,memory=1Gi"),
        (pod(json!([one()]), json!([begins("3")])), "cpu=3,memory=1Gi"),
        (pod(json!([one()]), json!([sidecar("1"), begins("3")])), "cpu=4,memory=1Gi"),
        (pod(json!([one()]), json!([begins("3"), sidecar("1")])), "cpu=3,memory=1Gi"),
        (pod(json!([one()]), json!([sidecar("1")])), "cpu=2,memory=1Gi"),
    ] {
        assert_eq!(spell(&pod_amounts(&pod, "requests")), want, "{pod}");
    }
    let mut whole = pod(json!([one()]), json!([]));
    whole["spec"]["resources"] = json!({"requests": {"cpu": "4"}});
    whole["spec"]["overhead"] = json!({"cpu": "250m", "memory": "1Gi"});
    assert_eq!(spell(&pod_amounts(&whole, "requests")), "cpu=4250m,memory=2Gi");
    assert_eq!(spell(&pod_amounts(&whole, "limits")), "cpu=2250m");
}

#[test]
fn objects_cost_what_quotas_count() {
    let of = |group: &str, plural: &str, object: Value| {
        spell(&usage(&GroupResource::new(group.to_owned(), plural.to_owned()), &object))
    };
    let pod = json!({"spec": {"containers": [
        needs("a", json!({"cpu": "1", "example.com/gpu": "2"}), json!({"memory": "1Gi"}))]}});
    assert_eq!(
        of("", "pods", pod.clone()),
        "count/pods=1,cpu=1,limits.memory=1Gi,pods=1,requests.cpu=1,requests.example.com/gpu=2"
    );
    let mut ended = pod;
    ended["status"] = json!({"phase": "Failed"});
    assert_eq!(of("", "pods", ended), "count/pods=1");
    assert_eq!(of("", "secrets", json!({})), "count/secrets=1,secrets=1");
    assert_eq!(of("apps", "deployments", json!({})), "count/deployments.apps=1");
    let service = |spec: Value| of("", "services", json!({"spec": spec}));
    let two = json!([{"port": 1, "nodePort": 30001}, {"port": 2}]);
    for (spec, balancers, ports) in [
        (json!({"type": "ClusterIP", "ports": two}), 0, 0),
        (json!({"type": "NodePort", "ports": two}), 0, 2),
        (json!({"type": "LoadBalancer", "ports": two}), 1, 2),
        (
            json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": two}),
            1,
            1,
        ),
    ] {
        let want = format!(
            "count/services=1,services=1,services.loadbalancers={balancers},\
             services.nodeports={ports}"
        );
        assert_eq!(service(spec), want);
    }
    let claim = json!({"spec": {"storageClassName": "fast",
        "resources": {"requests": {"storage": "1Gi"}}}});
    assert_eq!(
        of("", "persistentvolumeclaims", claim),
        "count/persistentvolumeclaims=1,fast.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
         fast.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,\
         requests.storage=1Gi"
    );
}

#[test]
fn limited_resources_must_be_named() {
    let hard = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let pod = json!({"spec": {"containers": [needs("a", json!({"cpu": "1"}), json!({})),
        needs("b", json!({}), json!({"memory": "1"}))]}});
    for (names, want) in [
        (vec!["pods", "ephemeral-storage", "requests.nvidia.com/gpu"], ""),
        (vec!["cpu"], "must specify cpu for: b"),
        (
            vec!["limits.memory", "requests.cpu"],
            "must specify limits.memory for: a; requests.cpu for: b",
        ),
    ] {
        assert_eq!(demands(&hard(&names), &pod).err().unwrap_or_default(), want);
    }
    let mut whole = pod;
    whole["spec"]["resources"] = json!({"requests": {"cpu": "1"}});
    assert_eq!(demands(&hard(&["cpu"]), &whole), Ok(()));
}

#[test]
fn what_exceeds_a_quota_is_told() {
    let of = |text: Value| amounts(&text);
    let hard = of(json!({"cpu": "2", "pods": "3"}));
    let used = of(json!({"cpu": "1500m", "pods": "3"}));
    let more = of(json!({"cpu": "1", "memory": "9Gi"}));
    let refused = fits("q", &hard, &used, &more).expect_err("too much");
    assert_eq!(refused, "exceeded quota: q, requested: cpu=1, used: cpu=1500m, limited: cpu=2");
    let both = of(json!({"cpu": "1", "pods": "1"}));
    let refused = fits("q", &hard, &used, &both).expect_err("too much");
    assert_eq!(
        refused,
        "exceeded quota: q, requested: cpu=1,pods=1, used: cpu=1500m,pods=3, limited: cpu=2,pods=3"
    );
    assert_eq!(fits("q", &hard, &used, &of(json!({"cpu": "500m"}))), Ok(()));
}

#[test]
fn scopes_choose_pods() {
    let quota = |scopes: Value, terms: Value| json!({"spec": {"scopes": scopes, "scopeSelector": {"matchExpressions": terms}}});
    let term = |scope: &str, operator: &str, values: Value| json!([{"scopeName": scope, "operator": operator, "values": values}]);
    let plain = json!({"spec": {"containers": [{"name": "a"}], "priorityClassName": "high"}});
    let mut busy = plain.clone();
    busy["spec"]["activeDeadlineSeconds"] = 5.into();
    busy["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "1"}});
    for (quota, plain_counts, busy_counts) in [
        (quota(json!([]), json!([])), true, true),
        (quota(json!(["Terminating"]), json!([])), false, true),
        (quota(json!(["NotTerminating"]), json!([])), true, false),
        (quota(json!(["BestEffort"]), json!([])), true, false),
        (quota(json!(["NotBestEffort", "Terminating"]), json!([])), false, true),
        (quota(json!([]), term("PriorityClass", "In", json!(["high"]))), true, true),
        (quota(json!([]), term("PriorityClass", "NotIn", json!(["high"]))), false, false),
        (quota(json!([]), term("PriorityClass", "Exists", json!([]))), true, true),
        (quota(json!(["CrossNamespacePodAffinity"]), json!([])), false, false),
    ] {
        assert_eq!(covers(&quota, "pods", &plain), plain_counts, "{quota}");
        assert_eq!(covers(&quota, "pods", &busy), busy_counts, "{quota}");
    }
    assert!(covers(&quota(json!([]), json!([])), "services", &json!({})));
    assert!(!covers(&quota(json!(["BestEffort"]), json!([])), "services", &json!({})));
}

#[test]
fn claims_cost_the_devices_they_may_take() {
    let resource = GroupResource::new("resource.k8s.io", "resourceclaims");
    let exactly = |mode: &str, count: i64, class: &str| json!({"name": "r", "exactly": {"deviceClassName": class, "allocationMode": mode, "count": count}});
    let either = |list: Value| json!({"name": "e", "firstAvailable": list});
    let one = |mode: &str, count: i64, class: &str| json!({"name": "s", "deviceClassName": class, "allocationMode": mode, "count": count});
    let count = "count/resourceclaims.resource.k8s.io=1";
    for (requests, want) in [
        (json!([]), count.to_owned()),
        (json!([exactly("ExactCount", 2, "gpu")]), format!("{count},gpu{DEVICES}=2")),
        (
            json!([exactly("ExactCount", 2, "gpu"), exactly("All", 0, "gpu")]),
            format!("{count},gpu{DEVICES}=34"),
        ),
        (
            json!([
                either(json!([
                    one("ExactCount", 2, "gpu"),
                    one("ExactCount", 4, "gpu"),
                    one("ExactCount", 1, "nic")
                ])),
                exactly("ExactCount", 1, "gpu")
            ]),
            format!("{count},gpu{DEVICES}=5,nic{DEVICES}=1"),
        ),
    ] {
        let claim = json!({"spec": {"devices": {"requests": requests}}});
        assert_eq!(spell(&usage(&resource, &claim)), want, "{requests}");
    }
}

#[test]
fn a_pod_that_is_held_after_its_grace_costs_its_count_alone() {
    let resource = GroupResource::new("", "pods");
    let pod = |metadata: Value| json!({"metadata": metadata, "spec": {"containers": [needs("a", json!({"cpu": "1"}), json!({}))]}});
    let going =
        || json!({"deletionTimestamp": "2026-01-01T00:00:30Z", "deletionGracePeriodSeconds": 30});
    let all = "count/pods=1,cpu=1,pods=1,requests.cpu=1";
    for (metadata, now, want) in [
        (json!({}), "2026-01-01T01:00:00Z", all),
        (going(), "2026-01-01T00:00:31Z", all),
        (going(), "2026-01-01T00:01:00Z", all),
        (going(), "2026-01-01T00:01:01Z", "count/pods=1"),
    ] {
        let usage = usage_at(&resource, &pod(metadata.clone()), now.parse().unwrap());
        assert_eq!(spell(&usage), want, "{metadata} at {now}");
    }
}

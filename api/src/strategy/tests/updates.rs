//! Which kinds a PUT may create, and which it may replace without naming a version, as the strategies
//! of k8s.io/kubernetes/pkg/registry say; what of the metadata an update may change.

use std::collections::BTreeSet;

use serde_json::json;

use super::{changed, create, resource};
use crate::lifecycle::{before_status_update, before_update};
use crate::resources::{Resource, Verb, table};

/// `AllowCreateOnUpdate`.
const CREATED: &[&str] = &[
    "clusterrolebindings",
    "clusterroles",
    "endpoints",
    "events",
    "leases",
    "limitranges",
    "rolebindings",
    "roles",
    "services",
];

/// Not `AllowUnconditionalUpdate`.
const CONDITIONAL: &[&str] = &[
    "apiservices",
    "csidrivers",
    "csinodes",
    "csistoragecapacities",
    "customresourcedefinitions",
    "leases",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "poddisruptionbudgets",
    "runtimeclasses",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "validatingwebhookconfigurations",
    "volumeattachments",
];

/// The built-in kinds that a PUT may replace, and of which something holds.
fn of_which(holds: impl Fn(&Resource) -> bool) -> BTreeSet<String> {
    let updated = table().iter().filter(|row| row.allows(Verb::Update));
    updated.filter(|row| holds(row)).map(|row| row.plural.to_string()).collect()
}

#[test]
fn every_kind_is_replaced_as_its_registry_says() {
    let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(of_which(|row| row.strategy.creates_on_update()), names(CREATED));
    assert_eq!(of_which(|row| !row.strategy.allows_unconditional_update()), names(CONDITIONAL));
}

/// What an update of `/status` makes of an object whose metadata it changes as well.
#[test]
fn whoever_reports_on_a_deployment_leaves_its_labels() {
    let row = resource("apps", "deployments");
    let template = json!({"metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let made = json!({"metadata": {"name": "d", "labels": {"a": "b"}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}});
    let old = create(row, made).expect("valid");
    let change = json!({"metadata": {"labels": {"a": "c"}, "annotations": {"x": "y"}},
        "spec": {"replicas": 5}, "status": {"observedGeneration": 1}});
    let mut new = changed(&old, &change);
    before_status_update(row, &mut new, &old).expect("valid");
    assert_eq!(new["metadata"]["labels"], json!({"a": "b"}));
    assert_eq!(new["metadata"]["annotations"], json!({"x": "y"}));
    assert_eq!(
        (&new["spec"]["replicas"], &new["status"]["observedGeneration"]),
        (&json!(1), &json!(1))
    );
}

#[test]
fn labels_of_slices_count_as_a_generation() {
    let row = resource("discovery.k8s.io", "endpointslices");
    let made = json!({"metadata": {"name": "s", "labels": {"a": "b"}}, "addressType": "IPv4"});
    let old = create(row, made).expect("valid");
    for (change, want) in [
        (json!({"metadata": {"labels": {"a": "c"}}}), 2),
        (json!({"metadata": {"labels": {"a": "c"}}, "ports": [{"port": 1}]}), 2),
        (json!({"ports": [{"port": 1}]}), 2),
        (json!({"metadata": {"annotations": {"a": "c"}}}), 1),
    ] {
        let mut new = changed(&old, &change);
        before_update(row, &mut new, &old).expect("valid");
        assert_eq!(new["metadata"]["generation"], want, "{change}");
    }
}

/// Who has no namespace and names one has none all the same; who has one is in that.
#[test]
fn the_namespace_of_what_has_none_is_dropped() {
    for (row, made) in [
        (resource("", "namespaces"), json!({"metadata": {"name": "n"}})),
        (resource("rbac.authorization.k8s.io", "clusterroles"), json!({"metadata": {"name": "n"}})),
        (resource("", "nodes"), json!({"metadata": {"name": "n"}})),
    ] {
        let elsewhere = json!({"metadata": {"namespace": "y"}});
        let old = create(row, changed(&made, &elsewhere)).expect("created");
        assert_eq!(old["metadata"].get("namespace"), None, "{}", row.plural);
        let mut new = changed(&old, &elsewhere);
        before_update(row, &mut new, &old).expect("updated");
        assert_eq!(new["metadata"].get("namespace"), None, "{}", row.plural);
    }
    let map = json!({"metadata": {"name": "m", "namespace": "y"}});
    let refused = create(resource("", "configmaps"), map).expect_err("another namespace");
    assert_eq!((refused.code, refused.reason), (400, "BadRequest"));
}

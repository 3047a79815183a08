//! Which kinds a PUT may create, and which it may replace without naming a version, as the strategies
//! of k8s.io/kubernetes/pkg/registry say.

use std::collections::BTreeSet;

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

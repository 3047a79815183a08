//! Where a pod wants to be: labels of nodes that are called otherwise now, and selectors of pods that
//! select none.

use serde_json::Value;

use super::{items, text};
use crate::field::Path;
use crate::strategy::warnings::{deprecated_label, of_expressions};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NO_POD: &str = "a null labelSelector results in matching no pod";

/// About the nodes that a spec asks for, by their labels and by the parts of the cluster they are in.
pub(super) fn of_nodes(spec: &Value, path: &Path) -> Vec<String> {
    let mut told = Vec::new();
    for key in spec["nodeSelector"].as_object().into_iter().flat_map(|labels| labels.keys()) {
        if let Some(message) = deprecated_label(key) {
            told.push(format!("{}: {message}", path.child("nodeSelector").key(key)));
        }
    }
    let affinity = &spec["affinity"]["nodeAffinity"];
    for (n, term) in items(&affinity[REQUIRED]["nodeSelectorTerms"]).enumerate() {
        let at = path.child("affinity.nodeAffinity").child(REQUIRED).child("nodeSelectorTerms");
        told.extend(of_expressions(term, false, &at.index(n)));
    }
    for (n, term) in items(&affinity[PREFERRED]).enumerate() {
        let at = path.child("affinity.nodeAffinity").child(PREFERRED).index(n);
        // What is required is refused if no label can have it; what is preferred is not.
        told.extend(of_expressions(&term["preference"], true, &at.child("preference")));
    }
    for (n, constraint) in items(&spec["topologySpreadConstraints"]).enumerate() {
        let at = path.child("topologySpreadConstraints").index(n);
        let key = text(constraint, "topologyKey");
        if let Some(message) = deprecated_label(key) {
            told.push(format!("{}: {key} is {message}", at.child("topologyKey")));
        }
        if constraint["labelSelector"].is_null() {
            told.push(format!("{}: {NO_POD}", at.child("labelSelector")));
        }
    }
    told
}

/// About the pods that a spec wants to be near to or far from.
pub(super) fn of_peers(spec: &Value, path: &Path) -> Vec<String> {
    let mut told = Vec::new();
    for kind in ["podAffinity", "podAntiAffinity"] {
        let affinity = &spec["affinity"][kind];
        let of = |list: &str, n: usize| path.child("affinity").child(kind).child(list).index(n);
        for (n, term) in items(&affinity[REQUIRED]).enumerate() {
            if term["labelSelector"].is_null() {
                told.push(format!("{}: {NO_POD}", of(REQUIRED, n).child("labelSelector")));
            }
        }
        for (n, weighted) in items(&affinity[PREFERRED]).enumerate() {
            if weighted["podAffinityTerm"]["labelSelector"].is_null() {
                let at = of(PREFERRED, n).child("podAffinityTerm.labelSelector");
                told.push(format!("{at}: {NO_POD}"));
            }
        }
    }
    told
}

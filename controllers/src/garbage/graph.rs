//! Who belongs to whom, as the watches last told. No IO.
//!
//! Every call answers with the work that follows from the change.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use api::resources::Resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::Work;
use super::plan::{self, Deleting, Ownership};

/// `metadata.uid`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Uid(pub(crate) String);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where to find an object, and which one it must be. `Display` is `pods default/web-1`.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) resource: Arc<Resource>,
    /// Empty at cluster scope.
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: Uid,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.resource.group_resource())?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

impl Identity {
    /// Whether this object cannot be an owner of anything in `namespace`: it is in another one.
    fn is_elsewhere(&self, namespace: &str) -> bool {
        !self.namespace.is_empty() && self.namespace != namespace
    }

    /// Whether a reference with this object's uid also says its kind and name.
    fn is_named_by(&self, reference: &OwnerReference) -> bool {
        let group = reference.api_version.rsplit_once('/').map_or("", |(group, _)| group);
        self.resource.group == group
            && self.resource.kind == reference.kind
            && self.name == reference.name
    }
}

/// What a dependent means to its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dependent {
    pub(super) uid: Uid,
    /// Its reference has `blockOwnerDeletion`.
    pub(super) blocks: bool,
    /// It waits for dependents of its own.
    pub(super) deleting_dependents: bool,
}

struct Node {
    identity: Identity,
    /// Owner and whether its deletion is blocked.
    owners: Vec<(Uid, bool)>,
    deleting: Deleting,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Graph {
    nodes: HashMap<Uid, Node>,
    /// By owner, whether the owner is known or not.
    dependents: HashMap<Uid, BTreeSet<Uid>>,
}

impl Graph {
    /// An object as it is now.
    pub(super) fn upsert(&mut self, identity: Identity, meta: &ObjectMeta) -> Vec<Work> {
        let uid = identity.uid.clone();
        let owners: Vec<(Uid, bool)> = meta
            .owner_references
            .iter()
            .flatten()
            .map(|owner| (Uid(owner.uid.clone()), owner.block_owner_deletion == Some(true)))
            .collect();
        let deleting = plan::deleting(meta);
        let namespace = identity.namespace.clone();
        let node = Node { identity, owners: owners.clone(), deleting };
        let before = self.nodes.insert(uid.clone(), node);
        let mut work = Vec::new();
        if before.is_none() {
            // Some belong to it who cannot: they came first.
            work.extend(self.strangers(&uid).map(Work::Check));
        }
        let (old_owners, old_deleting) =
            before.map_or((Vec::new(), Deleting::No), |node| (node.owners, node.deleting));
        if owners != old_owners {
            self.unlink(&uid, &old_owners, &mut work);
            for reference in meta.owner_references.iter().flatten() {
                let owner = Uid(reference.uid.clone());
                // Unknown, going, or named wrongly: the dependent has to be looked at.
                let holds = self.nodes.get(&owner).is_some_and(|node| {
                    node.deleting != Deleting::Foreground
                        && !node.identity.is_elsewhere(&namespace)
                        && node.identity.is_named_by(reference)
                });
                self.dependents.entry(owner).or_default().insert(uid.clone());
                if !holds {
                    work.push(Work::Check(uid.clone()));
                }
            }
        }
        if deleting != old_deleting {
            match deleting {
                Deleting::Foreground => {
                    let dependents = self.dependents.get(&uid).into_iter().flatten();
                    work.extend(dependents.cloned().map(Work::Check));
                    work.push(Work::Foreground(uid));
                }
                Deleting::Orphan => work.push(Work::Orphan(uid)),
                Deleting::No | Deleting::Background => {}
            }
        }
        work
    }

    /// An object is gone.
    pub(super) fn remove(&mut self, uid: &Uid) -> Vec<Work> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        let mut work = Vec::new();
        self.unlink(uid, &node.owners, &mut work);
        let dependents = self.dependents.get(uid).into_iter().flatten();
        work.extend(dependents.cloned().map(Work::Check));
        work
    }

    /// A list of a resource is complete: what is not in it is gone.
    pub(super) fn retain(&mut self, resource: &Resource, seen: &HashSet<Uid>) -> Vec<Work> {
        let kind = resource.group_resource();
        let mut lost: Vec<Uid> = self
            .nodes
            .iter()
            .filter(|(uid, node)| {
                node.identity.resource.group_resource() == kind && !seen.contains(uid)
            })
            .map(|(uid, _)| uid.clone())
            .collect();
        // In an order that does not change from run to run.
        lost.sort();
        lost.iter().flat_map(|uid| self.remove(uid)).collect()
    }

    /// The known dependents of an object that are in another namespace than it.
    fn strangers(&self, owner: &Uid) -> impl Iterator<Item = Uid> {
        let dependents = self.dependents.get(owner).into_iter().flatten();
        dependents.filter(|dependent| self.is_elsewhere(owner, dependent)).cloned()
    }

    /// Whether both are known, and the owner is in a namespace where the dependent is not.
    pub(super) fn is_elsewhere(&self, owner: &Uid, dependent: &Uid) -> bool {
        let known = self.nodes.get(owner).zip(self.nodes.get(dependent));
        known.is_some_and(|(owner, dependent)| {
            owner.identity.is_elsewhere(&dependent.identity.namespace)
        })
    }

    /// Where to find an object.
    pub(super) fn identity(&self, uid: &Uid) -> Option<Identity> {
        self.nodes.get(uid).map(|node| node.identity.clone())
    }

    /// The known dependents of an object.
    pub(super) fn dependents(&self, uid: &Uid) -> Vec<Dependent> {
        let dependents = self.dependents.get(uid).into_iter().flatten();
        dependents
            .filter_map(|dependent| {
                let node = self.nodes.get(dependent)?;
                Some(Dependent {
                    uid: dependent.clone(),
                    blocks: node.owners.iter().any(|(owner, blocks)| owner == uid && *blocks),
                    deleting_dependents: node.deleting == Deleting::Foreground,
                })
            })
            .collect()
    }

    /// What is known of an owner. None if nothing is, or if the reference names it wrongly.
    pub(super) fn state(&self, owner: &Identity) -> Option<Ownership> {
        let node = self.nodes.get(&owner.uid)?;
        let same = node.identity.name == owner.name
            && node.identity.namespace == owner.namespace
            && node.identity.resource.group_kind() == owner.resource.group_kind();
        same.then_some(match node.deleting {
            Deleting::Foreground => Ownership::Waiting,
            _ => Ownership::Solid,
        })
    }

    fn unlink(&mut self, uid: &Uid, owners: &[(Uid, bool)], work: &mut Vec<Work>) {
        for (owner, _) in owners {
            if let Some(dependents) = self.dependents.get_mut(owner) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(owner);
                }
            }
            if self.nodes.get(owner).is_some_and(|node| node.deleting == Deleting::Foreground) {
                work.push(Work::Foreground(owner.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn identity(kind: &str, uid: &str) -> Identity {
        let resource = api::resources::by_kind("v1", kind).unwrap().clone();
        Identity { resource, namespace: "n".into(), name: uid.into(), uid: Uid(uid.into()) }
    }

    fn meta(extra: Value) -> ObjectMeta {
        serde_json::from_value(extra).unwrap()
    }

    fn owned(by: &str) -> ObjectMeta {
        meta(json!({"ownerReferences": [{"apiVersion": "v1", "kind": "ReplicationController",
            "name": by, "uid": by, "blockOwnerDeletion": true}]}))
    }

    fn going(finalizer: &str) -> ObjectMeta {
        meta(json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [finalizer]}))
    }

    fn uid(text: &str) -> Uid {
        Uid(text.into())
    }

    fn family() -> Graph {
        let mut graph = Graph::default();
        graph.upsert(identity("ReplicationController", "rc"), &ObjectMeta::default());
        assert_eq!(graph.upsert(identity("Pod", "pod"), &owned("rc")), []);
        graph
    }

    #[test]
    fn dependents_are_checked_when_the_owner_goes() {
        let mut graph = family();
        assert_eq!(graph.remove(&uid("rc")), [Work::Check(uid("pod"))]);
        assert_eq!(graph.remove(&uid("rc")), []);
        assert_eq!(graph.remove(&uid("pod")), []);
        assert!(graph.dependents.is_empty() && graph.nodes.is_empty());
    }

    #[test]
    fn a_dependent_of_an_unknown_owner_is_checked() {
        let mut graph = Graph::default();
        let work = graph.upsert(identity("Pod", "pod"), &owned("nobody"));
        assert_eq!(work, [Work::Check(uid("pod"))]);
        // Seen again unchanged: nothing new.
        assert_eq!(graph.upsert(identity("Pod", "pod"), &owned("nobody")), []);
    }

    #[test]
    fn a_dependent_that_names_its_owner_wrongly_is_checked() {
        let pod_in = |namespace: &str| {
            let mut pod = identity("Pod", "pod");
            pod.namespace = namespace.into();
            pod
        };
        let naming = |api_version: &str, kind: &str, name: &str| {
            meta(json!({"ownerReferences": [
                {"apiVersion": api_version, "kind": kind, "name": name, "uid": "rc"}]}))
        };
        let check = vec![Work::Check(uid("pod"))];
        for (case, pod, meta, want) in [
            ("right", pod_in("n"), naming("v1", "ReplicationController", "rc"), vec![]),
            ("name", pod_in("n"), naming("v1", "ReplicationController", "x"), check.clone()),
            ("kind", pod_in("n"), naming("v1", "ConfigMap", "rc"), check.clone()),
            ("group", pod_in("n"), naming("apps/v1", "ReplicationController", "rc"), check.clone()),
            ("namespace", pod_in("m"), naming("v1", "ReplicationController", "rc"), check.clone()),
            ("none", pod_in(""), naming("v1", "ReplicationController", "rc"), check.clone()),
        ] {
            let mut graph = Graph::default();
            graph.upsert(identity("ReplicationController", "rc"), &ObjectMeta::default());
            assert_eq!(graph.upsert(pod.clone(), &meta), want, "{case}");
            let elsewhere = pod.namespace != "n";
            assert_eq!(graph.is_elsewhere(&uid("rc"), &uid("pod")), elsewhere, "{case}");

            let mut graph = Graph::default();
            graph.upsert(pod, &meta);
            let later =
                graph.upsert(identity("ReplicationController", "rc"), &ObjectMeta::default());
            assert_eq!(later.is_empty(), !elsewhere, "{case}: owner seen later");
        }
    }

    #[test]
    fn objects_of_the_cluster_own_anywhere() {
        let mut graph = Graph::default();
        let mut node = identity("Node", "rc");
        node.namespace = String::new();
        graph.upsert(node, &ObjectMeta::default());
        let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "rc", "uid": "rc"});
        let pod = meta(json!({"ownerReferences": [owner]}));
        assert_eq!(graph.upsert(identity("Pod", "pod"), &pod), []);
    }

    #[test]
    fn foreground_deletion_waits_for_dependents() {
        let mut graph = family();
        let rc = identity("ReplicationController", "rc");
        assert_eq!(
            graph.upsert(rc.clone(), &going(plan::FOREGROUND)),
            [Work::Check(uid("pod")), Work::Foreground(uid("rc"))]
        );
        assert_eq!(graph.state(&rc), Some(Ownership::Waiting));
        let dependents = graph.dependents(&uid("rc"));
        assert!(dependents.len() == 1 && dependents[0].blocks);
        assert_eq!(graph.remove(&uid("pod")), [Work::Foreground(uid("rc"))]);
        assert!(graph.dependents(&uid("rc")).is_empty());
    }

    #[test]
    fn orphaning_is_its_own_work() {
        let mut graph = family();
        let rc = identity("ReplicationController", "rc");
        assert_eq!(graph.upsert(rc, &going(plan::ORPHAN)), [Work::Orphan(uid("rc"))]);
        // The dependent forgets its owner.
        assert_eq!(graph.upsert(identity("Pod", "pod"), &ObjectMeta::default()), []);
        assert!(graph.dependents(&uid("rc")).is_empty());
        assert_eq!(graph.remove(&uid("rc")), []);
    }

    #[test]
    fn a_relist_finds_what_was_missed() {
        let mut graph = family();
        let rc = identity("ReplicationController", "rc").resource;
        assert_eq!(graph.retain(&rc, &HashSet::from([uid("rc")])), []);
        assert_eq!(graph.retain(&rc, &HashSet::new()), [Work::Check(uid("pod"))]);
    }

    #[test]
    fn a_reference_with_the_wrong_name_is_not_believed() {
        let graph = family();
        let mut wrong = identity("ReplicationController", "rc");
        wrong.name = "other".into();
        assert_eq!(graph.state(&wrong), None);
        let mut wrong = identity("ReplicationController", "rc");
        wrong.namespace = "m".into();
        assert_eq!(graph.state(&wrong), None);
    }
}

//! ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, numbered, for rolling
//! updates and `kubectl rollout undo`.
//!
//! A revision holds the template as the patch that brings it back. The one that equals the present
//! template has the highest number; going back to an old template renumbers its revision instead of
//! writing the same twice.
//!
//! Source: k8s.io/kubernetes/pkg/controller/history.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::runtime::RawExtension;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::claim::{self, Namespaced};
use super::hash;
use crate::informer::Key;
use crate::reconcile::{ReconcileError, request, unless_gone};

/// On pods: which revision they were made from. On a DaemonSet's revisions: the same text.
pub(crate) const REVISION_HASH: &str = "controller-revision-hash";

/// More hashes than this are not tried for one template: something else is wrong then.
const MOST_COLLISIONS: i32 = 64;

/// What has to be done so that the present template has the newest revision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Nothing.
    Keep(Arc<ControllerRevision>),
    /// This one is to get a new number.
    Renumber(Arc<ControllerRevision>, i64),
    /// A revision of this number is to be written.
    Create(i64),
}

/// The revisions in the order of their numbers.
pub(crate) fn sorted(mut revisions: Vec<Arc<ControllerRevision>>) -> Vec<Arc<ControllerRevision>> {
    revisions.sort_by(|a, b| {
        let age = |r: &ControllerRevision| {
            (r.revision, r.metadata.creation_timestamp.clone(), r.metadata.name.clone())
        };
        age(a).cmp(&age(b))
    });
    revisions
}

/// Decides, given the owner's revisions in the order of their numbers.
pub(crate) fn plan(template: &PodTemplateSpec, revisions: &[Arc<ControllerRevision>]) -> Step {
    let data = data(template);
    let newest = revisions.last().map_or(0, |revision| revision.revision);
    let Some(equal) = revisions.iter().rfind(|revision| holds(revision, &data)) else {
        return Step::Create(newest.saturating_add(1));
    };
    if equal.revision == newest {
        Step::Keep(equal.clone())
    } else {
        Step::Renumber(equal.clone(), newest.saturating_add(1))
    }
}

/// The `excess` oldest revisions that nothing uses any more.
pub(crate) fn expired(
    old: &[Arc<ControllerRevision>],
    is_live: impl Fn(&ControllerRevision) -> bool,
    excess: usize,
) -> Vec<Arc<ControllerRevision>> {
    old.iter().filter(|revision| !is_live(revision)).take(excess).cloned().collect()
}

/// What a revision holds for a template: the strategic merge patch that puts it in place.
fn data(template: &PodTemplateSpec) -> Value {
    let mut template = serde_json::to_value(template).unwrap_or_default();
    template["$patch"] = "replace".into();
    json!({"spec": {"template": template}})
}

fn holds(revision: &ControllerRevision, data: &Value) -> bool {
    revision.data.as_ref().is_some_and(|held| held.0 == *data)
}

/// The template that a revision holds.
pub(crate) fn template(revision: &ControllerRevision) -> Option<PodTemplateSpec> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    serde_json::from_value(template).ok()
}

/// What the revisions of an owner are made of.
#[derive(Debug)]
pub(crate) struct Source<'a, O> {
    pub(crate) owner: &'a O,
    pub(crate) template: &'a PodTemplateSpec,
    /// The label that gets the hash.
    pub(crate) hash_label: &'a str,
    /// How often a hash turned out to be another template's.
    pub(crate) collisions: Option<i32>,
}

impl<O: Namespaced> Source<'_, O> {
    fn revision(&self, number: i64, collisions: Option<i32>) -> ControllerRevision {
        let hash = hash::of(self.template, collisions);
        let metadata = self.template.metadata.as_ref();
        let mut labels: BTreeMap<String, String> =
            metadata.and_then(|m| m.labels.clone()).unwrap_or_default();
        labels.insert(self.hash_label.to_owned(), hash.clone());
        ControllerRevision {
            metadata: ObjectMeta {
                name: Some(hash::name(&self.owner.name_any(), &hash)),
                namespace: self.owner.namespace(),
                labels: Some(labels),
                annotations: self.owner.meta().annotations.clone(),
                owner_references: Some(vec![claim::reference(self.owner)]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data(self.template))),
            revision: number,
        }
    }

    /// Carries a step out. Returns the revision of the present template and the collision count,
    /// which belongs into the owner's status.
    ///
    /// # Errors
    /// Failed requests.
    pub(crate) async fn apply(
        &self,
        client: &Client,
        step: Step,
    ) -> Result<(Arc<ControllerRevision>, Option<i32>), ReconcileError> {
        let namespace = self.owner.namespace().unwrap_or_default();
        let api: Api<ControllerRevision> = Api::namespaced(client.clone(), &namespace);
        match step {
            Step::Keep(revision) => Ok((revision, self.collisions)),
            Step::Renumber(revision, number) => {
                let version = revision.resource_version();
                let patch = json!({"metadata": {"resourceVersion": version}, "revision": number});
                let (name, params) = (revision.name_any(), PatchParams::default());
                let patch = Patch::Merge(patch);
                let patched = api.patch(&name, &params, &patch);
                let patched = request("renumber", Key::of(&*revision), patched).await?;
                Ok((Arc::new(patched), self.collisions))
            }
            Step::Create(number) => self.create(&api, number).await,
        }
    }

    async fn create(
        &self,
        api: &Api<ControllerRevision>,
        number: i64,
    ) -> Result<(Arc<ControllerRevision>, Option<i32>), ReconcileError> {
        let mut collisions = self.collisions;
        loop {
            let wanted = self.revision(number, collisions);
            let key = Key::of(&wanted);
            let params = PostParams::default();
            let created = api.create(&params, &wanted);
            match request("create", format!("revision {key}"), created).await {
                Ok(created) => return Ok((Arc::new(created), collisions)),
                Err(error) if error.code() == Some(409) => {
                    let found = request("get", &key, api.get_opt(&key.name)).await?;
                    match found {
                        // Written by an earlier run that the cache does not show yet.
                        Some(found) if holds(&found, &data(self.template)) => {
                            return Ok((Arc::new(found), collisions));
                        }
                        Some(_) if collisions < Some(MOST_COLLISIONS) => {
                            collisions = Some(collisions.unwrap_or(0).saturating_add(1));
                        }
                        _ => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Deletes revisions, as they were when it was decided.
///
/// # Errors
/// The first failed request.
pub(crate) async fn delete(
    client: &Client,
    revisions: &[Arc<ControllerRevision>],
) -> Result<(), ReconcileError> {
    for revision in revisions {
        let key = Key::of(&**revision);
        let api: Api<ControllerRevision> = Api::namespaced(client.clone(), &key.namespace);
        let params = DeleteParams::default()
            .preconditions(Preconditions { uid: revision.uid(), resource_version: None });
        unless_gone(request("delete", &key, api.delete(&key.name, &params)).await)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::DaemonSet;

    fn template_of(image: &str) -> PodTemplateSpec {
        serde_json::from_value(json!({"metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [{"name": "c", "image": image}]}}))
        .unwrap()
    }

    fn revision(number: i64, image: &str) -> Arc<ControllerRevision> {
        Arc::new(ControllerRevision {
            metadata: ObjectMeta { name: Some(format!("r{number}")), ..ObjectMeta::default() },
            data: Some(RawExtension(data(&template_of(image)))),
            revision: number,
        })
    }

    #[test]
    fn the_present_template_has_the_newest_revision() {
        let (one, two, three) = (revision(1, "a"), revision(2, "b"), revision(7, "a"));
        for (case, image, revisions, step) in [
            ("the first", "a", vec![], Step::Create(1)),
            ("unchanged", "a", vec![one.clone()], Step::Keep(one.clone())),
            ("changed", "b", vec![one.clone()], Step::Create(2)),
            ("back", "a", vec![one.clone(), two.clone()], Step::Renumber(one.clone(), 3)),
            ("the later of two", "a", vec![one, two, three.clone()], Step::Keep(three)),
        ] {
            assert_eq!(plan(&template_of(image), &revisions), step, "{case}");
        }
    }

    #[test]
    fn revisions_bring_their_template_back() {
        assert_eq!(template(&revision(1, "a")), Some(template_of("a")));
    }

    #[test]
    fn old_ones_go_first_and_live_ones_never() {
        let all = sorted(vec![revision(3, "c"), revision(1, "a"), revision(2, "b")]);
        let names = |live: &'static str, excess| {
            let found = expired(&all, |revision| revision.name_any() == live, excess);
            found.iter().map(|r| r.name_any()).collect::<Vec<_>>()
        };
        assert_eq!(names("", 2), ["r1", "r2"]);
        assert_eq!(names("r1", 2), ["r2", "r3"]);
        assert!(names("", 0).is_empty());
    }

    #[test]
    fn names_and_labels_carry_the_hash() {
        let owner: DaemonSet = serde_json::from_value(json!({"metadata": {"name": "ds",
            "namespace": "n", "uid": "1", "annotations": {"note": "x"}}}))
        .unwrap();
        let template = template_of("a");
        let source = Source {
            owner: &owner,
            template: &template,
            hash_label: REVISION_HASH,
            collisions: None,
        };
        let made = source.revision(4, None);
        let hash = made.labels()[REVISION_HASH].clone();
        assert_eq!(made.name_any(), format!("ds-{hash}"));
        assert_eq!(made.labels()["app"], "a");
        assert_eq!(made.annotations()["note"], "x");
        assert_eq!(made.owner_references()[0].kind, "DaemonSet");
        assert_ne!(source.revision(4, Some(1)).labels()[REVISION_HASH], hash);
    }
}

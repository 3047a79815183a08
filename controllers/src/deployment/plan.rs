//! What to do about a Deployment. Pure: the objects in, one step out.
//!
//! A step changes ReplicaSets; their watch brings the Deployment back for the next one, when it is
//! known what became of the last.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use api::{owner, pod as pods};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::limits::{self, Limits, Size, replicas};
use super::status::{self, Outcome};
use super::{annotations, proportion};
use crate::workload::{claim, hash};

/// On ReplicaSets, their selectors and their pods: which template they are from.
pub(super) const TEMPLATE_HASH: &str = "pod-template-hash";

/// A change of a ReplicaSet.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Update {
    pub(super) set: Arc<ReplicaSet>,
    /// The new size, where it changes.
    pub(super) replicas: Option<i32>,
    /// Annotations to set.
    pub(super) annotations: BTreeMap<String, String>,
    /// The new `minReadySeconds`, where it changes.
    pub(super) min_ready_seconds: Option<i32>,
}

impl Update {
    fn changes_something(&self) -> bool {
        self.replicas.is_some() || self.min_ready_seconds.is_some() || !self.annotations.is_empty()
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Nothing, until something changes.
    Wait,
    /// Write the ReplicaSet of the present template.
    Create(Box<ReplicaSet>),
    /// Change ReplicaSets.
    Update(Vec<Update>),
    /// Delete old ReplicaSets that no rollback will ask for.
    Delete(Vec<Arc<ReplicaSet>>),
}

/// The ReplicaSets of a Deployment.
#[derive(Debug, Clone)]
pub(super) struct Sets {
    /// That of the present template.
    pub(super) new: Option<Arc<ReplicaSet>>,
    /// The others, oldest first.
    pub(super) old: Vec<Arc<ReplicaSet>>,
}

impl Sets {
    /// Tells the new one from the old. Of several with the present template the oldest counts.
    pub(super) fn of(deployment: &Deployment, mut owned: Vec<Arc<ReplicaSet>>) -> Self {
        owned.sort_by_key(|set| {
            (set.metadata.creation_timestamp.clone(), set.metadata.name.clone())
        });
        let template = deployment.spec.as_ref().map(|spec| without_hash(&spec.template));
        let new = owned.iter().position(|set| {
            set.spec.as_ref().and_then(|spec| spec.template.as_ref()).map(without_hash) == template
        });
        let new = new.map(|at| owned.remove(at));
        Self { new, old: owned }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.old.iter().chain(&self.new)
    }

    /// How many pods they ask for.
    pub(super) fn replicas(&self) -> i32 {
        self.all().map(|set| replicas(set)).sum()
    }
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(metadata) = &mut template.metadata {
        if let Some(labels) = &mut metadata.labels {
            labels.remove(TEMPLATE_HASH);
        }
        metadata.labels = metadata.labels.take().filter(|labels| !labels.is_empty());
    }
    template.metadata = template.metadata.filter(|metadata| *metadata != ObjectMeta::default());
    template
}

/// The number that the present template has, or is to get.
pub(super) fn revision(sets: &Sets) -> i64 {
    let wanted = sets.old.iter().map(|set| annotations::revision(set)).max().unwrap_or(0) + 1;
    sets.new.as_ref().map_or(wanted, |new| annotations::revision(new).max(wanted))
}

/// The number to note on the Deployment; none while the template has no ReplicaSet.
pub(super) fn revision_note(sets: &Sets, outcome: &Outcome) -> Option<i64> {
    let written = sets.new.is_some() || matches!(outcome, Outcome::Created(_));
    written.then(|| revision(sets))
}

/// Whether old pods end before new ones start.
pub(super) fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.as_ref().and_then(|spec| spec.strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

/// Whether pods of old templates are still there, by what the ReplicaSets count and by their pods,
/// which `pods_of` finds by the ReplicaSet's uid.
pub(super) fn old_pods_run(sets: &Sets, pods_of: impl Fn(&str) -> Vec<Arc<Pod>>) -> bool {
    sets.old.iter().any(|set| {
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        limits::actual(set) > 0 || pods_of(uid).iter().any(|pod| !pods::is_finished(pod))
    })
}

/// Decides. `old_pods_run` matters only where the strategy is Recreate.
pub(super) fn plan(deployment: &Deployment, sets: &Sets, old_pods_run: bool) -> Step {
    let Some(spec) = &deployment.spec else { return Step::Wait };
    if deployment.metadata.deletion_timestamp.is_some() {
        return Step::Wait;
    }
    let limits = Limits::of(deployment);
    // The new one carries what the Deployment says before anything is done with it.
    if let Some(new) = &sets.new {
        let wanted = annotations::present(deployment, Some(new), revision(sets));
        let minimum = spec.min_ready_seconds.unwrap_or(0);
        let has = new.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
        let update = Update {
            set: new.clone(),
            replicas: None,
            annotations: annotations::missing(new, wanted),
            min_ready_seconds: (has != minimum).then_some(minimum),
        };
        if update.changes_something() {
            return Step::Update(vec![update]);
        }
    }
    let paused = spec.paused == Some(true);
    if paused || was_scaled(sets, limits) {
        let updates = scale(deployment, sets, limits);
        if !updates.is_empty() {
            return Step::Update(updates);
        }
    }
    if paused {
        return clean_up(spec, sets);
    }
    let step = if is_recreate(deployment) {
        recreate_step(deployment, sets, limits, old_pods_run)
    } else {
        rolling_step(deployment, sets, limits)
    };
    match step {
        Step::Wait if status::is_complete(deployment, deployment.status.as_ref()) => {
            clean_up(spec, sets)
        }
        step => step,
    }
}

/// Whether the number of replicas was changed since a ReplicaSet was last scaled.
fn was_scaled(sets: &Sets, limits: Limits) -> bool {
    sets.all()
        .filter(|set| replicas(set) > 0)
        .any(|set| annotations::desired(set).is_some_and(|desired| desired != limits.replicas))
}

/// A ReplicaSet's new size, with the notes about it; none if it has both.
fn resize(set: &Arc<ReplicaSet>, size: i32, limits: Limits) -> Option<Update> {
    let update = Update {
        set: set.clone(),
        replicas: (replicas(set) != size).then_some(size),
        annotations: annotations::missing(set, annotations::sizes(limits)),
        min_ready_seconds: None,
    };
    update.changes_something().then_some(update)
}

/// The same, if the size changes.
fn resize_only(set: &Arc<ReplicaSet>, size: i32, limits: Limits) -> Option<Update> {
    resize(set, size, limits).filter(|update| update.replicas.is_some())
}

/// Follows a changed number of replicas, without going on with a rollout.
fn scale(deployment: &Deployment, sets: &Sets, limits: Limits) -> Vec<Update> {
    let active: Vec<&Arc<ReplicaSet>> = sets.all().filter(|set| replicas(set) > 0).collect();
    let only = match active[..] {
        [] => sets.new.as_ref().or(sets.old.last()),
        [only] => Some(only),
        _ => None,
    };
    if let Some(only) = only {
        return resize(only, limits.replicas, limits).into_iter().collect();
    }
    if active.len() < 2 {
        return Vec::new();
    }
    // The rollout is over in all but name: only the old ones are left to go.
    let saturated = |new: &&Arc<ReplicaSet>| {
        replicas(new) == limits.replicas
            && annotations::desired(new) == Some(limits.replicas)
            && limits::available(new) == limits.replicas
    };
    if sets.new.as_ref().filter(saturated).is_some() {
        let old = sets.old.iter();
        return old.filter_map(|set| resize_only(set, 0, limits)).collect();
    }
    if is_recreate(deployment) {
        // The rollout itself brings the sizes.
        return Vec::new();
    }
    proportional(deployment, active, limits)
}

fn proportional(
    deployment: &Deployment,
    mut active: Vec<&Arc<ReplicaSet>>,
    limits: Limits,
) -> Vec<Update> {
    let most = if limits.replicas > 0 { limits.most() } else { 0 };
    let now: i32 = active.iter().map(|set| replicas(set)).sum();
    let created = |set: &ReplicaSet| set.metadata.creation_timestamp.clone();
    if most > now {
        active.sort_by_key(|set| Reverse((replicas(set), created(set))));
    } else {
        active.sort_by_key(|set| (Reverse(replicas(set)), created(set)));
    }
    let known = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
    let part = |set: &&Arc<ReplicaSet>| proportion::Part {
        replicas: replicas(set),
        most_before: annotations::most(set).filter(|most| *most > 0).unwrap_or(known),
    };
    let parts: Vec<proportion::Part> = active.iter().map(part).collect();
    let sizes = proportion::sizes(&parts, most, limits.replicas == 0);
    active.into_iter().zip(sizes).filter_map(|(set, size)| resize(set, size, limits)).collect()
}

/// First the old pods end, all of them, then the new ones start.
fn recreate_step(deployment: &Deployment, sets: &Sets, limits: Limits, old_pods_run: bool) -> Step {
    let old = sets.old.iter();
    let downs: Vec<Update> = old.filter_map(|set| resize_only(set, 0, limits)).collect();
    if !downs.is_empty() {
        return Step::Update(downs);
    }
    if old_pods_run {
        return Step::Wait;
    }
    grow(deployment, sets, limits, limits.replicas)
}

fn rolling_step(deployment: &Deployment, sets: &Sets, limits: Limits) -> Step {
    let size = sets.new.as_ref().map_or(0, |new| replicas(new));
    let wanted = if size > limits.replicas {
        limits.replicas
    } else {
        limits.new_size(sets.replicas(), size)
    };
    let step = grow(deployment, sets, limits, wanted);
    let Some(new) = sets.new.as_ref().filter(|_| step == Step::Wait) else { return step };
    // What was scaled down a moment ago may still report the pods it had.
    let sized = |set: &Arc<ReplicaSet>| Size {
        replicas: replicas(set),
        available: limits::available(set).min(replicas(set)),
    };
    let old: Vec<Size> = sets.old.iter().map(sized).collect();
    let sizes = limits::scale_down(limits, &old, sized(new));
    let downs: Vec<Update> = sets
        .old
        .iter()
        .zip(sizes)
        .filter_map(|(set, size)| resize_only(set, size, limits))
        .collect();
    if downs.is_empty() { Step::Wait } else { Step::Update(downs) }
}

/// Sees to it that the new ReplicaSet is there and has a size.
fn grow(deployment: &Deployment, sets: &Sets, limits: Limits, size: i32) -> Step {
    match &sets.new {
        None => Step::Create(Box::new(new_set(deployment, sets, limits, size))),
        Some(new) => resize_only(new, size, limits).map_or(Step::Wait, |up| Step::Update(vec![up])),
    }
}

/// The ReplicaSet of the present template. Its labels keep its pods apart from those of the others.
fn new_set(deployment: &Deployment, sets: &Sets, limits: Limits, size: i32) -> ReplicaSet {
    let spec = deployment.spec.clone().unwrap_or_default();
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count);
    let hash = hash::of(&spec.template, collisions);
    let mut template = spec.template;
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().insert(TEMPLATE_HASH.to_owned(), hash.clone());
    let labels = metadata.labels.clone();
    let mut selector = spec.selector;
    let wanted = selector.match_labels.get_or_insert_default();
    wanted.insert(TEMPLATE_HASH.to_owned(), hash.clone());
    let mut annotations = annotations::present(deployment, None, revision(sets));
    annotations.extend(annotations::sizes(limits));
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(hash::name(&deployment.name_any(), &hash)),
            namespace: deployment.namespace(),
            labels,
            annotations: Some(annotations),
            owner_references: Some(vec![claim::reference(deployment)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(size),
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    }
}

/// Whether a ReplicaSet that somebody else wrote under the wanted name is the one wanted.
pub(super) fn is_wanted(wanted: &ReplicaSet, found: &ReplicaSet, deployment: &Deployment) -> bool {
    let template = |set: &ReplicaSet| set.spec.as_ref()?.template.as_ref().map(without_hash);
    owner::is_controlled_by(&found.metadata, deployment.metadata.uid.as_deref().unwrap_or_default())
        && template(wanted) == template(found)
}

/// Old ReplicaSets beyond `revisionHistoryLimit`, the lowest revisions first.
fn clean_up(spec: &DeploymentSpec, sets: &Sets) -> Step {
    let limit = spec.revision_history_limit.unwrap_or(i32::MAX);
    let alive = |set: &&Arc<ReplicaSet>| set.metadata.deletion_timestamp.is_none();
    let mut old: Vec<Arc<ReplicaSet>> = sets.old.iter().filter(alive).cloned().collect();
    let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    old.sort_by_key(|set| annotations::revision(set));
    old.truncate(excess);
    old.retain(|set| {
        let observed = set.status.as_ref().and_then(|status| status.observed_generation);
        replicas(set) == 0
            && limits::actual(set) == 0
            && observed.unwrap_or(0) >= set.metadata.generation.unwrap_or(0)
    });
    if old.is_empty() { Step::Wait } else { Step::Delete(old) }
}

#[cfg(test)]
mod tests;

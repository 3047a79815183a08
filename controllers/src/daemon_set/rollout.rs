//! How the pods of a DaemonSet are replaced after its template has changed. Pure.
//!
//! Without a surge old pods are deleted, at most `maxUnavailable` at a time, and the nodes without a
//! pod get new ones. With a surge new pods come beside the old ones, on at most `maxSurge` nodes at a
//! time, and the old ones go when the new ones are available.
//!
//! Source: k8s.io/kubernetes/pkg/controller/daemon/update.go.

use std::sync::Arc;

use api::pod as pods;
use k8s_openapi::api::core::v1::Pod;

use super::eligible::Eligibility;
use super::plan::{Plan, View};
use crate::workload::amount::{self, Round};

/// How many nodes may be without a pod, or have two, during an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) surge: i32,
    pub(super) unavailable: i32,
    /// Whether pods are replaced at all before somebody deletes them.
    rolls: bool,
}

impl Limits {
    /// The limits for as many nodes as are to have a pod.
    pub(super) fn of(view: &View<'_>) -> Self {
        let total = i32::try_from(view.desired().count()).unwrap_or(i32::MAX);
        let strategy = view.set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let number = |value: Option<&_>| {
            value.and_then(|value| amount::of(value, total, Round::Up)).unwrap_or(0).max(0)
        };
        let rolls = strategy.and_then(|strategy| strategy.type_.as_deref()) != Some("OnDelete");
        let surge = if rolls { number(rolling.and_then(|r| r.max_surge.as_ref())) } else { 0 };
        let unavailable = number(rolling.and_then(|r| r.max_unavailable.as_ref()));
        // There would be no progress without either.
        let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
        Self { surge, unavailable, rolls }
    }
}

/// The pods of a node that are not on their way out: the new one and the old one. None when there
/// are several of a kind; those are pruned first.
fn pair<'a>(view: &View<'_>, pods: &'a [Arc<Pod>]) -> Option<[Option<&'a Arc<Pod>>; 2]> {
    let mut pair = [None, None];
    for pod in pods.iter().filter(|pod| !pods::is_terminating(pod)) {
        let place = &mut pair[usize::from(!view.is_updated(pod))];
        if place.is_some() {
            return None;
        }
        *place = Some(pod);
    }
    Some(pair)
}

/// Adds the update's part to a plan that has everything else.
pub(super) fn roll(view: &View<'_>, limits: Limits, plan: &mut Plan) {
    if !limits.rolls {
        return;
    }
    if limits.surge == 0 {
        replace(view, limits.unavailable, plan);
    } else {
        surge(view, limits.surge, plan);
    }
}

/// All nodes that have a pod or are to have one.
fn nodes<'a>(view: &'a View<'_>) -> impl Iterator<Item = &'a str> {
    let without = view.desired().filter(|node| view.on(node).is_empty());
    view.by_node.keys().map(String::as_str).chain(without)
}

fn replace(view: &View<'_>, most: i32, plan: &mut Plan) {
    let (mut unavailable, mut candidates) = (0, Vec::new());
    for node in nodes(view) {
        match pair(view, view.on(node)) {
            Some([None, Some(old)]) if view.is_available(old) => candidates.push(old.clone()),
            // Nothing is lost with a pod that does not work; its node is without one already.
            Some([None, Some(old)]) => {
                plan.delete.push(old.clone());
                unavailable += 1;
            }
            Some([Some(new), None]) if view.is_available(new) => {}
            _ => unavailable += 1,
        }
    }
    let room = usize::try_from(most - unavailable).unwrap_or(0);
    plan.delete.extend(candidates.into_iter().take(room));
}

fn surge(view: &View<'_>, most: i32, plan: &mut Plan) {
    let (mut surging, mut candidates) = (0, Vec::new());
    for (node, pods) in &view.by_node {
        if view.nodes.get(node) != Some(&Eligibility::Run) {
            continue;
        }
        match pair(view, pods) {
            None => surging += 1,
            Some([None, Some(old)]) if view.is_available(old) => candidates.push(node.clone()),
            // The new pod takes the place of one that does not work.
            Some([None, Some(_)]) => plan.create.push(node.clone()),
            Some([Some(new), Some(_)]) if !view.is_available(new) => surging += 1,
            // Pruning sees to the rest.
            Some(_) => {}
        }
    }
    let room = usize::try_from(most - surging).unwrap_or(0);
    plan.create.extend(candidates.into_iter().take(room));
}

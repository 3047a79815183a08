//! StatefulSets: of each name one pod at a time, and the names in their order.

use jiff::Timestamp;
use serde_json::Value;

use super::{Event, LATE, Laws};
use crate::facts::{self, find, name, ordinal, owned, owner, serves, text, uid};
use crate::world::{State, row};

fn is_ordered(set: &Value) -> bool {
    text(set, "/spec/podManagementPolicy") != "Parallel"
}

fn pods<'a>(state: &'a State, set: &str) -> impl Iterator<Item = &'a Value> {
    owned(state, row("", "pods"), set)
}

/// One of a name: a pod is only gone when its node says so, or when there is no such node. Until then its
/// containers may run, and the next one of its name would be a second one.
pub(super) fn ended(state: &State, event: &Event<'_>, pod: &Value) -> Result<(), String> {
    let node = text(pod, "/spec/nodeName");
    let of_set = text(pod, "/metadata/ownerReferences/0/kind") == "StatefulSet";
    let over = node.is_empty() || event.actor == node || facts::is_finished(pod);
    if of_set && !over && state.object(row("", "nodes"), "", node).is_some() {
        let (pod, actor) = (name(pod), event.actor);
        return Err(format!("two of a name: {actor} removes {pod}, which may run on {node}"));
    }
    Ok(())
}

impl Laws {
    /// Notes when a pod of a StatefulSet stops serving.
    pub(super) fn note_service(&mut self, event: &Event<'_>, before: &Value) {
        if text(before, "/metadata/ownerReferences/0/kind") == "StatefulSet"
            && serves(before)
            && !event.now.is_some_and(serves)
            && let Some(set) = owner(before)
        {
            self.served.insert((set.to_owned(), name(before).to_owned()), event.at);
        }
    }

    /// Order: a pod comes when all before it serve, or have served until recently.
    pub(super) fn created_in_order(
        &self,
        state: &State,
        event: &Event<'_>,
        pod: &Value,
    ) -> Result<(), String> {
        let (sets, by) = (row("apps", "statefulsets"), owner(pod).unwrap_or_default());
        let Some(set) = find(state, sets, by).filter(|set| is_ordered(set)) else { return Ok(()) };
        let served = |before: &str| {
            let until = self.served.get(&(by.to_owned(), before.to_owned()));
            until.is_some_and(|until| event.at.duration_since(*until) < self.late)
        };
        for number in 0..ordinal(pod).unwrap_or(0) {
            let before = format!("{}-{number}", name(set));
            let there = pods(state, by).find(|pod| name(pod) == before);
            if !there.is_some_and(serves) && !served(&before) {
                let pod = name(pod);
                return Err(format!("order: {pod} is made, and {before} does not serve"));
            }
        }
        Ok(())
    }

    /// Notes when a pod of a StatefulSet serves, and with it whatever was to be replaced.
    pub(super) fn note_return(&mut self, before: &Value, now: &Value) {
        if serves(now)
            && !serves(before)
            && let (Some(set), Some(own)) = (owner(now), ordinal(now))
        {
            self.replaced.remove(&(set.to_owned(), own));
        }
    }

    /// One at a time: while the controller replaces a pod, it takes no other. That is its own work, and so
    /// nothing excuses it: not that it has not seen it yet, and not what others do.
    pub(super) fn taken_alone(
        &mut self,
        at: Timestamp,
        pod: &Value,
        set: &Value,
    ) -> Result<(), String> {
        let Some(own) = ordinal(pod).filter(|_| is_ordered(set)) else { return Ok(()) };
        let wanted = self.replicas.get(uid(set)).and_then(|it| it.believed(at, self.late).min());
        // Who is evicted goes without the controller's doing.
        let evicted = facts::has_condition(pod, "DisruptionTarget");
        let wanted = wanted.unwrap_or(0);
        for ((of, other), since) in &self.replaced {
            let open = of == uid(set) && *other != own && *other < wanted;
            if open && !evicted && at.duration_since(*since) < LATE {
                let pod = name(pod);
                return Err(format!("one at a time: {pod} goes, and number {other} is not back"));
            }
        }
        if own < wanted && !evicted {
            self.replaced.insert((uid(set).to_owned(), own), at);
        }
        Ok(())
    }

    /// Order: of pods that are not wanted the last goes first. Availability: of those that are wanted,
    /// one at a time. Excused while something else has taken pods, and by another number of replicas.
    pub(super) fn taken_in_order(
        &self,
        state: &State,
        at: Timestamp,
        pod: &Value,
        set: &Value,
    ) -> Result<(), String> {
        let Some(own) = ordinal(pod).filter(|_| is_ordered(set)) else { return Ok(()) };
        let wanted =
            self.replicas.get(uid(set)).map(|it| it.believed(at, self.late).collect::<Vec<_>>());
        let wanted = wanted.unwrap_or_default();
        let (Some(least), Some(most)) = (wanted.iter().min(), wanted.iter().max()) else {
            return Ok(());
        };
        if own >= *most {
            let later = pods(state, uid(set)).find(|pod| ordinal(pod).is_some_and(|it| it > own));
            return later.map_or(Ok(()), |later| {
                let (pod, later) = (name(pod), name(later));
                Err(format!("order: {pod} goes, and {later} is still there"))
            });
        }
        if least != most || !self.is_known(pod, at) || self.is_disturbed(uid(set), at) {
            return Ok(());
        }
        let serving = pods(state, uid(set)).filter(|pod| serves(pod)).count() as i64;
        if serving < most - 1 {
            let pod = name(pod);
            return Err(format!("availability: without {pod} {serving} pods serve, of {most}"));
        }
        Ok(())
    }
}

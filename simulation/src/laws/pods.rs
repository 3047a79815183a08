//! Pods are not too many, and are bound once, to a node that has room.

use serde_json::Value;

use super::{CONTROLLERS, Event, Laws};
use crate::facts::{self, name, owned, owner, text};
use crate::world::{State, row};

impl Laws {
    /// A ReplicaSet or Job makes no more pods than it is asked for, but for those that it cannot know
    /// of. StatefulSets and DaemonSets have laws of their own.
    pub(super) fn created(
        &self,
        state: &State,
        event: &Event<'_>,
        pod: &Value,
    ) -> Result<(), String> {
        let Some(by) = owner(pod).filter(|_| event.actor == CONTROLLERS) else { return Ok(()) };
        let unknown = self.unknown_pods.get(by).copied().unwrap_or(0);
        match text(pod, "/metadata/ownerReferences/0/kind") {
            "StatefulSet" => return self.created_in_order(state, event, pod),
            "DaemonSet" => return Self::created_for_node(state, event, pod, unknown),
            "Job" => Self::made_for_work(state, pod, by, unknown)?,
            _ => {}
        }
        let Some(wanted) =
            self.replicas.get(by).and_then(|r| r.believed(event.at, self.late).max())
        else {
            return Ok(());
        };
        let pods = owned(state, event.resource, by).filter(|pod| facts::is_active(pod)).count();
        if pods as i64 > wanted + unknown {
            let pod = name(pod);
            return Err(format!("too many pods: {pod} is number {pods} of {wanted}"));
        }
        Ok(())
    }

    /// A pod is bound once, to a node that has room for it.
    pub(super) fn bound(&self, state: &State, before: &Value, now: &Value) -> Result<(), String> {
        let (had, has) = (text(before, "/spec/nodeName"), text(now, "/spec/nodeName"));
        if had == has {
            return Ok(());
        }
        if !had.is_empty() {
            return Err(format!("bound twice: pod {} goes from {had} to {has}", name(now)));
        }
        let Some(node) = state.object(row("", "nodes"), "", has) else { return Ok(()) };
        let there = |pod: &&Value| text(pod, "/spec/nodeName") == has && !facts::is_finished(pod);
        let pods: Vec<&Value> = state.all(row("", "pods")).filter(there).collect();
        // The scheduler believes that a pod is not there whose binding it had no answer to.
        let surprise = |pod: &&&Value| self.unknown_bindings.contains(name(pod));
        let surprises: i64 = pods.iter().filter(surprise).map(|pod| facts::demand(pod)).sum();
        let demand: i64 = pods.iter().map(|pod| facts::demand(pod)).sum();
        if demand - surprises > facts::supply(&node.value) {
            let pod = name(now);
            return Err(format!("no room: pod {pod} is bound to {has}, where {demand}m are asked"));
        }
        Ok(())
    }
}

//! DaemonSets: on every node one pod, and while it is replaced at most one more.

use jiff::Timestamp;
use serde_json::Value;

use super::{Event, Laws};
use crate::facts::{self, find, name, number, owned, owner, serves, target, uid};
use crate::world::{State, row};

fn limit(set: &Value, field: &str) -> i64 {
    number(set, &format!("/spec/updateStrategy/rollingUpdate/{field}")).unwrap_or(0)
}

impl Laws {
    /// No node gets a second pod, or a third one where one more is allowed, but for those that the
    /// controller cannot know of.
    pub(super) fn created_for_node(
        state: &State,
        event: &Event<'_>,
        pod: &Value,
        unknown: i64,
    ) -> Result<(), String> {
        let by = owner(pod).unwrap_or_default();
        let Some(set) = find(state, row("apps", "daemonsets"), by) else { return Ok(()) };
        let node = target(pod);
        let there = |pod: &&Value| target(pod) == node && facts::is_active(pod);
        let pods = owned(state, event.resource, by).filter(there).count() as i64;
        let most = 1 + limit(set, "maxSurge");
        if pods > most + unknown {
            let pod = name(pod);
            return Err(format!("too many pods: {pod} is number {pods} of {most} for {node}"));
        }
        Ok(())
    }

    /// Availability: no update leaves more nodes without a pod than it may. Excused while something else
    /// has taken pods, when the pod was only just ready, and when another one serves in its place.
    pub(super) fn taken_from_node(
        &self,
        state: &State,
        at: Timestamp,
        pod: &Value,
        set: &Value,
    ) -> Result<(), String> {
        if !self.is_known(pod, at) || self.is_disturbed(uid(set), at) {
            return Ok(());
        }
        let serving = |node: &str| {
            let mut pods = owned(state, row("", "pods"), uid(set));
            pods.any(|pod| target(pod) == node && serves(pod))
        };
        if serving(target(pod)) {
            return Ok(());
        }
        let nodes = state.all(row("", "nodes")).map(name);
        let missing: Vec<&str> = nodes.filter(|node| !serving(node)).collect();
        let most = limit(set, "maxUnavailable");
        if missing.len() as i64 > most {
            let (pod, nodes) = (name(pod), missing.join(", "));
            return Err(format!("availability: without {pod} none serves on {nodes}, of {most}"));
        }
        Ok(())
    }
}

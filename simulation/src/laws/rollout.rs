//! Deployments: no rollout takes more than the Deployment allows, in pods too many or pods missing.

use jiff::Timestamp;
use serde_json::Value;

use super::{CONTROLLERS, Event, Laws, Recent};
use crate::facts::{self, Bounds, name, number, owned, owner, serves, uid};
use crate::world::State;

impl Laws {
    /// Notes how far a Deployment may be from its number of replicas.
    pub(super) fn deployment(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Some(deployment) = event.now else { return Ok(()) };
        if let Some(bounds) = facts::bounds(deployment) {
            let recent = self.bounds.entry(uid(deployment).to_owned());
            recent.or_insert_with(|| Recent(Vec::new())).add(event.at, bounds);
        }
        Ok(())
    }

    /// Surge: no ReplicaSet grows beyond what the Deployment allows to all of them, as it was recently.
    pub(super) fn set(&mut self, state: &State, event: &Event<'_>) -> Result<(), String> {
        self.wants(event, "/spec/replicas")?;
        let Some(set) = event.now else { return Ok(()) };
        let size = |set: &Value| number(set, "/spec/replicas").unwrap_or(1);
        let grew = size(set) > event.before.map_or(0, size);
        let Some(deployment) = owner(set).filter(|_| grew && event.actor == CONTROLLERS) else {
            return Ok(());
        };
        let Some(bounds) = self.bounds.get(deployment) else { return Ok(()) };
        let Some(most) = bounds.believed(event.at).map(|bounds| bounds.most).max() else {
            return Ok(());
        };
        let sum: i64 = owned(state, event.resource, deployment).map(size).sum();
        if sum > most {
            return Err(format!(
                "surge: ReplicaSet {} grows to {}, with the others {sum} pods of at most {most}",
                name(set),
                size(set)
            ));
        }
        Ok(())
    }

    /// Availability: no rollout takes a pod that is needed. Excused while something else has taken
    /// pods, when the pod was only just ready, and when the number of replicas has changed: what there
    /// is to be is then shared among the ReplicaSets by their sizes, whichever of their pods serve.
    pub(super) fn taken(
        &self,
        state: &State,
        at: Timestamp,
        pod: &Value,
        deployment: &str,
    ) -> Result<(), String> {
        let Some(bounds) = self.bounds.get(deployment) else { return Ok(()) };
        if !Self::is_known(pod, at) || self.is_disturbed(deployment, at) {
            return Ok(());
        }
        let believed: Vec<Bounds> = bounds.believed(at).collect();
        let Some(fewest) = believed.iter().map(|bounds| bounds.fewest).min() else {
            return Ok(());
        };
        if believed.iter().any(|bounds| bounds.replicas != believed[0].replicas) {
            return Ok(());
        }
        let left = facts::pods_of(state, deployment).into_iter().filter(|pod| serves(pod)).count();
        if (left as i64) < fewest {
            let pod = name(pod);
            return Err(format!("availability: without {pod} {left} pods serve, of {fewest}"));
        }
        Ok(())
    }
}

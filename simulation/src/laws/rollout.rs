//! Deployments: no rollout takes more than the Deployment allows, in pods too many or pods missing.

use jiff::Timestamp;
use serde_json::Value;

use super::{CONTROLLERS, Event, Laws, Recent};
use crate::facts::{self, Bounds, name, number, owned, owner, serves, uid};
use crate::world::{State, row};

impl Laws {
    /// Notes how far a Deployment may be from its number of replicas.
    pub(super) fn deployment(&mut self, state: &State, event: &Event<'_>) -> Result<(), String> {
        let Some(deployment) = event.now else { return Ok(()) };
        self.scaled(state, event, deployment)?;
        if let Some(bounds) = facts::bounds(deployment) {
            let recent = self.bounds.entry(uid(deployment).to_owned());
            recent.or_insert_with(|| Recent(Vec::new())).add(event.at, bounds);
        }
        Ok(())
    }

    /// Limits: who scales a Deployment is its autoscaler, and that keeps to its own limits.
    fn scaled(&self, state: &State, event: &Event<'_>, now: &Value) -> Result<(), String> {
        let replicas = |deployment: &Value| number(deployment, "/spec/replicas").unwrap_or(1);
        let (Some(had), has) = (event.before.map(replicas), replicas(now)) else { return Ok(()) };
        if event.actor != CONTROLLERS || had == has {
            return Ok(());
        }
        let (autoscalers, deployment) = (row("autoscaling", "horizontalpodautoscalers"), name(now));
        let found = state.object(autoscalers, facts::text(now, "/metadata/namespace"), deployment);
        let Some(autoscaler) = found else {
            return Err(format!(
                "limits: Deployment {deployment} goes from {had} to {has}, unasked"
            ));
        };
        let limits = self.limits.get(uid(&autoscaler.value));
        let mut limits = limits.into_iter().flat_map(|it| it.believed(event.at, self.late));
        if limits.any(|(fewest, most)| (fewest..=most).contains(&has)) {
            return Ok(());
        }
        Err(format!("limits: Deployment {deployment} goes from {had} to {has}"))
    }

    /// Notes the limits of an autoscaler.
    pub(super) fn autoscaler(&mut self, event: &Event<'_>) -> Result<(), String> {
        let Some(autoscaler) = event.now else { return Ok(()) };
        let limit = |field: &str| autoscaler["spec"][field].as_i64().unwrap_or(1);
        let limits = (limit("minReplicas"), limit("maxReplicas"));
        let recent = self.limits.entry(uid(autoscaler).to_owned());
        recent.or_insert_with(|| Recent(Vec::new())).add(event.at, limits);
        Ok(())
    }

    /// Surge: no ReplicaSet grows beyond what the Deployment allows to all of them, as it was recently.
    pub(super) fn set(&mut self, state: &State, event: &Event<'_>) -> Result<(), String> {
        self.wants(event, "/spec/replicas")?;
        let Some(set) = event.now else { return Ok(()) };
        if let (Some(before), Some(by)) = (event.before, owner(set))
            && owner(before) != Some(by)
        {
            // What it adopts was another one's, who wanted something else.
            self.disturbed.insert(by.to_owned(), event.at);
        }
        let size = |set: &Value| number(set, "/spec/replicas").unwrap_or(1);
        let grew = size(set) > event.before.map_or(0, size);
        let Some(deployment) = owner(set).filter(|_| grew && event.actor == CONTROLLERS) else {
            return Ok(());
        };
        let Some(bounds) = self.bounds.get(deployment) else { return Ok(()) };
        let Some(most) = bounds.believed(event.at, self.late).map(|bounds| bounds.most).max()
        else {
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
        if !self.is_known(pod, at) || self.is_disturbed(deployment, at) {
            return Ok(());
        }
        let believed: Vec<Bounds> = bounds.believed(at, self.late).collect();
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

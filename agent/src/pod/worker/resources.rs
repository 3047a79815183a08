//! What the pod may have of the node: agreed to first, given then.
//!
//! `self.pod` is what the API server says, `self.agreed` the same pod with the resources that the node has
//! agreed to. All that is done for the pod is done for the latter.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::Worker;
use crate::allocation::Refusal;
use crate::event::Severity;
use crate::pod::apply::Change;
use crate::pod::model::Want;
use crate::pod::plan;
use crate::pod::resize::{self, Need};
use crate::translate::resources;

impl Worker {
    /// Agrees to what the pod asks for, if there is room for more than it was given.
    pub(super) fn agree(&mut self) {
        if self.gone || plan::is_ending(&Want::of(&self.pod, self.began), &self.have) {
            self.have.resize = Default::default();
            if !self.have.containers.values().any(|container| container.running()) {
                self.context.ledger.release(&self.uid);
            }
            let agreed = self.allocation.as_ref().map(|given| resize::with(&self.pod, given));
            self.agreed = agreed.map_or_else(|| Arc::clone(&self.pod), Arc::new);
            return;
        }
        let asked = resize::asked(&self.pod);
        let given = match self.allocation.take() {
            Some(given) => given,
            None => {
                let given = resize::given(&self.pod, &self.have);
                let requests = requests(&resize::with(&self.pod, &given));
                self.context.ledger.hold(&self.uid, requests);
                given
            }
        };
        let mut pending = None;
        if !resize::same(&asked, &given) {
            let refusal = match resize::infeasible(&self.pod, &self.have, &asked) {
                Some(why) => Some(Refusal::Infeasible(why)),
                None => self.context.ledger.resize(&self.uid, requests(&self.pod)).err(),
            };
            pending = refusal.map(|refusal| match refusal {
                Refusal::Deferred(why) => ("Deferred", why),
                Refusal::Infeasible(why) => ("Infeasible", why),
            });
            if pending.is_none() {
                self.resizing = self.pod.metadata.generation.or(Some(0));
                self.have.resize.error = None;
                let text = resize::event("Pod resize started", &self.pod, None);
                self.context.events.pod(&self.pod, Severity::Normal, "ResizeStarted", text);
            }
        }
        self.tell_pending(pending);
        (self.agreed, self.allocation) = match self.have.resize.pending {
            None => (Arc::clone(&self.pod), Some(asked)),
            Some(_) => (Arc::new(resize::with(&self.pod, &given)), Some(given)),
        };
    }

    fn tell_pending(&mut self, pending: Option<(&'static str, String)>) {
        if let Some((reason, why)) = &pending
            && self.have.resize.pending != pending
        {
            let event = if *reason == "Deferred" { "ResizeDeferred" } else { "ResizeInfeasible" };
            let text = resize::event(&format!("Pod resize {reason}"), &self.pod, Some(why));
            self.context.events.pod(&self.pod, Severity::Warning, event, text);
        }
        self.have.resize.pending = pending;
    }

    /// Tells when all containers have what was agreed to.
    pub(super) fn tell_resized(&mut self, want: &Want) {
        if self.resizing.is_some() && !resize::in_progress(want, &self.have) {
            self.resizing = None;
            self.have.resize.error = None;
            let text = resize::event("Pod resize completed", &self.agreed, None);
            self.context.events.pod(&self.pod, Severity::Normal, "ResizeCompleted", text);
        }
    }

    /// Notes why a resize was not carried out, and tells once.
    pub(super) fn resize_failed(&mut self, why: String) {
        if self.have.resize.error.as_ref() != Some(&why) {
            let text = resize::event("Pod resize error", &self.agreed, Some(&why));
            self.context.events.pod(&self.pod, Severity::Warning, "ResizeError", text);
        }
        self.have.resize.error = Some(why);
    }

    /// What each container that can be resized while it runs is to get.
    pub(super) fn changes(&self) -> Vec<Change> {
        let want = Want::of(&self.agreed, self.began);
        let spec = self.agreed.spec.clone().unwrap_or_default();
        let needs = want
            .containers
            .iter()
            .filter(|c| self.have.container(&c.name).resize(c) == Need::InPlace);
        needs
            .filter_map(|wanted| self.container(&wanted.name))
            .map(|container| Change {
                limits: resources::of_container(
                    &spec,
                    &container,
                    self.context.report.memory_bytes(&self.context.config),
                ),
                resources: container.resources.unwrap_or_default(),
                container: container.name,
            })
            .collect()
    }
}

fn requests(pod: &Pod) -> resources::Requests {
    pod.spec.as_ref().map(resources::requests).unwrap_or_default()
}

//! What the watches tell of claims and devices: pods whose claims are there now may wait for a node, and
//! refused pods are woken that may get devices now.

use std::sync::Arc;

use super::Cycle;
use crate::dynamic_resources::{News, uses};
use crate::pod::PodInfo;

impl Cycle {
    pub(super) fn devices(&mut self, news: News) {
        let listed = match &news {
            News::Claims(_) => Some(0),
            News::Classes(_) => Some(1),
            News::Slices(_) => Some(2),
            _ => None,
        };
        for (change, only) in self.cache.devices_mut().hear(news) {
            if let Some(id) = &only {
                let users = self.gated.values().filter(|pod| uses(pod, id));
                let users: Vec<Arc<PodInfo>> = users.cloned().collect();
                users.into_iter().for_each(|pod| self.pod(pod));
            }
            self.wake_those(change, |refused| match &only {
                Some(id) => uses(refused.pod, id),
                None => !refused.pod.demands.resource_claims.is_empty(),
            });
        }
        if let Some(kind) = listed {
            self.listed.devices[kind] = true;
        }
    }
}

//! The filters as they stand for one pod in one decision.

use std::sync::Arc;

use crate::cache::Cache;
use crate::framework::{Filter, FilterState, Framework, Prepared, Rejection};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

enum Ask<'a> {
    Plain(&'a dyn Filter),
    State(Box<dyn FilterState + 'a>),
}

/// Whether any node can run the pod.
///
/// # Errors
/// The first rejection of all nodes alike, with the position of the filter it is from.
pub fn admit(
    framework: &Framework,
    cache: &Cache,
    pod: &PodInfo,
) -> Result<(), (usize, Rejection)> {
    let mut filters = framework.filters.iter().enumerate();
    filters.try_for_each(|(at, filter)| filter.admit(pod, cache).map_err(|why| (at, why)))
}

/// The filters that concern a pod, with what they gathered.
pub struct Filters<'a> {
    pod: &'a PodInfo,
    /// With the filter's position in [`Framework::filters`].
    asked: Vec<(usize, Ask<'a>)>,
}

impl<'a> Filters<'a> {
    /// Lets every filter gather what it needs.
    #[must_use]
    pub fn prepare(framework: &'a Framework, cache: &'a Cache, pod: &'a PodInfo) -> Self {
        let mut asked = Vec::with_capacity(framework.filters.len());
        for (position, filter) in framework.filters.iter().enumerate() {
            match filter.pre_filter(pod, cache) {
                Prepared::Skip => {}
                Prepared::Plain => asked.push((position, Ask::Plain(&**filter))),
                Prepared::State(state) => asked.push((position, Ask::State(state))),
            }
        }
        Self { pod, asked }
    }

    /// Whether no filter looks at anything but pod and node: then a verdict holds as long as the node
    /// stays as it is.
    #[must_use]
    pub fn are_plain(&self) -> bool {
        self.asked.iter().all(|(_, ask)| matches!(ask, Ask::Plain(_)))
    }

    /// Whether the node can run the pod.
    ///
    /// # Errors
    /// The first rejection, with the position of the filter it is from.
    pub fn ask(&self, node: &NodeInfo, offer: &Offer) -> Result<(), (usize, Rejection)> {
        for (position, ask) in &self.asked {
            let verdict = match ask {
                Ask::Plain(filter) => filter.filter(self.pod, node, offer),
                Ask::State(state) => state.filter(node, offer),
            };
            verdict.map_err(|rejection| (*position, rejection))?;
        }
        Ok(())
    }

    /// The part of [`Filters::ask`] that looks at pod and node alone.
    ///
    /// # Errors
    /// The first rejection, with the position of the filter it is from.
    pub fn ask_plain(&self, node: &NodeInfo, offer: &Offer) -> Result<(), (usize, Rejection)> {
        for (position, ask) in &self.asked {
            if let Ask::Plain(filter) = ask {
                let verdict = filter.filter(self.pod, node, offer);
                verdict.map_err(|rejection| (*position, rejection))?;
            }
        }
        Ok(())
    }

    /// The rest of it.
    ///
    /// # Errors
    /// The first rejection, with the position of the filter it is from.
    pub fn ask_states(&self, node: &NodeInfo, offer: &Offer) -> Result<(), (usize, Rejection)> {
        for (position, ask) in &self.asked {
            if let Ask::State(state) = ask {
                let verdict = state.filter(node, offer);
                verdict.map_err(|rejection| (*position, rejection))?;
            }
        }
        Ok(())
    }

    /// Like [`Filters::ask`], with room left for the pods nominated to the node that matter as much
    /// as this one or more. They may also never come: without them it must fit as well.
    ///
    /// # Errors
    /// The first rejection, with the position of the filter it is from.
    pub fn ask_nominated(
        &mut self,
        cache: &Cache,
        node: &NodeInfo,
        offer: &Offer,
    ) -> Result<(), (usize, Rejection)> {
        // Most nodes that cannot run it cannot run it without the others either.
        self.ask(node, offer)?;
        if node.nominated == 0 {
            return Ok(());
        }
        let pod = self.pod;
        let before = |other: &&Arc<PodInfo>| {
            other.uid != pod.uid && other.demands.priority >= pod.demands.priority
        };
        let others: Vec<&Arc<PodInfo>> = cache.nominated(&node.name).filter(before).collect();
        if !others.is_empty() {
            let mut full = node.draft();
            for other in &others {
                full.add(other);
                self.add(other, offer);
            }
            let verdict = self.ask(&full, offer);
            others.iter().for_each(|other| self.remove(other, offer));
            verdict?;
        }
        Ok(())
    }

    /// As if `pod` were on the node that offers `offer`.
    pub fn add(&mut self, pod: &PodInfo, offer: &Offer) {
        for (_, ask) in &mut self.asked {
            if let Ask::State(state) = ask {
                state.add(pod, offer);
            }
        }
    }

    /// As if `pod` were not on it any more.
    pub fn remove(&mut self, pod: &PodInfo, offer: &Offer) {
        for (_, ask) in &mut self.asked {
            if let Ask::State(state) = ask {
                state.remove(pod, offer);
            }
        }
    }
}

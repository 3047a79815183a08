//! A pod's claims must have volumes that its node reaches, or get them there.
//!
//! Filter: the node reaches the bound volumes; for claims that wait for the pod there is a free volume
//! or one can be made. Reserve: what was found is the pod's from now on. Pre-bind: write it and wait.
//!
//! Source: <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding>.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;

use crate::cache::Cache;
use crate::configuration::VolumeBindingArguments;
use crate::framework::{Change, Filter, FilterState, PreBind, Prepared, Rejection, Reserve, Work};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::volumes::bind::{Errand, Take};
use crate::volumes::find::{Claims, claims, find};
use crate::volumes::{Plan, Volumes};

/// Filter, reserve and pre-bind of volumes.
#[derive(Debug)]
pub struct VolumeBinding {
    within: Duration,
}

impl VolumeBinding {
    /// With how long to wait for volumes.
    #[must_use]
    pub fn new(arguments: &VolumeBindingArguments) -> Self {
        Self { within: arguments.bind_timeout }
    }
}

struct State<'a> {
    claims: Claims<'a>,
    volumes: &'a Volumes,
}

impl FilterState for State<'_> {
    fn filter(&self, node: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        find(&self.claims, &node.name, &offer.labels, self.volumes).map(drop).map_err(rejected)
    }

    fn add(&mut self, _: &PodInfo, _: &Offer) {}

    fn remove(&mut self, _: &PodInfo, _: &Offer) {}
}

fn rejected(reasons: Vec<&'static str>) -> Rejection {
    let reasons = reasons.into_iter().map(str::to_owned).collect();
    Rejection { reasons, resolvable: false }
}

impl Filter for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn admit(&self, pod: &PodInfo, cache: &Cache) -> Result<(), Rejection> {
        claims(pod, cache.volumes()).map(drop).map_err(Rejection::unresolvable)
    }

    fn pre_filter<'a>(
        &'a self,
        pod: &'a PodInfo,
        cache: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        let volumes = cache.volumes();
        match claims(pod, volumes) {
            Ok(claims) if claims.bound.is_empty() && claims.delayed.is_empty() => Prepared::Skip,
            Ok(claims) => Prepared::State(Box::new(State { claims, volumes })),
            // Not admitted.
            Err(_) => Prepared::Skip,
        }
    }

    fn helped_by(&self, change: Change) -> bool {
        change.is_of_reach()
    }
}

impl Reserve for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn reserve(
        &self,
        pod: &Arc<PodInfo>,
        node: &Arc<str>,
        cache: &mut Cache,
    ) -> Result<(), Rejection> {
        if pod.claims.is_empty() {
            return Ok(());
        }
        let labels = cache.labels_of(node);
        let sorted = claims(pod, cache.volumes()).map_err(Rejection::unresolvable)?;
        let plan = find(&sorted, node, &labels, cache.volumes()).map_err(rejected)?;
        if !plan.is_empty() {
            cache.volumes_mut().reserve(&pod.uid, node, plan);
        }
        Ok(())
    }

    fn unreserve(&self, pod: &PodInfo, cache: &mut Cache) {
        cache.volumes_mut().release(&pod.uid);
    }
}

impl PreBind for VolumeBinding {
    fn name(&self) -> &'static str {
        "VolumeBinding"
    }

    fn pre_bind(
        &self,
        pod: &Arc<PodInfo>,
        node: &NodeInfo,
        cache: &Cache,
        client: &Client,
    ) -> Option<Work> {
        let volumes = cache.volumes();
        let Plan { takes, provisions, awaits } = volumes.plan(&pod.uid)?;
        let known =
            |ids: &[String]| ids.iter().filter_map(|id| volumes.claim(id).cloned()).collect();
        let take = |(claim, volume): &(String, String)| {
            Some(Take {
                claim: volumes.claim(claim)?.clone(),
                volume: volume.clone(),
                version: volumes.volume(volume)?.version.clone(),
            })
        };
        let errand = Errand {
            pod: pod.clone(),
            node: node.name.to_string(),
            takes: takes.iter().filter_map(take).collect(),
            provisions: known(provisions),
            awaits: known(awaits),
            within: self.within,
        };
        Some(Box::pin(errand.run(client.clone())))
    }
}

//! The extension points, a trait each.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use k8s_openapi::api::resource::v1::ResourceClaim;
use kube::Client;

use super::{Change, Framework, Rejection};
use crate::bind::BindError;
use crate::cache::Cache;
use crate::diagnosis::Remark;
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::preemption::{Budgets, Reasons, Victims};

/// May this pod wait for a node at all?
pub trait PreEnqueue: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// Whether it may. Asked again whenever the pod or a ResourceClaim that it uses changes.
    fn pre_enqueue(&self, pod: &PodInfo, cache: &Cache) -> bool;
}

/// Which of the waiting pods is next?
pub trait QueueSort: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// Where the pod is in line: the lowest goes first. A change of the pod may change it.
    fn rank(&self, pod: &PodInfo) -> (i64, i64);
}

/// What a plugin does in one decision.
pub enum Prepared<T> {
    /// Nothing: the pod does not concern it.
    Skip,
    /// It looks at pod and node alone.
    Plain,
    /// It looks at what it gathered, too.
    State(T),
}

/// What a filter gathered for one decision.
pub trait FilterState {
    /// The verdict.
    ///
    /// # Errors
    /// The [`Rejection`] that ends up in the pod's condition and event.
    fn filter(&self, node: &NodeInfo, offer: &Offer) -> Result<(), Rejection>;

    /// As if `pod` were on the node that offers `offer`.
    fn add(&mut self, pod: &PodInfo, offer: &Offer);

    /// As if `pod` were not on it any more.
    fn remove(&mut self, pod: &PodInfo, offer: &Offer);
}

/// Can this node run the pod?
pub trait Filter: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// Whether any node can run the pod: what is known before the first node is asked. Default: yes.
    ///
    /// # Errors
    /// The [`Rejection`] for all nodes alike; it is said once, not counted over nodes.
    fn admit(&self, _pod: &PodInfo, _cache: &Cache) -> Result<(), Rejection> {
        Ok(())
    }

    /// Gathers what the verdicts depend on besides pod and node. Default: nothing.
    fn pre_filter<'a>(
        &'a self,
        _pod: &'a PodInfo,
        _cache: &'a Cache,
    ) -> Prepared<Box<dyn FilterState + 'a>> {
        Prepared::Plain
    }

    /// The verdict of a filter that gathers nothing. Default: every node will do.
    ///
    /// # Errors
    /// The [`Rejection`] that ends up in the pod's condition and event.
    fn filter(&self, _pod: &PodInfo, _node: &NodeInfo, _offer: &Offer) -> Result<(), Rejection> {
        Ok(())
    }

    /// Whether `change` can turn a rejection by this filter around.
    fn helped_by(&self, change: Change) -> bool;

    /// A pod has left `node`, and this filter is helped by that: whether it may open this or another
    /// node to `pod`. Default: yes; a filter that looks at one node alone can say no.
    fn opens(&self, _pod: &PodInfo, _node: &NodeInfo, _offer: &Offer) -> bool {
        true
    }
}

/// A pod that no node can run, and what may be asked about it.
pub struct Attempt<'a> {
    /// The plugins of its profile.
    pub framework: &'a Framework,
    /// Nodes and placed pods.
    pub cache: &'a Cache,
    /// What PodDisruptionBudgets allow.
    pub budgets: &'a Budgets,
    /// The pod.
    pub pod: &'a PodInfo,
    /// Positions in [`Cache::nodes`] of the nodes that fewer pods could open.
    pub openable: &'a [usize],
}

/// What post-filters did about a pod that no node can run.
#[derive(Debug, Clone)]
pub enum Aftermath {
    /// There is room on a node once these are gone; it is kept for the pod.
    Room(Victims),
    /// The pod must not ask; a room that was made for it before is still kept. Says why.
    NotEligible(&'static str),
    /// It makes no room; the next one is asked.
    Pass {
        /// What it has to say.
        remark: Option<Remark>,
        /// A claim whose devices are out of the pod's reach: they are to be given back.
        deallocate: Option<Arc<ResourceClaim>>,
    },
    /// There is none: how many nodes gave each reason. Room kept for the pod is given up.
    NoRoom(Reasons),
}

/// Can room be made?
pub trait PostFilter: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// Looks for room; changes nothing.
    fn post_filter(&self, attempt: &Attempt<'_>) -> Aftermath;
}

/// A node that can run the pod, with what it offers.
pub type Candidate<'a> = (&'a NodeInfo, &'a Offer);

/// What a score gathered for one decision.
pub trait ScoreState {
    /// A raw score.
    fn score(&self, node: &NodeInfo, offer: &Offer) -> i64;

    /// Brings the raw scores of all candidates into `0..=MAX_SCORE`.
    fn normalize(&self, candidates: &[Candidate<'_>], scores: &mut [i64]);
}

/// How good is this node for the pod? What it counts against the others is the profile's to say.
pub trait Score: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// Gathers what the scores depend on besides pod and node. Default: nothing.
    fn pre_score<'a>(
        &'a self,
        _pod: &'a PodInfo,
        _cache: &'a Cache,
        _candidates: &[Candidate<'a>],
    ) -> Prepared<Box<dyn ScoreState + 'a>> {
        Prepared::Plain
    }

    /// A raw score, in the plugin's own scale if it has a [`Score::normalize`]. Default: 0, for a
    /// plugin that gathers its scores.
    fn score(&self, _pod: &PodInfo, _node: &NodeInfo, _offer: &Offer) -> i64 {
        0
    }

    /// Brings the raw scores of all candidates into `0..=MAX_SCORE`.
    fn normalize(&self, _scores: &mut [i64]) {}
}

/// Takes what a pod needs besides its node, at the moment of the decision.
pub trait Reserve: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// Takes it. The pod is assumed on `node`.
    ///
    /// # Errors
    /// The [`Rejection`]; all plugins are then told to [`Reserve::unreserve`].
    fn reserve(
        &self,
        pod: &Arc<PodInfo>,
        node: &Arc<str>,
        cache: &mut Cache,
    ) -> Result<(), Rejection>;

    /// Gives it back, if anything was taken: the pod will not be bound.
    fn unreserve(&self, pod: &PodInfo, cache: &mut Cache);
}

/// What a permit plugin says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// The pod may be bound.
    Allow,
    /// It may not, and says why; it is tried again.
    Deny(String),
    /// It waits for [`super::Waiting::allow`], at most this long; then it is denied.
    Wait(Duration),
}

/// May this pod be bound to this node now?
pub trait Permit: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// Says so.
    fn permit(&self, pod: &PodInfo, node: &str) -> Permission;
}

/// Something that is done in the background, and how it ended.
pub type Work = BoxFuture<'static, Result<(), BindError>>;

/// Makes the node ready for the pod, before it is bound there.
pub trait PreBind: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// What is to be done; none if nothing is.
    fn pre_bind(
        &self,
        pod: &Arc<PodInfo>,
        node: &NodeInfo,
        cache: &Cache,
        client: &Client,
    ) -> Option<Work>;
}

/// Binds the pod.
pub trait Bind: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// The binding; none to leave the pod to the next plugin.
    fn bind(&self, pod: &Arc<PodInfo>, node: &Arc<str>, client: &Client) -> Option<Work>;
}

/// Is told of bound pods.
pub trait PostBind: Send + Sync {
    /// Kubernetes' name of the plugin.
    fn name(&self) -> &'static str;

    /// The pod is bound to the node. Must not block.
    fn post_bind(&self, pod: &PodInfo, node: &str);
}

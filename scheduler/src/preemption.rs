//! Making room for a pod by taking pods of lower priority away.
//!
//! Asked when no node can run a pod. On every node that fewer pods could open, all pods of lower
//! priority are taken away in thought; if the pod then fits, as many as possible are given back, the
//! most important first. Of the nodes where this works the one that hurts least is chosen. Nothing
//! is changed here: [`crate::cycle`] deletes the victims and nominates the node.
//!
//! Source: <https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/>.

mod budget;
mod memo;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

pub use budget::{Budget, Budgets};
use memo::Memo;
pub use memo::Memos;

use crate::cache::Cache;
use crate::configuration::PreemptionArguments;
use crate::filters::Filters;
use crate::framework::Attempt;
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;

/// The pods to take away from a node.
#[derive(Debug, Clone)]
pub struct Victims {
    /// The node.
    pub node: Arc<str>,
    /// The most important first; never empty.
    pub pods: Vec<Arc<PodInfo>>,
    /// How many of them a PodDisruptionBudget would have protected.
    pub violations: usize,
}

/// Why nothing can be taken away, and for how many nodes that holds.
pub type Reasons = BTreeMap<String, usize>;

/// Looks for room on the nodes that fewer pods could open. `candidates` says how many choices are
/// enough to take the best of; if all of them break budgets, it is looked further. `memos` saves trying
/// again what was tried for a pod like this one.
///
/// # Errors
/// For every reason how many nodes gave it.
pub fn preempt(
    attempt: &Attempt<'_>,
    candidates: PreemptionArguments,
    memos: &mut Memos,
) -> Result<Victims, Reasons> {
    const NO_VICTIMS: &str = "No preemption victims found for incoming pod";
    let Attempt { framework, cache, budgets, pod, openable: positions } = *attempt;
    if cache.lowest_priority().is_none_or(|lowest| lowest >= pod.demands.priority) {
        return Err(Reasons::from([(NO_VICTIMS.to_owned(), positions.len())]));
    }
    let mut filters = Filters::prepare(framework, cache, pod);
    let mut of_this_pod = Memo::default();
    let (plain, memo) = if filters.are_plain() {
        (true, memos.of(pod, budgets.generation(), cache.nodes().len()))
    } else {
        (false, &mut of_this_pod)
    };
    // Where room is kept for the pod itself, it is another question than for the others of its kind.
    let own = cache.nomination(&pod.uid).and_then(|node| cache.position(node));
    let wanted = (positions.len() * candidates.percentage / 100).max(candidates.absolute);
    let (mut found, mut unbroken, mut refused) = (0, false, Vec::new());
    let mut best: Option<(Harm, usize)> = None;
    // Not always the same nodes: where the pod's own uid points to.
    let start = pod.uid.0.bytes().fold(0usize, |sum, b| sum.wrapping_mul(31) + usize::from(b));
    for n in 0..positions.len() {
        let at = positions[(start % positions.len() + n) % positions.len()];
        let node = &cache.nodes()[at];
        let Some(offer) = &node.offer else { continue };
        let generation = (plain && own != Some(at)).then_some(node.generation);
        let ask = || select(&mut filters, cache, pod, node, offer, budgets).map(|it| it.harm());
        match memo.cost(at, generation, ask) {
            Ok(harm) => {
                found += 1;
                unbroken |= harm.violations == 0;
                if best.is_none_or(|(least, _)| harm < least) {
                    best = Some((harm, at));
                }
            }
            Err(number) => {
                if refused.len() <= number {
                    refused.resize(number + 1, 0);
                }
                refused[number] += 1;
            }
        }
        if found >= wanted && unbroken {
            break;
        }
    }
    let chosen = best.map(|(_, at)| &cache.nodes()[at]);
    if let Some((node, offer)) = chosen.and_then(|node| Some((node, node.offer.as_ref()?)))
        && let Ok(victims) = select(&mut filters, cache, pod, node, offer, budgets)
    {
        return Ok(victims);
    }
    let mut reasons = Reasons::new();
    for (number, nodes) in refused.into_iter().enumerate().filter(|(_, nodes)| *nodes > 0) {
        match memo.reasons(number) {
            [] => *reasons.entry(NO_VICTIMS.to_owned()).or_default() += nodes,
            all => all.iter().for_each(|why| *reasons.entry(why.clone()).or_default() += nodes),
        }
    }
    Err(reasons)
}

/// Whether pods that matter less than `pod` are about to leave a node.
#[must_use]
pub fn is_awaiting(pod: &PodInfo, node: &NodeInfo) -> bool {
    let leaves =
        |other: &Arc<PodInfo>| other.deleting && other.demands.priority < pod.demands.priority;
    node.residents.iter().any(leaves)
}

/// The victims on one node, or why there are none: the reasons of the filter that still refuses, or
/// nothing if there is no pod of lower priority.
fn select(
    filters: &mut Filters<'_>,
    cache: &Cache,
    pod: &PodInfo,
    node: &NodeInfo,
    offer: &Offer,
    budgets: &Budgets,
) -> Result<Victims, Vec<String>> {
    let is_lower = |other: &&Arc<PodInfo>| other.demands.priority < pod.demands.priority;
    let mut lower: Vec<Arc<PodInfo>> = node.residents.iter().filter(is_lower).cloned().collect();
    if lower.is_empty() {
        return Err(Vec::new());
    }
    lower.sort_by_key(|pod| (Reverse(pod.demands.priority), pod.created, pod.uid.clone()));
    let mut rest = node.draft();
    for victim in &lower {
        rest.remove(victim);
        filters.remove(victim, offer);
    }
    if let Err((_, rejection)) = filters.ask_nominated(cache, &rest, offer) {
        lower.iter().for_each(|victim| filters.add(victim, offer));
        return Err(rejection.reasons);
    }
    let protected = budgets.protected(&lower);
    let mut victims = Vec::new();
    let mut violations = 0;
    // Those a budget protects are given back before the others.
    for round in [true, false] {
        for (candidate, _) in lower.iter().zip(&protected).filter(|(_, safe)| **safe == round) {
            rest.add(candidate);
            filters.add(candidate, offer);
            if filters.ask_nominated(cache, &rest, offer).is_err() {
                rest.remove(candidate);
                filters.remove(candidate, offer);
                violations += usize::from(round);
                victims.push(candidate.clone());
            }
        }
    }
    victims.iter().for_each(|victim| filters.add(victim, offer));
    victims.sort_by_key(|pod| (Reverse(pod.demands.priority), pod.created, pod.uid.clone()));
    if victims.is_empty() {
        return Err(Vec::new());
    }
    Ok(Victims { node: node.name.clone(), pods: victims, violations })
}

/// What a choice costs. Compared in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Harm {
    /// Broken budgets.
    violations: usize,
    /// The highest priority lost.
    highest: i32,
    /// The sum of priorities lost, each counted from the lowest there is.
    sum: i64,
    /// Pods lost.
    pods: usize,
    /// How long the most important of them have been there: the youngest go first.
    since: Reverse<Timestamp>,
}

impl Victims {
    fn harm(&self) -> Harm {
        let pods = &self.pods;
        let highest = pods.iter().map(|pod| pod.demands.priority).max().unwrap_or(i32::MIN);
        // Every pod counts, those of negative priority too.
        let weight = |pod: &Arc<PodInfo>| i64::from(pod.demands.priority) - i64::from(i32::MIN) + 1;
        let most_important = pods.iter().filter(|pod| pod.demands.priority == highest);
        let oldest = most_important.map(|pod| pod.created).min().unwrap_or(Timestamp::MAX);
        Harm {
            violations: self.violations,
            highest,
            sum: pods.iter().map(weight).sum(),
            pods: pods.len(),
            since: Reverse(oldest),
        }
    }
}

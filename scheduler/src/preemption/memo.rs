//! What room on a node would cost, kept for the next pod of the same kind.
//!
//! Pods that need room come in batches, too, and of a large cluster hundreds of nodes are tried for
//! each. What a try comes to depends on the pod, the node with the pods room is kept for there, and the
//! budgets, as long as no filter looks further: it is kept with [`NodeInfo::generation`] and tried
//! again only where something changed.
//!
//! [`NodeInfo::generation`]: crate::node::NodeInfo::generation

use super::Harm;
use crate::pod::PodInfo;

/// Kinds of pods that are remembered at a time.
const KINDS: usize = 4;

/// What is known of the nodes for a few kinds of pods, the latest last.
#[derive(Debug, Default)]
pub struct Memos(Vec<(Kind, Memo)>);

#[derive(Debug)]
struct Kind {
    /// One of the kind.
    like: PodInfo,
    /// [`super::Budgets::generation`].
    budgets: u64,
}

/// What tries came to for pods of one kind.
#[derive(Debug, Default)]
pub(super) struct Memo {
    /// By position in the cache: the node's generation when it was tried (0 is no node's), and the cost
    /// or the number of the reasons.
    nodes: Vec<(u64, Result<Harm, usize>)>,
    /// Different reasons why there is no room.
    reasons: Vec<Vec<String>>,
}

impl Memos {
    /// What is known for pods like this one under these budgets, in a cache of so many nodes.
    pub(super) fn of(&mut self, pod: &PodInfo, budgets: u64, nodes: usize) -> &mut Memo {
        let known = self.0.iter().position(|(kind, _)| kind.like.is_like(pod));
        let (kind, mut memo) = match known.map(|at| self.0.remove(at)) {
            Some((kind, memo)) if kind.budgets == budgets => (kind, memo),
            _ => (Kind { like: pod.clone(), budgets }, Memo::default()),
        };
        memo.nodes.resize(nodes, (0, Err(0)));
        if self.0.len() == KINDS {
            self.0.remove(0);
        }
        self.0.push((kind, memo));
        &mut self.0.last_mut().expect("it was just put there").1
    }
}

impl Memo {
    /// What a try on the node at this position of the cache comes to: what room there costs, or the
    /// number of the reasons why there is none ([`Memo::reasons`]). Without a `generation` it is tried
    /// in any case and not kept.
    pub(super) fn cost(
        &mut self,
        at: usize,
        generation: Option<u64>,
        ask: impl FnOnce() -> Result<Harm, Vec<String>>,
    ) -> Result<Harm, usize> {
        if let Some(generation) = generation
            && self.nodes[at].0 == generation
        {
            return self.nodes[at].1;
        }
        let cost = ask().map_err(|reasons| self.intern(reasons));
        if let Some(generation) = generation {
            self.nodes[at] = (generation, cost);
        }
        cost
    }

    /// Reasons by their number.
    pub(super) fn reasons(&self, number: usize) -> &[String] {
        &self.reasons[number]
    }

    fn intern(&mut self, reasons: Vec<String>) -> usize {
        let known = self.reasons.iter().position(|known| *known == reasons);
        known.unwrap_or_else(|| {
            self.reasons.push(reasons);
            self.reasons.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::plugins::fixtures::pod;

    fn harm(highest: i32) -> Harm {
        Harm { violations: 0, highest, sum: 0, pods: 1, since: Reverse(Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn a_node_is_tried_again_only_after_a_change() {
        let (mut memos, pod) = (Memos::default(), pod(json!({})));
        let never = || -> Result<Harm, Vec<String>> { panic!("tried again") };
        let full = || Err(vec!["full".to_owned()]);
        let memo = memos.of(&pod, 1, 3);
        assert_eq!(memo.cost(0, Some(7), || Ok(harm(3))), Ok(harm(3)));
        assert_eq!(memo.cost(0, Some(7), never), Ok(harm(3)));
        assert_eq!(memo.cost(0, Some(8), full), Err(0), "the node has changed");
        assert_eq!(memo.cost(1, Some(9), full), Err(0), "equal reasons are one");
        assert_eq!(memo.reasons(0), ["full"]);
        assert_eq!(memo.cost(2, None, || Ok(harm(4))), Ok(harm(4)));
        assert_eq!(memo.cost(2, Some(10), || Ok(harm(5))), Ok(harm(5)), "it was not kept");
        assert_eq!(memos.of(&pod, 1, 3).cost(1, Some(9), never), Err(0));
    }

    #[test]
    fn other_pods_and_other_budgets_share_nothing() {
        let (mut memos, plain) = (Memos::default(), pod(json!({})));
        let tried = |memos: &mut Memos, pod: &PodInfo, budgets| {
            let mut tried = false;
            let try_it = || {
                tried = true;
                Ok(harm(0))
            };
            memos.of(pod, budgets, 1).cost(0, Some(1), try_it).unwrap();
            tried
        };
        assert!(tried(&mut memos, &plain, 1) && !tried(&mut memos, &plain, 1));
        assert!(tried(&mut memos, &plain, 2), "a budget has changed");
        let others: Vec<PodInfo> = (1..5).map(|n| pod(json!({"priority": n}))).collect();
        assert!(others.iter().all(|other| tried(&mut memos, other, 2)));
        assert!(tried(&mut memos, &plain, 2), "the oldest kind is forgotten");
    }
}

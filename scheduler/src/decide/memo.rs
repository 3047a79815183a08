//! Verdicts and scores that still hold for the next pod of the same kind.
//!
//! Pods come in batches: the pods of a Deployment all demand the same. What a plugin says that looks at
//! pod and node alone ([`Prepared::Plain`]) is the same for all of them as long as the node stays as it
//! is, so it is kept with the node's [`NodeInfo::generation`] and asked again only where something
//! changed. What looks at the whole cluster is asked every time.
//!
//! [`Prepared::Plain`]: crate::framework::Prepared::Plain
//! [`NodeInfo::generation`]: crate::node::NodeInfo::generation

use crate::framework::Rejection;
use crate::pod::PodInfo;

/// Kinds of pods that are remembered at a time.
const KINDS: usize = 4;

/// What is known of the nodes for a few kinds of pods, the latest last.
#[derive(Debug, Clone, Default)]
pub(super) struct Memos(Vec<Memo>);

/// What is known of the nodes for pods of one kind.
#[derive(Debug, Clone)]
pub(super) struct Memo {
    /// One of the kind.
    like: PodInfo,
    /// Score plugins.
    plugins: usize,
    /// By position in the cache.
    nodes: Vec<Known>,
    /// By position in the cache, then by plugin; what [`Known::scored`] says.
    scores: Vec<i64>,
    /// Different rejections with the filter they are from.
    rejections: Vec<(usize, Rejection)>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The node's when it was asked; 0 is no node's.
    generation: u64,
    said: Option<Said>,
    /// A bit for every plugin whose score is known.
    scored: u64,
}

/// What the filters said of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It can run the pod.
    Fits,
    /// It cannot, see [`Memo::rejection`].
    Refused(usize),
}

impl Memos {
    /// What is known for pods like this one, in a cache of so many nodes, for so many score plugins.
    pub(super) fn of(&mut self, pod: &PodInfo, nodes: usize, plugins: usize) -> &mut Memo {
        let mut memo = match self
            .0
            .iter()
            .position(|memo| memo.plugins == plugins && memo.like.is_like(pod))
        {
            Some(at) => self.0.remove(at),
            None => Memo {
                like: pod.clone(),
                plugins,
                nodes: Vec::new(),
                scores: Vec::new(),
                rejections: Vec::new(),
            },
        };
        memo.nodes.resize_with(nodes, Known::default);
        memo.scores.resize(nodes * plugins, 0);
        if self.0.len() == KINDS {
            self.0.remove(0);
        }
        self.0.push(memo);
        self.0.last_mut().expect("it was just put there")
    }
}

impl Memo {
    /// What the filters say of the node at this position of the cache.
    pub(super) fn verdict(
        &mut self,
        at: usize,
        generation: u64,
        ask: impl FnOnce() -> Result<(), (usize, Rejection)>,
    ) -> Said {
        self.refresh(at, generation);
        if let Some(said) = self.nodes[at].said {
            return said;
        }
        let said = match ask() {
            Ok(()) => Said::Fits,
            Err(refused) => Said::Refused(self.intern(refused)),
        };
        self.nodes[at].said = Some(said);
        said
    }

    /// The raw score of the node at this position by the plugin at that one.
    pub(super) fn score(
        &mut self,
        at: usize,
        generation: u64,
        plugin: usize,
        ask: impl FnOnce() -> i64,
    ) -> i64 {
        self.refresh(at, generation);
        let (score, bit) = (&mut self.scores[at * self.plugins + plugin], 1 << plugin);
        if self.nodes[at].scored & bit == 0 {
            self.nodes[at].scored |= bit;
            *score = ask();
        }
        *score
    }

    /// A rejection by its number, with the position of the filter it is from.
    pub(super) fn rejection(&self, number: usize) -> &(usize, Rejection) {
        &self.rejections[number]
    }

    /// The number of a rejection.
    pub(super) fn intern(&mut self, refused: (usize, Rejection)) -> usize {
        let known = self.rejections.iter().position(|known| *known == refused);
        known.unwrap_or_else(|| {
            self.rejections.push(refused);
            self.rejections.len() - 1
        })
    }

    /// Forgets what was said of the node if it has changed since.
    fn refresh(&mut self, at: usize, generation: u64) {
        if self.nodes[at].generation != generation {
            self.nodes[at] = Known { generation, said: None, scored: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::affinity::Labels;
    use crate::plugins::fixtures::pod;
    use serde_json::json;

    #[test]
    fn a_node_is_asked_again_only_after_a_change() {
        let (mut memos, pod) = (Memos::default(), pod(json!({})));
        let memo = memos.of(&pod, 2, 3);
        let refuse = || Err((4, Rejection::resolvable("full")));
        let never = || -> Result<(), (usize, Rejection)> { panic!("asked again") };
        assert_eq!(memo.verdict(1, 7, || Ok(())), Said::Fits);
        assert_eq!(memo.verdict(1, 7, never), Said::Fits);
        assert_eq!(memo.score(1, 7, 2, || 42), 42);
        assert_eq!(memo.score(1, 7, 2, || panic!("asked again")), 42);
        assert_eq!(memo.score(1, 7, 1, || 5), 5);
        assert_eq!(memo.verdict(1, 8, refuse), Said::Refused(0));
        assert_eq!(memo.score(1, 8, 2, || 43), 43, "the score is old, too");
        assert_eq!(memo.verdict(0, 9, refuse), Said::Refused(0), "equal rejections are one");
        assert_eq!(memo.rejection(0), &(4, Rejection::resolvable("full")));
    }

    #[test]
    fn only_pods_of_one_kind_share() {
        let mut memos = Memos::default();
        let plain = pod(json!({}));
        let fits = |memos: &mut Memos, pod: &PodInfo| {
            let mut asked = false;
            memos.of(pod, 1, 0).verdict(0, 1, || {
                asked = true;
                Ok(())
            });
            asked
        };
        assert!(fits(&mut memos, &plain));
        let mut same = plain.clone();
        (same.uid, same.name) = (crate::pod::PodUid("other".into()), "other".into());
        assert!(!fits(&mut memos, &same));
        let mut labelled = plain.clone();
        labelled.labels = Arc::new(Labels::from([("a".to_owned(), "b".to_owned())]));
        let mut grouped = plain.clone();
        grouped.group = Some("set".into());
        let others = [
            labelled,
            grouped,
            pod(json!({"nodeSelector": {"a": "b"}})),
            pod(json!({"priority": 3})),
        ];
        for other in &others {
            assert!(fits(&mut memos, other), "{other:?}");
        }
        assert!(fits(&mut memos, &plain), "the oldest kind is forgotten");
        assert!(!fits(&mut memos, &others[3]));
    }
}

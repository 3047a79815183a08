//! Nodes that are missing, and for how long. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// See the module.
#[derive(Debug)]
pub(super) struct Quarantine {
    time: Duration,
    since: BTreeMap<String, Instant>,
}

impl Quarantine {
    /// For so long a node has to be missing.
    pub(super) fn new(time: Duration) -> Self {
        Self { time, since: BTreeMap::new() }
    }

    /// Takes note of all nodes that are missing. Returns those whose time is over, which stay until they are
    /// released, and when the next one's is.
    pub(super) fn look(
        &mut self,
        missing: &BTreeSet<String>,
        now: Instant,
    ) -> (Vec<String>, Option<Duration>) {
        self.since.retain(|node, _| missing.contains(node));
        for node in missing {
            self.since.entry(node.clone()).or_insert(now);
        }
        let left = |since: &Instant| (*since + self.time).saturating_duration_since(now);
        let over = self.since.iter().filter(|(_, since)| left(since).is_zero());
        let over = over.map(|(node, _)| node.clone()).collect();
        (over, self.since.values().map(left).filter(|left| !left.is_zero()).min())
    }

    /// Forgets a node: if it is still missing, its time begins anew.
    pub(super) fn release(&mut self, node: &str) {
        self.since.remove(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_gone_when_it_was_missing_all_the_time() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let missing = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let left = |seconds: u64| Some(Duration::from_secs(seconds));
        let mut quarantine = Quarantine::new(Duration::from_secs(40));
        for (second, names, over, next) in [
            (0, &["a"][..], &[][..], left(40)),
            (10, &["a", "b"], &[], left(30)),
            (30, &["a"], &[], left(10)),
            (40, &["a", "b"], &["a"], left(40)),
            (41, &["a", "b"], &["a"], left(39)),
            (80, &["a", "b"], &["a", "b"], None),
        ] {
            let (is_over, is_next) = quarantine.look(&missing(names), at(second));
            assert_eq!(
                (is_over.as_slice(), is_next),
                (over.iter().map(|&name| name.to_owned()).collect::<Vec<_>>().as_slice(), next),
                "after {second} s"
            );
        }
        quarantine.release("a");
        let (over, next) = quarantine.look(&missing(&["a", "b"]), at(81));
        assert_eq!((over, next), (vec!["b".to_owned()], left(40)));
    }
}

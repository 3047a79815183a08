//! How fast nodes may lose their pods, by zone. Pure.
//!
//! A node that is not ready may be broken; but if most nodes of a zone fall silent at once, it is
//! rather the way to them that is broken, and their pods run on. So `NoExecute` taints are given out
//! at a rate that depends on how many nodes of the zone are ready:
//!
//! | state of the zone | when | nodes tainted in a second |
//! |---|---|---|
//! | Normal | else | [`EvictionRates::node`] |
//! | PartialDisruption | at least 3 nodes and [`EvictionRates::unhealthy_zone`] of all are not ready | [`EvictionRates::secondary`]; none in a zone that is not large |
//! | FullDisruption | no node is ready | as in Normal |
//!
//! When every zone is fully disrupted, it is most likely this side that is cut off: nobody is evicted,
//! and the taints that are there are taken off.
//!
//! Source: <https://kubernetes.io/docs/concepts/architecture/nodes/#rate-limits-on-eviction>.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use tokio::time::Instant;

use super::plan;

/// How fast the nodes of a zone may be emptied once they are not ready.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EvictionRates {
    /// Nodes a second, in a zone in which most nodes are ready or none is (`--node-eviction-rate` of
    /// kube-controller-manager). Default: 0.1.
    pub node: f64,
    /// Nodes a second, in a large zone in which many are not ready
    /// (`--secondary-node-eviction-rate`). Default: 0.01.
    pub secondary: f64,
    /// From which share of nodes that are not ready on a zone has many, 0 to 1
    /// (`--unhealthy-zone-threshold`). Default: 0.55.
    pub unhealthy_zone: f64,
    /// A zone of more nodes is large (`--large-cluster-size-threshold`). Default: 50.
    pub large_zone: usize,
}

impl Default for EvictionRates {
    fn default() -> Self {
        Self { node: 0.1, secondary: 0.01, unhealthy_zone: 0.55, large_zone: 50 }
    }
}

/// Region and zone of a node; empty without the labels.
type Name = (String, String);

/// Nodes with this label do not count.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Initial,
    Normal,
    PartialDisruption,
    FullDisruption,
}

/// When a node may be tainted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Now. It stays so until [`Zones::withdraw`].
    Now,
    /// Not before this long.
    After(Duration),
    /// Not while the zones are as they are.
    Never,
}

/// What has become of the zones.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shift {
    /// Nothing new, but these nodes wait for something else now.
    Within(Vec<String>),
    /// No node of any zone is ready any more. These are all.
    Lost(Vec<String>),
    /// Some node is ready again. These are all.
    Back(Vec<String>),
}

/// All zones; see the module.
#[derive(Debug)]
pub(super) struct Zones {
    rates: EvictionRates,
    zones: BTreeMap<Name, Zone>,
    nodes: BTreeMap<String, Member>,
    /// Whether every zone is fully disrupted.
    lost: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    zone: Name,
    ready: bool,
    counts: bool,
}

#[derive(Debug)]
struct Zone {
    state: State,
    members: usize,
    ready: usize,
    not_ready: usize,
    limiter: Limiter,
    /// Nodes that are to be tainted, the first first.
    waiting: VecDeque<String>,
    /// Nodes that may be.
    admitted: BTreeSet<String>,
}

/// A token bucket that holds one token.
#[derive(Debug)]
struct Limiter {
    /// None: there are no tokens.
    interval: Option<Duration>,
    next: Instant,
}

impl Zones {
    pub(super) fn new(rates: EvictionRates) -> Self {
        Self { rates, zones: BTreeMap::new(), nodes: BTreeMap::new(), lost: false }
    }

    /// Notes a node as it is now.
    pub(super) fn observe(&mut self, node: &Node, now: Instant) {
        let label = |of: &str| node.labels().get(of).cloned().unwrap_or_default();
        let place = |stable: &str, beta: &str| {
            Some(label(stable)).filter(|it| !it.is_empty()).unwrap_or_else(|| label(beta))
        };
        let member = Member {
            zone: (
                place("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
                place("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
            ),
            ready: plan::is_ready(node),
            counts: !node.labels().contains_key(EXCLUDED),
        };
        let name = node.name_any();
        if self.nodes.get(&name) == Some(&member) {
            return;
        }
        if self.nodes.get(&name).is_some_and(|before| before.zone != member.zone) {
            self.forget(&name);
        }
        let interval = interval(self.rates.node);
        let zone =
            self.zones.entry(member.zone.clone()).or_insert_with(|| Zone::new(interval, now));
        match self.nodes.insert(name, member.clone()) {
            Some(before) => *zone.count(&before) -= usize::from(before.counts),
            None => zone.members += 1,
        }
        *zone.count(&member) += usize::from(member.counts);
    }

    /// A node is gone.
    pub(super) fn forget(&mut self, node: &str) {
        self.withdraw(node);
        let Some(member) = self.nodes.remove(node) else { return };
        if let Some(zone) = self.zones.get_mut(&member.zone) {
            zone.members -= 1;
            *zone.count(&member) -= usize::from(member.counts);
        }
    }

    /// Whether no node of any zone is ready.
    pub(super) fn lost(&self) -> bool {
        self.lost
    }

    /// Looks at all zones and sets the rates that fit.
    pub(super) fn judge(&mut self, now: Instant) -> Shift {
        self.zones.retain(|_, zone| zone.members > 0);
        let counted = || self.zones.values().filter(|zone| zone.ready + zone.not_ready > 0);
        let lost = counted().next().is_some()
            && counted().all(|zone| zone.judged(&self.rates) == State::FullDisruption);
        let before = std::mem::replace(&mut self.lost, lost);
        let mut waiting = Vec::new();
        for zone in self.zones.values_mut() {
            let state = zone.judged(&self.rates);
            if state != zone.state {
                waiting.extend(zone.waiting.iter().cloned());
            }
            zone.state = state;
            let rate = if lost { 0.0 } else { zone.rate(&self.rates) };
            zone.limiter.swap(interval(rate), now);
        }
        let all = || self.nodes.keys().cloned().collect();
        match (before, lost) {
            (false, true) => Shift::Lost(all()),
            (true, false) => Shift::Back(all()),
            _ => Shift::Within(waiting),
        }
    }

    /// Asks for a node that is to be tainted. The first that has asked is the first to be admitted.
    pub(super) fn admit(&mut self, node: &str, now: Instant) -> Admission {
        let zone = self.nodes.get(node).and_then(|member| self.zones.get_mut(&member.zone));
        let Some(zone) = zone else { return Admission::Never };
        if zone.admitted.contains(node) {
            return Admission::Now;
        }
        if !zone.waiting.iter().any(|name| name == node) {
            zone.waiting.push_back(node.to_owned());
        }
        let Some(interval) = zone.limiter.interval else { return Admission::Never };
        let wait = zone.limiter.next.saturating_duration_since(now);
        if !wait.is_zero() {
            return Admission::After(wait);
        }
        if zone.waiting.front().is_some_and(|first| first == node) {
            zone.waiting.pop_front();
            zone.admitted.insert(node.to_owned());
            zone.limiter.next = now + interval;
            return Admission::Now;
        }
        // The first takes this token. It asks by itself.
        Admission::After(interval)
    }

    /// A node is tainted, or need not be.
    pub(super) fn withdraw(&mut self, node: &str) {
        let zone = self.nodes.get(node).and_then(|member| self.zones.get_mut(&member.zone));
        if let Some(zone) = zone {
            zone.admitted.remove(node);
            zone.waiting.retain(|name| name != node);
        }
    }
}

impl Zone {
    fn new(interval: Option<Duration>, now: Instant) -> Self {
        Self {
            state: State::Initial,
            members: 0,
            ready: 0,
            not_ready: 0,
            limiter: Limiter { interval, next: now },
            waiting: VecDeque::new(),
            admitted: BTreeSet::new(),
        }
    }

    fn count(&mut self, of: &Member) -> &mut usize {
        if of.ready { &mut self.ready } else { &mut self.not_ready }
    }

    #[allow(clippy::cast_precision_loss, reason = "a zone has fewer nodes than 2^52")]
    fn judged(&self, rates: &EvictionRates) -> State {
        let all = self.ready + self.not_ready;
        if self.ready == 0 && self.not_ready > 0 {
            State::FullDisruption
        } else if self.not_ready > 2 && self.not_ready as f64 / all as f64 >= rates.unhealthy_zone {
            State::PartialDisruption
        } else {
            State::Normal
        }
    }

    fn rate(&self, rates: &EvictionRates) -> f64 {
        match self.state {
            State::Initial | State::Normal | State::FullDisruption => rates.node,
            State::PartialDisruption if self.ready + self.not_ready > rates.large_zone => {
                rates.secondary
            }
            State::PartialDisruption => 0.0,
        }
    }
}

impl Limiter {
    /// Changes the rate. Who had to wait, waits for a whole interval.
    fn swap(&mut self, interval: Option<Duration>, now: Instant) {
        if self.interval == interval {
            return;
        }
        let has_token = self.interval.is_some() && self.next <= now;
        self.interval = interval;
        self.next = if has_token { now } else { now + interval.unwrap_or_default() };
    }
}

/// How far tokens are apart.
fn interval(rate: f64) -> Option<Duration> {
    (rate > 0.0).then(|| Duration::try_from_secs_f64(1.0 / rate).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, zone: &str, ready: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}}))
        .unwrap()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// A zone of so many nodes, `bad-0`… not ready, `good-0`… ready.
    fn fill(zones: &mut Zones, zone: &str, bad: usize, good: usize, now: Instant) {
        for number in 0..bad {
            zones.observe(&node(&format!("{zone}-bad-{number}"), zone, "Unknown"), now);
        }
        for number in 0..good {
            zones.observe(&node(&format!("{zone}-good-{number}"), zone, "True"), now);
        }
    }

    #[test]
    fn states_and_rates() {
        let now = Instant::now();
        for (bad, good, state, rate) in [
            (0, 3, State::Normal, 0.1),
            (1, 1, State::Normal, 0.1),
            (2, 1, State::Normal, 0.1),
            (3, 2, State::PartialDisruption, 0.0),
            (54, 46, State::Normal, 0.1),
            (55, 45, State::PartialDisruption, 0.01),
            (30, 20, State::PartialDisruption, 0.0),
            (31, 20, State::PartialDisruption, 0.01),
            (1, 0, State::FullDisruption, 0.1),
        ] {
            let mut zones = Zones::new(EvictionRates::default());
            fill(&mut zones, "a", bad, good, now);
            fill(&mut zones, "other", 0, 1, now);
            zones.judge(now);
            let zone = &zones.zones[&(String::new(), "a".to_owned())];
            assert_eq!(zone.state, state, "{bad} of {}", bad + good);
            assert!((zone.rate(&zones.rates) - rate).abs() < 1e-9, "{bad} of {}", bad + good);
        }
    }

    #[test]
    fn one_node_after_the_other_in_the_order_of_asking() {
        let now = Instant::now();
        let mut zones = Zones::new(EvictionRates::default());
        fill(&mut zones, "a", 3, 10, now);
        fill(&mut zones, "b", 1, 10, now);
        zones.judge(now);
        assert_eq!(zones.admit("a-bad-0", now), Admission::Now);
        assert_eq!(zones.admit("a-bad-0", now), Admission::Now, "until it is withdrawn");
        assert_eq!(zones.admit("a-bad-1", now), Admission::After(seconds(10)));
        assert_eq!(zones.admit("b-bad-0", now), Admission::Now, "another zone");
        let later = now + seconds(4);
        assert_eq!(zones.admit("a-bad-2", later), Admission::After(seconds(6)));
        let next = now + seconds(10);
        assert_eq!(zones.admit("a-bad-2", next), Admission::After(seconds(10)), "out of turn");
        assert_eq!(zones.admit("a-bad-1", next), Admission::Now);
        assert_eq!(zones.admit("a-bad-2", next), Admission::After(seconds(10)));
        // Who needs it no more stands in nobody's way.
        zones.withdraw("a-bad-2");
        zones.withdraw("a-bad-0");
        let last = now + seconds(20);
        assert_eq!(zones.admit("a-bad-0", last), Admission::Now);
        assert_eq!(zones.admit("nobody", last), Admission::Never);
    }

    #[test]
    fn a_small_zone_that_is_mostly_lost_waits_until_it_is_better() {
        let now = Instant::now();
        let mut zones = Zones::new(EvictionRates::default());
        fill(&mut zones, "a", 3, 2, now);
        assert_eq!(zones.judge(now), Shift::Within(vec![]));
        assert_eq!(zones.admit("a-bad-0", now), Admission::Never);
        zones.observe(&node("a-bad-2", "a", "True"), now);
        assert_eq!(zones.judge(now), Shift::Within(vec!["a-bad-0".to_owned()]));
        assert_eq!(zones.admit("a-bad-0", now), Admission::After(seconds(10)));
        assert_eq!(zones.admit("a-bad-0", now + seconds(10)), Admission::Now);
    }

    #[test]
    fn when_nobody_is_ready_nobody_is_tainted() {
        let now = Instant::now();
        let mut zones = Zones::new(EvictionRates::default());
        fill(&mut zones, "a", 1, 1, now);
        fill(&mut zones, "b", 0, 1, now);
        zones.judge(now);
        zones.observe(&node("a-good-0", "a", "False"), now);
        assert_eq!(zones.judge(now), Shift::Within(vec![]));
        assert_eq!(zones.admit("a-good-0", now), Admission::Now, "another zone is well");
        zones.observe(&node("b-good-0", "b", "Unknown"), now);
        let all: Vec<String> = ["a-bad-0", "a-good-0", "b-good-0"].map(str::to_owned).into();
        assert_eq!(zones.judge(now), Shift::Lost(all.clone()));
        assert!(zones.lost());
        assert_eq!(zones.admit("b-good-0", now), Admission::Never);
        // A zone that comes is as lost as the others.
        zones.observe(&node("c", "c", "False"), now);
        assert_eq!(zones.judge(now), Shift::Within(vec![]));
        assert_eq!(zones.admit("c", now), Admission::Never);
        zones.forget("c");
        let back = now + seconds(100);
        zones.observe(&node("a-good-0", "a", "True"), back);
        assert_eq!(zones.judge(back), Shift::Back(all));
        assert!(!zones.lost());
        assert_eq!(zones.admit("b-good-0", back), Admission::After(seconds(10)));
    }

    #[test]
    fn nodes_that_move_go_or_do_not_count() {
        let now = Instant::now();
        let mut zones = Zones::new(EvictionRates::default());
        fill(&mut zones, "a", 1, 1, now);
        zones.observe(&node("a-good-0", "b", "True"), now);
        zones.judge(now);
        let states = |zones: &Zones| zones.zones.values().map(|z| z.state).collect::<Vec<_>>();
        assert_eq!(states(&zones), [State::FullDisruption, State::Normal]);
        zones.forget("a-bad-0");
        zones.judge(now);
        assert_eq!(states(&zones), [State::Normal]);
        let mut excluded = node("edge", "b", "False");
        excluded.labels_mut().insert(EXCLUDED.to_owned(), String::new());
        zones.observe(&excluded, now);
        let zone = &zones.zones[&(String::new(), "b".to_owned())];
        assert_eq!((zone.members, zone.ready, zone.not_ready), (2, 1, 0));
        zones.forget("edge");
        zones.forget("a-good-0");
        assert_eq!(zones.judge(now), Shift::Within(vec![]), "no node at all");
        assert!(zones.zones.is_empty() && !zones.lost());
    }
}

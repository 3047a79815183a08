//! The pods that wait for a node.
//!
//! A pod is in one of three places:
//! - **active**: to be tried next, in the order of the queue sort plugin.
//! - **back-off**: tried without success (or its binding failed) and not to be tried again before a
//!   delay that doubles with every attempt ([`Delays`]).
//! - **unschedulable**: refused by filters; woken by a [`Change`] that those filters say can help,
//!   or after [`Delays::unschedulable`].
//!
//! Time is an argument, so that tests own the clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::framework::{Change, FilterSet, Frameworks, QueueSort};
use crate::pod::{PodInfo, PodUid};

/// Order among active pods: as the plugin says, then by uid to be total.
type Rank = ((i64, i64), PodUid);

/// How long pods wait before they are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delays {
    /// After the first attempt; doubled with each.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
    /// Even if nothing seemed to change.
    pub unschedulable: Duration,
}

impl Delays {
    fn backoff(&self, attempts: u32) -> Duration {
        self.first.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(self.longest)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Active,
    Backoff {
        until: Instant,
    },
    Unschedulable {
        refused_by: FilterSet,
        since: Instant,
        retry_at: Instant,
    },
    /// Handed out by [`Queue::pop`] and not yet returned.
    InFlight,
}

#[derive(Debug)]
struct Waiting {
    pod: Arc<PodInfo>,
    rank: Rank,
    attempts: u32,
    place: Place,
}

/// The queue. Owned by the scheduling task alone.
pub struct Queue {
    sort: Arc<dyn QueueSort>,
    delays: Delays,
    pods: HashMap<PodUid, Waiting>,
    active: BTreeSet<Rank>,
    unschedulable: HashSet<PodUid>,
    /// Deadlines of the pods in back-off and unschedulable.
    timers: BTreeMap<(Instant, PodUid), ()>,
}

impl Queue {
    /// An empty queue.
    #[must_use]
    pub fn new(sort: Arc<dyn QueueSort>, delays: Delays) -> Self {
        Self {
            sort,
            delays,
            pods: HashMap::new(),
            active: BTreeSet::new(),
            unschedulable: HashSet::new(),
            timers: BTreeMap::new(),
        }
    }

    /// A pending pod was seen, for the first time or again. A change of what it demands makes it
    /// worth another try at once; other changes (its status, written by us) do not.
    pub fn upsert(&mut self, pod: Arc<PodInfo>) {
        let rank = (self.sort.rank(&pod), pod.uid.clone());
        let Some(waiting) = self.pods.get_mut(&pod.uid) else {
            let uid = pod.uid.clone();
            let waiting = Waiting { pod, rank, attempts: 0, place: Place::InFlight };
            self.pods.insert(uid.clone(), waiting);
            self.move_to(&uid, Place::Active);
            return;
        };
        let changed = waiting.pod.demands != pod.demands;
        let before = std::mem::replace(&mut waiting.rank, rank.clone());
        waiting.pod = pod.clone();
        let place = waiting.place.clone();
        match place {
            Place::Active => {
                self.active.remove(&before);
                self.active.insert(rank);
            }
            Place::Unschedulable { .. } if changed => self.move_to(&pod.uid, Place::Active),
            _ => {}
        }
    }

    /// The pod is bound or gone.
    pub fn remove(&mut self, uid: &PodUid) {
        self.leave_place(uid);
        self.pods.remove(uid);
    }

    /// Uids of all waiting pods.
    pub fn uids(&self) -> impl Iterator<Item = &PodUid> {
        self.pods.keys()
    }

    /// Whether the pod waits, or is being tried or bound right now.
    #[must_use]
    pub fn contains(&self, uid: &PodUid) -> bool {
        self.pods.contains_key(uid)
    }

    /// Whether a pod can be popped.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.active.is_empty()
    }

    /// Makes a refused pod active at once.
    pub fn activate(&mut self, uid: &PodUid) {
        if self.unschedulable.contains(uid) {
            self.move_to(uid, Place::Active);
        }
    }

    /// Takes the next pod to try.
    pub fn pop(&mut self) -> Option<Arc<PodInfo>> {
        let (_, uid) = self.active.first()?.clone();
        self.move_to(&uid, Place::InFlight);
        let waiting = self.pods.get_mut(&uid)?;
        waiting.attempts += 1;
        Some(waiting.pod.clone())
    }

    /// A popped pod found no node.
    pub fn refused(&mut self, uid: &PodUid, refused_by: FilterSet, now: Instant) {
        let retry_at = now + self.delays.unschedulable;
        self.move_to(uid, Place::Unschedulable { refused_by, since: now, retry_at });
    }

    /// A popped pod found a node and the binding failed.
    pub fn failed(&mut self, uid: &PodUid, now: Instant) {
        if let Some(waiting) = self.pods.get(uid) {
            let until = now + self.delays.backoff(waiting.attempts);
            self.move_to(uid, Place::Backoff { until });
        }
    }

    /// Something in the cluster changed: wakes the refused pods it may help, if it `concerns` them.
    /// Those still within their back-off wait it out first.
    pub fn wake(
        &mut self,
        frameworks: &Frameworks,
        change: Change,
        now: Instant,
        concerns: impl Fn(&PodInfo) -> bool,
    ) {
        let helped: Vec<(PodUid, Instant)> = self
            .unschedulable
            .iter()
            .filter_map(|uid| {
                let waiting = self.pods.get(uid)?;
                let Place::Unschedulable { refused_by, since, .. } = waiting.place else {
                    return None;
                };
                // A scheduler that is no more has no pods here.
                let framework = frameworks.of(&waiting.pod.scheduler_name)?;
                (framework.helps(change, refused_by) && concerns(&waiting.pod))
                    .then(|| (uid.clone(), since + self.delays.backoff(waiting.attempts)))
            })
            .collect();
        for (uid, until) in helped {
            let place = if until <= now { Place::Active } else { Place::Backoff { until } };
            self.move_to(&uid, place);
        }
    }

    /// Makes the pods active whose time has come.
    pub fn tick(&mut self, now: Instant) {
        while let Some(((due, uid), ())) = self.timers.first_key_value()
            && *due <= now
        {
            let uid = uid.clone();
            self.move_to(&uid, Place::Active);
        }
    }

    /// When [`Queue::tick`] has something to do.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((due, _), ())| *due)
    }

    fn move_to(&mut self, uid: &PodUid, place: Place) {
        self.leave_place(uid);
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        if matches!(place, Place::Unschedulable { .. }) {
            self.unschedulable.insert(uid.clone());
        }
        match &place {
            Place::Active => {
                self.active.insert(waiting.rank.clone());
            }
            Place::Backoff { until: due } | Place::Unschedulable { retry_at: due, .. } => {
                self.timers.insert((*due, uid.clone()), ());
            }
            Place::InFlight => {}
        }
        waiting.place = place;
    }

    fn leave_place(&mut self, uid: &PodUid) {
        let Some(waiting) = self.pods.get(uid) else { return };
        self.unschedulable.remove(uid);
        match &waiting.place {
            Place::Active => {
                self.active.remove(&waiting.rank);
            }
            Place::Backoff { until: due } | Place::Unschedulable { retry_at: due, .. } => {
                self.timers.remove(&(*due, uid.clone()));
            }
            Place::InFlight => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, priority: i32, created: &str) -> Arc<PodInfo> {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": uid, "namespace": "n", "uid": uid, "creationTimestamp": created},
            "spec": {"containers": [], "priority": priority,
                "schedulerName": "default-scheduler"}}))
        .unwrap();
        Arc::new(PodInfo::read(&pod).unwrap())
    }

    fn queue() -> Queue {
        let delays = Delays {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(10),
            unschedulable: Duration::from_secs(300),
        };
        Queue::new(Arc::new(crate::plugins::PrioritySort), delays)
    }

    fn fit() -> FilterSet {
        let mut set = FilterSet::default();
        let framework = crate::framework::Framework::default();
        let fit = framework.filters.iter().position(|f| f.name() == "NodeResourcesFit");
        set.insert(fit.unwrap());
        set
    }

    const EARLY: &str = "2026-01-01T00:00:00Z";
    const LATE: &str = "2026-01-01T00:00:09Z";

    fn pop(queue: &mut Queue) -> Option<String> {
        queue.pop().map(|p| p.name.clone())
    }

    #[test]
    fn priority_then_age() {
        let mut q = queue();
        q.upsert(pod("late", 0, LATE));
        q.upsert(pod("early", 0, EARLY));
        q.upsert(pod("urgent", 9, LATE));
        assert_eq!(pop(&mut q).as_deref(), Some("urgent"));
        assert_eq!(pop(&mut q).as_deref(), Some("early"));
        assert_eq!(pop(&mut q).as_deref(), Some("late"));
        assert!(!q.is_ready());
    }

    #[test]
    fn refused_pods_wake_on_changes_that_help_and_not_before_their_backoff() {
        let (mut q, framework, now) = (queue(), Frameworks::default(), Instant::now());
        q.upsert(pod("p", 0, EARLY));
        let uid = q.pop().unwrap().uid.clone();
        q.refused(&uid, fit(), now);
        q.wake(&framework, Change::NodeLabels, now + Duration::from_secs(60), |_| true);
        assert!(!q.is_ready(), "labels do not help a pod that did not fit");
        q.wake(&framework, Change::PodRemoved, now + Duration::from_millis(10), |_| true);
        assert!(!q.is_ready(), "still in back-off");
        assert_eq!(q.next_tick(), Some(now + Duration::from_secs(1)));
        q.tick(now + Duration::from_secs(1));
        assert!(q.is_ready());

        // The second refusal: 2 s of back-off are over when the change comes.
        let uid = q.pop().unwrap().uid.clone();
        q.refused(&uid, fit(), now);
        q.wake(&framework, Change::NodeGrew, now + Duration::from_secs(3), |_| true);
        assert!(q.is_ready());
    }

    #[test]
    fn refused_pods_are_tried_again_in_the_end() {
        let (mut q, now) = (queue(), Instant::now());
        q.upsert(pod("p", 0, EARLY));
        let uid = q.pop().unwrap().uid.clone();
        q.refused(&uid, fit(), now);
        q.tick(now + Duration::from_secs(299));
        assert!(!q.is_ready());
        q.tick(now + Duration::from_secs(300));
        assert!(q.is_ready());
    }

    #[test]
    fn a_status_update_does_not_wake_but_a_new_demand_does() {
        let (mut q, now) = (queue(), Instant::now());
        q.upsert(pod("p", 0, EARLY));
        let popped = q.pop().unwrap();
        q.refused(&popped.uid, fit(), now);
        let mut same = (*popped).clone();
        same.refused = Some(("Unschedulable".into(), "…".into()));
        q.upsert(Arc::new(same));
        assert!(!q.is_ready());
        let mut other = (*popped).clone();
        other.demands.priority = 5;
        q.upsert(Arc::new(other));
        assert!(q.is_ready());
    }

    #[test]
    fn backoff_doubles_up_to_ten_seconds() {
        let (mut q, now) = (queue(), Instant::now());
        q.upsert(pod("p", 0, EARLY));
        for expected in [1, 2, 4, 8, 10, 10] {
            let uid = q.pop().unwrap().uid.clone();
            q.failed(&uid, now);
            assert_eq!(q.next_tick(), Some(now + Duration::from_secs(expected)));
            q.tick(now + Duration::from_secs(expected));
        }
    }

    #[test]
    fn removed_pods_leave_no_trace() {
        let (mut q, now) = (queue(), Instant::now());
        for uid in ["a", "b", "c"] {
            q.upsert(pod(uid, 0, EARLY));
        }
        let a = q.pop().unwrap();
        q.refused(&a.uid, fit(), now);
        let b = q.pop().unwrap();
        q.failed(&b.uid, now);
        for uid in ["a", "b", "c"] {
            q.remove(&PodUid(uid.into()));
        }
        assert!(!q.is_ready() && q.next_tick().is_none() && q.uids().count() == 0);
        q.refused(&a.uid, fit(), now);
        assert!(q.next_tick().is_none(), "a pod deleted in flight does not come back");
    }
}

//! The pods that wait for a node.
//!
//! A pod is in one of three places:
//! - **active**: to be tried next, in the order of the queue sort plugin.
//! - **back-off**: tried without success (or its binding failed) and not to be tried again before a
//!   delay that doubles with every attempt ([`Delays`]). Those that a change may have helped are tried
//!   earlier, in the order of active ones, if nobody is active: the delay is for others to go first.
//! - **unschedulable**: refused by filters; woken by a [`Change`] that those filters say can help,
//!   or after [`Delays::unschedulable`]. Some of them expect room on a node, where pods are leaving for
//!   them: they are not woken by pods that leave elsewhere for others.
//!
//! A change is held against everything that pods were refused by, and only then against pods.
//!
//! Time is an argument, so that tests own the clock.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::framework::{Change, FilterSet, Framework, Frameworks, QueueSort};
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

/// Which of the refused pods a change may wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// All of them.
    All,
    /// All but those that expect room.
    NotExpecting,
}

/// A refused pod that a change may wake.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// The pod.
    pub pod: &'a PodInfo,
    /// The plugins of its profile.
    pub framework: &'a Framework,
    /// Those of their filters that refused a node.
    pub by: FilterSet,
    /// Whether it expects room.
    pub expecting: bool,
}

/// What refused a pod: pods with equal refusals are helped by the same changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Refusal {
    /// Whose filters they are.
    scheduler: String,
    by: FilterSet,
    expecting: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Active,
    Backoff {
        until: Instant,
        /// It may be tried earlier if nobody is active.
        early: bool,
    },
    Unschedulable {
        refusal: Refusal,
        since: Instant,
        retry_at: Instant,
        /// The node where it expects room.
        room: Option<Arc<str>>,
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
    /// The pods in back-off that may be tried early.
    early: BTreeSet<Rank>,
    unschedulable: BTreeMap<Refusal, BTreeSet<PodUid>>,
    /// The pods that expect room, by node.
    expecting: BTreeSet<(Arc<str>, PodUid)>,
    /// Deadlines of the pods in back-off and unschedulable.
    timers: BTreeSet<(Instant, PodUid)>,
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
            early: BTreeSet::new(),
            unschedulable: BTreeMap::new(),
            expecting: BTreeSet::new(),
            timers: BTreeSet::new(),
        }
    }

    /// A pending pod was seen, for the first time or again. A change of what it demands, or of the labels
    /// that others look at, makes it worth another try at once; other changes (its status, written by
    /// us) do not.
    pub fn upsert(&mut self, pod: Arc<PodInfo>) {
        let rank = (self.sort.rank(&pod), pod.uid.clone());
        let Some(waiting) = self.pods.get_mut(&pod.uid) else {
            let uid = pod.uid.clone();
            let waiting = Waiting { pod, rank, attempts: 0, place: Place::InFlight };
            self.pods.insert(uid.clone(), waiting);
            self.move_to(&uid, Place::Active);
            return;
        };
        let changed = waiting.pod.demands != pod.demands || waiting.pod.labels != pod.labels;
        let before = std::mem::replace(&mut waiting.rank, rank.clone());
        waiting.pod = pod.clone();
        match &waiting.place {
            Place::Active => {
                self.active.remove(&before);
                self.active.insert(rank);
            }
            Place::Backoff { early: true, .. } => {
                self.early.remove(&before);
                self.early.insert(rank);
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
        !self.active.is_empty() || !self.early.is_empty()
    }

    /// Makes a refused pod active at once.
    pub fn activate(&mut self, uid: &PodUid) {
        if self.is_refused(uid) {
            self.move_to(uid, Place::Active);
        }
    }

    /// Takes the next pod to try: an active one, else one in back-off.
    pub fn pop(&mut self) -> Option<Arc<PodInfo>> {
        let (_, uid) = self.active.first().or_else(|| self.early.first())?.clone();
        self.move_to(&uid, Place::InFlight);
        let waiting = self.pods.get_mut(&uid)?;
        waiting.attempts += 1;
        Some(waiting.pod.clone())
    }

    /// A popped pod found no node. `room` is the node where it expects room.
    pub fn refused(
        &mut self,
        uid: &PodUid,
        refused_by: FilterSet,
        room: Option<Arc<str>>,
        now: Instant,
    ) {
        let Some(waiting) = self.pods.get(uid) else { return };
        let refusal = Refusal {
            scheduler: waiting.pod.scheduler_name.clone(),
            by: refused_by,
            expecting: room.is_some(),
        };
        let retry_at = now + self.delays.unschedulable;
        self.move_to(uid, Place::Unschedulable { refusal, since: now, retry_at, room });
    }

    /// A popped pod found a node and the binding failed.
    pub fn failed(&mut self, uid: &PodUid, now: Instant) {
        if let Some(waiting) = self.pods.get(uid) {
            let until = now + self.delays.backoff(waiting.attempts);
            self.move_to(uid, Place::Backoff { until, early: false });
        }
    }

    /// What a refused pod waits for will not come: it is tried again after its back-off.
    pub fn retry(&mut self, uid: &PodUid, now: Instant) {
        if self.is_refused(uid) {
            self.failed(uid, now);
        }
    }

    /// The pods that expect room on a node, the most important first.
    #[must_use]
    pub fn expecting(&self, node: &Arc<str>) -> Vec<Arc<PodInfo>> {
        let first = (node.clone(), PodUid("".into()));
        let there = self.expecting.range(first..).take_while(|(on, _)| on == node);
        let mut pods: Vec<&Waiting> = there.filter_map(|(_, uid)| self.pods.get(uid)).collect();
        pods.sort_by_key(|waiting| &waiting.rank);
        pods.into_iter().map(|waiting| waiting.pod.clone()).collect()
    }

    /// Something in the cluster changed: wakes the refused pods it may help, if it `concerns` them. Those
    /// still within their back-off wait it out first, or until nobody else is active.
    pub fn wake(
        &mut self,
        frameworks: &Frameworks,
        change: Change,
        among: Among,
        now: Instant,
        concerns: impl Fn(Refused<'_>) -> bool,
    ) {
        let mut helped: Vec<(PodUid, Instant, bool)> = Vec::new();
        for (refusal, uids) in &self.unschedulable {
            // A scheduler that is no more has no pods here.
            let Some(framework) = frameworks.of(&refusal.scheduler) else { continue };
            let Refusal { by, expecting, .. } = *refusal;
            if !framework.helps(change, by) || (expecting && among == Among::NotExpecting) {
                continue;
            }
            for waiting in uids.iter().filter_map(|uid| self.pods.get(uid)) {
                if let Place::Unschedulable { since, .. } = &waiting.place
                    && concerns(Refused { pod: &waiting.pod, framework, by, expecting })
                {
                    let until = *since + self.delays.backoff(waiting.attempts);
                    // What no filter refused, everything wakes, its like included: it has to wait.
                    helped.push((waiting.pod.uid.clone(), until, !by.is_empty()));
                }
            }
        }
        for (uid, until, early) in helped {
            let waits = until > now;
            self.move_to(&uid, if waits { Place::Backoff { until, early } } else { Place::Active });
        }
    }

    /// Makes the pods active whose time has come.
    pub fn tick(&mut self, now: Instant) {
        while let Some((due, uid)) = self.timers.first()
            && *due <= now
        {
            let uid = uid.clone();
            self.move_to(&uid, Place::Active);
        }
    }

    /// When [`Queue::tick`] has something to do.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    fn is_refused(&self, uid: &PodUid) -> bool {
        let waiting = self.pods.get(uid);
        waiting.is_some_and(|waiting| matches!(waiting.place, Place::Unschedulable { .. }))
    }

    fn move_to(&mut self, uid: &PodUid, place: Place) {
        self.leave_place(uid);
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        match &place {
            Place::Active => {
                self.active.insert(waiting.rank.clone());
            }
            Place::Backoff { until, early } => {
                self.timers.insert((*until, uid.clone()));
                if *early {
                    self.early.insert(waiting.rank.clone());
                }
            }
            Place::Unschedulable { refusal, retry_at, room, .. } => {
                self.timers.insert((*retry_at, uid.clone()));
                if let Some(node) = room {
                    self.expecting.insert((node.clone(), uid.clone()));
                }
                self.unschedulable.entry(refusal.clone()).or_default().insert(uid.clone());
            }
            Place::InFlight => {}
        }
        waiting.place = place;
    }

    /// Takes the pod out of everything that lists it; it is in flight then.
    fn leave_place(&mut self, uid: &PodUid) {
        let Some(waiting) = self.pods.get_mut(uid) else { return };
        match std::mem::replace(&mut waiting.place, Place::InFlight) {
            Place::Active => {
                self.active.remove(&waiting.rank);
            }
            Place::Backoff { until, .. } => {
                self.timers.remove(&(until, uid.clone()));
                self.early.remove(&waiting.rank);
            }
            Place::Unschedulable { refusal, retry_at, room, .. } => {
                self.timers.remove(&(retry_at, uid.clone()));
                if let Some(node) = room {
                    self.expecting.remove(&(node, uid.clone()));
                }
                if let Some(uids) = self.unschedulable.get_mut(&refusal) {
                    uids.remove(uid);
                    if uids.is_empty() {
                        self.unschedulable.remove(&refusal);
                    }
                }
            }
            Place::InFlight => {}
        }
    }
}

#[cfg(test)]
mod tests;

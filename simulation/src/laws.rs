//! What must hold after every event.
//!
//! Components see the cluster a moment late, so some laws hold against what was wanted *recently*,
//! and some only while nobody else disturbs: a node that dies takes pods away, and nobody is to
//! blame. Each law says what excuses it.
//!
//! | file | what |
//! |---|---|
//! | `rollout.rs` | Deployments: surge and availability, and the limits of autoscalers |
//! | `ordered.rs` | StatefulSets: one pod of a name, and the order of names |
//! | `daemons.rs` | DaemonSets: one pod on a node |
//! | `jobs.rs` | Jobs: what has ended is counted once, and not done again |
//! | `cron.rs` | CronJobs: one Job for each time |
//! | `own.rs` | controllers know what they have written themselves |
//! | `pods.rs` | pods are not too many, and are bound once, where there is room |
//! | `budgets.rs` | PodDisruptionBudgets hold |
//! | `volumes.rs` | claims and volumes belong to each other for good |

mod budgets;
mod cron;
mod daemons;
mod jobs;
mod ordered;
mod own;
mod pods;
mod rollout;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};

use api::resources::Resource;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::facts::{self, Bounds, number, owner, serves, text, uid};
use crate::world::{Call, State};

/// How late a component may be: a stalled watch, a broken connection, retries.
const LATE: SignedDuration = SignedDuration::from_secs(90);
/// How late it may be where nothing of this happens.
const PROMPT: SignedDuration = SignedDuration::from_secs(4);

/// The name of the controllers in events.
pub(crate) const CONTROLLERS: &str = "controllers";
/// The name of the scheduler in events.
pub(crate) const SCHEDULER: &str = "scheduler";
/// The name of whoever empties nodes.
pub(crate) const DRAIN: &str = "drain";

/// A write.
pub(crate) struct Event<'a> {
    pub(crate) resource: &'a Resource,
    /// None: it is new.
    pub(crate) before: Option<&'a Value>,
    /// None: it is gone.
    pub(crate) now: Option<&'a Value>,
    pub(crate) actor: &'a str,
    pub(crate) at: Timestamp,
}

/// What the laws remember.
#[derive(Default)]
pub(crate) struct Laws {
    /// How late a component may be: what is older is known to all.
    late: SignedDuration,
    /// By uid of the Deployment.
    bounds: BTreeMap<String, Recent<Bounds>>,
    /// Fewest and most replicas by uid of the autoscaler.
    limits: BTreeMap<String, Recent<(i64, i64)>>,
    /// Replicas by uid of the ReplicaSet or StatefulSet, parallelism by uid of the Job.
    replicas: BTreeMap<String, Recent<i64>>,
    /// When a workload or budget last lost a pod that its controller did not take.
    disturbed: BTreeMap<String, Timestamp>,
    /// Pods that have succeeded, that have failed or were taken away, by uid of the Job.
    ended: BTreeMap<String, [BTreeSet<String>; 2]>,
    /// Pods that may have been made without their owner's knowledge, by its uid.
    unknown_pods: BTreeMap<String, i64>,
    /// Pods that may have been bound without the scheduler's knowledge.
    unknown_bindings: BTreeSet<String>,
    /// When a pod of a name last served, by the uid of its StatefulSet.
    served: BTreeMap<(String, String), Timestamp>,
    /// Wanted pods of StatefulSets that their controller took, and whose successors do not serve yet, by
    /// the uid of the StatefulSet and the number in the name.
    replaced: BTreeMap<(String, i64), Timestamp>,
    own: own::Own,
    /// Jobs that CronJobs have made, by the uid of the CronJob and by name.
    scheduled: BTreeSet<(String, String)>,
}

/// What was true, and since when.
struct Recent<T>(Vec<(Timestamp, T)>);

impl<T: Copy + PartialEq> Recent<T> {
    fn add(&mut self, at: Timestamp, value: T) {
        if self.0.last().is_none_or(|(_, last)| *last != value) {
            self.0.push((at, value));
        }
    }

    /// What somebody who is late may believe.
    fn believed(&self, at: Timestamp, late: SignedDuration) -> impl Iterator<Item = T> {
        let ends = self.0.iter().skip(1).map(|(next, _)| *next).chain([Timestamp::MAX]);
        let spans = self.0.iter().zip(ends);
        spans.filter(move |(_, end)| at.duration_since(*end) < late).map(|((_, value), _)| *value)
    }
}

impl Laws {
    /// Those of a cluster whose components hear of everything at once, or not.
    pub(crate) fn new(prompt: bool) -> Self {
        Self { late: if prompt { PROMPT } else { LATE }, ..Self::default() }
    }

    /// A request was made, and whoever made it does not know.
    pub(crate) fn unknown(&mut self, call: &Call) {
        self.unanswered(call);
        if call.method != Method::POST || call.resource.plural != "pods" {
            return;
        }
        if call.subresource == "binding" {
            self.unknown_bindings.insert(call.name.clone());
        } else if let Ok(pod) = serde_json::from_slice::<Value>(&call.body)
            && let Some(set) = owner(&pod)
        {
            *self.unknown_pods.entry(set.to_owned()).or_default() += 1;
        }
    }

    /// Holds an event, of which `state` shows the outcome, against the laws.
    ///
    /// # Errors
    /// The law that is broken, and by what.
    pub(crate) fn judge(&mut self, state: &State, event: &Event<'_>) -> Result<(), String> {
        match &*event.resource.plural {
            "deployments" => self.deployment(state, event),
            "horizontalpodautoscalers" => self.autoscaler(event),
            "replicasets" => self.set(state, event),
            "statefulsets" | "replicationcontrollers" => self.wants(event, "/spec/replicas"),
            "pods" => self.pod(state, event),
            "jobs" => self.job(state, event),
            "persistentvolumeclaims" | "persistentvolumes" => volumes::kept(state, event),
            _ => Ok(()),
        }
    }

    /// Notes how many pods an owner asks for.
    fn wants(&mut self, event: &Event<'_>, pointer: &str) -> Result<(), String> {
        if let Some(owner) = event.now {
            let recent = self.replicas.entry(uid(owner).to_owned());
            let wanted = number(owner, pointer).unwrap_or(1);
            recent.or_insert_with(|| Recent(Vec::new())).add(event.at, wanted);
        }
        Ok(())
    }

    fn pod(&mut self, state: &State, event: &Event<'_>) -> Result<(), String> {
        match (event.before, event.now) {
            (None, Some(pod)) => self.created(state, event, pod),
            (Some(before), now) => {
                self.note_end(event, before);
                self.note_service(event, before);
                if let Some(now) = now {
                    self.note_return(before, now);
                    self.bound(state, before, now)?;
                    let adopted = owner(now).is_some() && owner(now) != owner(before);
                    if adopted || serves(before) && facts::is_active(now) && !serves(now) {
                        self.disturb(state, now, event.at);
                    }
                } else {
                    ordered::ended(state, event, before)?;
                }
                if facts::is_active(before) && !now.is_some_and(facts::is_active) {
                    return self.left(state, event, before);
                }
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    /// A pod does not count any more.
    fn left(&mut self, state: &State, event: &Event<'_>, pod: &Value) -> Result<(), String> {
        if event.actor == DRAIN {
            self.evicted(state, event.at, pod)?;
            // Budgets count evictions themselves.
            self.disturb_workload(state, pod, event.at);
            return Ok(());
        }
        let node = text(pod, "/spec/nodeName");
        let taken = event.actor == CONTROLLERS
            && !event.now.is_some_and(facts::is_finished)
            && (node.is_empty() || facts::keeps_pods(state, node));
        if !taken {
            self.disturb(state, pod, event.at);
            return Ok(());
        }
        self.disturb_budgets(state, pod, event.at);
        let Some(workload) = facts::workload(state, pod).filter(|it| !facts::is_leaving(it)) else {
            return Ok(());
        };
        match text(workload, "/kind") {
            "Deployment" => self.taken(state, event.at, pod, uid(workload)),
            "StatefulSet" => {
                self.taken_alone(event.at, pod, workload)?;
                self.taken_in_order(state, event.at, pod, workload)
            }
            "DaemonSet" => self.taken_from_node(state, event.at, pod, workload),
            _ => Ok(()),
        }
    }

    fn disturb(&mut self, state: &State, pod: &Value, at: Timestamp) {
        self.disturb_workload(state, pod, at);
        self.disturb_budgets(state, pod, at);
    }

    fn disturb_workload(&mut self, state: &State, pod: &Value, at: Timestamp) {
        if let Some(workload) = facts::workload(state, pod) {
            self.disturbed.insert(uid(workload).to_owned(), at);
        }
    }

    fn is_disturbed(&self, uid: &str, at: Timestamp) -> bool {
        self.disturbed.get(uid).is_some_and(|since| at.duration_since(*since) < self.late)
    }

    /// Whether a pod's controllers know that it serves.
    fn is_known(&self, pod: &Value, at: Timestamp) -> bool {
        facts::ready_since(pod).is_some_and(|since| at.duration_since(since) > self.late)
    }
}

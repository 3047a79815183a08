//! Nodes without containers: their Leases, and pods that start and end after a while.
//!
//! A node that has no power does nothing: its Lease grows old, its pods neither start nor end. When
//! the power is back, it goes on.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::facts::{is_finished, is_leaving, name, number, ready_since, text, uid};
use crate::random::Random;
use crate::world::{Object, World, row};

/// How often a node renews its Lease: half of what the controllers wait for, as most of what would be
/// written in a quiet cluster is this.
const RENEWS: Duration = Duration::from_secs(20);
/// Pods with this image run and are never ready.
pub(crate) const BROKEN: &str = "broken";

/// What happens to a node from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// It works.
    On,
    /// It is silent.
    Off,
    /// It is gone for good.
    Gone,
}

/// A node.
struct Node {
    name: String,
    world: Arc<World>,
    random: Random,
    /// When something is to be done about a pod, by its uid and how it was.
    due: BTreeMap<(String, Want), Instant>,
}

/// What a node does next with a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    Start,
    Ready,
    Finish,
    End,
}

/// What a node does next with a pod, if anything.
fn want(pod: &Value) -> Option<Want> {
    let broken = pod["spec"]["containers"][0]["image"] == BROKEN;
    let grace = number(pod, "/metadata/deletionGracePeriodSeconds");
    if is_leaving(pod) {
        // Without grace it has ended, and somebody's finalizer keeps it.
        Some(Want::End).filter(|_| grace != Some(0))
    } else if is_finished(pod) {
        None
    } else if text(pod, "/status/phase") != "Running" {
        Some(Want::Start)
    } else if ready_since(pod).is_none() && !broken {
        Some(Want::Ready)
    } else if runs_once(pod) {
        Some(Want::Finish)
    } else {
        None
    }
}

/// Whether a pod ends by itself.
fn runs_once(pod: &Value) -> bool {
    text(pod, "/spec/restartPolicy") == "Never"
}

/// Puts a node into the cluster, with so many CPUs.
pub(crate) fn add(world: &World, name: &str, cpus: u64) {
    let amounts = json!({"cpu": cpus.to_string(), "memory": "8Gi", "pods": "110"});
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name,
        "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": amounts, "allocatable": amounts}});
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name}});
    for (resource, namespace, object) in [
        (row("", "nodes"), "", node),
        (row("coordination.k8s.io", "leases"), "kube-node-lease", lease),
    ] {
        let path = (namespace, "", "");
        let call = crate::world::Call::of_user(http::Method::POST, resource, path, &object);
        if let Err(status) = world.request("kubelet", &call) {
            world.accuse(format!("node {name} is not made: {status}"));
        }
    }
}

/// Runs a node until it is gone.
pub(crate) async fn run(
    world: Arc<World>,
    name: String,
    random: Random,
    mut power: watch::Receiver<Power>,
) {
    let pods = world.changes(row("", "pods"));
    let mut node = Node { name, world, random, due: BTreeMap::new() };
    let mut renews = Instant::now();
    loop {
        let now = *power.borrow_and_update();
        match now {
            Power::Gone => return,
            Power::Off => {
                // When it is back, everything takes its time again.
                node.due.clear();
                if power.changed().await.is_err() {
                    return;
                }
                renews = Instant::now();
                continue;
            }
            Power::On => {}
        }
        if renews <= Instant::now() {
            node.renew();
            renews = Instant::now() + RENEWS;
        }
        let mut changed = pin!(pods.notified());
        changed.as_mut().enable();
        node.look();
        let next = node.due.values().copied().min().map_or(renews, |due| due.min(renews));
        tokio::select! {
            biased;
            changed = power.changed() => if changed.is_err() { return },
            () = changed => {}
            () = sleep_until(next) => {}
        }
    }
}

impl Node {
    /// Says that it lives.
    fn renew(&self) {
        let leases = row("coordination.k8s.io", "leases");
        let (actor, key) = (self.name.as_str(), ("kube-node-lease", self.name.as_str()));
        self.world.edit(actor, leases, key, |lease, now| {
            lease["spec"]["renewTime"] = api::meta::micro_time(now).into();
        });
        self.world.edit(actor, row("", "nodes"), ("", actor), |node, now| {
            if ready_since(node).is_none() {
                condition(node, "Ready", now);
                node["status"]["conditions"][0]["lastHeartbeatTime"] = api::meta::time(now).into();
            }
        });
    }

    /// Does what is due, and plans what will be.
    fn look(&mut self) {
        let pods = row("", "pods");
        let mine: Vec<Arc<Object>> = self.world.read(|state| {
            let all = state.objects(pods);
            all.filter(|pod| pod.value["spec"]["nodeName"] == *self.name).cloned().collect()
        });
        let mut due = BTreeMap::new();
        for pod in mine.iter().map(|pod| &pod.value) {
            let Some(want) = want(pod) else { continue };
            let key = (uid(pod).to_owned(), want);
            let at = match self.due.get(&key) {
                Some(at) => *at,
                None => Instant::now() + self.takes(pod, want),
            };
            if at <= Instant::now() {
                self.act(pod, want);
            } else {
                due.insert(key, at);
            }
        }
        self.due = due;
    }

    /// How long something takes.
    fn takes(&mut self, pod: &Value, want: Want) -> Duration {
        match want {
            Want::Start => self.random.millis(100, 2000),
            Want::Ready => self.random.millis(100, 3000),
            Want::Finish => self.random.millis(500, 15_000),
            Want::End => {
                let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(0);
                self.random.millis(50, 1 + grace * 1000)
            }
        }
    }

    fn act(&mut self, pod: &Value, want: Want) {
        let (pods, key) = (row("", "pods"), (text(pod, "/metadata/namespace"), name(pod)));
        match want {
            Want::Start => self.world.edit(&self.name, pods, key, |pod, now| {
                pod["status"]["phase"] = "Running".into();
                pod["status"]["startTime"] = api::meta::time(now).into();
            }),
            Want::Ready => {
                self.world.edit(&self.name, pods, key, |pod, now| condition(pod, "Ready", now));
            }
            Want::Finish => {
                let phase = if self.random.happens(100) { "Failed" } else { "Succeeded" };
                self.finish(key, phase);
            }
            Want::End => {
                if runs_once(pod) && !is_finished(pod) {
                    self.finish(key, "Failed");
                }
                self.world.end(&self.name, key);
            }
        }
    }

    /// The containers of a pod have ended for good.
    fn finish(&self, key: (&str, &str), phase: &str) {
        self.world.edit(&self.name, row("", "pods"), key, |pod, _| {
            pod["status"]["phase"] = phase.into();
            pod["status"]["conditions"] = json!([]);
        });
    }
}

/// Makes a condition true.
fn condition(object: &mut Value, kind: &str, now: Timestamp) {
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    if let Some(all) = object["status"]["conditions"].as_array_mut() {
        all.retain(|condition| condition["type"] != kind);
        let since = api::meta::time(now);
        let condition = json!({"type": kind, "status": "True", "lastTransitionTime": since});
        all.insert(0, condition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_start_become_ready_and_end() {
        let pod = |meta: Value, status: Value, image: &str| {
            json!({"metadata": meta, "status": status,
                "spec": {"containers": [{"image": image}]}})
        };
        let running = json!({"phase": "Running"});
        let mut ready = pod(json!({}), running.clone(), "a");
        condition(&mut ready, "Ready", Timestamp::UNIX_EPOCH);
        let leaving = |grace: i64| {
            json!({"deletionTimestamp": "2026-01-01T00:00:00Z",
                "deletionGracePeriodSeconds": grace})
        };
        let mut once = ready.clone();
        once["spec"]["restartPolicy"] = "Never".into();
        for (pod, what) in [
            (pod(json!({}), json!({"phase": "Pending"}), "a"), Some(Want::Start)),
            (pod(json!({}), running.clone(), "a"), Some(Want::Ready)),
            (pod(json!({}), running.clone(), BROKEN), None),
            (ready, None),
            (once, Some(Want::Finish)),
            (pod(leaving(5), running.clone(), "a"), Some(Want::End)),
            (pod(leaving(0), running, "a"), None),
            (pod(json!({}), json!({"phase": "Failed"}), "a"), None),
        ] {
            assert_eq!(want(&pod), what, "{pod}");
        }
    }
}

//! Pods that a permit plugin holds back, and how it lets them go.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::pod::{PodInfo, PodUid};

/// What became of a pod that waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every plugin allowed it.
    Allowed,
    /// A plugin denied it, or its time is over.
    Denied {
        /// The plugin.
        plugin: &'static str,
        /// Why.
        reason: String,
    },
}

struct Held {
    pod: Arc<PodInfo>,
    node: Arc<str>,
    /// The plugins that have not allowed it yet.
    by: Vec<&'static str>,
    tell: Option<oneshot::Sender<Verdict>>,
}

/// The pods that wait for permission. Cloned handles share them: a plugin that answers
/// [`super::Permission::Wait`] keeps one to decide later.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<HashMap<PodUid, Held>>>);

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Waiting").field(&self.0.lock().len()).finish()
    }
}

impl Waiting {
    /// The pods that wait, with the nodes they wait for.
    #[must_use]
    pub fn pods(&self) -> Vec<(Arc<PodInfo>, Arc<str>)> {
        self.0.lock().values().map(|held| (held.pod.clone(), held.node.clone())).collect()
    }

    /// `plugin` allows a pod: it is bound once all plugins have. Says whether the pod waited for it.
    pub fn allow(&self, uid: &PodUid, plugin: &str) -> bool {
        let mut all = self.0.lock();
        let Some(held) = all.get_mut(uid) else { return false };
        let before = held.by.len();
        held.by.retain(|name| *name != plugin);
        let allowed = held.by.len() < before;
        if held.by.is_empty() {
            decide(all.remove(uid), Verdict::Allowed);
        }
        allowed
    }

    /// `plugin` denies a pod. Says whether the pod waited.
    pub fn deny(&self, uid: &PodUid, plugin: &'static str, reason: impl Into<String>) -> bool {
        let held = self.0.lock().remove(uid);
        let waited = held.is_some();
        decide(held, Verdict::Denied { plugin, reason: reason.into() });
        waited
    }

    /// The pod is gone: nobody waits for it any more.
    pub(crate) fn forget(&self, uid: &PodUid) {
        self.0.lock().remove(uid);
    }

    /// Holds a pod back until each of these plugins has allowed it, or the time of one is over.
    pub(crate) fn hold(
        &self,
        pod: &Arc<PodInfo>,
        node: &Arc<str>,
        by: Vec<(&'static str, Duration)>,
    ) -> Hold {
        let (tell, told) = oneshot::channel();
        let held = Held {
            pod: pod.clone(),
            node: node.clone(),
            by: by.iter().map(|(name, _)| *name).collect(),
            tell: Some(tell),
        };
        self.0.lock().insert(pod.uid.clone(), held);
        Hold { waiting: self.clone(), uid: pod.uid.clone(), by, since: Instant::now(), told }
    }

    fn waits_for(&self, uid: &PodUid, plugin: &str) -> bool {
        self.0.lock().get(uid).is_some_and(|held| held.by.contains(&plugin))
    }
}

fn decide(held: Option<Held>, verdict: Verdict) {
    if let Some(tell) = held.and_then(|mut held| held.tell.take()) {
        // Nobody listens when the scheduler stops.
        tell.send(verdict).ok();
    }
}

/// One pod held back.
pub(crate) struct Hold {
    waiting: Waiting,
    uid: PodUid,
    by: Vec<(&'static str, Duration)>,
    since: Instant,
    told: oneshot::Receiver<Verdict>,
}

impl Hold {
    /// Waits for the verdict; none if the pod is gone.
    pub(crate) async fn verdict(mut self) -> Option<Verdict> {
        self.by.sort_by_key(|(_, within)| *within);
        for (plugin, within) in std::mem::take(&mut self.by) {
            tokio::select! {
                verdict = &mut self.told => return verdict.ok(),
                () = sleep_until(self.since + within) => {}
            }
            if self.waiting.waits_for(&self.uid, plugin) {
                let reason =
                    format!("rejected due to timeout after waiting {within:?} at plugin {plugin}");
                self.waiting.deny(&self.uid, plugin, reason);
            }
        }
        (&mut self.told).await.ok()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.waiting.forget(&self.uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::fixtures::pod;
    use serde_json::json;

    const LONG: Duration = Duration::from_secs(3600);

    fn held(by: &[(&'static str, Duration)]) -> (Waiting, PodUid, Hold) {
        let (waiting, pod) = (Waiting::default(), Arc::new(pod(json!({}))));
        let hold = waiting.hold(&pod, &"n".into(), by.to_vec());
        (waiting, pod.uid.clone(), hold)
    }

    #[tokio::test]
    async fn every_plugin_must_allow_and_one_may_deny() {
        let (waiting, uid, hold) = held(&[("A", LONG), ("B", LONG)]);
        assert_eq!(waiting.pods().len(), 1);
        assert!(!waiting.allow(&uid, "C"), "nobody waits for C");
        assert!(waiting.allow(&uid, "A") && !waiting.allow(&uid, "A"));
        assert!(waiting.allow(&uid, "B"));
        assert_eq!(hold.verdict().await, Some(Verdict::Allowed));
        assert!(waiting.pods().is_empty());

        let (waiting, uid, hold) = held(&[("A", LONG), ("B", LONG)]);
        waiting.allow(&uid, "B");
        assert!(waiting.deny(&uid, "A", "no") && !waiting.allow(&uid, "A"));
        let denied = Verdict::Denied { plugin: "A", reason: "no".to_owned() };
        assert_eq!(hold.verdict().await, Some(denied));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_a_plugin_that_has_allowed_does_not_count() {
        let second = Duration::from_secs(1);
        let (waiting, uid, hold) = held(&[("late", 5 * second), ("early", second)]);
        waiting.allow(&uid, "early");
        let reason = "rejected due to timeout after waiting 5s at plugin late".to_owned();
        let denied = Verdict::Denied { plugin: "late", reason };
        assert_eq!(hold.verdict().await, Some(denied));
    }

    #[tokio::test]
    async fn a_pod_that_goes_waits_no_longer() {
        let (waiting, uid, hold) = held(&[("A", LONG)]);
        waiting.forget(&uid);
        assert_eq!(hold.verdict().await, None);
        let (waiting, uid, hold) = held(&[("A", LONG)]);
        drop(hold);
        assert!(!waiting.allow(&uid, "A"));
    }
}

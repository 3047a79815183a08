//! Deletes finished Jobs `ttlSecondsAfterFinished` after their end, with their pods.
//!
//! Source: <https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/>.

use std::sync::Arc;
use std::time::Duration;

use client::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Client, ResourceExt};

use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};

/// Name in logs.
pub(crate) const NAME: &str = "ttl-after-finished-controller";

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct TtlAfterFinished {
    client: Client,
    clock: Clock,
    jobs: Cache<Job>,
    queue: Arc<WorkQueue<Key>>,
}

impl TtlAfterFinished {
    /// Hooks into the informer; the queue is to be served with [`TtlAfterFinished::reconcile`].
    pub(crate) fn new(client: Client, clock: Clock, jobs: &mut Informer<Job>) -> Self {
        let queue = Arc::new(WorkQueue::new());
        let this = Self { client, clock, jobs: jobs.cache(), queue };
        let queue = this.queue.clone();
        jobs.on_change(move |_, now| {
            if let Some(job) = now.filter(|job| left(job, clock.now()).is_some()) {
                queue.add(Key::of(&**job));
            }
        });
        this
    }

    /// The queue of Jobs to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Key>> {
        &self.queue
    }

    /// Deletes a Job whose time has come.
    pub(crate) async fn reconcile(self, key: Key) -> Result<Next, ReconcileError> {
        let Some(job) = self.jobs.get(&key) else { return Ok(Next::OnChange) };
        match left(&job, self.clock.now()) {
            None => return Ok(Next::OnChange),
            Some(wait) if !wait.is_zero() => return Ok(Next::After(wait)),
            Some(_) => {}
        }
        // Its user may have given it more time a moment ago.
        let api: Api<Job> = Api::namespaced(self.client.clone(), &key.namespace);
        let Some(live) = request("get", &key, api.get_opt(&key.name)).await? else {
            return Ok(Next::OnChange);
        };
        match left(&live, self.clock.now()) {
            Some(wait) if wait.is_zero() => {}
            _ => return Ok(Next::OnChange),
        }
        let params = DeleteParams::foreground().preconditions(Preconditions {
            uid: live.uid(),
            resource_version: live.resource_version(),
        });
        unless_gone(request("delete", &key, api.delete(&key.name, &params)).await)?;
        Ok(Next::OnChange)
    }
}

/// How long a finished Job still has; none: it stays.
fn left(job: &Job, now: Timestamp) -> Option<Duration> {
    let ttl = job.spec.as_ref()?.ttl_seconds_after_finished?;
    if job.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let end = conditions
        .iter()
        .find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")?;
    let ended = end.last_transition_time.as_ref()?.0;
    let left = SignedDuration::from_secs(i64::from(ttl)) - now.duration_since(ended);
    Some(left.max(SignedDuration::ZERO).unsigned_abs())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn finished_jobs_have_their_time() {
        let ended = |kind: &str| {
            json!({"conditions": [{"type": kind, "status": "True",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]})
        };
        for (ttl, status, seconds) in [
            (json!(100), ended("Complete"), Some(40)),
            (json!(100), ended("Failed"), Some(40)),
            (json!(60), ended("Failed"), Some(0)),
            (json!(0), ended("Complete"), Some(0)),
            (Value::Null, ended("Complete"), None),
            (json!(100), ended("SuccessCriteriaMet"), None),
            (json!(100), json!({}), None),
        ] {
            let job = json!({"spec": {"ttlSecondsAfterFinished": ttl, "template": {}},
                "status": status});
            let job: Job = serde_json::from_value(job).unwrap();
            let left = left(&job, "2026-01-01T00:01:00Z".parse().unwrap());
            assert_eq!(left.map(|left| left.as_secs()), seconds, "{ttl} {status}");
        }
    }
}

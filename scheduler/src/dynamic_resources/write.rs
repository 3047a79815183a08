//! Writes down which devices a claim has and that the pod uses it; gives devices back.
//!
//! Whether a claim's allocation was written decides whether its devices are free, so a write goes on until
//! that is known, even if nobody waits for it any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use api::resource_claim::{FINALIZER, is_allocated, is_reserved_for, user, users};
use k8s_openapi::api::resource::v1::{AllocationResult, ResourceClaim};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::bind::{BindError, finish};
use crate::pod::PodInfo;

/// How often a write is tried anew because somebody else has changed the claim.
const CONFLICTS: usize = 5;
/// Pause before the API server is asked again what became of a write.
const PAUSE: Duration = Duration::from_secs(1);

/// 0, the default, is that nothing was sent.
const SENT: u8 = 1;
const WRITTEN: u8 = 2;
const REFUSED: u8 = 3;

/// What became of writing an allocation. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fate(Arc<AtomicU8>);

impl Fate {
    /// Whether the claim has it, or may have it soon.
    pub(crate) fn may_be_written(&self) -> bool {
        matches!(self.0.load(Ordering::Acquire), SENT | WRITTEN)
    }

    fn is(&self, state: u8) {
        self.0.store(state, Ordering::Release);
    }

    /// As if it had been written.
    #[cfg(test)]
    pub(crate) fn written(&self) {
        self.is(WRITTEN);
    }
}

/// A claim that a pod uses from now on.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) claim: Arc<ResourceClaim>,
    /// The devices it gets; none if it has them.
    pub(crate) decided: Option<(Arc<AllocationResult>, Fate)>,
}

/// All that is to be written for a pod.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) pod: Arc<PodInfo>,
    pub(crate) targets: Vec<Target>,
    /// Where writes go on that nobody waits for.
    pub(crate) tracker: TaskTracker,
}

impl Errand {
    /// Does it.
    ///
    /// # Errors
    /// [`BindError::Failed`] if a claim cannot be had any more or the API server refuses.
    pub(crate) async fn run(self, client: Client) -> Result<(), BindError> {
        for target in self.targets {
            let name = target.claim.name_any();
            let write = Write {
                api: Api::namespaced(client.clone(), &self.pod.namespace),
                pod: self.pod.clone(),
                decided: target.decided.as_ref().map(|(allocation, _)| allocation.clone()),
            };
            let fate = target.decided.map(|(_, fate)| fate);
            if let Some(fate) = &fate {
                fate.is(SENT);
            }
            let written = self.tracker.spawn(async move {
                let outcome = write.run((*target.claim).clone()).await;
                if let Some(fate) = fate {
                    fate.is(if outcome.is_ok() { WRITTEN } else { REFUSED });
                }
                outcome
            });
            match written.await {
                Ok(outcome) => outcome?,
                Err(_) => return Err(failed(format!("write of claim {name} was given up"))),
            }
        }
        Ok(())
    }
}

/// What one attempt has come to.
enum Attempt {
    Done,
    /// Somebody else was faster: this is the claim now.
    Again(Box<ResourceClaim>),
}

struct Write {
    api: Api<ResourceClaim>,
    pod: Arc<PodInfo>,
    decided: Option<Arc<AllocationResult>>,
}

impl Write {
    async fn run(&self, mut claim: ResourceClaim) -> Result<(), BindError> {
        let id = format!("{}/{}", self.pod.namespace, claim.name_any());
        for _ in 0..CONFLICTS {
            match self.attempt(&id, claim).await? {
                Attempt::Done => return Ok(()),
                Attempt::Again(now) => claim = *now,
            }
        }
        Err(failed(format!("claim {id} keeps changing")))
    }

    async fn attempt(&self, id: &str, claim: ResourceClaim) -> Result<Attempt, BindError> {
        let name = claim.name_any();
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(failed(format!("claim {id} got deleted in the meantime")));
        }
        if is_reserved_for(&claim, &self.pod.uid.0) && is_allocated(&claim) {
            return Ok(Attempt::Done);
        }
        let mut version = claim.resource_version();
        let mut status = json!({});
        let mut what = "add reservation to claim";
        if let Some(allocation) = &self.decided {
            if is_allocated(&claim) {
                return Err(failed(format!("claim {id} got allocated elsewhere in the meantime")));
            }
            if !claim.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
                let mut finalizers = claim.finalizers().to_vec();
                finalizers.push(FINALIZER.to_owned());
                let patch = json!({"metadata": {"finalizers": finalizers}});
                match self.send("add finalizer to claim", id, &name, version, patch, false).await? {
                    Ok(now) => version = now.resource_version(),
                    Err(now) => return Ok(Attempt::Again(now)),
                }
            }
            status["allocation"] = json!(**allocation);
            what = "add allocation and reservation to claim";
        }
        let mut all = users(&claim).to_vec();
        all.push(user(&self.pod.name, &self.pod.uid.0));
        status["reservedFor"] = json!(all);
        match self.send(what, id, &name, version, json!({"status": status}), true).await? {
            Ok(_) => Ok(Attempt::Done),
            Err(now) => Ok(Attempt::Again(now)),
        }
    }

    /// Changes the claim if it is still at that version, or gives what it is now.
    async fn send(
        &self,
        what: &str,
        id: &str,
        name: &str,
        version: Option<String>,
        mut patch: Value,
        status: bool,
    ) -> Result<Result<ResourceClaim, Box<ResourceClaim>>, BindError> {
        patch["metadata"]["resourceVersion"] = json!(version);
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let answer = if status {
            finish("claim", &self.pod, self.api.patch_status(name, &params, &patch)).await
        } else {
            finish("claim", &self.pod, self.api.patch(name, &params, &patch)).await
        };
        match answer {
            Ok(claim) => Ok(Ok(claim)),
            Err(BindError::Gone { .. }) => Err(failed(format!("{what} {id}: it is gone"))),
            Err(error) if error.is_conflict() => {
                debug!(claim = id, "claim has changed, looking again");
                self.now(what, id, name).await.map(|now| Err(Box::new(now)))
            }
            Err(BindError::Request { source, .. }) if matches!(*source, kube::Error::Api(_)) => {
                Err(failed(format!("{what} {id}: {}", message(&source))))
            }
            // It may have happened all the same.
            Err(error) => {
                debug!(claim = id, %error, "asking what became of a write");
                self.now(what, id, name).await.map(|now| Err(Box::new(now)))
            }
        }
    }

    /// The claim as it is; asked for until there is an answer.
    async fn now(&self, what: &str, id: &str, name: &str) -> Result<ResourceClaim, BindError> {
        loop {
            match finish("claim", &self.pod, self.api.get(name)).await {
                Ok(claim) => return Ok(claim),
                Err(BindError::Gone { .. }) => {
                    return Err(failed(format!("{what} {id}: it is gone")));
                }
                Err(error) => debug!(claim = id, %error, "claim not read, trying again"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn failed(reason: String) -> BindError {
    BindError::Failed { reason }
}

fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Gives the devices of a claim back, unless it has changed.
pub(crate) async fn deallocate(
    client: &Client,
    pod: &PodInfo,
    claim: &ResourceClaim,
) -> Result<(), BindError> {
    let api: Api<ResourceClaim> = Api::namespaced(client.clone(), &pod.namespace);
    let patch = Patch::Merge(json!({
        "metadata": {"uid": claim.uid(), "resourceVersion": claim.resource_version()},
        "status": {"allocation": null, "reservedFor": null},
    }));
    let (name, params) = (claim.name_any(), PatchParams::default());
    let request = api.patch_status(&name, &params, &patch);
    finish("deallocation of a claim", pod, request).await.map(drop)
}

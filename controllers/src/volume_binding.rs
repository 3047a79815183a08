//! PersistentVolumes and their claims: who has whom, and what becomes of a volume without a claim.
//!
//! [`plan`] decides, [`apply`] writes. One worker does all: two claims that want one volume are
//! looked at one after the other, and every write says which version it is about. Volumes themselves
//! are made and deleted by provisioners (the built-in one is [`crate::local_path`]); this controller
//! tells them by an annotation of the claim and by the volume's phase. What nobody else deletes,
//! [`reclaim`] decides about.
//!
//! Source: <https://kubernetes.io/docs/concepts/storage/persistent-volumes/>.

mod apply;
pub(crate) mod facts;
mod matching;
mod plan;
mod reclaim;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client::Clock;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Client, ResourceExt};

use self::plan::{Around, ClaimStep, VolumeStep};
use crate::ephemeral_volume;
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError};
use crate::written::Written;

/// The `source.component` of its events, as in Kubernetes.
pub(crate) const NAME: &str = "persistentvolume-controller";

/// How long to wait at most for the watch to show what was written.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);

/// What to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Work {
    Claim(Key),
    Volume(Key),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(key) => write!(f, "claim {key}"),
            Self::Volume(key) => write!(f, "volume {key}"),
        }
    }
}

/// The informers this controller reads.
pub(crate) struct Sources<'a> {
    pub(crate) claims: &'a mut Informer<PersistentVolumeClaim>,
    pub(crate) volumes: &'a mut Informer<PersistentVolume>,
    pub(crate) classes: &'a mut Informer<StorageClass>,
    pub(crate) pods: &'a Informer<Pod>,
}

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct VolumeBinding {
    client: Client,
    clock: Clock,
    claims: Cache<PersistentVolumeClaim>,
    volumes: Cache<PersistentVolume>,
    classes: Cache<StorageClass>,
    pods: Cache<Pod>,
    written_claims: Arc<Written>,
    written_volumes: Arc<Written>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Work>>,
}

impl VolumeBinding {
    /// Hooks into the informers; the queue is to be served by one worker with
    /// [`VolumeBinding::reconcile`].
    pub(crate) fn new(
        client: Client,
        clock: Clock,
        sources: Sources<'_>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            clock,
            claims: sources.claims.cache(),
            volumes: sources.volumes.cache(),
            classes: sources.classes.cache(),
            pods: sources.pods.cache(),
            written_claims: Arc::default(),
            written_volumes: Arc::default(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let (queue, written) = (this.queue.clone(), this.written_claims.clone());
        sources.claims.on_key(move |key, gone| {
            if gone {
                written.forget(&key);
            }
            queue.add(Work::Claim(key));
        });
        let queue = this.queue.clone();
        sources.claims.on_change(move |before, now| {
            let claim = now.or(before);
            let volume = claim.map(|claim| facts::volume_name(claim)).unwrap_or_default();
            if !volume.is_empty() {
                queue.add(Work::Volume(Key::new("", volume)));
            }
        });
        let (queue, written) = (this.queue.clone(), this.written_volumes.clone());
        sources.volumes.on_key(move |key, gone| {
            if gone {
                written.forget(&key);
            }
            queue.add(Work::Volume(key));
        });
        let watching = this.clone();
        sources.volumes.on_change(move |before, now| watching.volume_changed(now.or(before)));
        let watching = this.clone();
        sources.classes.on_key(move |key, _| {
            watching.wake_unbound(&key.name);
            // It may be the default of those that name none.
            watching.wake_unbound("");
        });
        this
    }

    /// The queue of claims and volumes to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Work>> {
        &self.queue
    }

    /// Has the claims looked at that a change of a volume may matter to.
    fn volume_changed(&self, volume: Option<&Arc<PersistentVolume>>) {
        let Some(volume) = volume else { return };
        match facts::claim_ref(volume) {
            Some(claim) => {
                let (namespace, name) = (claim.namespace.clone(), claim.name.clone());
                let claim = Key::new(namespace.unwrap_or_default(), name.unwrap_or_default());
                self.queue.add(Work::Claim(claim));
            }
            None => self.wake_unbound(&facts::volume_class(volume)),
        }
    }

    /// Claims of a class that may be lucky now.
    fn wake_unbound(&self, class: &str) {
        for claim in self.claims.all() {
            let bound = claim.annotations().contains_key(facts::BIND_COMPLETED);
            if !bound && facts::claim_class(&claim) == class {
                self.queue.add(Work::Claim(Key::of(&*claim)));
            }
        }
    }

    /// Brings one claim or volume closer to where it belongs.
    pub(crate) async fn reconcile(self, work: Work) -> Result<Next, ReconcileError> {
        match work {
            Work::Claim(key) => self.claim(&key).await,
            Work::Volume(key) => self.volume(&key).await,
        }
    }

    async fn claim(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(claim) = self.claims.get(key) else { return Ok(Next::OnChange) };
        let volumes = self.volumes.all();
        let shown = volumes.iter().all(|volume| self.written_volumes.is_shown(&**volume));
        if !shown || !self.written_claims.is_shown(&*claim) {
            return Ok(Next::After(SHOWN_WITHIN));
        }
        let class = self.classes.get(&Key::new("", facts::claim_class(&claim)));
        let mut pods = self.pods.in_namespace(&key.namespace);
        pods.retain(|pod| uses(pod, &key.name));
        let default_class = facts::default_class(&self.classes.all());
        let around = Around {
            volumes: &volumes,
            class: class.as_deref(),
            default_class: default_class.as_deref(),
            pods: &pods,
        };
        match plan::claim(&claim, &around) {
            ClaimStep::Bind(volume) => self.bind(&claim, &volume).await?,
            ClaimStep::Classify(class) => self.classify(&claim, &class).await?,
            ClaimStep::Provision(provisioner) => self.ask(&claim, &provisioner).await?,
            ClaimStep::Pending(event) => {
                event.into_iter().for_each(|event| self.tell(Subject::of(&*claim), event));
                self.claim_phase(&claim, "Pending").await?;
            }
            ClaimStep::Lost(event) => {
                if self.claim_phase(&claim, "Lost").await? {
                    self.tell(Subject::of(&*claim), event);
                }
            }
        }
        Ok(Next::OnChange)
    }

    async fn volume(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(volume) = self.volumes.get(key) else { return Ok(Next::OnChange) };
        if !self.written_volumes.is_shown(&*volume) {
            return Ok(Next::After(SHOWN_WITHIN));
        }
        let mut claim = None;
        if let Some(reference) = facts::claim_ref(&volume) {
            let (namespace, name) = (reference.namespace.clone(), reference.name.clone());
            let named = Key::new(namespace.unwrap_or_default(), name.unwrap_or_default());
            claim = self.claims.get(&named);
            let gone = claim.as_ref().is_none_or(|claim| claim.uid() != reference.uid);
            if gone && reference.uid.as_ref().is_some_and(|uid| !uid.is_empty()) {
                // A claim too many releases data: the API server decides.
                claim = self.live_claim(&named).await?.map(Arc::new);
            }
        }
        match plan::volume(&volume, claim.as_deref()) {
            VolumeStep::Available => self.volume_phase(&volume, "Available").await?,
            VolumeStep::Bound => self.volume_phase(&volume, "Bound").await?,
            VolumeStep::Wait => {
                if let Some(claim) = claim {
                    self.queue.add(Work::Claim(Key::of(&*claim)));
                }
            }
            // A provisioner that could not delete it says Failed.
            VolumeStep::Release if matches!(facts::phase(&volume), "Released" | "Failed") => {
                self.reclaim(&volume).await?;
            }
            VolumeStep::Release => self.volume_phase(&volume, "Released").await?,
            VolumeStep::Unbind => self.unbind(&volume).await?,
        }
        Ok(Next::OnChange)
    }

    fn tell(&self, subject: Subject, event: plan::Event) {
        if event.warning {
            self.recorder.warning(subject, event.reason, event.message);
        } else {
            self.recorder.normal(subject, event.reason, event.message);
        }
    }
}

/// Whether the pod mounts the claim.
fn uses(pod: &Pod, claim: &str) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    volumes.into_iter().flatten().any(|volume| {
        let source = volume.persistent_volume_claim.as_ref();
        source.is_some_and(|source| source.claim_name == claim)
            || (volume.ephemeral.is_some() && ephemeral_volume::claim_name(pod, volume) == claim)
    })
}

//! The built-in provisioner: volumes that are folders of a node.
//!
//! A claim of class `local-path` ([`default_storage_class`], made by who starts a cluster) waits until the
//! scheduler has chosen a node for its first pod; then it gets a volume with a folder there and an
//! affinity to that node. A released volume goes with its folder, unless its class retains it. A
//! folder has no size of its own, so a claim grows by saying so. [`plan`] decides.
//!
//! Folders of the node that runs in this process are made and removed here. On another node its
//! agent makes the folder when a pod mounts it; removing it is left to its administrator, which the
//! volume's events say.
//!
//! Source: the contract of external provisioners,
//! <https://github.com/kubernetes-sigs/sig-storage-lib-external-provisioner>.

mod plan;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};
use serde_json::json;

use self::plan::{ClaimStep, VolumeStep};
use crate::events::{Recorder, Subject};
use crate::informer::{Cache, Informer, Key};
use crate::queue::WorkQueue;
use crate::reconcile::{Next, ReconcileError, request, unless_gone};
use crate::volume_binding::{Work, facts};

/// The provisioner, as StorageClasses name it, and the `source.component` of its events.
pub(crate) const NAME: &str = "wharf.dev/local-path";
/// A claim that was refused is looked at again after this: its node may be there by then.
const REFUSED: Duration = Duration::from_secs(15);

/// Where volumes that are folders are kept.
#[derive(Debug, Clone)]
pub struct LocalPath {
    /// The folder of the folders, the same path on every node; absolute.
    pub folder: PathBuf,
    /// The node that runs on this host.
    pub node: String,
}

/// The default StorageClass, `local-path`: a folder on the node of the first pod, that goes with its
/// claim and can be made larger. Who starts a cluster creates it.
#[must_use]
pub fn default_storage_class() -> StorageClass {
    let default = ("storageclass.kubernetes.io/is-default-class".to_owned(), "true".to_owned());
    StorageClass {
        metadata: ObjectMeta {
            name: Some("local-path".to_owned()),
            annotations: Some([default].into()),
            ..ObjectMeta::default()
        },
        provisioner: NAME.to_owned(),
        reclaim_policy: Some("Delete".to_owned()),
        volume_binding_mode: Some("WaitForFirstConsumer".to_owned()),
        allow_volume_expansion: Some(true),
        ..StorageClass::default()
    }
}

/// The informers this controller reads.
pub(crate) struct Sources<'a> {
    pub(crate) claims: &'a mut Informer<PersistentVolumeClaim>,
    pub(crate) volumes: &'a mut Informer<PersistentVolume>,
    pub(crate) classes: &'a Informer<StorageClass>,
    pub(crate) nodes: &'a Informer<Node>,
}

/// Everything a reconcile needs.
#[derive(Clone)]
pub(crate) struct Provisioner {
    client: Client,
    place: Arc<LocalPath>,
    claims: Cache<PersistentVolumeClaim>,
    volumes: Cache<PersistentVolume>,
    classes: Cache<StorageClass>,
    nodes: Cache<Node>,
    recorder: Recorder,
    queue: Arc<WorkQueue<Work>>,
}

impl Provisioner {
    /// Hooks into the informers; the queue is to be served with [`Provisioner::reconcile`].
    pub(crate) fn new(
        client: Client,
        place: LocalPath,
        sources: Sources<'_>,
        recorder: &Recorder,
    ) -> Self {
        let this = Self {
            client,
            place: Arc::new(place),
            claims: sources.claims.cache(),
            volumes: sources.volumes.cache(),
            classes: sources.classes.cache(),
            nodes: sources.nodes.cache(),
            recorder: recorder.named(NAME),
            queue: Arc::new(WorkQueue::new()),
        };
        let queue = this.queue.clone();
        sources.claims.on_change(move |_, now| {
            if let Some(claim) = now {
                queue.add(Work::Claim(Key::of(&**claim)));
            }
        });
        let queue = this.queue.clone();
        sources.volumes.on_change(move |_, now| {
            if let Some(volume) = now.filter(|volume| plan::is_ours(volume)) {
                queue.add(Work::Volume(Key::of(&**volume)));
            }
        });
        this
    }

    /// The queue of claims and volumes to look at.
    pub(crate) fn queue(&self) -> &Arc<WorkQueue<Work>> {
        &self.queue
    }

    /// Makes, removes or resizes one volume.
    pub(crate) async fn reconcile(self, work: Work) -> Result<Next, ReconcileError> {
        match work {
            Work::Claim(key) => self.claim(&key).await,
            Work::Volume(key) => self.volume(&key).await.map(|()| Next::OnChange),
        }
    }

    async fn claim(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(claim) = self.claims.get(key) else { return Ok(Next::OnChange) };
        let class = self.classes.get(&Key::new("", facts::claim_class(&claim)));
        let volume = self.volumes.get(&Key::new("", facts::volume_name(&claim)));
        let hostname = |node: &str| {
            let found = self.nodes.get(&Key::new("", node))?;
            Some(found.labels().get(plan::HOSTNAME).cloned().unwrap_or_else(|| node.to_owned()))
        };
        let step = plan::claim(&claim, class.as_deref(), volume.as_deref(), &self.place, hostname);
        match step {
            ClaimStep::Leave => {}
            ClaimStep::Refuse(why) => {
                self.recorder.warning(Subject::of(&*claim), "ProvisioningFailed", why);
                return Ok(Next::After(REFUSED));
            }
            ClaimStep::Provision { volume, node } => {
                self.provision(&claim, &volume, &node).await?;
            }
            ClaimStep::Resize(size) => {
                let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
                let (name, params) = (facts::volume_name(&claim), PatchParams::default());
                let patch = Patch::Merge(json!({"spec": {"capacity": {"storage": size}}}));
                request("resize volume", &name, volumes.patch(&name, &params, &patch)).await?;
                let claims: Api<PersistentVolumeClaim> =
                    Api::namespaced(self.client.clone(), &key.namespace);
                let patch = Patch::Merge(json!({"status": {"capacity": {"storage": size}}}));
                let resized = claims.patch_status(&key.name, &params, &patch);
                unless_gone(request("resize claim", key, resized).await)?;
                let message = "Resize volume succeeded".to_owned();
                self.recorder.normal(Subject::of(&*claim), "VolumeResizeSuccessful", message);
            }
        }
        Ok(Next::OnChange)
    }

    async fn provision(
        &self,
        claim: &PersistentVolumeClaim,
        volume: &PersistentVolume,
        node: &str,
    ) -> Result<(), ReconcileError> {
        let (subject, name) = (Subject::of(claim), volume.name_any());
        let message =
            format!("External provisioner is provisioning volume for claim \"{}\"", Key::of(claim));
        self.recorder.normal(subject.clone(), "Provisioning", message);
        if let (true, Some(path)) = (node == self.place.node, plan::path(volume))
            && let Err(source) = make(Path::new(path)).await
        {
            let why = format!("failed to make the folder {path}: {source}");
            self.recorder.warning(subject, "ProvisioningFailed", why);
            let path = path.to_owned();
            return Err(ReconcileError::Host { operation: "make folder", path, source });
        }
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let params = PostParams::default();
        match request("create volume", &name, api.create(&params, volume)).await {
            Ok(_) => {
                let message = format!("Successfully provisioned volume {name}");
                self.recorder.normal(subject, "ProvisioningSucceeded", message);
                Ok(())
            }
            // It was made before, and the claim will be bound to it.
            Err(error) if error.code() == Some(409) => Ok(()),
            Err(error) => {
                let message = format!("failed to create the volume {name}: {}", error.message());
                self.recorder.warning(subject, "ProvisioningFailed", message);
                Err(error)
            }
        }
    }

    async fn volume(&self, key: &Key) -> Result<(), ReconcileError> {
        let Some(volume) = self.volumes.get(key) else { return Ok(()) };
        let refused = match plan::volume(&volume, &self.place) {
            VolumeStep::Leave => return Ok(()),
            VolumeStep::Delete(path) => match remove(&path).await {
                Ok(()) => None,
                Err(error) => Some(format!("failed to remove {}: {error}", path.display())),
            },
            VolumeStep::Elsewhere(why) => Some(why),
        };
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let name = &key.name;
        if let Some(why) = refused {
            self.recorder.warning(Subject::of(&*volume), "VolumeFailedDelete", why.clone());
            let mut failed = PersistentVolume::clone(&volume);
            let status = failed.status.get_or_insert_default();
            status.phase = Some("Failed".to_owned());
            status.message = Some(why);
            let params = PostParams::default();
            let replaced = api.replace_status(name, &params, &failed);
            return unless_gone(request("update status of volume", key, replaced).await).map(drop);
        }
        let params = DeleteParams::default()
            .preconditions(Preconditions { uid: volume.uid(), resource_version: None });
        let deleted = request("delete volume", key, api.delete(name, &params)).await;
        unless_gone(deleted).map(drop)
    }
}

/// Makes a folder that any container may write to, whatever user it runs as.
async fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    tokio::fs::create_dir_all(path).await?;
    tokio::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).await
}

async fn remove(path: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

//! The writes that bind, free and move claims and volumes along.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};

use super::facts::{self, BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONER};
use super::reclaim::{self, Reclaim};
use super::{VolumeBinding, plan};
use crate::events::Subject;
use crate::informer::Key;
use crate::reconcile::{ReconcileError, request, unless_gone};

impl VolumeBinding {
    fn claims_of(&self, claim: &PersistentVolumeClaim) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default())
    }

    /// The claim as the API server has it.
    pub(super) async fn live_claim(
        &self,
        key: &Key,
    ) -> Result<Option<PersistentVolumeClaim>, ReconcileError> {
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &key.namespace);
        request("get claim", key, api.get_opt(&key.name)).await
    }

    async fn put_claim(
        &self,
        claim: &PersistentVolumeClaim,
    ) -> Result<PersistentVolumeClaim, ReconcileError> {
        let (api, name, params) = (self.claims_of(claim), claim.name_any(), PostParams::default());
        let written = request("update claim", Key::of(claim), api.replace(&name, &params, claim));
        let written = written.await?;
        self.written_claims.wrote(&written);
        Ok(written)
    }

    async fn put_claim_status(&self, claim: &PersistentVolumeClaim) -> Result<(), ReconcileError> {
        let (api, name, params) = (self.claims_of(claim), claim.name_any(), PostParams::default());
        let replaced = api.replace_status(&name, &params, claim);
        let written = request("update status of claim", Key::of(claim), replaced).await;
        if let Some(written) = unless_gone(written)? {
            self.written_claims.wrote(&written);
        }
        Ok(())
    }

    async fn put_volume(
        &self,
        volume: &PersistentVolume,
    ) -> Result<PersistentVolume, ReconcileError> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let (name, params) = (volume.name_any(), PostParams::default());
        let written = request("update volume", &name, api.replace(&name, &params, volume)).await?;
        self.written_volumes.wrote(&written);
        Ok(written)
    }

    /// Brings volume and claim together; what is done already is left out.
    pub(super) async fn bind(
        &self,
        claim: &PersistentVolumeClaim,
        volume: &PersistentVolume,
    ) -> Result<(), ReconcileError> {
        let mut volume = volume.clone();
        if facts::claim_ref(&volume).is_none_or(|reference| reference.uid != claim.uid()) {
            if facts::claim_ref(&volume).is_none() {
                volume.annotations_mut().insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
            }
            volume.spec.get_or_insert_default().claim_ref = Some(reference(claim));
            volume = self.put_volume(&volume).await?;
        }
        self.volume_phase(&volume, "Bound").await?;
        let mut claim = claim.clone();
        let chosen = facts::volume_name(&claim) != volume.name_any();
        if chosen || !claim.annotations().contains_key(BIND_COMPLETED) {
            let annotations = claim.annotations_mut();
            annotations.insert(BIND_COMPLETED.to_owned(), "yes".to_owned());
            if chosen {
                annotations.insert(BOUND_BY_CONTROLLER.to_owned(), "yes".to_owned());
                claim.spec.get_or_insert_default().volume_name = Some(volume.name_any());
            }
            claim = self.put_claim(&claim).await?;
        }
        let mut status = claim.status.clone().unwrap_or_default();
        status.phase = Some("Bound".to_owned());
        let spec = facts::volume_spec(&volume);
        status.access_modes = spec.access_modes;
        // A claim that is being made larger is told its size by whoever does that.
        let sized = |capacity: &Option<BTreeMap<_, _>>| {
            capacity.as_ref().is_some_and(|capacity: &BTreeMap<String, _>| !capacity.is_empty())
        };
        if !sized(&status.capacity) {
            status.capacity = spec.capacity;
        }
        status.current_volume_attributes_class_name = spec.volume_attributes_class_name;
        if claim.status.as_ref() != Some(&status) {
            claim.status = Some(status);
            self.put_claim_status(&claim).await?;
        }
        Ok(())
    }

    /// Writes the phase of a claim; a claim without a volume has no size. Whether it is new.
    pub(super) async fn claim_phase(
        &self,
        claim: &PersistentVolumeClaim,
        phase: &str,
    ) -> Result<bool, ReconcileError> {
        let mut status = claim.status.clone().unwrap_or_default();
        if status.phase.as_deref() == Some(phase) {
            return Ok(false);
        }
        status.phase = Some(phase.to_owned());
        status.access_modes = None;
        status.capacity = None;
        let mut claim = claim.clone();
        claim.status = Some(status);
        self.put_claim_status(&claim).await?;
        Ok(true)
    }

    /// Writes the phase of a volume if it is new.
    pub(super) async fn volume_phase(
        &self,
        volume: &PersistentVolume,
        phase: &str,
    ) -> Result<(), ReconcileError> {
        if facts::phase(volume) == phase {
            return Ok(());
        }
        self.put_volume_phase(volume, phase, None).await
    }

    async fn put_volume_phase(
        &self,
        volume: &PersistentVolume,
        phase: &str,
        message: Option<String>,
    ) -> Result<(), ReconcileError> {
        let mut volume = volume.clone();
        let status = volume.status.get_or_insert_default();
        status.phase = Some(phase.to_owned());
        status.message = message;
        status.reason = None;
        status.last_phase_transition_time = Some(Time(self.clock.now()));
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let (name, params) = (volume.name_any(), PostParams::default());
        let replaced = api.replace_status(&name, &params, &volume);
        let written = request("update status of volume", &name, replaced).await;
        if let Some(written) = unless_gone(written)? {
            self.written_volumes.wrote(&written);
        }
        Ok(())
    }

    /// Deletes a volume without a claim, or says that nobody does.
    pub(super) async fn reclaim(&self, volume: &PersistentVolume) -> Result<(), ReconcileError> {
        let (reason, message) = match reclaim::reclaim(volume) {
            Reclaim::Leave => return Ok(()),
            Reclaim::Refuse(reason, message) => (reason, message),
            Reclaim::Remove(folder) => match tokio::fs::remove_dir_all(&folder).await {
                Err(error) if error.kind() != ErrorKind::NotFound => (
                    "VolumeFailedDelete",
                    format!("failed to remove {}: {error}", folder.display()),
                ),
                _ => return self.delete_volume(volume).await,
            },
        };
        let said = volume.status.as_ref().and_then(|status| status.message.as_ref());
        if facts::phase(volume) == "Failed" && said == Some(&message) {
            return Ok(());
        }
        self.put_volume_phase(volume, "Failed", Some(message.clone())).await?;
        self.recorder.warning(Subject::of(volume), reason, message);
        Ok(())
    }

    async fn delete_volume(&self, volume: &PersistentVolume) -> Result<(), ReconcileError> {
        let api: Api<PersistentVolume> = Api::all(self.client.clone());
        let name = volume.name_any();
        let params = DeleteParams::default()
            .preconditions(Preconditions { uid: volume.uid(), resource_version: None });
        let deleted = request("delete volume", &name, api.delete(&name, &params)).await;
        unless_gone(deleted).map(drop)
    }

    /// Gives a claim that names no class this one.
    pub(super) async fn classify(
        &self,
        claim: &PersistentVolumeClaim,
        class: &str,
    ) -> Result<(), ReconcileError> {
        let mut claim = claim.clone();
        claim.spec.get_or_insert_default().storage_class_name = Some(class.to_owned());
        self.put_claim(&claim).await.map(drop)
    }

    /// Forgets the claim, or only its uid if the user chose it.
    pub(super) async fn unbind(&self, volume: &PersistentVolume) -> Result<(), ReconcileError> {
        let mut volume = volume.clone();
        if plan::is_chosen_by_user(&volume) {
            if let Some(reference) = &mut volume.spec.get_or_insert_default().claim_ref {
                reference.uid = None;
                reference.resource_version = None;
            }
        } else {
            volume.spec.get_or_insert_default().claim_ref = None;
            volume.annotations_mut().remove(BOUND_BY_CONTROLLER);
        }
        let volume = self.put_volume(&volume).await?;
        self.volume_phase(&volume, "Available").await
    }

    /// Asks a provisioner for a volume.
    pub(super) async fn ask(
        &self,
        claim: &PersistentVolumeClaim,
        provisioner: &str,
    ) -> Result<(), ReconcileError> {
        let message = format!(
            "Waiting for a volume to be created either by the external provisioner \
             '{provisioner}' or manually by the system administrator. If volume creation is \
             delayed, please verify that the provisioner is running and correctly registered."
        );
        self.recorder.normal(Subject::of(claim), "ExternalProvisioning", message);
        let mut asked = claim.clone();
        for annotation in PROVISIONER {
            asked.annotations_mut().insert(annotation.to_owned(), provisioner.to_owned());
        }
        if asked.annotations() != claim.annotations() {
            self.put_claim(&asked).await?;
        }
        self.claim_phase(claim, "Pending").await.map(drop)
    }
}

/// How a volume names its claim.
fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: claim.namespace(),
        name: claim.metadata.name.clone(),
        uid: claim.uid(),
        resource_version: claim.resource_version(),
        field_path: None,
    }
}

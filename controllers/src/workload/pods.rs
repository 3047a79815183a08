//! Creates and deletes the pods of an owner.
//!
//! Two things keep a wrong template or a cache that is a moment behind from doing harm:
//! [`Expectations`], and slow start: pods are created in batches of 1, 2, 4, …, and the first failure
//! ends the run, so that a quota or a bad template costs one request and not five hundred.

use std::sync::Arc;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::{Client, ResourceExt};

use super::expectations::Expectations;
use crate::events::{Recorder, Subject};
use crate::informer::Key;
use crate::reconcile::{ReconcileError, request};

/// What to create and what to delete.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) create: Vec<Pod>,
    pub(crate) delete: Vec<Arc<Pod>>,
}

/// Why a change was not made in full.
#[derive(Debug)]
pub(crate) enum ChangeError {
    /// A pod could not be created; further ones were not tried.
    Create(ReconcileError),
    /// A pod could not be deleted.
    Delete(ReconcileError),
}

impl ChangeError {
    /// The failed request.
    pub(crate) fn into_source(self) -> ReconcileError {
        match self {
            Self::Create(source) | Self::Delete(source) => source,
        }
    }
}

/// Creates and deletes pods for the owners of one kind.
#[derive(Clone)]
pub(crate) struct PodControl {
    client: Client,
    expectations: Arc<Expectations>,
    recorder: Recorder,
}

impl PodControl {
    /// With no expectations yet; events are told through `recorder`.
    pub(crate) fn new(client: Client, recorder: Recorder) -> Self {
        Self { client, expectations: Arc::default(), recorder }
    }

    /// What was asked for and not seen yet.
    pub(crate) fn expectations(&self) -> &Arc<Expectations> {
        &self.expectations
    }

    /// Makes a change for `owner`, whose key is `key`.
    ///
    /// # Errors
    /// The first failure. None when the namespace is being deleted, and the owner with it: any
    /// creation fails there.
    pub(crate) async fn apply(
        &self,
        key: &Key,
        owner: &Subject,
        change: Change,
    ) -> Result<(), ChangeError> {
        if change.create.is_empty() && change.delete.is_empty() {
            return Ok(());
        }
        let going = change.delete.iter().filter_map(|pod| pod.uid()).collect();
        self.expectations.expect(key, change.create.len(), going);
        // In this order there are never more pods than the decision meant.
        let deleted = self.delete(key, owner, &change.delete).await;
        let created = self.create(key, owner, &change.create).await;
        match created {
            Err(error) if error.has_cause("NamespaceTerminating") => {}
            other => other.map_err(ChangeError::Create)?,
        }
        deleted.map_err(ChangeError::Delete)
    }

    async fn create(&self, key: &Key, owner: &Subject, pods: &[Pod]) -> Result<(), ReconcileError> {
        let (mut left, mut batch) = (pods, 1);
        while !left.is_empty() {
            let (now, later) = left.split_at(batch.min(left.len()));
            let results = join_all(now.iter().map(|pod| self.create_one(key, owner, pod))).await;
            left = later;
            batch *= 2;
            let mut failures: Vec<ReconcileError> =
                results.into_iter().filter_map(Result::err).collect();
            if !failures.is_empty() {
                // What failed and what is not even tried will not be seen.
                for _ in 0..failures.len() + left.len() {
                    self.expectations.created(key);
                }
                return Err(failures.swap_remove(0));
            }
        }
        Ok(())
    }

    async fn create_one(
        &self,
        key: &Key,
        owner: &Subject,
        pod: &Pod,
    ) -> Result<(), ReconcileError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let params = PostParams::default();
        let created = api.create(&params, pod);
        match request("create", format!("pod of {key}"), created).await {
            Ok(created) => {
                let message = format!("Created pod: {}", created.name_any());
                self.recorder.normal(owner.clone(), "SuccessfulCreate", message);
                Ok(())
            }
            // The namespace is going, and the owner with it: nothing to complain about.
            Err(error) if error.has_cause("NamespaceTerminating") => Err(error),
            Err(error) => {
                let message = format!("Error creating: {}", error.message());
                self.recorder.warning(owner.clone(), "FailedCreate", message);
                Err(error)
            }
        }
    }

    async fn delete(
        &self,
        key: &Key,
        owner: &Subject,
        victims: &[Arc<Pod>],
    ) -> Result<(), ReconcileError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let results = join_all(victims.iter().map(|pod| async {
            let name = pod.name_any();
            let params = DeleteParams::default()
                .preconditions(Preconditions { uid: pod.uid(), resource_version: None });
            let deleted = request("delete", Key::of(&**pod), api.delete(&name, &params)).await;
            match deleted {
                Ok(_) => {
                    let message = format!("Deleted pod: {name}");
                    self.recorder.normal(owner.clone(), "SuccessfulDelete", message);
                    Ok(())
                }
                Err(error) => {
                    self.expectations.deleted(key, &pod.uid().unwrap_or_default());
                    if error.code() == Some(404) {
                        return Ok(());
                    }
                    let message = format!("Error deleting: {}", error.message());
                    self.recorder.warning(owner.clone(), "FailedDelete", message);
                    Err(error)
                }
            }
        }));
        results.await.into_iter().find_map(Result::err).map_or(Ok(()), Err)
    }
}

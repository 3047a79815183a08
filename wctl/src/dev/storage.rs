//! The default StorageClass of a cluster.

use anyhow::{Context as _, Result};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, PostParams};

/// Makes it, unless there is one of its name: what a user has changed stays.
pub(crate) async fn ensure_class(client: kube::Client) -> Result<()> {
    let api: Api<StorageClass> = Api::all(client);
    match api.create(&PostParams::default(), &controllers::default_storage_class()).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(drop).context("make the default StorageClass"),
    }
}

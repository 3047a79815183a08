//! `wctl scale`.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::cli::{Global, Scale};
use crate::cluster::Cluster;
use crate::output::line;
use crate::request;
use crate::resource::Resources;

/// Patches the scale subresource of every target.
pub(crate) async fn run(global: &Global, arguments: &Scale) -> Result<()> {
    ensure!(arguments.replicas >= 0, "--replicas must not be negative");
    let cluster = Cluster::connect(global).await?;
    let resources = Resources::discover(&cluster.client).await?;
    for target in resources.targets(&arguments.target)? {
        let name =
            target.name.context("name what to scale, like `wctl scale rc/web --replicas=3`")?;
        let path = format!("{}/scale", target.resource.object(&cluster.namespace, &name));
        let body = json!({"spec": {"replicas": arguments.replicas}});
        request::patch(&cluster.client, &path, "application/merge-patch+json", &body).await?;
        line(format!("{} scaled", target.resource.display(&name)))?;
    }
    Ok(())
}

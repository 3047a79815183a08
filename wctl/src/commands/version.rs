//! `wctl version`.

use anyhow::Result;

use crate::cli::{Global, Version};
use crate::cluster::Cluster;
use crate::output::line;
use crate::request;

/// Prints both versions; a server that cannot be reached is no failure of the client's.
pub(crate) async fn run(global: &Global, arguments: &Version) -> Result<()> {
    line(format!("Client Version: v{}", env!("CARGO_PKG_VERSION")))?;
    if arguments.client {
        return Ok(());
    }
    let cluster = match Cluster::connect(global).await {
        Ok(cluster) => cluster,
        Err(error) => return line(format!("Server Version: unknown ({error:#})")),
    };
    let version = request::get(&cluster.client, "/version").await?;
    line(format!("Server Version: {}", version["gitVersion"].as_str().unwrap_or("unknown")))
}

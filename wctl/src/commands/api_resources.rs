//! `wctl api-resources`.

use anyhow::Result;

use crate::cli::Global;
use crate::cluster::Cluster;
use crate::output::line;
use crate::output::table::Grid;
use crate::resource::Resources;

/// Lists what the server serves.
pub(crate) async fn run(global: &Global) -> Result<()> {
    let cluster = Cluster::connect(global).await?;
    let resources = Resources::discover(&cluster.client).await?;
    let mut grid = Grid::new(&["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"]);
    let listable = resources.all().iter().filter(|resource| !resource.verbs.is_empty());
    for resource in listable {
        grid.row(vec![
            resource.plural.clone(),
            resource.short_names.join(","),
            resource.api_version(),
            resource.namespaced.to_string(),
            resource.kind.clone(),
        ]);
    }
    line(grid.render(true).trim_end())
}

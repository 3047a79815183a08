//! `wctl delete`.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;

use crate::cli::{Delete, Global};
use crate::cluster::Cluster;
use crate::commands::{get, manifest, wait};
use crate::output::line;
use crate::request;
use crate::resource::{Resource, Resources, Target};

/// How long `delete` waits for objects to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(600);

/// Deletes the targets and waits until they are gone.
pub(crate) async fn run(global: &Global, arguments: &Delete) -> Result<()> {
    let cluster = Cluster::connect(global).await?;
    let resources = Resources::discover(&cluster.client).await?;
    let doomed = doomed(&cluster, &resources, arguments).await?;
    if doomed.is_empty() {
        return line("No resources found");
    }
    let mut deleted = Vec::new();
    for (resource, namespace, name) in doomed {
        let path = resource.object(&namespace, &name);
        match request::delete(&cluster.client, &path, &options(arguments)).await {
            Ok(_) => {
                let word = if arguments.force { "force deleted" } else { "deleted" };
                line(format!("{} {word}", quoted(resource, &name)))?;
                deleted.push((resource, namespace, name));
            }
            Err(error) if arguments.ignore_not_found && request::is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
    }
    if arguments.wait && !arguments.force {
        for (resource, namespace, name) in deleted {
            wait::gone(&cluster.client, resource, &namespace, &name, GONE_LIMIT).await?;
        }
    }
    Ok(())
}

type Object<'a> = (&'a Resource, String, String);

async fn doomed<'a>(
    cluster: &Cluster,
    resources: &'a Resources,
    arguments: &Delete,
) -> Result<Vec<Object<'a>>> {
    let mut found = Vec::new();
    for object in manifest::read(&arguments.filename)? {
        let resource = resources.of_kind(&object.api_version, &object.kind)?;
        let namespace = object.namespace.unwrap_or_else(|| cluster.namespace.clone());
        found.push((resource, namespace, object.name));
    }
    for target in resources.targets(&arguments.target)? {
        found.extend(named(cluster, arguments, target).await?);
    }
    Ok(found)
}

async fn named<'a>(
    cluster: &Cluster,
    arguments: &Delete,
    target: Target<'a>,
) -> Result<Vec<Object<'a>>> {
    if let Some(name) = target.name {
        return Ok(vec![(target.resource, cluster.namespace.clone(), name)]);
    }
    let chosen = arguments.all
        || arguments.selection.selector.is_some()
        || arguments.selection.field_selector.is_some();
    if !chosen {
        bail!(
            "resource(s) were provided, but no name was specified; name them, or use -l or --all"
        );
    }
    let objects = get::fetch(cluster, &arguments.selection, &target).await?;
    Ok(objects
        .iter()
        .map(|object| {
            let text =
                |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            (target.resource, text("namespace"), text("name"))
        })
        .collect())
}

fn options(arguments: &Delete) -> serde_json::Value {
    let policy = match arguments.cascade.as_str() {
        "foreground" => "Foreground",
        "orphan" => "Orphan",
        _ => "Background",
    };
    let mut options =
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    if let Some(seconds) = arguments.grace_period.filter(|seconds| *seconds >= 0) {
        // Without --force, zero means "as soon as the node has stopped it".
        let seconds = if seconds == 0 && !arguments.force { 1 } else { seconds };
        options["gracePeriodSeconds"] = json!(seconds);
    } else if arguments.force {
        options["gracePeriodSeconds"] = json!(0);
    }
    options
}

fn quoted(resource: &Resource, name: &str) -> String {
    let display = resource.display("");
    format!("{} \"{name}\"", display.trim_end_matches('/'))
}

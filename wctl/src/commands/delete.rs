//! `wctl delete`.

use std::time::Duration;

use anyhow::{Error, Result, bail};
use serde_json::{Value, json};

use crate::cli::{Delete, Global};
use crate::cluster::Cluster;
use crate::commands::{get, manifest, wait};
use crate::output::line;
use crate::request;
use crate::resource::{Resource, Resources, Target};

/// How long `delete` waits for objects to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(600);

/// Deletes the targets and waits until they are gone. What fails is passed over, and said at the end.
pub(crate) async fn run(global: &Global, arguments: &Delete) -> Result<()> {
    let cluster = Cluster::connect(global).await?;
    let resources = Resources::discover(&cluster.client).await?;
    let mut failures = Vec::new();
    let doomed = doomed(&cluster, &resources, arguments, &mut failures).await?;
    if doomed.is_empty() && failures.is_empty() {
        return line("No resources found");
    }
    let mut deleted = Vec::new();
    for (resource, namespace, name) in doomed {
        let path = resource.object(&namespace, &name);
        match request::delete(&cluster.client, &path, &options(arguments)).await {
            Ok(answer) => {
                let word = if arguments.force { "force deleted" } else { "deleted" };
                line(format!("{} {word}", quoted(resource, &name)))?;
                deleted.push((resource, namespace, name, uid(&answer)));
            }
            Err(error) if arguments.ignore_not_found && request::is_not_found(&error) => {}
            Err(error) => failures.push(error),
        }
    }
    if arguments.wait && !arguments.force {
        for (resource, namespace, name, uid) in deleted {
            let gone = wait::gone(&cluster.client, resource, &namespace, &name, uid, GONE_LIMIT);
            failures.extend(gone.await.err());
        }
    }
    combined(failures)
}

/// The uid of what was deleted: in the object that is left, or in the details of a Status.
fn uid(answer: &Value) -> Option<String> {
    let of_object = answer["metadata"]["uid"].as_str();
    of_object.or_else(|| answer["details"]["uid"].as_str()).map(str::to_owned)
}

/// No failure, the one there was, or all of them, a line each.
fn combined(mut failures: Vec<Error>) -> Result<()> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        number => {
            let lines: String = failures.iter().map(|error| format!("\n  {error:#}")).collect();
            bail!("{number} deletions failed:{lines}")
        }
    }
}

type Object<'a> = (&'a Resource, String, String);

/// What the arguments and files name. An object of a kind that the server does not have is a failure
/// of its own; what cannot be read or found out at all ends the command.
async fn doomed<'a>(
    cluster: &Cluster,
    resources: &'a Resources,
    arguments: &Delete,
    failures: &mut Vec<Error>,
) -> Result<Vec<Object<'a>>> {
    let mut found = Vec::new();
    for object in manifest::read(&arguments.filename)? {
        let namespace = object.namespace.unwrap_or_else(|| cluster.namespace.clone());
        match resources.of_kind(&object.api_version, &object.kind) {
            Ok(resource) => found.push((resource, namespace, object.name)),
            Err(error) => failures.push(error),
        }
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

fn options(arguments: &Delete) -> Value {
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

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn every_failure_is_said() {
        assert!(combined(Vec::new()).is_ok());
        let one = combined(vec![anyhow!("no a").context("delete")]).unwrap_err();
        assert_eq!(format!("{one:#}"), "delete: no a");
        let two = combined(vec![anyhow!("no a"), anyhow!("no b")]).unwrap_err();
        assert_eq!(format!("{two:#}"), "2 deletions failed:\n  no a\n  no b");
    }

    #[test]
    fn the_uid_is_in_the_object_or_in_the_details() {
        let name = |value| uid(&value).unwrap_or_default();
        assert_eq!(name(json!({"kind": "Pod", "metadata": {"uid": "1"}})), "1");
        assert_eq!(name(json!({"kind": "Status", "metadata": {}, "details": {"uid": "2"}})), "2");
        assert_eq!(uid(&json!({"kind": "Status"})), None);
    }
}

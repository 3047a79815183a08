//! `wctl get`.

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use crate::cli::{Format, Get, Global, Selection};
use crate::cluster::Cluster;
use crate::commands::manifest;
use crate::output::table::{self, Shown};
use crate::output::{self, line};
use crate::request::{self, with_query};
use crate::resource::{Resources, Target};

/// How many objects a page of a list holds, like kubectl.
const PAGE: &str = "500";

pub(crate) async fn run(global: &Global, arguments: &Get) -> Result<()> {
    let cluster = Cluster::connect(global).await?;
    let resources = Resources::discover(&cluster.client).await?;
    let mut targets = resources.targets(&arguments.target)?;
    for object in manifest::read(&arguments.filename)? {
        let resource = resources.of_kind(&object.api_version, &object.kind)?;
        targets.push(Target { resource, name: Some(object.name.clone()) });
    }
    match arguments.output {
        Some(Format::Json | Format::Yaml) => objects(&cluster, arguments, &targets).await,
        Some(Format::Name) => names(&cluster, arguments, &targets).await,
        _ => tables(&cluster, arguments, &targets).await,
    }
}

/// The path of a target, with the selection in its query.
pub(crate) fn path(cluster: &Cluster, selection: &Selection, target: &Target<'_>) -> String {
    match &target.name {
        Some(name) => target.resource.object(&cluster.namespace, name),
        None => {
            let namespace = (!selection.all_namespaces).then_some(cluster.namespace.as_str());
            let path = target.resource.collection(namespace);
            let mut parameters = Vec::new();
            if let Some(selector) = &selection.selector {
                parameters.push(("labelSelector", selector.as_str()));
            }
            if let Some(selector) = &selection.field_selector {
                parameters.push(("fieldSelector", selector.as_str()));
            }
            with_query(&path, &parameters)
        }
    }
}

/// Every object that a target means, over all pages.
pub(crate) async fn fetch(
    cluster: &Cluster,
    selection: &Selection,
    target: &Target<'_>,
) -> Result<Vec<Value>> {
    let path = path(cluster, selection, target);
    if target.name.is_some() {
        return Ok(vec![request::get(&cluster.client, &path).await?]);
    }
    let mut found = Vec::new();
    let mut next = String::new();
    loop {
        let mut page = with_query(&path, &[("limit", PAGE)]);
        if !next.is_empty() {
            page = with_query(&page, &[("continue", &next)]);
        }
        let mut list = request::get(&cluster.client, &page).await?;
        let kind = list["kind"]
            .as_str()
            .and_then(|kind| kind.strip_suffix("List"))
            .unwrap_or_default()
            .to_owned();
        let version = list["apiVersion"].clone();
        for mut item in list["items"].as_array_mut().map(std::mem::take).unwrap_or_default() {
            // Items of a list leave these to the list.
            item["kind"] = json!(kind);
            item["apiVersion"] = version.clone();
            found.push(item);
        }
        next = list["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if next.is_empty() {
            return Ok(found);
        }
    }
}

async fn objects(cluster: &Cluster, arguments: &Get, targets: &[Target<'_>]) -> Result<()> {
    let format = arguments.output.unwrap_or(Format::Json);
    let print =
        if arguments.show_managed_fields { output::print_whole } else { output::print_object };
    let mut found = Vec::new();
    for target in targets {
        found.extend(fetch(cluster, &arguments.selection, target).await?);
    }
    if let ([target], [object]) = (targets, found.as_slice())
        && target.name.is_some()
    {
        return print(format, object);
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": found});
    print(format, &list)
}

async fn names(cluster: &Cluster, arguments: &Get, targets: &[Target<'_>]) -> Result<()> {
    for target in targets {
        for object in fetch(cluster, &arguments.selection, target).await? {
            line(target.resource.display(object["metadata"]["name"].as_str().unwrap_or_default()))?;
        }
    }
    Ok(())
}

async fn tables(cluster: &Cluster, arguments: &Get, targets: &[Target<'_>]) -> Result<()> {
    let several = targets.iter().any(|target| target.resource != targets[0].resource);
    let mut empty = true;
    let mut grids: Vec<(String, table::Grid)> = Vec::new();
    let mut version = String::new();
    for target in targets {
        let path = path(cluster, &arguments.selection, target);
        let path = if target.name.is_none() { with_query(&path, &[("limit", PAGE)]) } else { path };
        let mut next = String::new();
        loop {
            let page = if next.is_empty() {
                path.clone()
            } else {
                with_query(&path, &[("continue", &next)])
            };
            let answer = request::get_table(&cluster.client, &page).await?;
            let prefix = if several { target.resource.display("") } else { String::new() };
            let grid = table::from_server(&answer, shown(arguments, target), &prefix);
            empty &= grid.rows.is_empty();
            match grids.last_mut().filter(|(plural, _)| *plural == target.resource.plural) {
                Some((_, last)) => last.rows.extend(grid.rows),
                None => grids.push((target.resource.plural.clone(), grid)),
            }
            version = answer["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
            next = answer["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if next.is_empty() {
                break;
            }
        }
    }
    if empty && !arguments.watch {
        let everywhere = arguments.selection.all_namespaces
            || targets.iter().all(|target| !target.resource.namespaced);
        return if everywhere {
            line("No resources found")
        } else {
            line(format!("No resources found in {} namespace.", cluster.namespace))
        };
    }
    let shown_grids = grids.iter().filter(|(_, grid)| !grid.rows.is_empty());
    for (number, (_, grid)) in shown_grids.enumerate() {
        if number > 0 {
            line("")?;
        }
        line(grid.render(!arguments.no_headers).trim_end())?;
    }
    match targets {
        [target] if arguments.watch => watch(cluster, arguments, target, &version).await,
        _ if arguments.watch => {
            anyhow::bail!("you may only watch a single resource or type of resource at a time")
        }
        _ => Ok(()),
    }
}

async fn watch(
    cluster: &Cluster,
    arguments: &Get,
    target: &Target<'_>,
    version: &str,
) -> Result<()> {
    let mut collection = Target { resource: target.resource, name: None };
    let mut selection = arguments.selection.clone();
    if let Some(name) = &target.name {
        selection.field_selector = Some(format!("metadata.name={name}"));
    }
    collection.name = None;
    let path = path(cluster, &selection, &collection);
    let path = with_query(&path, &[("watch", "true"), ("resourceVersion", version)]);
    let mut events = Box::pin(request::lines(&cluster.client, &path, request::TABLE).await?);
    let mut columns = Value::Null;
    while let Some(event) = events.try_next().await? {
        let mut event: Value = serde_json::from_str(&event).context("a watch event is not JSON")?;
        if event["type"] == "ERROR" {
            anyhow::bail!("{}", event["object"]["message"].as_str().unwrap_or("the watch failed"));
        }
        // Only the first event of a watch carries the columns.
        match event["object"]["columnDefinitions"].as_array() {
            Some(found) if !found.is_empty() => columns = json!(found),
            _ => event["object"]["columnDefinitions"] = columns.clone(),
        }
        let grid = table::from_server(&event["object"], shown(arguments, target), "");
        if !grid.rows.is_empty() {
            line(grid.render(false).trim_end())?;
        }
    }
    Ok(())
}

fn shown(arguments: &Get, target: &Target<'_>) -> Shown {
    Shown {
        wide: arguments.output == Some(Format::Wide),
        namespace: arguments.selection.all_namespaces && target.resource.namespaced,
        labels: arguments.show_labels,
    }
}

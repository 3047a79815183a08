//! `wctl describe`: an object for people, and what happened to it.

use anyhow::Result;
use serde_json::Value;

use crate::cli::{Describe, Global};
use crate::cluster::Cluster;
use crate::commands::get;
use crate::output::line;
use crate::output::table::Grid;
use crate::request::{self, with_query};
use crate::resource::Resources;

mod fields;
mod pod;

/// Describes every target.
pub(crate) async fn run(global: &Global, arguments: &Describe) -> Result<()> {
    let cluster = Cluster::connect(global).await?;
    let resources = Resources::discover(&cluster.client).await?;
    let mut first = true;
    for target in resources.targets(&arguments.target)? {
        for object in get::fetch(&cluster, &arguments.selection, &target).await? {
            if !first {
                line("\n")?;
            }
            first = false;
            let mut text = match object["kind"].as_str() {
                Some("Pod") => pod::describe(&object),
                _ => fields::describe(&object),
            };
            text.push_str(&events(&cluster, &object).await?);
            line(text.trim_end())?;
        }
    }
    if first {
        line("No resources found")?;
    }
    Ok(())
}

/// The events about an object, oldest first.
async fn events(cluster: &Cluster, object: &Value) -> Result<String> {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default();
    let path = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/events"),
        None => "/api/v1/events".to_owned(),
    };
    let selector = format!("involvedObject.uid={uid}");
    let path = with_query(&path, &[("fieldSelector", &selector)]);
    let mut list = request::get(&cluster.client, &path).await?;
    let mut events = list["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
    if events.is_empty() {
        return Ok("Events:  <none>\n".to_owned());
    }
    events.sort_by_key(|event| last_seen(event).to_owned());
    let mut grid = Grid::new(&["  Type", "Reason", "Last Seen", "From", "Message"]);
    for event in &events {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let count = event["count"].as_i64().filter(|count| *count > 1);
        let seen = last_seen(event).to_owned();
        grid.row(vec![
            format!("  {}", text(&event["type"])),
            text(&event["reason"]),
            count.map_or_else(|| seen.clone(), |count| format!("{seen} (x{count})")),
            text(&event["source"]["component"]),
            text(&event["message"]).trim().to_owned(),
        ]);
    }
    Ok(format!("Events:\n{}", grid.render(true)))
}

fn last_seen(event: &Value) -> &str {
    ["lastTimestamp", "eventTime", "firstTimestamp"]
        .iter()
        .find_map(|field| event[field].as_str())
        .unwrap_or_default()
}

//! `wctl wait`, and the wait for deletion that `wctl delete` uses: watches, no polling.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::TryStreamExt;
use kube::Client;
use serde_json::Value;

use crate::cli::{Global, Wait};
use crate::cluster::Cluster;
use crate::commands::{duration, get};
use crate::output::line;
use crate::request::{self, with_query};
use crate::resource::{Resource, Resources};

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Created,
    /// Gone; with a uid, another object of the same name does not count.
    Deleted {
        uid: Option<String>,
    },
    Status {
        name: String,
        value: String,
    },
    Field {
        path: Vec<String>,
        value: Option<String>,
    },
}

/// Runs `wctl wait`.
pub(crate) async fn run(global: &Global, arguments: &Wait) -> Result<()> {
    let condition = parse(&arguments.condition)?;
    let limit = duration(&arguments.timeout)?;
    let cluster = Cluster::connect(global).await?;
    let resources = Resources::discover(&cluster.client).await?;
    let mut waited = 0;
    for target in resources.targets(&arguments.target)? {
        let names: Vec<String> = match &target.name {
            Some(name) => vec![name.clone()],
            None => get::fetch(&cluster, &arguments.selection, &target)
                .await?
                .iter()
                .filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned))
                .collect(),
        };
        for name in names {
            until(&cluster.client, target.resource, &cluster.namespace, &name, &condition, limit)
                .await?;
            let deleted = matches!(condition, Condition::Deleted { .. });
            let word = if deleted { "deleted" } else { "condition met" };
            line(format!("{} {word}", target.resource.display(&name)))?;
            waited += 1;
        }
    }
    if waited == 0 {
        bail!("no matching resources found");
    }
    Ok(())
}

/// Waits until the object does not exist. Its uid tells it from one made under its name meanwhile;
/// where the uid is not known, any object of the name is waited for.
pub(crate) async fn gone(
    client: &Client,
    resource: &Resource,
    namespace: &str,
    name: &str,
    uid: Option<String>,
    limit: Duration,
) -> Result<()> {
    until(client, resource, namespace, name, &Condition::Deleted { uid }, limit).await
}

async fn until(
    client: &Client,
    resource: &Resource,
    namespace: &str,
    name: &str,
    condition: &Condition,
    limit: Duration,
) -> Result<()> {
    let waited = tokio::time::timeout(limit, watch(client, resource, namespace, name, condition));
    waited.await.map_err(|_| {
        anyhow::anyhow!("timed out waiting for the condition on {}", resource.display(name))
    })?
}

/// A list of the one object, then a watch from there; again if the watch ends.
async fn watch(
    client: &Client,
    resource: &Resource,
    namespace: &str,
    name: &str,
    condition: &Condition,
) -> Result<()> {
    let collection = resource.collection(Some(namespace));
    let field = format!("metadata.name={name}");
    let collection = with_query(&collection, &[("fieldSelector", &field)]);
    let mut first = true;
    loop {
        let list = request::get(client, &collection).await?;
        let object = list["items"].as_array().and_then(|items| items.first());
        if object.is_none()
            && first
            && !matches!(condition, Condition::Created | Condition::Deleted { .. })
        {
            // The server's own words for an object that is not there.
            request::get(client, &resource.object(namespace, name)).await?;
        }
        first = false;
        if met(condition, object) {
            return Ok(());
        }
        let version =
            list["metadata"]["resourceVersion"].as_str().context("a list without version")?;
        let path = with_query(&collection, &[("watch", "true"), ("resourceVersion", version)]);
        let mut events = Box::pin(request::lines(client, &path, "application/json").await?);
        while let Some(event) = events.try_next().await? {
            let event: Value = serde_json::from_str(&event).context("a watch event is not JSON")?;
            let object = match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => Some(&event["object"]),
                Some("DELETED") => None,
                // An expired watch starts over with a list.
                _ => break,
            };
            if met(condition, object) {
                return Ok(());
            }
        }
    }
}

fn met(condition: &Condition, object: Option<&Value>) -> bool {
    match (condition, object) {
        (Condition::Deleted { .. }, None) => true,
        (Condition::Deleted { uid }, Some(object)) => {
            uid.as_deref().is_some_and(|uid| object["metadata"]["uid"] != uid)
        }
        (_, None) => false,
        (Condition::Created, Some(_)) => true,
        (Condition::Status { name, value }, Some(object)) => {
            let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|found| {
                let text = |field: &str| found[field].as_str().unwrap_or_default();
                text("type").eq_ignore_ascii_case(name)
                    && text("status").eq_ignore_ascii_case(value)
            })
        }
        (Condition::Field { path, value }, Some(object)) => {
            let found = path.iter().try_fold(object, |at, step| match step.parse::<usize>() {
                Ok(index) if at.is_array() => at.get(index),
                _ => at.get(step),
            });
            match (found, value) {
                (None | Some(Value::Null), _) => false,
                (Some(_), None) => true,
                (Some(Value::String(found)), Some(value)) => found == value,
                (Some(found), Some(value)) => found.to_string().as_str() == value,
            }
        }
    }
}

fn parse(text: &str) -> Result<Condition> {
    if let Some(rest) = text.strip_prefix("condition=") {
        let (name, value) = rest.split_once('=').unwrap_or((rest, "true"));
        return Ok(Condition::Status { name: name.to_owned(), value: value.to_owned() });
    }
    if let Some(rest) = text.strip_prefix("jsonpath=") {
        let (path, value) = match rest.split_once('=') {
            Some((path, value)) => (path, Some(value.trim_matches('\'').to_owned())),
            None => (rest, None),
        };
        let path = path.trim_matches('\'').trim_start_matches('{').trim_end_matches('}');
        let path = path.replace('[', ".").replace(']', "");
        let path = path.split('.').filter(|step| !step.is_empty()).map(str::to_owned).collect();
        return Ok(Condition::Field { path, value });
    }
    match text {
        "create" => Ok(Condition::Created),
        "delete" => Ok(Condition::Deleted { uid: None }),
        _ => bail!(
            "--for={text}: use condition=NAME[=VALUE], jsonpath={{.a.b}}[=VALUE], create or delete"
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions() {
        let pod = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
                         "containerStatuses": [{"restartCount": 2}]}});
        for (text, want) in [
            ("condition=Ready", true),
            ("condition=ready=true", true),
            ("condition=Ready=False", false),
            ("condition=Other", false),
            ("jsonpath={.status.phase}=Running", true),
            ("jsonpath='{.status.phase}'=Pending", false),
            ("jsonpath={.status.containerStatuses[0].restartCount}=2", true),
            ("jsonpath={.status.podIP}", false),
            ("create", true),
            ("delete", false),
        ] {
            assert_eq!(met(&parse(text).unwrap(), Some(&pod)), want, "{text}");
        }
        assert!(parse("ready").is_err());
    }

    #[test]
    fn another_object_of_the_same_name_is_no_reason_to_wait() {
        let deleted = |uid: Option<&str>| Condition::Deleted { uid: uid.map(str::to_owned) };
        let pod = json!({"metadata": {"name": "a", "uid": "1"}});
        for (uid, object, want) in [
            (None, None, true),
            (Some("1"), None, true),
            (None, Some(&pod), false),
            (Some("1"), Some(&pod), false),
            (Some("0"), Some(&pod), true),
        ] {
            assert_eq!(met(&deleted(uid), object), want, "{uid:?} {object:?}");
        }
    }
}

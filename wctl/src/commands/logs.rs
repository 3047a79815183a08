//! `wctl logs`.

use std::io::Write;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use serde_json::Value;

use crate::cli::{Global, Logs};
use crate::cluster::Cluster;
use crate::commands::duration;
use crate::output::table;
use crate::request::{self, with_query};
use crate::resource::Resources;

/// Prints one container's output.
pub(crate) async fn run(global: &Global, arguments: &Logs) -> Result<()> {
    let cluster = Cluster::connect(global).await?;
    let pod = find_pod(&cluster, &arguments.target).await?;
    let wanted = arguments.container.as_ref().or(arguments.container_argument.as_ref());
    let container = container(&pod, wanted)?;
    let path = log_path(&cluster, &pod, &container, arguments)?;
    copy(&cluster, &path).await
}

/// Copies a log to standard output as it comes.
pub(crate) async fn copy(cluster: &Cluster, path: &str) -> Result<()> {
    print(request::bytes(&cluster.client, path).await?, &mut std::io::stdout().lock()).await
}

async fn print(log: impl Stream<Item = Result<Bytes>>, out: &mut impl Write) -> Result<()> {
    let mut log = Box::pin(log);
    while let Some(chunk) = log.try_next().await? {
        out.write_all(&chunk)?;
        out.flush()?;
    }
    Ok(())
}

fn log_path(cluster: &Cluster, pod: &Value, container: &str, arguments: &Logs) -> Result<String> {
    let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
    let path = format!("/api/v1/namespaces/{}/pods/{name}/log", cluster.namespace);
    let mut path = with_query(&path, &[("container", container)]);
    for (wanted, parameter) in [
        (arguments.follow, "follow"),
        (arguments.previous, "previous"),
        (arguments.timestamps, "timestamps"),
    ] {
        if wanted {
            path = with_query(&path, &[(parameter, "true")]);
        }
    }
    if arguments.tail >= 0 {
        path = with_query(&path, &[("tailLines", &arguments.tail.to_string())]);
    }
    if let Some(since) = &arguments.since {
        let seconds = duration(since)?.as_secs().max(1).to_string();
        path = with_query(&path, &[("sinceSeconds", &seconds)]);
    }
    Ok(path)
}

/// The pod itself, or the first pod of what `RESOURCE/NAME` selects.
async fn find_pod(cluster: &Cluster, target: &str) -> Result<Value> {
    let (kind, name) = target.split_once('/').unwrap_or(("pods", target));
    let resources = Resources::discover(&cluster.client).await?;
    let resource = resources.find(kind)?;
    let object = request::get(&cluster.client, &resource.object(&cluster.namespace, name)).await?;
    if resource.plural == "pods" && resource.group.is_empty() {
        return Ok(object);
    }
    let selector = &object["spec"]["selector"];
    let labels =
        if selector["matchLabels"].is_object() { &selector["matchLabels"] } else { selector };
    if labels.as_object().is_none_or(serde_json::Map::is_empty) {
        bail!("{} selects no pods; name a pod", resource.display(name));
    }
    let path = resources.find("pods")?.collection(Some(&cluster.namespace));
    let path = with_query(&path, &[("labelSelector", &table::labels(labels))]);
    let mut pods = request::get(&cluster.client, &path).await?;
    let first = pods["items"].as_array_mut().and_then(|pods| pods.first_mut()).map(Value::take);
    first.with_context(|| format!("{} has no pods yet", resource.display(name)))
}

/// The container asked for, the annotated default, or the only one.
fn container(pod: &Value, wanted: Option<&String>) -> Result<String> {
    let names: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|field| pod["spec"][field].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str())
        .collect();
    let default =
        pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    match wanted.map(String::as_str).or(default) {
        Some(name) if names.contains(&name) => Ok(name.to_owned()),
        Some(name) => bail!("container {name} is not in the pod; it has: {}", names.join(", ")),
        None => {
            let first = names.first().context("a pod without containers")?;
            if names.len() > 1 {
                // kubectl says so on standard error, too; a closed one fails nothing.
                let _ = writeln!(
                    std::io::stderr(),
                    "Defaulted container \"{first}\" out of: {}",
                    names.join(", ")
                );
            }
            Ok((*first).to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Bytes, container, print};

    /// A log is the container's bytes: no line ending is added or changed, and it need not be text.
    #[tokio::test]
    async fn bytes_pass_as_they_are() {
        let chunks: [&[u8]; 3] = [b"a\r\nb\xff\xfe", b"\0\n\xe2", b"\x82\xac no end"];
        let stream = futures_util::stream::iter(chunks.map(|chunk| Ok(Bytes::from_static(chunk))));
        let mut out = Vec::new();
        print(stream, &mut out).await.unwrap();
        assert_eq!(out, chunks.concat());
    }

    #[test]
    fn which_container() {
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}});
        assert_eq!(container(&pod, None).unwrap(), "a");
        assert_eq!(container(&pod, Some(&"i".to_owned())).unwrap(), "i");
        let error = container(&pod, Some(&"x".to_owned())).unwrap_err().to_string();
        assert!(error.contains("it has: a, b, i"), "{error}");
        let annotated = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/default-container": "b"}},
                               "spec": pod["spec"]});
        assert_eq!(container(&annotated, None).unwrap(), "b");
    }
}

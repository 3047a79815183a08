//! `wctl run IMAGE|FILE.wasm`: a pod of one container, its output here, its exit code ours.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use futures_util::TryStreamExt;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{Global, Run};
use crate::cluster::Cluster;
use crate::commands::{image, logs};
use crate::output::line;
use crate::request::{self, with_query};

/// Starts the pod; unless detached, follows it to its end.
pub(crate) async fn run(global: &Global, arguments: &Run) -> Result<ExitCode> {
    let cluster = Cluster::connect(global).await?;
    let reference = reference(global, &arguments.image).await?;
    let pods = format!("/api/v1/namespaces/{}/pods", cluster.namespace);
    // From before there is a pod: no signal may end this process while there is one to be removed.
    let mut interrupts = arguments.rm.then(Interrupts::listen).transpose()?;
    let pod = request::post(&cluster.client, &pods, &pod(arguments, &reference)?).await?;
    let name = pod["metadata"]["name"].as_str().context("the server made a pod without a name")?;
    if arguments.detach {
        line(format!("pod/{name}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = tokio::select! {
        outcome = follow(&cluster, name) => outcome,
        code = Interrupts::received(&mut interrupts) => Ok(ExitCode::from(code)),
    };
    if arguments.rm || outcome.is_err() {
        let options = json!({"gracePeriodSeconds": 1});
        let path = format!("{pods}/{name}");
        let removed = request::delete(&cluster.client, &path, &options).await;
        let removed = removed
            .map(drop)
            .or_else(|error| if request::is_not_found(&error) { Ok(()) } else { Err(error) });
        // Why the run failed is worth more than that its pod could not be removed either.
        return outcome.and_then(|code| removed.map(|()| code));
    }
    outcome
}

/// SIGINT and SIGTERM, caught from the moment this exists.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        })
    }

    /// Waits for either, for ever if none is caught. Gives the exit code that shells know: 128 and its number.
    async fn received(caught: &mut Option<Self>) -> u8 {
        let Some(Self { interrupt, terminate }) = caught else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        }
    }
}

/// Waits for the container, copies its output, and ends as it ended.
async fn follow(cluster: &Cluster, name: &str) -> Result<ExitCode> {
    let mut told = BTreeSet::new();
    until(cluster, name, |pod| {
        if let Some(why) = unschedulable(pod).filter(|why| told.insert((*why).to_owned())) {
            say(format_args!("waiting: pod/{name} cannot be scheduled: {why}"));
        }
        let state = &pod["status"]["containerStatuses"][0]["state"];
        hopeless(state)?;
        Ok(state["running"].is_object() || state["terminated"].is_object())
    })
    .await?;
    let log = format!("/api/v1/namespaces/{}/pods/{name}/log", cluster.namespace);
    logs::copy(cluster, &with_query(&log, &[("follow", "true")])).await?;
    let ended = until(cluster, name, |pod| {
        Ok(pod["status"]["containerStatuses"][0]["state"]["terminated"].is_object())
    });
    let ended = ended.await?;
    let terminated = &ended["status"]["containerStatuses"][0]["state"]["terminated"];
    if let Some(message) = terminated["message"].as_str().filter(|message| !message.is_empty()) {
        let reason = terminated["reason"].as_str().unwrap_or("Error");
        say(format_args!("{reason}: {}", message.trim_end()));
    }
    let code = terminated["exitCode"].as_i64().unwrap_or(1);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// A line to standard error. One that is closed fails nothing: what counts is the exit code.
fn say(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A file is loaded first; anything else is a reference.
async fn reference(global: &Global, image: &str) -> Result<String> {
    let path = Path::new(image);
    let is_file = path.extension().is_some_and(|extension| extension == "wasm") && path.is_file();
    if !is_file {
        if image.ends_with(".wasm") {
            bail!("{image}: no such file");
        }
        return Ok(image.to_owned());
    }
    let loaded = image::load(global, path, None).await?;
    let name = loaded.first().and_then(|image| image.names.first());
    Ok(name.with_context(|| format!("{image} was loaded without a name"))?.clone())
}

fn pod(arguments: &Run, reference: &str) -> Result<Value> {
    let mut container = json!({
        "name": "main",
        "image": reference,
        "args": arguments.arguments,
        "imagePullPolicy": "IfNotPresent",
        "env": environment(&arguments.env)?,
    });
    if let Some(port) = arguments.port {
        container["ports"] = json!([{"containerPort": port}]);
    }
    let metadata = match &arguments.name {
        Some(name) => json!({"name": name, "labels": {"run": name}}),
        None => json!({"generateName": format!("{}-", stem(reference))}),
    };
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"restartPolicy": arguments.restart, "containers": [container]},
    }))
}

fn environment(pairs: &[String]) -> Result<Vec<Value>> {
    pairs
        .iter()
        .map(|pair| {
            let (name, value) = pair
                .split_once('=')
                .with_context(|| format!("--env {pair}: expected KEY=VALUE"))?;
            Ok(json!({"name": name, "value": value}))
        })
        .collect()
}

/// A DNS label out of an image reference: `docker.io/library/my_app:v1` → `my-app`.
fn stem(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    let last = last.split(['@', ':']).next().unwrap_or(last);
    let mut stem: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(50)
        .collect();
    stem = stem.trim_matches('-').to_owned();
    if stem.is_empty() { "run".to_owned() } else { stem }
}

/// States that do not get better by waiting are errors.
fn hopeless(state: &Value) -> Result<()> {
    let waiting = &state["waiting"];
    match waiting["reason"].as_str() {
        None | Some("ContainerCreating" | "PodInitializing") => Ok(()),
        Some(reason) => bail!("{reason}: {}", waiting["message"].as_str().unwrap_or("no message")),
    }
}

/// Why no node can take the pod, in the scheduler's words.
fn unschedulable(pod: &Value) -> Option<&str> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| {
        condition["type"] == "PodScheduled"
            && condition["status"] == "False"
            && condition["reason"] == "Unschedulable"
    })?;
    Some(condition["message"].as_str().unwrap_or("no message"))
}

/// Watches the pod until `done`, which is asked of every state that is seen.
async fn until(
    cluster: &Cluster,
    name: &str,
    mut done: impl FnMut(&Value) -> Result<bool>,
) -> Result<Value> {
    let pods = format!("/api/v1/namespaces/{}/pods", cluster.namespace);
    let field = format!("metadata.name={name}");
    let pods = with_query(&pods, &[("fieldSelector", &field)]);
    loop {
        let mut list = request::get(&cluster.client, &pods).await?;
        let pod = list["items"].as_array_mut().and_then(|items| items.first_mut()).map(Value::take);
        let pod = pod.with_context(|| format!("pod {name} was deleted"))?;
        if done(&pod)? {
            return Ok(pod);
        }
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let path = with_query(&pods, &[("watch", "true"), ("resourceVersion", &version)]);
        let mut events =
            Box::pin(request::lines(&cluster.client, &path, "application/json").await?);
        while let Some(event) = events.try_next().await? {
            let mut event: Value =
                serde_json::from_str(&event).context("a watch event is not JSON")?;
            match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") if done(&event["object"])? => {
                    return Ok(event["object"].take());
                }
                Some("DELETED") => bail!("pod {name} was deleted"),
                Some("ERROR") => break,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_image() {
        for (reference, want) in [
            ("docker.io/library/my_app:v1", "my-app"),
            ("127.0.0.1:5000/x/Hello@sha256:00", "hello"),
            ("___", "run"),
        ] {
            assert_eq!(stem(reference), want);
        }
    }

    #[test]
    fn a_pull_error_is_reported_and_creation_is_not() {
        assert!(hopeless(&json!({"waiting": {"reason": "ContainerCreating"}})).is_ok());
        let state = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
        assert_eq!(hopeless(&state).unwrap_err().to_string(), "ErrImagePull: no such image");
    }
    #[test]
    fn only_the_schedulers_refusal_is_said() {
        let pod = |status: &str, reason: &str| {
            json!({"status": {"conditions": [
                {"type": "Ready", "status": "False", "reason": "Unschedulable", "message": "not this"},
                {"type": "PodScheduled", "status": status, "reason": reason, "message": "no node"},
            ]}})
        };
        assert_eq!(unschedulable(&pod("False", "Unschedulable")), Some("no node"));
        assert_eq!(unschedulable(&pod("False", "SchedulingGated")), None);
        assert_eq!(unschedulable(&pod("True", "")), None);
        assert_eq!(unschedulable(&json!({"status": {}})), None);
    }
}

//! Lifecycle hooks: exec, httpGet and sleep. tcpSocket is refused, as by every kubelet.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};

use crate::context::Context;
use crate::exec::{self, Executor};
use crate::image::chain;
use crate::probe::{Answer, http};

/// Longest wait for an httpGet hook's answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a hook to its end.
pub(super) async fn run(
    context: &Context,
    pod: &Pod,
    hook: &LifecycleHandler,
    container: &Container,
    pod_ip: IpAddr,
) -> Result<(), String> {
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    if let Some(action) = &hook.http_get {
        let request = http::Request::of(action, container, pod_ip)?;
        return match http::probe(&request, TIMEOUT).await {
            Answer::Success => Ok(()),
            Answer::Failure(why) | Answer::Unknown(why) => Err(why),
        };
    }
    if let Some(action) = &hook.exec {
        return execute(context, pod, container, exec::words(&action.command, container)).await;
    }
    Err("unsupported lifecycle handler".to_owned())
}

/// A hook's command has no deadline of its own: a postStart hook may take as long as it likes, and a preStop
/// hook ends with the pod's grace.
async fn execute(
    context: &Context,
    pod: &Pod,
    container: &Container,
    command: Vec<String>,
) -> Result<(), String> {
    let executor = Executor {
        runtime: context.runtime.clone(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
        container: container.name.clone(),
    };
    let shown = command.join(" ");
    let (why, output) = match executor.execute(command).await {
        Ok(ended) if ended.code == 0 => return Ok(()),
        Ok(ended) => (format!("command '{shown}' exited with {}", ended.code), ended.output),
        Err(error) => (chain(&error), String::new()),
    };
    Err(format!(
        "Exec lifecycle hook ([{shown}]) for Container {:?} in Pod {:?} failed - error: {why}, message: {output:?}",
        container.name,
        pod.metadata.name.as_deref().unwrap_or_default(),
    ))
}

//! Stops a container: preStop hook, stop signal, at the end of the grace SIGKILL.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod};

use super::hooks;
use crate::context::Context;
use crate::event::Severity;
use crate::image::chain;
use crate::pod::model::ProbeKind;
use crate::pod::plan::StopReason;

/// What a container gets at least after its preStop hook used up the grace (as the kubelet).
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// Stops `container`; returns when it has ended.
pub(crate) async fn stop(
    context: Arc<Context>,
    pod: Arc<Pod>,
    container: Container,
    pod_ip: Option<IpAddr>,
    grace: Duration,
    why: StopReason,
) -> Result<(), String> {
    let name = &container.name;
    let message = match why {
        StopReason::PodEnds => format!("Stopping container {name}"),
        StopReason::Resized => format!("Container {name} resize requires restart"),
        StopReason::Changed => format!("Container {name} definition changed, will be restarted"),
        StopReason::Probe(ProbeKind::Startup) => {
            format!("Container {name} failed startup probe, will be restarted")
        }
        StopReason::Probe(_) => {
            format!("Container {name} failed liveness probe, will be restarted")
        }
    };
    context.events.container(&pod, name, Severity::Normal, "Killing", message);
    let began = Instant::now();
    let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    if let (Some(hook), Some(pod_ip)) = (hook, pod_ip) {
        let run = hooks::run(&context, &pod, hook, &container, pod_ip);
        let failed = match tokio::time::timeout(grace, run).await {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some("it did not end within the grace period".to_owned()),
        };
        if let Some(why) = failed {
            context.events.container(
                &pod,
                name,
                Severity::Warning,
                "FailedPreStopHook",
                format!("PreStopHook failed: {why}"),
            );
        }
    }
    let left = grace.saturating_sub(began.elapsed()).max(LEAST_GRACE.min(grace));
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    context.runtime.stop_container(uid, name, left).await.map_err(|error| chain(&error))
}

//! Lifecycle hooks: httpGet and sleep. exec and tcpSocket are refused with a reason.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};

use crate::probe::{Answer, http};

/// Longest wait for an httpGet hook's answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a hook to its end.
pub(super) async fn run(
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
    if hook.exec.is_some() {
        return Err("exec hooks are not supported by this node".to_owned());
    }
    Err("unsupported lifecycle handler".to_owned())
}

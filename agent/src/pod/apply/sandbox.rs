//! A pod's surroundings: volumes, address, sandbox, and their removal.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use runtime::spec::{Namespaces, Network, PidNamespace, Resources, SandboxSpec};

use super::claims::{self, Backings};
use super::{StepFailed, config};
use crate::context::Context;
use crate::event::Severity;
use crate::image::chain;
use crate::translate::env::References;
use crate::translate::field::Placement;
use crate::translate::{hosts, resolv, resources, sysctl};
use crate::volume::{self, PodDir, SetUpError, payload};

/// Volumes, address, sandbox, in this order. What exists already stays.
pub(crate) async fn create(context: Arc<Context>, pod: Arc<Pod>) -> Result<(), StepFailed> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let warn = |reason: &'static str, message: String| {
        context.events.pod(&pod, Severity::Warning, reason, message.clone());
        StepFailed::new(message)
    };
    if pod.spec.as_ref().is_some_and(|spec| spec.host_users == Some(false)) {
        // Without namespaces of its own, its users would be the host's, which it was not to be.
        let message = "Failed to create pod sandbox: can't set `spec.hostUsers: false`, this node does \
                       not support user namespaces";
        return Err(StepFailed {
            waits: true,
            ..warn("FailedCreatePodSandBox", message.to_owned())
        });
    }
    let claims = claims::backings(&context, &pod)
        .await
        .map_err(|message| StepFailed { waits: true, ..warn("FailedMount", message) })?;
    let spec = pod.spec.clone().unwrap_or_default();
    let in_host_network = spec.host_network == Some(true);
    let address = if in_host_network {
        context.config.node_ip
    } else {
        let failed = |error| {
            warn("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error}"))
        };
        context.addresses.take(&uid).map_err(failed)?
    };
    set_up_volumes(&context, &pod, address, claims)
        .await
        .map_err(|message| warn("FailedMount", message))?;
    let spec = sandbox_spec(&context, &pod, &uid, address, in_host_network);
    match context.runtime.create_sandbox(spec).await {
        Ok(_) => Ok(()),
        Err(error) => Err(warn(
            "FailedCreatePodSandBox",
            format!("Failed to create pod sandbox: {}", chain(&error)),
        )),
    }
}

/// Makes the pod's volumes; the error is an event's text.
async fn set_up_volumes(
    context: &Context,
    pod: &Arc<Pod>,
    pod_ip: IpAddr,
    claims: Backings,
) -> Result<(), String> {
    with_volumes(context, pod, pod_ip, claims, volume::set_up).await
}

/// Rewrites the volumes whose contents come from the API.
pub(crate) async fn refresh_volumes(
    context: &Context,
    pod: &Arc<Pod>,
    pod_ip: IpAddr,
) -> Result<(), String> {
    with_volumes(context, pod, pod_ip, Backings::new(), volume::refresh).await
}

type Work = fn(&Pod, &PodDir, &References, &Placement) -> Result<(), SetUpError>;

async fn with_volumes(
    context: &Context,
    pod: &Arc<Pod>,
    pod_ip: IpAddr,
    claims: Backings,
    work: Work,
) -> Result<(), String> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let (config_maps, secrets) = payload::names(pod);
    let mut found = config::references(context, &namespace, &config_maps, &secrets)
        .await
        .map_err(|error| error.to_string())?;
    found.claims = claims;
    found.tokens = context.tokens.of(pod).await.map_err(|error| chain(&error))?;
    let dir = context.pod_dir(pod.metadata.uid.as_deref().unwrap_or_default());
    let (pod, placement) = (Arc::clone(pod), context.placement(pod_ip));
    tokio::task::spawn_blocking(move || work(&pod, &dir, &found, &placement))
        .await
        .map_err(|_| "setting up the volumes was interrupted".to_owned())?
        .map_err(|error| error.to_string())
}

fn sandbox_spec(
    context: &Context,
    pod: &Pod,
    uid: &str,
    address: IpAddr,
    in_host_network: bool,
) -> SandboxSpec {
    let spec = pod.spec.clone().unwrap_or_default();
    let (hostname, domain) =
        hosts::hostname(pod, &context.config.cluster_domain, &hosts::of_host());
    let labels = [
        ("namespace", &pod.metadata.namespace),
        ("name", &pod.metadata.name),
        ("uid", &pod.metadata.uid),
    ];
    let hosts = if in_host_network {
        hosts::host_network_hosts(&spec, &context.host_hosts)
    } else {
        hosts::pod_hosts(&spec, address, &hostname, domain.as_deref())
    };
    SandboxSpec {
        id: uid.to_owned(),
        labels: labels
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.clone().unwrap_or_default()))
            .collect(),
        hostname: hosts::uts_name(&spec, &hostname, domain.as_deref()),
        network: if in_host_network { Network::Host } else { context.addresses.network(address) },
        namespaces: namespaces(&spec),
        sysctls: sysctl::of_pod(&spec),
        hosts,
        resolv_conf: resolv::resolv_conf(
            pod,
            &context.config.cluster_dns,
            &context.config.cluster_domain,
            &context.host_resolv,
        ),
        resources: Resources {
            pids_limit: context.config.pod_pids_limit,
            ..resources::of_pod(&spec)
        },
        log_dir: context.log_dir(pod),
    }
}

/// `hostPID`, `shareProcessNamespace` and `hostIPC`; the first two exclude each other.
fn namespaces(spec: &PodSpec) -> Namespaces {
    let pid = match (spec.host_pid, spec.share_process_namespace) {
        (Some(true), _) => PidNamespace::Host,
        (_, Some(true)) => PidNamespace::Sandbox,
        _ => PidNamespace::Container,
    };
    Namespaces { pid, host_ipc: spec.host_ipc == Some(true) }
}

/// Removes a sandbox that lost its shim. Volumes and address stay for the next one.
pub(crate) async fn replace(context: Arc<Context>, pod: Arc<Pod>) -> Result<(), StepFailed> {
    let text = "Pod sandbox changed, it will be killed and re-created.".to_owned();
    context.events.pod(&pod, Severity::Normal, "SandboxChanged", text);
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    context.runtime.remove_sandbox(uid).await.map_err(|error| StepFailed::new(chain(&error)))
}

/// Removes sandbox, volumes and address; the logs too when nobody can ask for them any more.
pub(crate) async fn clean_up(
    context: Arc<Context>,
    pod: Arc<Pod>,
    logs: bool,
) -> Result<(), StepFailed> {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let failed = |message: String| {
        context.events.pod(
            &pod,
            Severity::Warning,
            "FailedKillPod",
            format!("error killing pod: {message}"),
        );
        StepFailed::new(message)
    };
    context.runtime.remove_sandbox(&uid).await.map_err(|error| failed(chain(&error)))?;
    let dir = context.pod_dir(&uid);
    let log_dir = logs.then(|| context.log_dir(&pod));
    let work = move || {
        volume::remove(&dir).map_err(|error| error.to_string())?;
        match log_dir.map(std::fs::remove_dir_all) {
            Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("cannot remove the logs: {error}"))
            }
            _ => Ok(()),
        }
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err("the removal was interrupted".to_owned())).map_err(failed)?;
    context.addresses.release(&uid);
    context.tokens.forget(&uid);
    Ok(())
}

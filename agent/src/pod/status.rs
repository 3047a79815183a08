//! What is said about a pod: `status`, built anew from what there is after every change.
//!
//! The builder is a pure function; the worker writes its result only where it differs from what the
//! API server has. Things the node does not own survive: conditions of other types (PodScheduled,
//! readiness gates), the time of each condition's last transition, the start time.
//!
//! Source: `kubelet_pods.go` (generateAPIPodStatus, getPhase) and `status/generate.go`.

mod conditions;
mod containers;
mod phase;

pub(crate) use containers::{container_id, pod_text};

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::containers::of_ephemeral;
use super::model::{Have, Want};
use super::plan;
use super::qos;

/// Facts about the node that a pod's status repeats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeFacts {
    pub(crate) ip: IpAddr,
}

/// What is in front of a message that says why a pod was not let in (as the kubelet).
const REJECTED: &str = "Pod was rejected: ";

/// Builds the status of `pod` at `now`; `started` is when this node first took notice of it. The resources
/// in its spec are those that the node has agreed to.
pub(crate) fn build(
    pod: &Pod,
    want: &Want,
    have: &Have,
    node: NodeFacts,
    started: Timestamp,
    now: Timestamp,
) -> PodStatus {
    let spec = pod.spec.clone().unwrap_or_default();
    let old = pod.status.clone().unwrap_or_default();
    let initialized = plan::is_initialized(want, have);
    let ending = plan::is_ending(want, have);
    let context = containers::Context { pod, want, have, now, initialized, ending };
    let init_statuses = context.statuses(spec.init_containers.as_deref().unwrap_or_default());
    let main_statuses = context.statuses(&spec.containers);
    let ephemeral: Vec<_> = spec.ephemeral_containers.iter().flatten().map(of_ephemeral).collect();
    let ephemeral_statuses = context.statuses(&ephemeral);
    let terminal = ending && !have.containers.values().any(|c| c.running());
    let mut phase = phase::phase(want, &init_statuses, &main_statuses, terminal);
    let (mut reason, mut message) = (None, None);
    if let Some(verdict) = &have.verdict {
        phase = "Failed";
        let prefix = if verdict.rejected { REJECTED } else { "" };
        reason = Some(verdict.reason.to_owned());
        message = Some(format!("{prefix}{}", verdict.message));
    }
    if let Some(last) =
        old.phase.as_deref().filter(|phase| matches!(*phase, "Succeeded" | "Failed"))
    {
        // A finished pod never comes back (kubelet: "pod phase is terminal").
        phase = if last == "Failed" { "Failed" } else { "Succeeded" };
        reason = old.reason.clone();
        message = old.message.clone();
    }
    let addresses: Vec<PodIP> = have.pod_ip.iter().map(|ip| PodIP { ip: ip.to_string() }).collect();
    let conditions = conditions::build(&conditions::Input {
        pod,
        want,
        have,
        phase,
        initialized,
        init_statuses: &init_statuses,
        main_statuses: &main_statuses,
        now,
    });
    // Of a pod that was not let in there is nothing to tell.
    let told = |statuses: Vec<ContainerStatus>| {
        Some(statuses).filter(|all| !all.is_empty() && want.rejected.is_none())
    };
    PodStatus {
        phase: Some(phase.to_owned()),
        reason,
        message,
        conditions: Some(conditions),
        host_ip: Some(node.ip.to_string()),
        host_ips: Some(vec![HostIP { ip: node.ip.to_string() }]),
        pod_ip: addresses.first().map(|first| first.ip.clone()),
        pod_ips: Some(addresses).filter(|addresses| !addresses.is_empty()),
        start_time: Some(old.start_time.unwrap_or(Time(started))),
        init_container_statuses: told(init_statuses),
        container_statuses: told(main_statuses),
        ephemeral_container_statuses: told(ephemeral_statuses),
        qos_class: Some(old.qos_class.unwrap_or_else(|| qos::class(&spec).as_str().to_owned())),
        observed_generation: pod.metadata.generation,
        nominated_node_name: old.nominated_node_name,
        ..PodStatus::default()
    }
}

#[cfg(test)]
mod tests;

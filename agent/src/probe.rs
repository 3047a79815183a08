//! Probes: is a container started, ready, alive?
//!
//! One task per probe and attempt, begun by the pod's worker when the container runs and cancelled when it
//! does not. A task waits out its initial delay (liveness and readiness also wait until the container has
//! started), asks once a period, and reports to the worker only when its verdict changes, that is when
//! enough answers in a row agree. What the answers do to the pod is the plan's business.
//!
//! Source: `pkg/kubelet/prober` and `pkg/probe`.

mod exec;
mod grpc;
pub(crate) mod http;
pub(crate) mod tally;
mod task;
mod tls;

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::exec::{Executor, words as words_of};

pub(crate) use task::{Report, Subject, run};

/// What a probe does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    Http(http::Request),
    Tcp {
        host: String,
        port: u16,
    },
    Grpc {
        host: String,
        port: u16,
        service: String,
    },
    /// The command, to be executed in the container.
    Exec(Vec<String>),
    /// It cannot be done; the text says why.
    Impossible(String),
}

/// A probe with its defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) check: Check,
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    pub(crate) success_threshold: u32,
    pub(crate) failure_threshold: u32,
}

/// Answer of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Success,
    /// It failed; the text is what `Unhealthy` events say.
    Failure(String),
    /// It could not be asked: counts for nothing.
    Unknown(String),
}

impl Settings {
    /// Reads a probe of `container`, whose pod has the address `pod_ip`.
    pub(crate) fn of(probe: &Probe, container: &Container, pod_ip: IpAddr) -> Self {
        let seconds = |value: Option<i32>, default: u64, least: u64| {
            Duration::from_secs(
                value
                    .and_then(|value| u64::try_from(value).ok())
                    .filter(|value| *value >= least)
                    .unwrap_or(default),
            )
        };
        let threshold = |value: Option<i32>, default: u32| {
            value.and_then(|v| u32::try_from(v).ok()).filter(|v| *v > 0).unwrap_or(default)
        };
        Self {
            check: check(probe, container, pod_ip),
            initial_delay: seconds(probe.initial_delay_seconds, 0, 0),
            period: seconds(probe.period_seconds, 10, 1),
            timeout: seconds(probe.timeout_seconds, 1, 1),
            success_threshold: threshold(probe.success_threshold, 1),
            failure_threshold: threshold(probe.failure_threshold, 3),
        }
    }
}

fn check(probe: &Probe, container: &Container, pod_ip: IpAddr) -> Check {
    let or_pod = |host: &Option<String>| {
        host.clone().filter(|host| !host.is_empty()).unwrap_or_else(|| pod_ip.to_string())
    };
    if let Some(action) = &probe.http_get {
        return match http::Request::of(action, container, pod_ip) {
            Ok(request) => Check::Http(request),
            Err(why) => Check::Impossible(why),
        };
    }
    if let Some(action) = &probe.tcp_socket {
        return match port(&action.port, container) {
            Ok(port) => Check::Tcp { host: or_pod(&action.host), port },
            Err(why) => Check::Impossible(why),
        };
    }
    if let Some(action) = &probe.grpc {
        return match u16::try_from(action.port) {
            Ok(port) => Check::Grpc {
                host: pod_ip.to_string(),
                port,
                service: action.service.clone().unwrap_or_default(),
            },
            Err(_) => Check::Impossible(format!("invalid port number: {}", action.port)),
        };
    }
    if let Some(action) = &probe.exec {
        return Check::Exec(words_of(&action.command, container));
    }
    Check::Impossible("missing probe handler".into())
}

/// Resolves a port given as a number or as the name of one of the container's.
pub(crate) fn port(port: &IntOrString, container: &Container) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            match container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name)) {
                Some(port) => Some(port.container_port),
                None => name.parse().ok(),
            }
        }
    };
    match number {
        None => Err("couldn't find port by name".to_owned()),
        Some(number) => u16::try_from(number)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("invalid port number: {number}")),
    }
}

/// Asks once. Commands are executed by `executor`, and cannot be without one.
pub(crate) async fn ask(check: &Check, timeout: Duration, executor: Option<&Executor>) -> Answer {
    match check {
        Check::Http(request) => http::probe(request, timeout).await,
        Check::Tcp { host, port } => tcp(host, *port, timeout).await,
        Check::Grpc { host, port, service } => grpc::probe(host, *port, service, timeout).await,
        Check::Impossible(why) => Answer::Unknown(why.clone()),
        Check::Exec(command) => match executor {
            Some(executor) => exec::probe(executor, command, timeout).await,
            None => Answer::Unknown("there is no container to execute the command in".to_owned()),
        },
    }
}

async fn tcp(host: &str, port: u16, timeout: Duration) -> Answer {
    let address = join(host, port);
    match tokio::time::timeout(timeout, tokio::net::TcpStream::connect(&address)).await {
        Ok(Ok(_)) => Answer::Success,
        Ok(Err(error)) => {
            Answer::Failure(format!("dial tcp {address}: connect: {}", words(&error)))
        }
        Err(_) => Answer::Failure(format!("dial tcp {address}: i/o timeout")),
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A system error as Go writes it: the C library's words, without the number.
pub(crate) fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let bare = text.split(" (os error").next().unwrap_or(&text);
    bare.to_lowercase()
}

#[cfg(test)]
mod tests;

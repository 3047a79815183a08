//! Which probe tasks run: those of the attempts that run.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use runtime::spec::ContainerState;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::context::Context;
use crate::exec::Executor;
use crate::pod::model::{Have, Health, ProbeKind};
use crate::pod::status::container_id;
use crate::probe::{self, Report, Settings, Subject};

/// The probe tasks of a pod.
pub(super) struct Probes {
    reports: mpsc::Sender<Report>,
    stop: CancellationToken,
    attempts: BTreeMap<String, Attempt>,
}

struct Attempt {
    number: u32,
    started: watch::Sender<bool>,
    _stop: DropGuard,
}

impl Probes {
    pub(super) fn new(reports: mpsc::Sender<Report>, stop: CancellationToken) -> Self {
        Self { reports, stop, attempts: BTreeMap::new() }
    }

    /// Starts the probes of new attempts, stops those of ended ones.
    pub(super) fn sync(&mut self, context: &Arc<Context>, pod: &Arc<Pod>, have: &mut Have) {
        let Some(pod_ip) = have.pod_ip else { return };
        for (name, state) in &mut have.containers {
            let running = state.latest.as_ref().and_then(|latest| match &latest.state {
                ContainerState::Running { started_at, .. } => {
                    Some((latest.number, *started_at, latest.id.clone()))
                }
                ContainerState::Exited(_) => None,
            });
            let Some((number, started_at, id)) = running else {
                self.attempts.remove(name);
                continue;
            };
            if self.attempts.get(name).is_some_and(|attempt| attempt.number == number) {
                continue;
            }
            let Some(container) = find(pod, name) else { continue };
            state.health = first_health(pod, container, &id);
            let stop = self.stop.child_token();
            let (started, receiver) = watch::channel(state.health.started);
            let subject = Subject {
                pod: Arc::clone(pod),
                container: name.clone(),
                attempt: number,
                started_at,
                executor: Some(Executor {
                    runtime: context.runtime.clone(),
                    uid: pod.metadata.uid.clone().unwrap_or_default(),
                    container: name.clone(),
                }),
            };
            for (kind, probe) in probes(container) {
                if kind == ProbeKind::Startup && state.health.started {
                    continue;
                }
                let settings = Settings::of(probe, container, pod_ip);
                context.tracker.spawn(probe::run(
                    subject.clone(),
                    kind,
                    settings,
                    receiver.clone(),
                    self.reports.clone(),
                    context.events.clone(),
                    stop.clone(),
                ));
            }
            self.attempts
                .insert(name.clone(), Attempt { number, started, _stop: stop.drop_guard() });
        }
        self.attempts.retain(|name, _| have.containers.contains_key(name));
    }

    /// Takes a changed verdict into account, if it is about the attempt that runs.
    pub(super) fn report(&mut self, report: &Report, have: &mut Have) {
        let (Some(attempt), Some(container)) =
            (self.attempts.get(&report.container), have.containers.get_mut(&report.container))
        else {
            return;
        };
        if attempt.number != report.attempt {
            return;
        }
        tracing::debug!(container = report.container, kind = ?report.kind, passes = report.passes, "probe");
        match (report.kind, report.passes) {
            (ProbeKind::Readiness, passes) => container.health.ready = passes,
            (ProbeKind::Startup, true) => {
                container.health.started = true;
                attempt.started.send_replace(true);
            }
            (ProbeKind::Liveness, true) => {}
            (kind, false) => container.health.failed = Some(kind),
        }
    }
}

fn find<'p>(pod: &'p Pod, name: &str) -> Option<&'p Container> {
    let spec = pod.spec.as_ref()?;
    spec.init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .find(|container| container.name == name)
}

fn probes(container: &Container) -> impl Iterator<Item = (ProbeKind, &Probe)> {
    [
        (ProbeKind::Startup, container.startup_probe.as_ref()),
        (ProbeKind::Liveness, container.liveness_probe.as_ref()),
        (ProbeKind::Readiness, container.readiness_probe.as_ref()),
    ]
    .into_iter()
    .filter_map(|(kind, probe)| Some((kind, probe?)))
}

/// Health of an attempt not probed yet: as it was reported if this very attempt is being adopted, so that
/// a restart of the agent takes no pod out of its Services.
fn first_health(pod: &Pod, container: &Container, id: &str) -> Health {
    let status = pod.status.iter();
    let mut all = status.flat_map(|status| {
        status
            .container_statuses
            .iter()
            .flatten()
            .chain(status.init_container_statuses.iter().flatten())
    });
    let told = all.find(|told| told.container_id.as_deref() == Some(container_id(id).as_str()));
    let was = |flag: Option<bool>| flag == Some(true);
    Health {
        started: container.startup_probe.is_none() || told.is_some_and(|told| was(told.started)),
        ready: container.readiness_probe.is_none() || told.is_some_and(|told| told.ready),
        failed: None,
    }
}

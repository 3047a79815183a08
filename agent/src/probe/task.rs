//! The loop of one probe of one attempt.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::tally::Tally;
use super::{Answer, Settings, ask};
use crate::event::{Recorder, Severity};
use crate::exec::Executor;
use crate::pod::model::ProbeKind;

/// First pause of the readiness ramp.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// A probe's verdict has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) container: String,
    pub(crate) attempt: u32,
    pub(crate) kind: ProbeKind,
    pub(crate) passes: bool,
    /// The answer that tipped it.
    pub(crate) message: String,
}

/// Whose probe it is.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) pod: Arc<Pod>,
    pub(crate) container: String,
    pub(crate) attempt: u32,
    pub(crate) started_at: Timestamp,
    /// For commands in the container.
    pub(crate) executor: Option<Executor>,
}

/// Probes until cancelled. `started` becomes true when the startup probe has passed (or there is none).
pub(crate) async fn run(
    subject: Subject,
    kind: ProbeKind,
    settings: Settings,
    mut started: watch::Receiver<bool>,
    reports: mpsc::Sender<Report>,
    events: Recorder,
    stop: CancellationToken,
) {
    let work = async {
        let age = Duration::try_from(Timestamp::now().duration_since(subject.started_at))
            .unwrap_or_default();
        tokio::time::sleep(settings.initial_delay.saturating_sub(age)).await;
        if kind != ProbeKind::Startup && started.wait_for(|started| *started).await.is_err() {
            return;
        }
        let mut tally = Tally::new(settings.success_threshold, settings.failure_threshold);
        if kind == ProbeKind::Readiness && age < settings.period {
            ramp(&settings, subject.executor.as_ref()).await;
        }
        let mut ticks = tokio::time::interval(settings.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (passes, message) =
                match ask(&settings.check, settings.timeout, subject.executor.as_ref()).await {
                    Answer::Success => (true, String::new()),
                    Answer::Failure(why) => (false, why),
                    Answer::Unknown(why) => {
                        let text = format!(
                            "{} probe errored and resulted in unknown state: {why}",
                            kind.title()
                        );
                        events.container(
                            &subject.pod,
                            &subject.container,
                            Severity::Warning,
                            "Unhealthy",
                            text,
                        );
                        continue;
                    }
                };
            if !passes {
                let text = format!("{} probe failed: {message}", kind.title());
                events.container(
                    &subject.pod,
                    &subject.container,
                    Severity::Warning,
                    "Unhealthy",
                    text,
                );
            }
            let Some(passes) = tally.observe(passes) else { continue };
            let report = Report {
                container: subject.container.clone(),
                attempt: subject.attempt,
                kind,
                passes,
                message,
            };
            if reports.send(report).await.is_err() {
                return;
            }
            // A container that has started has started: from here on the liveness probe watches.
            if kind == ProbeKind::Startup && passes {
                return;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = stop.cancelled() => {}
    }
}

/// A server needs some milliseconds before it listens, and a readiness probe that asks too early would
/// not ask again for a whole period. So until the first period is over a not yet ready container is
/// asked at doubling intervals; those answers count for nothing but the end of the ramp.
async fn ramp(settings: &Settings, executor: Option<&Executor>) {
    let end = Instant::now() + settings.period;
    let mut pause = FIRST_PAUSE;
    while ask(&settings.check, settings.timeout, executor).await != Answer::Success
        && Instant::now() + pause < end
    {
        if matches!(settings.check, super::Check::Impossible(_)) {
            return;
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

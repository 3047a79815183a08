//! Operations: actions of the plan as futures that the worker drives, and what their outcomes change.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Container;
use tokio_util::sync::CancellationToken;

use super::pause::Pauses;
use super::{Done, RESYNC, Running, Worker};
use crate::event::Severity;
use crate::pod::apply::{self, Outcome, PodStep, Retry};
use crate::pod::containers;
use crate::pod::model::{HaveContainer, Operation, Sandbox, Waiting};
use crate::pod::plan::{Action, StopReason};

/// Pause after the runtime refused to stop a container: the plan asks again at once.
const STOP_RETRY: Duration = Duration::from_secs(1);
/// Pause after the runtime refused a start for no reason that time or configuration would cure.
const START_RETRY: SignedDuration = SignedDuration::from_secs(10);

impl Worker {
    pub(super) fn container(&self, name: &str) -> Option<Container> {
        containers::find(&self.agreed, name).map(Cow::into_owned)
    }

    fn entry(&mut self, name: &str) -> &mut HaveContainer {
        self.have.containers.entry(name.to_owned()).or_default()
    }

    /// Begins what an action asks for.
    pub(super) fn begin(&mut self, action: Action, now: Timestamp) {
        tracing::debug!(uid = self.uid, ?action, "next step of the pod");
        let (context, pod) = (Arc::clone(&self.context), Arc::clone(&self.agreed));
        match action {
            Action::CreateSandbox => {
                self.step(PodStep::Create, async move { apply::create(context, pod).await })
            }
            Action::ReplaceSandbox => {
                self.step(PodStep::Replace, async move { apply::replace(context, pod).await })
            }
            Action::CleanUp => {
                let logs = self.is_over();
                self.logs_removed = logs;
                self.step(
                    PodStep::CleanUp,
                    async move { apply::clean_up(context, pod, logs).await },
                );
            }
            Action::DeleteObject => {
                self.step(PodStep::Delete, async move { apply::delete(context, pod).await })
            }
            Action::Start { container, attempt } => self.start(&container, attempt, now),
            Action::Stop { container, grace, why } => {
                let Some(spec) = self.container(&container) else { return };
                let pod_ip = self.have.pod_ip;
                let entry = self.entry(&container);
                entry.operation = Some(Operation::Stopping { grace });
                entry.resizing |= why == StopReason::Resized;
                self.push(Some(&container.clone()), async move {
                    let result = apply::stop(context, pod, spec, pod_ip, grace, why).await;
                    if result.is_err() {
                        tokio::time::sleep(STOP_RETRY).await;
                    }
                    Outcome::Stopped { container, result }
                });
            }
            Action::CancelStart { container } => {
                if let Some(running) = self.running.remove(&container) {
                    running.cancel.cancel();
                }
                self.entry(&container).operation = None;
            }
            Action::Resize => {
                let (has, changes) = (self.have.limits.clone(), self.changes());
                self.step(PodStep::Resize, async move {
                    apply::resize(context, pod, has.unwrap_or_default(), changes).await
                })
            }
            Action::End(verdict) => {
                tracing::info!(uid = self.uid, reason = verdict.reason, "pod ended by the node");
                let severity = if verdict.rejected { Severity::Warning } else { Severity::Normal };
                let (reason, message) = (verdict.reason, verdict.message.clone());
                self.context.events.pod(&self.pod, severity, reason, message);
                self.have.verdict = Some(verdict);
            }
            Action::Forget => {}
        }
    }

    fn start(&mut self, name: &str, attempt: u32, now: Timestamp) {
        let (Some(spec), Some(pod_ip)) = (self.container(name), self.have.pod_ip) else { return };
        let (context, pod, container) =
            (Arc::clone(&self.context), Arc::clone(&self.agreed), name.to_owned());
        let has = self.have.limits.clone().unwrap_or_default();
        let entry = self.entry(name);
        // A start that never got as far as a process must not lengthen the crash back-off again.
        if let (Some(exit), None) = (entry.exit().cloned(), &entry.waiting) {
            entry.crashes.retried(exit.finished_at, now);
        }
        entry.operation = Some(Operation::Starting { attempt });
        self.push(Some(name), async move {
            let result = apply::start(context, pod, spec, attempt, pod_ip, has).await;
            Outcome::Started { container, result }
        });
    }

    fn step(
        &mut self,
        step: PodStep,
        work: impl Future<Output = Result<(), apply::StepFailed>> + Send + 'static,
    ) {
        self.have.busy = true;
        self.push(None, async move { Outcome::Pod(step, work.await) });
    }

    /// Drives a future until it ends or is replaced by another one for the same container.
    pub(super) fn push(
        &mut self,
        container: Option<&str>,
        work: impl Future<Output = Outcome> + Send + 'static,
    ) {
        self.next_number += 1;
        let number = self.next_number;
        let cancel = CancellationToken::new();
        if let Some(container) = container {
            let running = Running { number, cancel: cancel.clone() };
            if let Some(before) = self.running.insert(container.to_owned(), running) {
                before.cancel.cancel();
            }
        }
        self.operations.push(Box::pin(async move {
            tokio::select! {
                outcome = work => Some((number, outcome)),
                () = cancel.cancelled() => None,
            }
        }));
    }

    /// Takes an outcome into account; `None` is an operation that was cancelled.
    pub(super) fn finished(&mut self, done: Option<Done>) {
        let Some((number, outcome)) = done else { return };
        let now = Timestamp::now();
        match outcome {
            Outcome::Reported(result) => self.reported(result, now),
            Outcome::Pod(step, result) => self.stepped(step, result, now),
            Outcome::Started { container, result } => {
                if !self.settle(&container, number) {
                    return;
                }
                match result {
                    Ok(()) => {
                        self.images.remove(&container);
                        let entry = self.entry(&container);
                        entry.waiting = None;
                        entry.retry_at = None;
                    }
                    Err(failed) => self.start_failed(&container, failed.waiting, failed.retry, now),
                }
            }
            Outcome::Stopped { container, result } => {
                if !self.settle(&container, number) {
                    return;
                }
                if let Err(error) = result {
                    let text = format!("error killing pod: {error}");
                    self.context.events.pod(&self.pod, Severity::Warning, "FailedKillPod", text);
                    tracing::warn!(
                        uid = self.uid,
                        container,
                        error,
                        "container not stopped; trying again"
                    );
                }
            }
        }
    }

    /// Whether the operation that ended is the one in flight; it is not any more then.
    fn settle(&mut self, container: &str, number: u64) -> bool {
        if self.running.get(container).is_none_or(|running| running.number != number) {
            return false;
        }
        self.running.remove(container);
        self.entry(container).operation = None;
        true
    }

    fn start_failed(&mut self, container: &str, waiting: Waiting, retry: Retry, now: Timestamp) {
        let at = match retry {
            Retry::Image => {
                self.images.entry(container.to_owned()).or_default().failed(&waiting, now)
            }
            Retry::Configuration => now.checked_add(RESYNC).unwrap_or(now),
            Retry::Soon => now.checked_add(START_RETRY).unwrap_or(now),
        };
        tracing::debug!(
            uid = self.uid,
            container,
            reason = waiting.reason,
            "container not started"
        );
        let entry = self.entry(container);
        entry.waiting = Some(waiting);
        entry.retry_at = Some(at);
    }

    fn stepped(&mut self, step: PodStep, result: Result<(), apply::StepFailed>, now: Timestamp) {
        self.have.busy = false;
        match result {
            Ok(()) => {
                self.pauses = Pauses::new();
                self.have.retry_at = None;
                match step {
                    PodStep::CleanUp => self.have.sandbox = Sandbox::Absent { clean: true },
                    PodStep::Delete => self.gone = true,
                    PodStep::Create | PodStep::Replace | PodStep::Resize => {}
                }
            }
            Err(failed) => {
                if failed.waits {
                    tracing::debug!(uid = self.uid, ?step, reason = failed.message, "pod waits");
                } else {
                    let (uid, error) = (&self.uid, &failed.message);
                    tracing::warn!(%uid, ?step, %error, "step of a pod failed; trying again");
                }
                if failed.waits && step == PodStep::Resize {
                    self.resize_failed(failed.message);
                }
                let ending = self.have.stopping_since.is_some();
                self.have.retry_at = self.pauses.after(step, failed.waits, ending, now);
            }
        }
    }
}

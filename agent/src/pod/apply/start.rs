//! Starts one attempt of a container: image, configuration, process, postStart hook.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod, Secret};
use runtime::image::{Image, ImageKind};
use runtime::spec::{ContainerState, ExitReason, Resources};

use super::config::{self, ConfigError};
use super::resize::make_room;
use super::{Retry, StartFailed, hooks};
use crate::context::Context;
use crate::event::Severity;
use crate::image::{self, Decision, PullError, PullPolicy, chain};
use crate::pod::model::Waiting;
use crate::sources::Source;

/// Grace of a container whose postStart hook failed.
const AFTER_FAILED_HOOK: Duration = Duration::from_secs(30);

/// Starts `container`; `pod_has` is what the pod has as a whole. Success means that the runtime has a record of the attempt, however it went.
pub(crate) async fn start(
    context: Arc<Context>,
    pod: Arc<Pod>,
    container: Container,
    attempt: u32,
    pod_ip: IpAddr,
    pod_has: Resources,
) -> Result<(), StartFailed> {
    let step = Step { context: &context, pod: &pod, container: &container };
    let image = step.image().await?;
    if let (ImageKind::Native { .. }, Some(why)) =
        (&image.kind, context.runtime.host().native_why_not())
    {
        return Err(step.not_permitted(&why));
    }
    let spec = config::container_spec(&context, &pod, &container, &image, pod_ip, attempt)
        .await
        .map_err(|error| {
            let retry = match &error {
                ConfigError::NoTarget { .. } => Retry::Soon,
                _ => Retry::Configuration,
            };
            step.failed("CreateContainerConfigError", error.to_string(), retry)
        })?;
    make_room(&context, &pod, &pod_has)
        .await
        .map_err(|error| step.failed("RunContainerError", chain(&error), Retry::Soon))?;
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let started =
        context.runtime.start_container(&uid, spec).await.map_err(|error| match &error {
            runtime::StartError::NotPermitted { why_not } => step.not_permitted(why_not),
            runtime::StartError::Config { message } => {
                step.failed("CreateContainerConfigError", message.clone(), Retry::Configuration)
            }
            runtime::StartError::NoImage { .. } => {
                step.failed("ErrImagePull", chain(&error), Retry::Image)
            }
            _ => step.failed("RunContainerError", chain(&error), Retry::Soon),
        })?;
    step.event(Severity::Normal, "Created", format!("Created container: {}", container.name));
    match &started.state {
        ContainerState::Exited(exit) if exit.reason == ExitReason::StartError => {
            step.event(Severity::Warning, "Failed", format!("Error: {}", exit.message));
        }
        _ => {
            step.event(Severity::Normal, "Started", format!("Started container {}", container.name))
        }
    }
    step.post_start(&uid, pod_ip).await;
    Ok(())
}

struct Step<'a> {
    context: &'a Context,
    pod: &'a Arc<Pod>,
    container: &'a Container,
}

impl Step<'_> {
    fn event(&self, severity: Severity, reason: &'static str, message: String) {
        self.context.events.container(self.pod, &self.container.name, severity, reason, message);
    }

    /// The container waits; `Failed` events repeat the message as the kubelet words it.
    fn failed(&self, reason: &str, message: String, retry: Retry) -> StartFailed {
        self.event(Severity::Warning, "Failed", format!("Error: {message}"));
        StartFailed { waiting: Waiting { reason: reason.to_owned(), message }, retry }
    }

    fn not_permitted(&self, why: &str) -> StartFailed {
        let message = format!("this node cannot run native containers: {why}");
        self.failed("NativeContainersUnavailable", message, Retry::Configuration)
    }

    fn image_failed(&self, error: &PullError) -> StartFailed {
        let retry = match error {
            PullError::InvalidName { .. } => Retry::Configuration,
            PullError::Never { .. } | PullError::Pull { .. } => Retry::Image,
        };
        match error {
            PullError::InvalidName { .. } => {
                self.event(Severity::Warning, "InspectFailed", error.to_string())
            }
            PullError::Never { .. } => {
                self.event(Severity::Warning, "ErrImageNeverPull", error.to_string())
            }
            PullError::Pull { image, .. } => {
                self.event(
                    Severity::Warning,
                    "Failed",
                    format!("Failed to pull image {image:?}: {error}"),
                );
            }
        }
        self.event(Severity::Warning, "Failed", format!("Error: {}", error.reason()));
        StartFailed {
            waiting: Waiting { reason: error.reason().to_owned(), message: error.to_string() },
            retry,
        }
    }

    async fn image(&self) -> Result<Image, StartFailed> {
        let name = self.container.image.clone().unwrap_or_default();
        let images = self.context.runtime.images();
        let decision = image::decide(PullPolicy::of(self.container), &name, images.get(&name))
            .map_err(|error| self.image_failed(&error))?;
        if let Decision::Present(present) = decision {
            self.event(
                Severity::Normal,
                "Pulled",
                format!("Container image {name:?} already present on machine"),
            );
            return Ok(*present);
        }
        self.event(Severity::Normal, "Pulling", format!("Pulling image {name:?}"));
        let began = Instant::now();
        let secrets = self.pull_secrets().await;
        let pulled = image::pull(images, &name, &secrets)
            .await
            .map_err(|error| self.image_failed(&error))?;
        let took = humanize(began.elapsed());
        self.event(
            Severity::Normal,
            "Pulled",
            format!("Successfully pulled image {name:?} in {took} ({took} including waiting). Image size: {} bytes.", pulled.size),
        );
        Ok(pulled)
    }

    /// A missing pull secret is no failure: the registry may not need it (the kubelet warns alike).
    async fn pull_secrets(&self) -> Vec<Arc<Secret>> {
        let namespace = self.pod.metadata.namespace.clone().unwrap_or_default();
        let mut found = Vec::new();
        for reference in
            self.pod.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten())
        {
            let source: Arc<Source<Secret>> = self.context.sources.of(&namespace, &reference.name);
            match config::first_word(&source, "secret", &reference.name).await {
                Ok(Some(secret)) => found.push(secret),
                _ => self.context.events.pod(
                    self.pod,
                    Severity::Warning,
                    "FailedToRetrieveImagePullSecret",
                    format!("Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.", reference.name),
                ),
            }
        }
        found
    }

    async fn post_start(&self, uid: &str, pod_ip: IpAddr) {
        let Some(hook) =
            self.container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref())
        else {
            return;
        };
        if let Err(why) = hooks::run(self.context, self.pod, hook, self.container, pod_ip).await {
            self.event(
                Severity::Warning,
                "FailedPostStartHook",
                format!("PostStartHook failed: {why}"),
            );
            if let Err(error) = self
                .context
                .runtime
                .stop_container(uid, &self.container.name, AFTER_FAILED_HOOK)
                .await
            {
                tracing::warn!(
                    error = chain(&error),
                    uid,
                    container = self.container.name,
                    "container not stopped after its failed hook"
                );
            }
        }
    }
}

/// A duration as Go prints it: `1.234s`, `56ms`.
fn humanize(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        format!("{millis}ms")
    } else {
        format!("{}.{:03}s", millis / 1000, millis % 1000)
    }
}

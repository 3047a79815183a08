//! Starting containers: the plan is made here, the shim carries it out.

use std::path::PathBuf;
use std::time::Duration;

use super::prepare::Preparation;
use super::{Sandboxes, is_name};
use crate::cgroup::DeviceAccess;
use crate::image::{Image, ImageKind};
use crate::native;
use crate::runtime::StartError;
use crate::shim::proto::{Operation, Outcome};
use crate::spec::{ContainerSpec, ContainerStatus};

/// The shim gives up on a start by itself before that; beyond it the shim is stuck, and whoever wants to
/// remove the sandbox waits for this start.
const ANSWER: Duration = Duration::from_secs(150);

impl Sandboxes {
    /// Starts a container.
    pub(crate) async fn start(
        &self,
        id: &str,
        spec: ContainerSpec,
        image: Option<Image>,
        code: Option<PathBuf>,
    ) -> Result<ContainerStatus, StartError> {
        let sandbox =
            self.get(id).ok_or_else(|| StartError::NoSandbox { sandbox: id.to_owned() })?;
        if !is_name(&spec.name) {
            return Err(StartError::Name { name: spec.name });
        }
        let _gate = self.gate(id).await;
        if let Some(known) = sandbox.container(&spec.name, spec.attempt) {
            return Ok(known);
        }
        let dead = || StartError::SandboxDead { sandbox: id.to_owned() };
        if sandbox.shim().is_none() {
            return Err(dead());
        }
        if let Some(running) =
            sandbox.running().into_iter().find(|r| r.status.spec.name == spec.name)
        {
            let attempt = running.status.spec.attempt;
            return Err(StartError::StillRunning { name: spec.name, attempt });
        }
        let Some(image) = image else {
            return Err(StartError::NoImage { image: spec.image });
        };
        if let (ImageKind::Native { .. }, Some(why_not)) = (&image.kind, self.host.native_why_not())
        {
            return Err(StartError::NotPermitted { why_not });
        }
        let preparation = Preparation {
            layout: self.host.cgroup_layout.clone(),
            cgroup_root: self.config.cgroup_root.clone(),
            access: self.device_access(&spec)?,
            sandbox: sandbox.clone(),
            spec,
            image,
            code,
        };
        // Removing what an old attempt has written can take its time.
        let start = tokio::task::spawn_blocking(|| preparation.make())
            .await
            .map_err(|_| StartError::Interrupted)??;
        let refused = |message: &str| Err(StartError::Refused { message: message.to_owned() });
        let asked = sandbox.ask(Operation::Start(Box::new(start)));
        match tokio::time::timeout(ANSWER, asked).await {
            Ok(Some(Outcome::Container { status })) => Ok(*status),
            Ok(Some(Outcome::Refused { message })) => Err(StartError::Refused { message }),
            Ok(Some(Outcome::Done | Outcome::Attached { .. })) => refused("no answer"),
            Ok(None) => Err(dead()),
            Err(_) => refused("it did not answer in time"),
        }
    }

    /// A host that cannot restrict devices still runs containers, whose mounts keep devices off; one that
    /// could change its mounts is not for such a host.
    fn device_access(&self, spec: &ContainerSpec) -> Result<DeviceAccess, StartError> {
        match &self.host.device_access.why_not {
            _ if spec.security.privileged => Ok(DeviceAccess::All),
            None => Ok(DeviceAccess::Default),
            Some(why_not) if native::can_mount(&spec.security) => {
                let message = format!(
                    "capability SYS_ADMIN would give the container the host's devices, from which this \
                     host cannot keep it: {why_not} Drop the capability, or make the container privileged."
                );
                Err(StartError::Config { message })
            }
            Some(_) => Ok(DeviceAccess::All),
        }
    }
}

//! Starting and stopping containers: the plan is made here, the shim carries it out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::plan::stop_signal;
use super::view::Sandbox;
use super::{Sandboxes, is_name, plan};
use crate::cgroup::{self, CgroupPlan};
use crate::image::{Image, ImageKind};
use crate::launch::Surroundings;
use crate::log::remove_logs;
use crate::remove_tree;
use crate::runtime::{StartError, StopError};
use crate::shim::proto::{Operation, Outcome, Start};
use crate::spec::{ContainerSpec, ContainerState, ContainerStatus};

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
        let shim = sandbox.shim().ok_or_else(dead)?;
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
        prune(&sandbox, &spec);
        let start = self.prepare(&sandbox, spec, &image, code.as_deref())?;
        let refused = |message: &str| Err(StartError::Refused { message: message.to_owned() });
        let asked = shim.call(Operation::Start(Box::new(start)));
        match tokio::time::timeout(ANSWER, asked).await {
            Ok(Ok(Outcome::Container { status })) => Ok(*status),
            Ok(Ok(Outcome::Refused { message })) => Err(StartError::Refused { message }),
            Ok(Ok(Outcome::Done)) => refused("no answer"),
            Ok(Err(_)) => Err(dead()),
            Err(_) => refused("it did not answer in time"),
        }
    }

    /// Makes the attempt's directories and its plan.
    fn prepare(
        &self,
        sandbox: &Sandbox,
        spec: ContainerSpec,
        image: &Image,
        code: Option<&Path>,
    ) -> Result<Start, StartError> {
        let record = &sandbox.record;
        let directory = sandbox.directory.attempt(&spec.name, spec.attempt);
        for name in ["upper", "work", "root"] {
            let path = directory.join(name);
            fs::create_dir_all(&path).map_err(|source| StartError::File {
                operation: "make directory",
                path,
                source,
            })?;
        }
        // The root of the container: open to its users whatever the agent's umask is.
        let upper = directory.join("upper");
        fs::set_permissions(&upper, fs::Permissions::from_mode(0o755)).map_err(|source| {
            StartError::File { operation: "set the mode of", path: upper, source }
        })?;
        let cgroup = if record.isolated {
            let (layout, root) = (&self.host.cgroup_layout, &self.config.cgroup_root);
            cgroup::container_plan(layout, root, &record.spec.id, &spec.name, &spec.resources)
        } else {
            CgroupPlan::default()
        };
        let log_path: PathBuf =
            record.spec.log_dir.join(&spec.name).join(format!("{}.log", spec.attempt));
        let surroundings = Surroundings {
            sandbox: &record.spec,
            isolated: record.isolated,
            directory: sandbox.directory.path(),
            attempt: &directory,
            cgroup: &cgroup,
            layout: &self.host.cgroup_layout,
        };
        let plan = plan::plan(&spec, image, code, &surroundings)?;
        Ok(Start {
            id: format!("{}-{}-{}", record.spec.id, spec.name, spec.attempt),
            image_digest: image.digest.to_string(),
            stop_signal: stop_signal(image.config.stop_signal.as_deref()),
            spec,
            log_path,
            directory,
            plan,
            cgroup,
        })
    }

    /// Stops a container and waits until it has exited.
    pub(crate) async fn stop(
        &self,
        id: &str,
        name: &str,
        grace: Duration,
    ) -> Result<(), StopError> {
        let sandbox =
            self.get(id).ok_or_else(|| StopError::NoSandbox { sandbox: id.to_owned() })?;
        let Some(shim) = sandbox.shim() else { return Ok(()) };
        let grace_millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        match shim.call(Operation::Stop { name: name.to_owned(), grace_millis }).await {
            Ok(Outcome::Refused { message }) => Err(StopError::Refused { message }),
            // A shim that is gone takes its containers along.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Keeps the attempt before this one, for `logs --previous` and the last state; removes older ones, and
/// of the one that is kept the files it has written.
fn prune(sandbox: &Sandbox, spec: &ContainerSpec) {
    for record in sandbox.attempts(&spec.name) {
        let attempt = record.status.spec.attempt;
        if !matches!(record.status.state, ContainerState::Exited(_)) {
            continue;
        }
        let directory = sandbox.directory.attempt(&spec.name, attempt);
        let outcome = if attempt + 1 < spec.attempt {
            sandbox.forget(&spec.name, attempt);
            remove_tree(&directory).and_then(|()| remove_logs(&record.status.log_path))
        } else {
            ["upper", "work"].iter().try_for_each(|name| remove_tree(&directory.join(name)))
        };
        if let Err(error) = outcome
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %directory.display(), %error, "cannot remove an old attempt");
        }
    }
}

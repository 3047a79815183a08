//! An attempt's directories and plan, before its shim hears of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::plan;
use super::plan::stop_signal;
use super::view::Sandbox;
use crate::cgroup::{self, CgroupPlan, DeviceAccess, Layout};
use crate::image::Image;
use crate::launch::Surroundings;
use crate::log::remove_logs;
use crate::remove_tree;
use crate::runtime::StartError;
use crate::shim::proto::Start;
use crate::shim::record::{IMAGE, replace};
use crate::spec::{ContainerSpec, ContainerState};

/// Everything that it takes.
pub(super) struct Preparation {
    pub(super) layout: Layout,
    pub(super) cgroup_root: String,
    pub(super) access: DeviceAccess,
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) spec: ContainerSpec,
    pub(super) image: Image,
    /// Of a Wasm image.
    pub(super) code: Option<PathBuf>,
}

impl Preparation {
    /// Cleans up after earlier attempts, makes this one's directories and its plan. Blocking.
    pub(super) fn make(self) -> Result<Start, StartError> {
        let Self { layout, cgroup_root, access, sandbox, spec, image, code } = self;
        prune(&sandbox, &spec);
        let record = &sandbox.record;
        let directory = sandbox.directory.attempt(&spec.name, spec.attempt);
        let failed =
            |operation, path: PathBuf| move |source| StartError::File { operation, path, source };
        for name in ["upper", "work", "root"] {
            let path = directory.join(name);
            fs::create_dir_all(&path).map_err(failed("make directory", path))?;
        }
        let digest = image.digest.to_string();
        let file = directory.join(IMAGE);
        replace(&file, digest.as_bytes()).map_err(failed("write", file))?;
        // The root of the container: open to its users whatever the agent's umask is.
        let upper = directory.join("upper");
        fs::set_permissions(&upper, fs::Permissions::from_mode(0o755))
            .map_err(failed("set the mode of", upper))?;
        let id = &record.spec.id;
        let cgroup = if record.isolated {
            let resources = &spec.resources;
            cgroup::container_plan(&layout, &cgroup_root, id, &spec.name, resources, access)
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
            layout: &layout,
        };
        let plan = plan::plan(&spec, &image, code.as_deref(), &surroundings)?;
        Ok(Start {
            id: format!("{id}-{}-{}", spec.name, spec.attempt),
            image_digest: digest,
            stop_signal: stop_signal(image.config.stop_signal.as_deref()),
            spec,
            log_path,
            directory,
            plan,
            cgroup,
        })
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

//! Executes a plan's steps, in the process that they are about.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, Signal};

use super::plan::{Exec, IsolationPlan, LaunchPlan, Limit, Step};
use super::report::{Report, Reporter};
use super::rootfs::Root;
use super::{console, credentials, exec, mounts, user};
use crate::spec::{ExitReason, Identity};

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A system call on a subject.
    #[error("cannot {operation} {subject}: {source}")]
    Step {
        /// What was tried.
        operation: &'static str,
        /// On what.
        subject: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The user cannot be found or is not allowed.
    #[error("{message}")]
    User {
        /// What is wrong with it.
        message: String,
    },
    /// The program cannot be executed, in runc's words.
    #[error("exec: {program:?}: {problem}")]
    Exec {
        /// argv 0.
        program: String,
        /// What is wrong with it.
        problem: String,
        /// The error number.
        errno: i32,
    },
}

impl LaunchError {
    /// A system call on a subject.
    pub(super) fn step(
        operation: &'static str,
        subject: impl Into<String>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Step { operation, subject: subject.into(), source: source.into() }
    }

    /// The report that tells the shim.
    pub fn report(&self) -> Report {
        let (step, errno) = match self {
            Self::Step { operation, source, .. } => {
                (*operation, source.raw_os_error().unwrap_or(0))
            }
            Self::User { .. } => ("look up the user", 0),
            Self::Exec { errno, .. } => ("exec", *errno),
        };
        Report::Failed {
            step: step.to_owned(),
            errno,
            message: self.to_string(),
            reason: ExitReason::StartError,
        }
    }
}

/// What earlier steps leave for later ones.
#[derive(Default)]
pub(super) struct Progress {
    pub(super) root: Option<Root>,
    pub(super) home: Option<String>,
    pub(super) identity: Option<Identity>,
}

/// Executes the plan in this process, which becomes the container; returns only on failure.
///
/// `config` and `report` are the descriptors that a Wasm host inherits; over `console` a terminal's master
/// side is sent.
pub fn run(
    plan: &LaunchPlan,
    config: Option<OwnedFd>,
    report: &OwnedFd,
    console: Option<BorrowedFd<'_>>,
) -> Result<std::convert::Infallible, LaunchError> {
    let mut progress = Progress::default();
    for step in &plan.steps {
        execute(step, &mut progress)?;
    }
    if let Some(console) = console {
        console::take(console, None)?;
    }
    if let (Some(identity), Ok(pipe)) = (progress.identity.take(), report.try_clone()) {
        // It only informs: whoever does not hear of it lacks a line in a status.
        let _ = Reporter::new(pipe).send(&Report::Became(identity));
    }
    match &plan.exec {
        Exec::Program { argv, env } => exec::program(argv, env, progress.home.as_deref()),
        Exec::WasmHost { .. } => exec::wasm_host(config, report),
    }
}

/// Executes the steps on this process, which must be single-threaded. Says who it has become, if a step
/// was about that.
pub fn isolate(plan: &IsolationPlan) -> Result<Option<Identity>, LaunchError> {
    let mut progress = Progress::default();
    plan.steps.iter().try_for_each(|step| execute(step, &mut progress))?;
    Ok(progress.identity)
}

pub(super) fn execute(step: &Step, progress: &mut Progress) -> Result<(), LaunchError> {
    match step {
        Step::JoinCgroup { procs } => std::fs::write(procs, "0")
            .map_err(|e| LaunchError::step("join cgroup", procs.display().to_string(), e)),
        Step::CgroupNamespace => nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWCGROUP)
            .map_err(|e| LaunchError::step("unshare", "the cgroup namespace", e)),
        Step::OomScoreAdj { value } => oom_score_adj(*value),
        Step::PrivateMounts => mounts::make_private(),
        Step::OverlayRoot { lower, upper, work, at } => {
            progress.root = Some(mounts::overlay_root(lower, upper, work, at)?);
            Ok(())
        }
        Step::EmptyRoot { at } => {
            progress.root = Some(mounts::empty_root(at)?);
            Ok(())
        }
        Step::Directory { target, mode } => root(progress)?.directory(target, *mode).map(drop),
        Step::Symlink { target, link } => root(progress)?.symlink(target, link),
        Step::Device { target, major, minor } => {
            mounts::device(root(progress)?, target, *major, *minor)
        }
        Step::NoDevices { target } => mounts::no_devices(root(progress)?, target),
        Step::Filesystem { kind, target, options, attributes } => {
            mounts::filesystem(root(progress)?, kind, target, options, *attributes)
        }
        Step::Bind { source, target, attributes } => {
            mounts::bind(root(progress)?, source, target, *attributes)
        }
        Step::ReadOnlyPath { target } => mounts::read_only_path(root(progress)?, target),
        Step::MaskedPath { target } => mounts::masked_path(root(progress)?, target),
        Step::ReadOnlyRoot => mounts::read_only_root(root(progress)?),
        Step::PivotRoot => mounts::pivot(root(progress)?),
        Step::ResourceLimit { limit, value } => resource_limit(*limit, *value),
        Step::Umask { mask } => {
            rustix::process::umask(Mode::from_raw_mode(*mask));
            Ok(())
        }
        Step::WorkingDirectory { target } => {
            let directory = root(progress)?.directory(target, 0o755)?;
            rustix::process::fchdir(&directory)
                .map_err(|e| LaunchError::step("change the working directory to", target, e))
        }
        Step::User(step) => {
            let found = user::become_user(step)?;
            (progress.home, progress.identity) = (found.home, Some(found.identity));
            Ok(())
        }
        Step::Capabilities { keep } => credentials::limit_capabilities(keep),
        Step::NoNewPrivs => rustix::thread::set_no_new_privs(true)
            .map_err(|e| LaunchError::step("set", "no_new_privs", e)),
        Step::Seccomp { filter } => credentials::install(filter),
        Step::DieWithParent => rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|e| LaunchError::step("set", "the parent death signal", e)),
    }
}

fn root(progress: &Progress) -> Result<&Root, LaunchError> {
    progress.root.as_ref().ok_or_else(|| {
        LaunchError::step("use", "the root before it is made", rustix::io::Errno::INVAL)
    })
}

/// Sets the score; where lowering it is refused, tells nobody: the kernel keeps the parent's value,
/// which only makes the container a likelier victim than asked.
fn oom_score_adj(value: i32) -> Result<(), LaunchError> {
    match std::fs::write("/proc/self/oom_score_adj", value.to_string()) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other.map_err(|e| LaunchError::step("set", "oom_score_adj", e)),
    }
}

fn resource_limit(limit: Limit, value: Option<u64>) -> Result<(), LaunchError> {
    let resource = match limit {
        Limit::OpenFiles => Resource::Nofile,
        Limit::Processes => Resource::Nproc,
        Limit::CoreSize => Resource::Core,
        Limit::LockedMemory => Resource::Memlock,
    };
    let wanted = Rlimit { current: value, maximum: value };
    match rustix::process::setrlimit(resource, wanted) {
        // Raising the hard limit needs CAP_SYS_RESOURCE, which nested hosts lack: go as far as allowed.
        Err(rustix::io::Errno::PERM) => {
            let maximum = rustix::process::getrlimit(resource).maximum;
            rustix::process::setrlimit(resource, Rlimit { current: maximum, maximum })
        }
        other => other,
    }
    .map_err(|e| LaunchError::step("set limit", format!("{limit:?}"), e))
}

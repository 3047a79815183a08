//! The plan: what a child does between clone and exec, as data.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that the shim needs to clone a child and everything the child needs to become the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// New pid and mount namespaces; false only on unprivileged hosts.
    pub isolated: bool,
    /// Executed in order by the child.
    pub steps: Vec<Step>,
    /// What the child becomes.
    pub exec: Exec,
    /// The program gets a terminal of the container's own instead of pipes.
    #[serde(default)]
    pub terminal: bool,
}

/// Everything that it takes to run a further program in a container that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinPlan {
    /// The container's first process, in the host's pid namespace.
    pub pid: u32,
    /// The shim, which must be its parent: pids are used again.
    pub shim: u32,
    /// Directory of the cgroup to be born in (v2).
    pub born_in: Option<PathBuf>,
    /// Executed in order while the host's files can be seen.
    pub outside: Vec<Step>,
    /// Executed in order in the container's namespaces.
    pub inside: Vec<Step>,
    /// The first is looked up through `PATH` unless it has a slash.
    pub argv: Vec<String>,
    /// The whole environment; `HOME` is added from the user's passwd entry if it is missing.
    pub env: Vec<(String, String)>,
    /// A terminal of the container's own instead of pipes.
    pub terminal: bool,
    /// The terminal's columns and rows, if they are known.
    pub size: Option<(u16, u16)>,
}

/// What the child becomes when its steps are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exec {
    /// A program of the image.
    Program {
        /// argv; the first is looked up through `PATH` unless it has a slash.
        argv: Vec<String>,
        /// The whole environment; `HOME` is added from the user's passwd entry if it is missing.
        env: Vec<(String, String)>,
    },
    /// This same executable, as `wasm-host`.
    WasmHost {
        /// The host's configuration, handed over through a descriptor.
        config: serde_json::Value,
    },
}

/// The steps that `wasm-host` executes on itself while it is single-threaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationPlan {
    /// Executed in order.
    pub steps: Vec<Step>,
}

/// Restrictions of one mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Attributes {
    /// No writing.
    pub read_only: bool,
    /// Set-user-id bits and file capabilities are ignored.
    pub no_suid: bool,
    /// Device nodes cannot be opened.
    pub no_dev: bool,
    /// Nothing can be executed.
    pub no_exec: bool,
}

/// One resource limit; `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// `RLIMIT_NOFILE`.
    OpenFiles,
    /// `RLIMIT_NPROC`.
    Processes,
    /// `RLIMIT_CORE`, in bytes.
    CoreSize,
    /// `RLIMIT_MEMLOCK`, in bytes.
    LockedMemory,
}

/// One thing that the child does. Paths named `target` are paths in the container, resolved inside its
/// root whatever symbolic links the image holds; all others are paths on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "step")]
pub enum Step {
    /// Move this process into the cgroup whose `cgroup.procs` this is.
    JoinCgroup {
        /// The file.
        procs: PathBuf,
    },
    /// Make the present cgroups the root of a new cgroup namespace.
    CgroupNamespace,
    /// Set `oom_score_adj`. Lowering it needs CAP_SYS_RESOURCE: where the host lacks that, the lowest
    /// permitted value stays.
    OomScoreAdj {
        /// -1000 to 1000.
        value: i32,
    },
    /// Cut mount propagation in both directions.
    PrivateMounts,
    /// Mount an overlay at `at` and make it the container's root.
    OverlayRoot {
        /// Layers, the uppermost first.
        lower: Vec<PathBuf>,
        /// Receives changes.
        upper: PathBuf,
        /// The overlay's work directory, on the same file system as `upper`.
        work: PathBuf,
        /// An empty directory.
        at: PathBuf,
    },
    /// Mount an empty tmpfs at `at` and make it the container's root.
    EmptyRoot {
        /// An empty directory.
        at: PathBuf,
    },
    /// Make a directory in the container unless it is there.
    Directory {
        /// Where.
        target: String,
        /// Permission bits.
        mode: u32,
    },
    /// Make a symbolic link in the container.
    Symlink {
        /// Where.
        target: String,
        /// What it says.
        link: String,
    },
    /// Make a character device for everybody and bind it onto itself, so that it can be opened although
    /// what is around it becomes [`Step::NoDevices`].
    Device {
        /// Where.
        target: String,
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Forbid opening device nodes in the mount at the path, but not in those on top of it.
    NoDevices {
        /// Where.
        target: String,
    },
    /// Mount a new file system.
    Filesystem {
        /// `proc`, `tmpfs`, …
        kind: String,
        /// Where; made if missing.
        target: String,
        /// Options of the file system itself.
        options: Vec<(String, String)>,
        /// Options of the mount.
        attributes: Attributes,
    },
    /// Bind a file or directory of the host, with what is mounted under it.
    Bind {
        /// What.
        source: PathBuf,
        /// Where; made if missing.
        target: String,
        /// Restrictions.
        attributes: Attributes,
    },
    /// Make what is at the path read-only; a path that does not exist is fine.
    ReadOnlyPath {
        /// Where.
        target: String,
    },
    /// Hide what is at the path; a path that does not exist is fine.
    MaskedPath {
        /// Where.
        target: String,
    },
    /// Make the root's own mount read-only.
    ReadOnlyRoot,
    /// Make the container's root this process's root and let go of the host's.
    PivotRoot,
    /// Set the soft and hard limit; a hard limit that may not be raised stays.
    ResourceLimit {
        /// Which.
        limit: Limit,
        /// How much; `None` is unlimited.
        value: Option<u64>,
    },
    /// Set the file mode creation mask.
    Umask {
        /// The mask.
        mask: u32,
    },
    /// Change the working directory, after making it if it is missing.
    WorkingDirectory {
        /// Where.
        target: String,
    },
    /// Become the user.
    User(UserStep),
    /// Limit what root can do: bounding, permitted and effective sets; inheritable and ambient are emptied.
    Capabilities {
        /// Names with `CAP_`.
        keep: Vec<String>,
    },
    /// `PR_SET_NO_NEW_PRIVS`.
    NoNewPrivs,
    /// Install a filter.
    Seccomp {
        /// Which.
        filter: Filter,
    },
    /// Die when the shim dies.
    DieWithParent,
}

/// Who to become.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UserStep {
    /// The image's `user[:group]`, names or numbers, looked up in the container's passwd and group; empty is root.
    pub image_user: String,
    /// Wins over the image's user.
    pub uid: Option<u32>,
    /// Wins over the image's group.
    pub gid: Option<u32>,
    /// Besides those that the group file gives.
    pub supplementary_gids: Vec<u32>,
    /// The group file gives none.
    pub strict_groups: bool,
    /// Refuse uid 0.
    pub must_be_non_root: bool,
}

/// The seccomp filters that exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Filter {
    /// The default profile of native containers, with what the capabilities open up.
    NativeDefault {
        /// The container's capabilities (with `CAP_`) that permit further calls; others are ignored.
        capabilities: Vec<String>,
    },
    /// What a Wasm host needs, and nothing else.
    WasmHost,
}

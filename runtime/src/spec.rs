//! What callers ask of the runtime and what it answers: plain data, no behaviour.
//!
//! Everything here is serialisable because the same values are written to the
//! sandbox's record on disk, from which a restarted agent re-adopts it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A pod's shared surroundings: one shim, one network namespace, one parent cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Unique id; the caller's pod UID. Safe as a file name.
    pub id: String,
    /// Opaque to the runtime; kept in the record and given back on adoption.
    pub labels: BTreeMap<String, String>,
    /// The UTS host name.
    pub hostname: String,
    /// How the sandbox is connected.
    pub network: Network,
    /// Which namespaces its containers share, and with whom.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// Kernel settings of its network and IPC namespaces, by name with dots (`net.ipv4.tcp_syncookies`).
    /// Not for a sandbox whose namespaces are the host's.
    #[serde(default)]
    pub sysctls: Vec<(String, String)>,
    /// Contents of `/etc/hosts` in every container.
    pub hosts: String,
    /// Contents of `/etc/resolv.conf` in every container.
    pub resolv_conf: String,
    /// Limits of the pod's parent cgroup.
    pub resources: Resources,
    /// Directory that receives `<container>/<attempt>.log`.
    pub log_dir: PathBuf,
}

/// Namespaces that a pod may ask to share. Where nothing is isolated, they mean nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Whose processes a container sees.
    pub pid: PidNamespace,
    /// The host's System V IPC, POSIX message queues and `/dev/shm`, instead of the sandbox's own.
    pub host_ipc: bool,
}

/// Whose processes a container sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PidNamespace {
    /// Its own; its first process is the namespace's.
    #[default]
    Container,
    /// Those of all containers of the sandbox.
    Sandbox,
    /// All of the host's.
    Host,
}

/// How a sandbox reaches the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Network {
    /// Own network namespace, a veth pair into `bridge`.
    Pod {
        /// The pod's address with the prefix length of the node's pod network.
        address: IpNet,
        /// Default route; the bridge's address.
        gateway: IpAddr,
        /// Name of the bridge on the host.
        bridge: String,
    },
    /// The host's network namespace.
    Host,
    /// The host's network namespace, but servers bind this 127/8 address: the unprivileged mode.
    Loopback {
        /// The pod's address out of 127.0.0.0/8.
        address: IpAddr,
    },
}

/// Bridge that connects the pods of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BridgeSpec {
    /// Interface name, at most 15 bytes.
    pub name: String,
    /// Address of the bridge with the prefix length of the node's pod network.
    pub address: IpNet,
}

/// Limits and weights of one cgroup. `None` means unlimited (or the kernel's default).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Requested CPU in thousandths of a core: becomes shares (v1) or weight (v2).
    pub cpu_request_millis: Option<u64>,
    /// CPU limit in thousandths of a core: becomes the CFS quota over 100 ms.
    pub cpu_limit_millis: Option<u64>,
    /// Memory limit in bytes.
    pub memory_limit_bytes: Option<u64>,
    /// Maximum number of tasks.
    pub pids_limit: Option<u64>,
    /// oom_score_adj of the container's first process.
    pub oom_score_adj: Option<i32>,
}

/// One container of a sandbox, native or Wasm: the image decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Name, unique in the sandbox.
    pub name: String,
    /// 0 for the first start; counts restarts and names the log file.
    pub attempt: u32,
    /// Image reference or digest known to the image store.
    pub image: String,
    /// Replaces the image's entrypoint unless empty.
    pub command: Vec<String>,
    /// Replaces the image's cmd unless empty (or dropped if `command` is set and this is empty).
    pub args: Vec<String>,
    /// Environment added to (and winning over) the image's.
    pub env: Vec<(String, String)>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// Replaces the image's user.
    pub user: UserSpec,
    /// Bind mounts; for Wasm each becomes one preopen.
    pub mounts: Vec<Mount>,
    /// The container cgroup's limits.
    pub resources: Resources,
    /// Capabilities, seccomp and friends.
    pub security: Security,
    /// The port a `wasi:http` container listens on.
    pub http_port: Option<u16>,
    /// What its standard streams are.
    #[serde(default)]
    pub stdio: Stdio,
    /// Another container of the sandbox, which must run: this one is born among its processes and ends
    /// with it. `None` is what the sandbox says ([`PidNamespace`]).
    #[serde(default)]
    pub pid_of: Option<String>,
    /// Opaque to the runtime; kept in the record.
    pub labels: BTreeMap<String, String>,
}

/// What the standard streams of a container's first process are. Output always goes to the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stdio {
    /// Standard input is kept open for whoever attaches; otherwise it is empty.
    pub stdin: bool,
    /// Standard input ends when the first who attaches to it is gone.
    pub stdin_once: bool,
    /// The streams are a terminal. Not for Wasm containers, which have none.
    pub terminal: bool,
}

/// Who the first process runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserSpec {
    /// Numeric user; `None` takes the image's `User`.
    pub uid: Option<u32>,
    /// Numeric group; `None` takes the image's, else the user's primary group.
    pub gid: Option<u32>,
    /// Further groups.
    pub supplementary_gids: Vec<u32>,
    /// No others: what the image's group file says does not count.
    pub strict_groups: bool,
    /// Refuse to start as uid 0.
    pub must_be_non_root: bool,
}

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups, the primary one included, in ascending order.
    pub groups: Vec<u32>,
}

/// One bind mount of a file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Path on the host.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: String,
    /// Mount without write permission.
    pub read_only: bool,
}

/// What the kernel lets the container do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// All capabilities and devices, no seccomp, no masked paths.
    pub privileged: bool,
    /// The root file system is mounted read-only.
    pub read_only_root: bool,
    /// Set no_new_privs (Kubernetes' `allowPrivilegeEscalation: false`).
    pub no_new_privs: bool,
    /// Capabilities (without `CAP_`) added to the default set; `ALL` for all.
    pub add_capabilities: Vec<String>,
    /// Capabilities removed from the default set; `ALL` for all.
    pub drop_capabilities: Vec<String>,
    /// Which system calls are permitted.
    pub seccomp: SeccompProfile,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            privileged: false,
            read_only_root: false,
            no_new_privs: false,
            add_capabilities: Vec::new(),
            drop_capabilities: Vec::new(),
            seccomp: SeccompProfile::RuntimeDefault,
        }
    }
}

/// Which system calls are permitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeccompProfile {
    /// The runtime's default profile.
    #[default]
    RuntimeDefault,
    /// No filter.
    Unconfined,
}

/// Where a container is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "state")]
pub enum ContainerState {
    /// The first process runs.
    #[serde(rename_all = "camelCase")]
    Running {
        /// Process id on the host.
        pid: u32,
        /// When it was started.
        started_at: Timestamp,
    },
    /// The first process has ended, or never started.
    #[serde(rename_all = "camelCase")]
    Exited(Exit),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Exit code; 128 + signal when killed by one.
    pub code: i32,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Kubernetes' word for it.
    pub reason: ExitReason,
    /// Text for people: a trap's text, the step that failed; empty when there is nothing to say.
    pub message: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

/// Why a container ended, in the words that pod status uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitReason {
    /// Exit code 0.
    Completed,
    /// Another exit code or a signal.
    Error,
    /// The kernel killed it for memory.
    OOMKilled,
    /// The Wasm guest trapped (exit code 134).
    WasmTrap,
    /// The Wasm guest imports what is not provided.
    WasmLinkError,
    /// A step before exec failed; the message names it.
    StartError,
    /// The shim was lost (host reboot, kill -9 of the shim) and the exit is unknown.
    ContainerStatusUnknown,
}

/// A container as observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// What was asked for.
    pub spec: ContainerSpec,
    /// Digest of the image's manifest it was started from (`sha256:…`).
    pub image_digest: String,
    /// Who its first process became; `None` until that is known, and where nothing is isolated.
    #[serde(default)]
    pub user: Option<Identity>,
    /// Unique id of this attempt (`<sandbox id>-<name>-<attempt>` is fine).
    pub id: String,
    /// Where it is.
    pub state: ContainerState,
    /// The log file of this attempt.
    pub log_path: PathBuf,
}

/// A sandbox as observed; `containers` holds every attempt still on disk, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// What was asked for.
    pub spec: SandboxSpec,
    /// Whether the shim lives.
    pub alive: bool,
    /// When the sandbox was made.
    pub created_at: Timestamp,
    /// Every attempt of every container that is still on disk.
    pub containers: Vec<ContainerStatus>,
}

/// A change that a shim reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// The sandbox's id.
    pub sandbox: String,
    /// The container's name; empty when the whole sandbox died.
    pub container: String,
    /// Its attempt.
    pub attempt: u32,
}

//! What the host process is told: plain data. What it tells back is [`crate::launch::report`].

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::launch::IsolationPlan;
use crate::wasm::World;

/// One Wasm container, completely described. Made by the agent, handed over by the shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostConfig {
    /// Which world the module is run in ([`crate::wasm::Inspection::runnable`]).
    pub world: World,
    /// Native code, as [`crate::wasm::cache::ensure_compiled`] returned it. Opened before `isolation`
    /// is executed, so a path of the host.
    pub code: PathBuf,
    /// argv. The first is the program's name; `name#func` selects the export `func` of a core module
    /// instead of `_start` and is passed to the program as `name`.
    pub args: Vec<String>,
    /// The whole environment; also what `wasi:config` answers with.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Directories and files that the program may use; nothing else is reachable.
    #[serde(default)]
    pub preopens: Vec<Preopen>,
    /// Where an HTTP world listens; `None` in other worlds.
    #[serde(default)]
    pub http: Option<HttpConfig>,
    /// Which addresses the program's own sockets may bind.
    #[serde(default)]
    pub sockets: SocketPolicy,
    /// The container's memory limit in bytes: the program gets this minus what the host itself needs
    /// ([`super::limits::HOST_RESERVE`]). `None`: only the 4 GiB of a 32-bit address space limit it.
    #[serde(default)]
    pub memory_limit_bytes: Option<u64>,
    /// The container's CPU limit in thousandths of a core: bounds the number of threads.
    #[serde(default)]
    pub cpu_limit_millis: Option<u64>,
    /// Steps executed on this process before it runs any guest code, while it is single-threaded.
    #[serde(default)]
    pub isolation: Option<IsolationPlan>,
}

/// One directory the program finds open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preopen {
    /// Where it is for this process, after `isolation` was executed.
    pub host: PathBuf,
    /// The path the program sees: the volume's mount path.
    pub guest: String,
    /// Reading only; the program's attempts to write fail with EPERM or EROFS.
    pub read_only: bool,
}

/// How an HTTP world is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpConfig {
    /// Listen address, HTTP/1.1 and HTTP/2 without TLS. Bound before `isolation`, so that privileged
    /// ports need no capability later.
    pub listen: SocketAddr,
    /// After this long without a response's headers the request is answered 504 and its instance ended.
    /// `None` (the default) waits for ever.
    #[serde(default)]
    pub request_timeout: Option<Duration>,
    /// Upper bound of requests handled at once; `None` takes [`crate::wasm::engine::MAX_INSTANCES`].
    #[serde(default)]
    pub max_concurrency: Option<u32>,
}

/// Which addresses a program's own sockets (`wasi:sockets`) may bind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum SocketPolicy {
    /// Any: the process is in the pod's own network namespace.
    #[default]
    Namespace,
    /// Loopback mode shares the host's network: servers may only bind the pod's own address. A bind to
    /// the wildcard address is refused, because it would take the port from every other pod; the log
    /// says so.
    Only {
        /// The pod's address out of 127.0.0.0/8.
        address: IpAddr,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimal_config_is_enough() {
        let config: HostConfig = serde_json::from_str(
            r#"{"world":"wasi-p1-command","code":"/c/x.code","args":["x.wasm#main"]}"#,
        )
        .unwrap();
        assert_eq!(config.sockets, SocketPolicy::Namespace);
        assert!(config.preopens.is_empty() && config.http.is_none());
        let again = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
        assert_eq!(config, again);
    }
}

//! What this node, its pods and their containers use, measured when somebody asks.
//!
//! | part | does |
//! |---|---|
//! | [`host`] | reads the node's own use from `/proc` |
//! | [`text`] | pure: the samples of `/metrics/resource`, for who computes rates itself |
//! | [`summary`] | `/stats/summary`, with rates computed here |
//!
//! Pods and containers are what the runtime's cgroups count, Wasm and native alike. Where the host
//! lets this agent make no cgroups, nothing is said of them.

mod host;
mod summary;
mod text;

use jiff::Timestamp;
use runtime::Runtime;
use runtime::cgroup::Usage;
use runtime::sandbox::SandboxUsage;

pub(crate) use self::summary::Summaries;

/// Everything, read within a few milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    node: Sample,
    /// When the host booted, if it says.
    booted: Option<Timestamp>,
    pods: Vec<SandboxUsage>,
}

/// One use at one time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Timestamp,
    usage: Usage,
}

/// Measures.
pub(crate) async fn measure(runtime: &Runtime) -> Measured {
    let pods = runtime.usage().await;
    let (at, (usage, booted)) = (Timestamp::now(), host::read());
    Measured { node: Sample { at, usage }, booted, pods }
}

/// The answer of `/metrics/resource`.
pub(crate) async fn resource_metrics(runtime: &Runtime) -> String {
    text::render(&measure(runtime).await)
}

/// A name that the agent gave the sandbox: `name` or `namespace`.
fn label<'a>(pod: &'a SandboxUsage, key: &str) -> &'a str {
    pod.labels.get(key).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use runtime::sandbox::ContainerUsage;

    use super::*;

    /// A node with one pod of two containers, of which one is not counted; `cpu` of each in
    /// milliseconds, read so many seconds after 1970.
    pub(super) fn measured(cpu: u64, seconds: i64) -> Measured {
        let at = Timestamp::from_second(seconds).unwrap();
        let usage = Usage { cpu: Some(Duration::from_millis(cpu)), memory_working_set: Some(4096) };
        let container = |name: &str, usage| ContainerUsage {
            name: name.to_owned(),
            started_at: Timestamp::from_second(5).unwrap(),
            usage,
            at,
        };
        let labels = [("name", "web"), ("namespace", "default")];
        let pod = SandboxUsage {
            id: "u1".to_owned(),
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            created_at: Timestamp::from_second(4).unwrap(),
            usage,
            at,
            containers: vec![container("a", usage), container("b", Usage::default())],
        };
        let booted = Some(Timestamp::from_second(1).unwrap());
        Measured { node: Sample { at, usage }, booted, pods: vec![pod] }
    }
}

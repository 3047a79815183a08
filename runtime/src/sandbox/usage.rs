//! What sandboxes and their containers use, as their cgroups count it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Sandboxes;
use crate::cgroup::{self, Usage};
use crate::spec::ContainerState;

/// What a sandbox uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxUsage {
    /// Its id.
    pub id: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Of all its containers together, those that have ended included.
    pub usage: Usage,
    /// When `usage` was read.
    pub at: Timestamp,
    /// Its running containers, in order of name.
    pub containers: Vec<ContainerUsage>,
}

/// What a running container uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Its name.
    pub name: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// Since then.
    pub usage: Usage,
    /// When `usage` was read.
    pub at: Timestamp,
}

impl Sandboxes {
    /// Use of every sandbox whose shim lives, in order of id. Blocking: reads files.
    pub(crate) fn usage(&self) -> Vec<SandboxUsage> {
        let known: Vec<_> = self.known.lock().values().cloned().collect();
        let alive = known.into_iter().filter(|sandbox| sandbox.shim().is_some());
        let of = |sandbox: std::sync::Arc<super::Sandbox>| {
            let mut containers: Vec<ContainerUsage> = sandbox
                .running()
                .into_iter()
                .filter_map(|record| {
                    let ContainerState::Running { started_at, .. } = record.status.state else {
                        return None;
                    };
                    let (at, usage) = (Timestamp::now(), cgroup::usage(&record.cgroup));
                    Some(ContainerUsage { name: record.status.spec.name, started_at, usage, at })
                })
                .collect();
            containers.sort_by(|a, b| a.name.cmp(&b.name));
            let (spec, created_at) = (&sandbox.record.spec, sandbox.record.created_at);
            let (at, usage) = (Timestamp::now(), cgroup::usage(&sandbox.record.cgroup));
            let (id, labels) = (spec.id.clone(), spec.labels.clone());
            SandboxUsage { id, labels, created_at, usage, at, containers }
        };
        alive.map(of).collect()
    }
}

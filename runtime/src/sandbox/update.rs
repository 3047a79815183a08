//! Other limits for what runs: Kubernetes' resize in place.
//!
//! The sandbox's cgroup is the agent's to write, a container's the shim's, which keeps the record that says
//! what the limits are. A limit of the sandbox has to be raised before those of its containers and lowered
//! after them; the caller does both.

use std::collections::BTreeMap;

use super::Sandboxes;
use crate::cgroup;
use crate::runtime::UpdateError;
use crate::shim::proto::{Operation, Outcome, Update};
use crate::spec::Resources;

impl Sandboxes {
    /// Changes the limits of a sandbox as a whole; what `resources` leaves open stays.
    pub(crate) async fn update(&self, id: &str, resources: &Resources) -> Result<(), UpdateError> {
        let missing = || UpdateError::NoSandbox { sandbox: id.to_owned() };
        let sandbox = self.get(id).ok_or_else(missing)?;
        let _gate = self.gate(id).await;
        let has = sandbox.limits();
        let limits = merged(&has, resources);
        if limits == has {
            return Ok(());
        }
        let (layout, root) = (&self.host.cgroup_layout, &self.config.cgroup_root);
        let writes = match sandbox.record.isolated {
            true => cgroup::sandbox_limits(layout, root, id, resources),
            false => Vec::new(),
        };
        let work = move || {
            cgroup::rewrite(&writes).map_err(|source| UpdateError::Cgroup { source })?;
            sandbox.set_limits(limits).map_err(|source| UpdateError::Record { source })
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| UpdateError::Interrupted)?
    }

    /// Changes the limits of a container that runs; what `resources` leaves open stays.
    pub(crate) async fn update_container(
        &self,
        id: &str,
        name: &str,
        resources: Resources,
        labels: BTreeMap<String, String>,
    ) -> Result<(), UpdateError> {
        let missing = || UpdateError::NoSandbox { sandbox: id.to_owned() };
        let sandbox = self.get(id).ok_or_else(missing)?;
        let not_running = || UpdateError::NotRunning { name: name.to_owned() };
        let mut running = sandbox.running().into_iter();
        let record = running.find(|r| r.status.spec.name == name).ok_or_else(not_running)?;
        let present = &record.status.spec.resources;
        let mut writes = Vec::new();
        if sandbox.record.isolated {
            if let Some(limit) = resources.memory_limit_bytes
                && present.memory_limit_bytes.is_none_or(|present| limit < present)
            {
                let usage = cgroup::usage(&record.cgroup).memory_working_set.unwrap_or(0);
                if usage > limit {
                    return Err(UpdateError::BelowUsage { name: name.to_owned(), limit, usage });
                }
            }
            let (layout, root) = (&self.host.cgroup_layout, &self.config.cgroup_root);
            writes = cgroup::container_limits(layout, root, id, name, &resources);
        }
        // A process keeps the score it was born with.
        let resources = merged(present, &resources);
        let attempt = record.status.spec.attempt;
        let update = Update { name: name.to_owned(), attempt, resources, labels, writes };
        match sandbox.ask(Operation::Update(Box::new(update))).await {
            Some(Outcome::Done) => Ok(()),
            Some(Outcome::Refused { message }) => Err(UpdateError::Refused { message }),
            Some(Outcome::Container { .. } | Outcome::Attached { .. }) | None => Err(not_running()),
        }
    }
}

/// What there is once `change` was written over `present`.
fn merged(present: &Resources, change: &Resources) -> Resources {
    Resources {
        cpu_request_millis: change.cpu_request_millis.or(present.cpu_request_millis),
        cpu_limit_millis: change.cpu_limit_millis.or(present.cpu_limit_millis),
        memory_limit_bytes: change.memory_limit_bytes.or(present.memory_limit_bytes),
        pids_limit: change.pids_limit.or(present.pids_limit),
        oom_score_adj: present.oom_score_adj,
    }
}

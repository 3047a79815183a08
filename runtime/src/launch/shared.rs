//! Steps that native and Wasm containers have in common.

use std::path::{Component, Path};

use super::plan::{Attributes, Step};
use super::surroundings::Surroundings;
use crate::spec::ContainerSpec;

/// The first steps: while the host's /proc and cgroups can be seen.
pub(crate) fn join_steps(spec: &ContainerSpec, around: &Surroundings<'_>) -> Vec<Step> {
    // Always: what is not set is the shim's, which is nearly never killed.
    let value = spec.resources.oom_score_adj.unwrap_or(0);
    let mut steps = vec![Step::OomScoreAdj { value }];
    if !around.isolated {
        return steps;
    }
    for procs in &around.cgroup.join {
        steps.push(Step::JoinCgroup { procs: procs.clone() });
    }
    // Only where every hierarchy is v2 does the namespace's view fit what programs expect.
    if around.layout.v1.is_empty() {
        steps.push(Step::CgroupNamespace);
    }
    steps
}

/// The sandbox's files in /etc, unless a mount of the container's takes their place, and then its
/// mounts, those nearer the root first.
pub(crate) fn bind_mounts(
    spec: &ContainerSpec,
    around: &Surroundings<'_>,
    files: &[&str],
) -> Vec<Step> {
    let files = files.iter().filter_map(|name| {
        let target = format!("/etc/{name}");
        let taken = spec.mounts.iter().any(|m| Path::new(&m.target) == Path::new(&target));
        let attributes =
            Attributes { no_suid: true, no_dev: true, no_exec: true, read_only: false };
        (!taken).then(|| Step::Bind { source: around.directory.join(name), target, attributes })
    });
    let mut mounts: Vec<_> = spec.mounts.iter().collect();
    mounts.sort_by_key(|mount| {
        Path::new(&mount.target).components().filter(|c| *c != Component::RootDir).count()
    });
    let mounts = mounts.into_iter().map(|mount| Step::Bind {
        source: mount.source.clone(),
        target: mount.target.clone(),
        attributes: Attributes {
            read_only: mount.read_only,
            no_dev: !spec.security.privileged,
            ..Attributes::default()
        },
    });
    files.chain(mounts).collect()
}

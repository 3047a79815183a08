//! The steps of a native container's child, in order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::defaults::{
    CAPABILITIES, DEVICE_LINKS, DEVICES, MASKED_PATHS, OPEN_FILES, READ_ONLY_PATHS,
};
use super::{argv, environment};
use crate::cgroup::{CgroupPlan, Controller};
use crate::image::ImageConfig;
use crate::launch::plan::{Attributes, Exec, Filter, LaunchPlan, Limit, Step, UserStep};
use crate::launch::{Surroundings, bind_mounts, join_steps};
use crate::seccomp;
use crate::spec::{ContainerSpec, SeccompProfile, Security};

/// No set-user-id, no devices, no execution: what kernel file systems need least.
const INERT: Attributes =
    Attributes { read_only: false, no_suid: true, no_dev: true, no_exec: true };

/// The plan of a native container whose image has these layers, the uppermost first.
///
/// # Errors
/// A sentence if there is nothing to execute or a capability does not exist.
pub fn plan(
    spec: &ContainerSpec,
    image: &ImageConfig,
    lower: &[PathBuf],
    around: &Surroundings<'_>,
) -> Result<LaunchPlan, String> {
    let argv = argv(spec, &image.entrypoint, &image.cmd);
    if argv.is_empty() {
        return Err("no command specified: neither the container nor its image has one".to_owned());
    }
    let keep = capabilities(&spec.security)?;
    let mut steps = join_steps(spec, around);
    // The shim's own would close the directories that are made on the way to a mount.
    steps.push(Step::Umask { mask: 0o022 });
    steps.push(Step::PrivateMounts);
    steps.push(Step::OverlayRoot {
        lower: lower.to_vec(),
        upper: around.attempt.join("upper"),
        work: around.attempt.join("work"),
        at: around.attempt.join("root"),
    });
    kernel_mounts(&mut steps, spec, around);
    steps.extend(bind_mounts(spec, around, &["hosts", "hostname", "resolv.conf"]));
    if !spec.security.privileged {
        let path = |target: &&str| Step::ReadOnlyPath { target: (*target).to_owned() };
        steps.extend(READ_ONLY_PATHS.iter().map(path));
        let path = |target: &&str| Step::MaskedPath { target: (*target).to_owned() };
        steps.extend(MASKED_PATHS.iter().map(path));
    }
    let working_dir = working_dir(spec, image);
    // Made while the root can still be written.
    steps.push(Step::Directory { target: working_dir.clone(), mode: 0o755 });
    if spec.security.read_only_root {
        steps.push(Step::ReadOnlyRoot);
    }
    steps.push(Step::PivotRoot);
    steps.push(Step::ResourceLimit { limit: Limit::OpenFiles, value: Some(OPEN_FILES) });
    steps.push(Step::WorkingDirectory { target: working_dir });
    credentials(&mut steps, spec, &image.user, keep);
    let terminal = spec.stdio.terminal;
    let env = variables(spec, image, &around.sandbox.hostname, terminal);
    Ok(LaunchPlan { isolated: true, steps, exec: Exec::Program { argv, env }, terminal })
}

/// What a further process of the container goes through before and after it has entered the container's
/// namespaces, and its environment: the first process's, with another program.
///
/// # Errors
/// A sentence if a capability does not exist.
pub fn join(
    spec: &ContainerSpec,
    image: &ImageConfig,
    cgroup: &CgroupPlan,
    hostname: &str,
    terminal: bool,
) -> Result<Joining, String> {
    let value = spec.resources.oom_score_adj.unwrap_or(0);
    let mut outside = vec![Step::OomScoreAdj { value }];
    outside.extend(cgroup.join.iter().map(|procs| Step::JoinCgroup { procs: procs.clone() }));
    let mut inside = vec![
        Step::Umask { mask: 0o022 },
        Step::ResourceLimit { limit: Limit::OpenFiles, value: Some(OPEN_FILES) },
        Step::WorkingDirectory { target: working_dir(spec, image) },
    ];
    credentials(&mut inside, spec, &image.user, capabilities(&spec.security)?);
    Ok(Joining { outside, inside, env: variables(spec, image, hostname, terminal) })
}

/// See [`join`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joining {
    /// Steps while the host's files can be seen.
    pub outside: Vec<Step>,
    /// Steps in the container's namespaces.
    pub inside: Vec<Step>,
    /// The whole environment.
    pub env: Vec<(String, String)>,
}

fn working_dir(spec: &ContainerSpec, image: &ImageConfig) -> String {
    let chosen = spec.working_dir.as_ref().unwrap_or(&image.working_dir);
    if chosen.is_empty() { "/".to_owned() } else { chosen.clone() }
}

/// The environment. Programs on a terminal want to know its kind, and what is behind these understands
/// xterm's language (containerd's default).
fn variables(
    spec: &ContainerSpec,
    image: &ImageConfig,
    hostname: &str,
    terminal: bool,
) -> Vec<(String, String)> {
    let mut env = environment(spec, &image.env, hostname);
    if terminal && !env.iter().any(|(name, _)| name == "TERM") {
        env.push(("TERM".to_owned(), "xterm".to_owned()));
    }
    env
}

/// /proc, /dev, /sys as the OCI runtime specification lists them.
fn kernel_mounts(steps: &mut Vec<Step>, spec: &ContainerSpec, around: &Surroundings<'_>) {
    let mount = |kind: &str, target: &str, options: &[(&str, &str)], attributes| Step::Filesystem {
        kind: kind.to_owned(),
        target: target.to_owned(),
        options: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        attributes,
    };
    let privileged = spec.security.privileged;
    steps.push(mount("proc", "/proc", &[], INERT));
    if privileged {
        let attributes = Attributes { no_suid: true, ..Attributes::default() };
        steps.push(Step::Bind { source: PathBuf::from("/dev"), target: "/dev".into(), attributes });
    } else {
        let attributes = Attributes { no_suid: true, no_exec: true, ..Attributes::default() };
        steps.push(mount("tmpfs", "/dev", &[("mode", "755"), ("size", "65536k")], attributes));
        for (name, major, minor) in DEVICES {
            steps.push(Step::Device { target: format!("/dev/{name}"), major, minor });
        }
        // From here on only the nodes just made can be opened, not one the container makes.
        steps.push(Step::NoDevices { target: "/dev".to_owned() });
        for (target, link) in DEVICE_LINKS {
            steps.push(Step::Symlink { target: target.to_owned(), link: link.to_owned() });
        }
    }
    let options = [("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")];
    let attributes = Attributes { no_suid: true, no_exec: true, ..Attributes::default() };
    steps.push(mount("devpts", "/dev/pts", &options, attributes));
    steps.push(mount("mqueue", "/dev/mqueue", &[], INERT));
    if !mounts_over(spec, "/dev/shm") {
        let source = match around.sandbox.namespaces.host_ipc {
            true => PathBuf::from("/dev/shm"),
            false => around.directory.join("shm"),
        };
        steps.push(Step::Bind { source, target: "/dev/shm".to_owned(), attributes: INERT });
    }
    let system = Attributes { read_only: !privileged, ..INERT };
    steps.push(mount("sysfs", "/sys", &[], system));
    steps.extend(cgroup_mounts(around, system, &mount));
}

/// The container's own cgroup at /sys/fs/cgroup: with v2 as the root of a cgroup namespace, else the
/// directory in each hierarchy, as programs of that time expect.
fn cgroup_mounts(
    around: &Surroundings<'_>,
    attributes: Attributes,
    mount: &impl Fn(&str, &str, &[(&str, &str)], Attributes) -> Step,
) -> Vec<Step> {
    const AT: &str = "/sys/fs/cgroup";
    if around.layout.v1.is_empty() {
        return vec![mount("cgroup2", AT, &[], attributes)];
    }
    let writable = Attributes { read_only: false, ..attributes };
    let mut steps = vec![mount("tmpfs", AT, &[("mode", "755"), ("size", "64k")], writable)];
    let devices = around.layout.v1.get(&Controller::Devices);
    for source in &around.cgroup.directories {
        // A container that can mount would make it writable and permit itself every device.
        if attributes.read_only && devices.is_some_and(|mount| source.starts_with(mount)) {
            continue;
        }
        let hierarchy = around
            .layout
            .v1
            .values()
            .chain(&around.layout.v2)
            .find(|mount| source.starts_with(mount))
            .and_then(|mount| mount.file_name())
            .map(|name| name.to_string_lossy().into_owned());
        let Some(name) = hierarchy else { continue };
        let target = format!("{AT}/{name}");
        steps.push(Step::Bind { source: source.clone(), target, attributes });
        // Of controllers that share a hierarchy (`cpu,cpuacct`) each is looked for under its own name.
        for alone in name.split(',').filter(|alone| *alone != name) {
            let target = format!("{AT}/{alone}");
            steps.push(Step::Symlink { target, link: name.clone() });
        }
    }
    if attributes.read_only {
        steps.push(Step::ReadOnlyPath { target: AT.to_owned() });
    }
    steps
}

fn mounts_over(spec: &ContainerSpec, target: &str) -> bool {
    spec.mounts.iter().any(|mount| Path::new(&mount.target) == Path::new(target))
}

/// A filter without no_new_privs needs CAP_SYS_ADMIN, so it goes in before capabilities are dropped; with
/// no_new_privs it goes in last, when there is least left to permit.
fn credentials(steps: &mut Vec<Step>, spec: &ContainerSpec, image_user: &str, keep: Vec<String>) {
    let security = &spec.security;
    let capabilities = seccomp::unlocking(&keep);
    let filter = (!security.privileged && security.seccomp == SeccompProfile::RuntimeDefault)
        .then_some(Step::Seccomp { filter: Filter::NativeDefault { capabilities } });
    let (early, late) = if security.no_new_privs { (None, filter) } else { (filter, None) };
    steps.extend(early);
    steps.push(Step::User(user(spec, image_user)));
    steps.push(Step::Capabilities { keep });
    if security.no_new_privs {
        steps.push(Step::NoNewPrivs);
    }
    steps.extend(late);
    // Last: a change of uid clears it.
    steps.push(Step::DieWithParent);
}

fn user(spec: &ContainerSpec, image_user: &str) -> UserStep {
    UserStep {
        image_user: image_user.to_owned(),
        uid: spec.user.uid,
        gid: spec.user.gid,
        supplementary_gids: spec.user.supplementary_gids.clone(),
        strict_groups: spec.user.strict_groups,
        must_be_non_root: spec.user.must_be_non_root,
    }
}

/// Whether a container can change mounts, and with them take `nodev` off, without being meant to use
/// devices.
pub(crate) fn can_mount(security: &Security) -> bool {
    let has = |keep: Vec<String>| keep.iter().any(|name| name == "CAP_SYS_ADMIN");
    !security.privileged && capabilities(security).is_ok_and(has)
}

/// Defaults, minus drops, plus additions; `ALL` in either; everything if privileged.
fn capabilities(security: &Security) -> Result<Vec<String>, String> {
    let all = || caps::all().into_iter().map(|c| c.to_string());
    let name = |text: &String| -> Result<String, String> {
        let upper = text.to_uppercase();
        let name = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
        match name.parse::<caps::Capability>() {
            Ok(_) => Ok(name),
            Err(_) => Err(format!("unknown capability {text:?}")),
        }
    };
    let is_all = |text: &&String| text.eq_ignore_ascii_case("ALL");
    let mut keep: BTreeSet<String> = CAPABILITIES.iter().map(|&c| c.to_owned()).collect();
    if security.privileged || security.add_capabilities.iter().any(|t| is_all(&t)) {
        keep = all().collect();
    }
    if security.drop_capabilities.iter().any(|t| is_all(&t)) && !security.privileged {
        keep.clear();
    }
    for text in security.drop_capabilities.iter().filter(|t| !is_all(t)) {
        keep.remove(&name(text)?);
    }
    for text in security.add_capabilities.iter().filter(|t| !is_all(t)) {
        keep.insert(name(text)?);
    }
    Ok(keep.into_iter().collect())
}

#[cfg(test)]
mod tests;

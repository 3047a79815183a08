//! The probes.

use std::fs;
use std::io;
use std::path::Path;

use caps::{CapSet, Capability};
use nix::sched::CloneFlags as Unshare;
use rustix::mount::{MountFlags, MountPropagationFlags};

use super::{Ability, HostFacts};
use crate::cgroup::{self, Controller, DeviceAccess, Layout};
use crate::sys::{CloneFlags, clone_probe};

/// What building a sandbox takes.
const NEEDED: [Capability; 9] = [
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_SETUID,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_CHOWN,
    Capability::CAP_FOWNER,
    Capability::CAP_KILL,
];

pub(super) fn probe(root: &Path, cgroup_root: &str) -> HostFacts {
    let layout = Layout::detect();
    let cgroups = ability("cgroups", cgroups(&layout, cgroup_root));
    let controller = |name: &str, controller: Controller| {
        let why_not = match (&cgroups.why_not, layout.has(controller)) {
            (Some(why_not), _) => Some(why_not.clone()),
            (None, true) => None,
            (None, false) => Some(format!(
                "The kernel offers no {} controller in any mounted cgroup hierarchy.",
                controller.name()
            )),
        };
        Ability { name: name.to_owned(), why_not }
    };
    let device_access = match &cgroups.why_not {
        Some(why_not) => Err(why_not.clone()),
        None => device_access(&layout, cgroup_root),
    };
    HostFacts {
        root: ability("root", root_rights()),
        user_namespaces: namespace("user namespaces", CloneFlags::USER),
        mount_namespaces: namespace("mount namespaces", CloneFlags::MOUNT),
        pid_namespaces: namespace("pid namespaces", CloneFlags::PID),
        network_namespaces: namespace(
            "network namespaces",
            CloneFlags::NETWORK.and(CloneFlags::UTS).and(CloneFlags::IPC),
        ),
        overlayfs: ability("overlayfs", overlay(root)),
        cpu_limits: controller("cpu limits", Controller::Cpu),
        memory_limits: controller("memory limits", Controller::Memory),
        pids_limits: controller("task limits", Controller::Pids),
        device_access: ability("device access", device_access),
        cgroup_kill: ability("cgroup.kill", cgroup_kill(&layout)),
        bridge: ability("bridge and veth", bridge()),
        seccomp: ability("seccomp", seccomp()),
        cgroups,
        cgroup_layout: layout,
    }
}

fn ability(name: &str, outcome: Result<(), String>) -> Ability {
    Ability { name: name.to_owned(), why_not: outcome.err() }
}

fn root_rights() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        let uid = rustix::process::geteuid().as_raw();
        return Err(format!("Wharf runs as uid {uid}; native containers need root."));
    }
    let has = caps::read(None, CapSet::Effective).unwrap_or_default();
    let lacks: Vec<String> =
        NEEDED.iter().filter(|c| !has.contains(c)).map(ToString::to_string).collect();
    if lacks.is_empty() {
        Ok(())
    } else {
        Err(format!("Root lacks {} here: this host is itself confined.", lacks.join(", ")))
    }
}

fn namespace(name: &str, flags: CloneFlags) -> Ability {
    let outcome =
        clone_probe(flags).map_err(|e| format!("The kernel refuses {name}: {}.", describe(&e)));
    ability(name, outcome)
}

fn describe(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_lowercase(),
        None => error.to_string(),
    }
}

/// Runs `probe` on a thread of its own, whose namespaces die with it.
fn on_a_thread<F>(probe: F) -> Result<(), String>
where
    F: FnOnce() -> Result<(), String> + Send,
{
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().name("probe".to_owned()).spawn_scoped(scope, probe);
        match thread.map(|thread| thread.join()) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("The probe failed.".to_owned()),
            Err(e) => Err(format!("No thread can be started: {}.", describe(&e))),
        }
    })
}

fn overlay(root: &Path) -> Result<(), String> {
    let directory = root.join(format!(".probe-{}", std::process::id()));
    let outcome = on_a_thread(|| {
        let refused = |what: &str, e: io::Error| format!("{what}: {}.", describe(&e));
        nix::sched::unshare(Unshare::CLONE_NEWNS)
            .map_err(|e| refused("The kernel refuses a mount namespace", e.into()))?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private)
            .map_err(|e| refused("The mount tree cannot be made private", e.into()))?;
        for name in ["lower", "upper", "work", "root"] {
            fs::create_dir_all(directory.join(name))
                .map_err(|e| refused(&format!("{} cannot be written", root.display()), e))?;
        }
        rustix::process::chdir(&directory)
            .map_err(|e| refused("The probe's directory cannot be entered", e.into()))?;
        let options = c"lowerdir=lower,upperdir=upper,workdir=work";
        rustix::mount::mount("overlay", "root", "overlay", MountFlags::NODEV, Some(options))
            .map_err(|e| {
                let what = format!("The kernel refuses an overlay in {}", root.display());
                refused(&what, e.into())
            })
    });
    let _ = fs::remove_dir_all(&directory);
    outcome
}

fn cgroups(layout: &Layout, cgroup_root: &str) -> Result<(), String> {
    if layout.hierarchies().is_empty() {
        return Err("No cgroup hierarchy is mounted.".to_owned());
    }
    let refused = |e: cgroup::CgroupError| {
        format!(
            "A cgroup cannot be made: {} {}: {}.",
            e.operation,
            e.path.display(),
            describe(&e.source)
        )
    };
    let existed = layout.hierarchies().iter().all(|mount| mount.join(cgroup_root).exists());
    let plan = cgroup::root_plan(layout, cgroup_root);
    let outcome = cgroup::create(&plan).map_err(refused).and_then(|()| {
        let name = format!("probe-{}", std::process::id());
        let probe = cgroup::sandbox_plan(layout, cgroup_root, &name, &Default::default());
        let made = cgroup::create(&probe).map_err(refused);
        made.and(cgroup::remove(&probe).map_err(refused))
    });
    if !existed {
        let _ = cgroup::remove(&plan);
    }
    outcome
}

fn device_access(layout: &Layout, cgroup_root: &str) -> Result<(), String> {
    if !layout.has(Controller::Devices) && layout.v2.is_none() {
        return Err(
            "There is neither a v1 devices controller nor a v2 cgroup hierarchy; containers \
                    are kept from devices by mount options alone."
                .to_owned(),
        );
    }
    // Beside the real root: making and removing it touches nothing that others use.
    let root = format!("{cgroup_root}-probe-{}", std::process::id());
    let none = Default::default();
    let probe = cgroup::container_plan(layout, &root, "s", "c", &none, DeviceAccess::Default);
    let outcome = cgroup::create(&probe).map_err(|e| {
        format!(
            "A cgroup cannot be kept from devices: {} {}: {}.",
            e.operation,
            e.path.display(),
            describe(&e.source)
        )
    });
    let _ = cgroup::remove(&cgroup::root_plan(layout, &root));
    outcome
}

fn cgroup_kill(layout: &Layout) -> Result<(), String> {
    let Some(mount) = &layout.v2 else {
        return Err("There is no v2 cgroup hierarchy; processes are killed one by one.".to_owned());
    };
    let directory = mount.join(format!("wharf-probe-{}", std::process::id()));
    fs::create_dir(&directory)
        .map_err(|e| format!("{} cannot be written: {}.", mount.display(), describe(&e)))?;
    let outcome = fs::write(directory.join("cgroup.kill"), "1").map_err(|e| {
        format!(
            "The kernel has no cgroup.kill ({}); processes are killed one by one.",
            describe(&e)
        )
    });
    let _ = fs::remove_dir(&directory);
    outcome
}

fn bridge() -> Result<(), String> {
    on_a_thread(|| {
        nix::sched::unshare(Unshare::CLONE_NEWNET).map_err(|e| {
            format!("The kernel refuses a network namespace: {}.", describe(&e.into()))
        })?;
        let text = |e: crate::runtime::NetworkError| {
            let cause = std::error::Error::source(&e).map(|s| format!(": {s}")).unwrap_or_default();
            format!("The network cannot be configured: {e}{cause}.")
        };
        let netlink = crate::net::Netlink::open().map_err(text)?;
        netlink.add_bridge("whprobe", vec![2, 0, 0, 0, 0, 1]).map_err(text)?;
        let index = netlink.must_index("whprobe").map_err(text)?;
        let here = fs::File::open("/proc/thread-self/ns/net")
            .map_err(|e| format!("/proc cannot be read: {}.", describe(&e)))?;
        let here = std::os::fd::AsFd::as_fd(&here);
        netlink.add_veth("whprobe1", index, "whprobe2", here, None).map_err(text)
    })
}

fn seccomp() -> Result<(), String> {
    on_a_thread(|| {
        rustix::thread::set_no_new_privs(true)
            .map_err(|e| format!("no_new_privs cannot be set: {}.", describe(&e.into())))?;
        /// `BPF_RET | BPF_K` with SECCOMP_RET_ALLOW: permits everything.
        const ALLOW_ALL: u64 = 0x06 | 0x7fff_0000 << 32;
        crate::sys::install_filter(&[ALLOW_ALL])
            .map_err(|e| format!("The kernel refuses seccomp filters: {}.", describe(&e)))
    })
}

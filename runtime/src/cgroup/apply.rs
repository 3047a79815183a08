//! Making, killing and removing cgroups.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal};

use super::devices::{self, DeviceFilter};
use super::plan::{CgroupPlan, Write};

/// How often an emptied cgroup is tried to be removed before giving up: its last process may still be
/// on its way out of the kernel.
const REMOVE_ATTEMPTS: u32 = 200;
/// Pause between two attempts.
const REMOVE_PAUSE: rustix::time::Timespec =
    rustix::time::Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// A cgroup operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {path}: {source}", path = path.display())]
pub struct CgroupError {
    /// What was tried.
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

/// Makes the cgroup, writes its limits and restricts its devices; a cgroup that exists is fine.
pub fn create(plan: &CgroupPlan) -> Result<(), CgroupError> {
    let failed = |operation, path: &Path| {
        let path = path.to_path_buf();
        move |source| CgroupError { operation, path, source }
    };
    for directory in &plan.directories {
        fs::create_dir_all(directory).map_err(failed("make cgroup", directory))?;
    }
    for write in &plan.writes {
        put(write).map_err(failed("write", &write.file))?;
    }
    if let Some(filter) = &plan.device_filter {
        restrict_devices(filter).map_err(failed("restrict devices in", &filter.cgroup))?;
    }
    Ok(())
}

/// Writes other limits into a cgroup that exists.
///
/// Some limits bound each other (v1: memory alone, and memory with swap), so that the order depends on
/// what is there: what the kernel refuses is tried once more after the rest.
pub fn rewrite(writes: &[Write]) -> Result<(), CgroupError> {
    let refused: Vec<&Write> = writes.iter().filter(|write| put(write).is_err()).collect();
    refused.into_iter().try_for_each(|write| {
        put(write).map_err(|source| CgroupError {
            operation: "write",
            path: write.file.clone(),
            source,
        })
    })
}

fn put(write: &Write) -> io::Result<()> {
    let written = fs::OpenOptions::new()
        .write(true)
        .open(&write.file)
        .and_then(|mut file| io::Write::write_all(&mut file, write.value.as_bytes()));
    match written {
        Err(e) if write.optional && e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The program goes when the cgroup does.
fn restrict_devices(filter: &DeviceFilter) -> io::Result<()> {
    let cgroup = fs::File::open(&filter.cgroup)?;
    let program = crate::sys::load_device_program(&devices::program(&filter.rules))?;
    crate::sys::attach_device_program(cgroup.as_fd(), program.as_fd())
}

/// Sends SIGKILL to every process of the cgroup and of those below it.
///
/// With v2's `cgroup.kill` (Linux 5.14) that is one atomic write. Without it processes are killed until a
/// pass finds none.
pub fn kill(plan: &CgroupPlan) {
    if let Some(v2) = &plan.born_in
        && fs::write(v2.join("cgroup.kill"), "1").is_ok()
    {
        return;
    }
    for _ in 0..REMOVE_ATTEMPTS {
        let living = processes(plan);
        if living.is_empty() {
            return;
        }
        for pid in living {
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
        let _ = rustix::thread::nanosleep(&REMOVE_PAUSE);
    }
}

/// The processes in the cgroup and below it.
pub fn processes(plan: &CgroupPlan) -> Vec<Pid> {
    let mut found = Vec::new();
    for directory in &plan.directories {
        collect(directory, &mut found);
    }
    found.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
    found.dedup();
    found
}

fn collect(directory: &Path, found: &mut Vec<Pid>) {
    let procs = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    found.extend(procs.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
    for child in subdirectories(directory) {
        collect(&child, found);
    }
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Removes the cgroup and those below it; one that does not exist is fine.
pub fn remove(plan: &CgroupPlan) -> Result<(), CgroupError> {
    plan.directories.iter().try_for_each(|directory| {
        remove_tree(directory).map_err(|source| CgroupError {
            operation: "remove cgroup",
            path: directory.clone(),
            source,
        })
    })
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    for child in subdirectories(directory) {
        remove_tree(&child)?;
    }
    let mut attempts = 0;
    loop {
        match fs::remove_dir(directory) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.raw_os_error() == Some(16) && attempts < REMOVE_ATTEMPTS => {
                attempts += 1;
                let _ = rustix::thread::nanosleep(&REMOVE_PAUSE);
            }
            other => return other,
        }
    }
}

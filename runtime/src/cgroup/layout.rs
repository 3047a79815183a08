//! Which hierarchies are mounted where.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The controllers that Wharf uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Controller {
    /// Shares or weight, and quota.
    Cpu,
    /// CPU time used; only where there is no v2 hierarchy to tell it.
    Cpuacct,
    /// Memory limit and use, out-of-memory kills.
    Memory,
    /// Number of tasks.
    Pids,
    /// Which devices may be used; v2 has a program in the cgroup instead.
    Devices,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Cpuacct, Self::Memory, Self::Pids, Self::Devices];

    /// The kernel's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Devices => "devices",
        }
    }
}

/// Where this host's hierarchies are mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// v1 mounts by controller. Two controllers may share one (`cpu,cpuacct`).
    pub v1: BTreeMap<Controller, PathBuf>,
    /// The v2 mount.
    pub v2: Option<PathBuf>,
    /// Controllers that the v2 mount offers.
    pub v2_controllers: Vec<Controller>,
}

impl Layout {
    /// Reads this process's mount table.
    pub fn detect() -> Self {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::from_mountinfo(&table, |mount| {
            std::fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
        })
    }

    /// The same from text; `controllers` reads `cgroup.controllers` of a v2 mount.
    ///
    /// A hierarchy may be mounted several times. The mount that shows it from its root is taken, and of
    /// those the one in the usual place.
    fn from_mountinfo(table: &str, controllers: impl Fn(&Path) -> String) -> Self {
        let mut mounts: Vec<Mounted> = table.lines().filter_map(Mounted::parse).collect();
        // Stable: the first mounted wins among equals.
        mounts.sort_by_key(Mounted::rank);
        let mut layout = Self::default();
        for mount in mounts {
            if mount.v2 && layout.v2.is_none() {
                let offered = controllers(&mount.at);
                layout.v2_controllers = Controller::ALL
                    .into_iter()
                    .filter(|c| offered.split_whitespace().any(|o| o == c.name()))
                    .collect();
                layout.v2 = Some(mount.at);
            } else if !mount.v2 {
                for controller in Controller::ALL {
                    if mount.options.split(',').any(|option| option == controller.name()) {
                        layout.v1.entry(controller).or_insert_with(|| mount.at.clone());
                    }
                }
            }
        }
        layout
    }

    /// Whether a controller's limits can be set at all.
    pub fn has(&self, controller: Controller) -> bool {
        self.v1.contains_key(&controller) || self.v2_controllers.contains(&controller)
    }

    /// `v1`, `v2`, `hybrid` or `none`.
    pub fn name(&self) -> &'static str {
        match (self.v1.is_empty(), &self.v2) {
            (true, Some(_)) => "v2",
            (false, Some(_)) => "hybrid",
            (false, None) => "v1",
            (true, None) => "none",
        }
    }

    /// Every mount that a cgroup has to be made in, each once.
    pub(crate) fn hierarchies(&self) -> Vec<&PathBuf> {
        let mut mounts: Vec<&PathBuf> = self
            .v1
            .iter()
            // CPU time comes from v2's cpu.stat where there is one: one move less per start.
            .filter(|(controller, _)| **controller != Controller::Cpuacct || self.v2.is_none())
            .map(|(_, mount)| mount)
            .chain(&self.v2)
            .collect();
        mounts.sort();
        mounts.dedup();
        mounts
    }
}

/// One cgroup mount of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
struct Mounted<'a> {
    v2: bool,
    /// Shows the hierarchy from its root, not from some cgroup in it on.
    whole: bool,
    at: PathBuf,
    /// v1: the controllers, among other options.
    options: &'a str,
}

impl<'a> Mounted<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut file_system = file_system.split(' ');
        let v2 = match file_system.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let options = file_system.nth(1).unwrap_or_default();
        let mut mount = mount.split(' ').skip(3);
        let whole = mount.next()? == "/";
        Some(Self { v2, whole, at: unescape(mount.next()?), options })
    }

    /// The smallest is the best.
    fn rank(&self) -> (bool, u8) {
        let place = match &self.at {
            at if at == Path::new("/sys/fs/cgroup") => 0,
            at if at.parent() == Some(Path::new("/sys/fs/cgroup")) => 1,
            _ => 2,
        };
        (!self.whole, place)
    }
}

/// A path of mountinfo, where white space and backslashes are written as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_hierarchy_is_preferred_wherever_it_stands_in_the_table() {
        let line = |root: &str, at: &str| {
            format!("33 29 0:29 {root} {at} rw,relatime shared:4 - cgroup2 cgroup2 rw")
        };
        let table = |mounts: &[(&str, &str)]| -> String {
            mounts.iter().map(|(root, at)| line(root, at) + "\n").collect()
        };
        for (mounts, chosen) in [
            // A copy that somebody made for a container.
            (&[("/", "/run/x/cgroup"), ("/", "/sys/fs/cgroup")][..], "/sys/fs/cgroup"),
            (&[("/", "/mnt"), ("/", "/sys/fs/cgroup/unified")], "/sys/fs/cgroup/unified"),
            (&[("/pod", "/sys/fs/cgroup"), ("/", "/mnt/all")], "/mnt/all"),
            (&[("/pod", "/sys/fs/cgroup")], "/sys/fs/cgroup"),
            (&[("/", "/a"), ("/", "/b")], "/a"),
            (&[("/", "/my\\040cgroups/with\\134slash")], "/my cgroups/with\\slash"),
        ] {
            let layout = Layout::from_mountinfo(&table(mounts), |_| String::new());
            assert_eq!(layout.v2, Some(PathBuf::from(chosen)), "{mounts:?}");
        }
        let v1 = "30 29 0:26 /docker/1 /mnt/memory rw - cgroup cgroup rw,memory\n\
                  31 29 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
        let layout = Layout::from_mountinfo(v1, |_| String::new());
        assert_eq!(layout.v1[&Controller::Memory], Path::new("/sys/fs/cgroup/memory"));
    }

    #[test]
    fn what_is_no_octal_number_stays_as_it_is() {
        for (text, path) in [
            ("/a\\040b", "/a b"),
            ("/a\\04", "/a\\04"),
            ("/a\\xyz", "/a\\xyz"),
            ("/a\\777", "/a\\777"),
        ] {
            assert_eq!(unescape(text), Path::new(path));
        }
    }

    #[test]
    fn the_three_kinds_of_host_are_told_apart() {
        let v1 = "30 29 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
                  31 29 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  32 29 0:28 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids";
        let layout = Layout::from_mountinfo(v1, |_| String::new());
        assert_eq!(layout.name(), "v1");
        assert_eq!(layout.hierarchies().len(), 3);
        assert!(layout.has(Controller::Memory) && layout.has(Controller::Cpuacct));

        let hybrid = format!("{v1}\n33 29 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw");
        let layout = Layout::from_mountinfo(&hybrid, |_| "hugetlb".into());
        assert_eq!(layout.name(), "hybrid");
        assert_eq!(layout.v2_controllers, []);
        assert_eq!(layout.hierarchies().len(), 4);

        let v2 = "30 29 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        let layout = Layout::from_mountinfo(v2, |_| "cpuset cpu io memory pids".into());
        assert_eq!(layout.name(), "v2");
        assert_eq!(layout.v2_controllers, [Controller::Cpu, Controller::Memory, Controller::Pids]);
        assert_eq!(Layout::from_mountinfo("", |_| String::new()).name(), "none");
    }
}

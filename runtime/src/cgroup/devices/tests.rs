//! The rules in words, the program executed step by step, and both given to this machine's kernel.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::cgroup::{CgroupPlan, Layout, create, remove};

#[test]
fn v1_rules_read_as_the_kernel_reads_them() {
    let writes = v1_writes(Path::new("/d/app"));
    let text: Vec<String> =
        writes.iter().map(|w| format!("{}={}", w.file.display(), w.value)).collect();
    let allowed = [
        "c *:* m",
        "b *:* m",
        "c 1:3 rwm",
        "c 1:5 rwm",
        "c 1:7 rwm",
        "c 1:8 rwm",
        "c 1:9 rwm",
        "c 5:0 rwm",
        "c 5:2 rwm",
        "c 136:* rwm",
    ];
    let mut expected = vec!["/d/app/devices.deny=a".to_owned()];
    expected.extend(allowed.iter().map(|rule| format!("/d/app/devices.allow={rule}")));
    assert_eq!(text, expected);
}

/// Executes the program as the kernel's documentation says its instructions work.
fn answer(program: &[u64], (kind, major, minor): (DeviceKind, u32, u32), access: u32) -> u64 {
    let context = [access << 16 | kind as u32, major, minor];
    let mut registers = [0_u64; 11];
    let mut next = 0;
    loop {
        let [code, names, offset @ .., a, b, c, d] = program[next].to_ne_bytes();
        let (to, from) = (usize::from(names & 0xf), usize::from(names >> 4));
        let offset = usize::from(u16::from_ne_bytes(offset));
        let value = u32::from_ne_bytes([a, b, c, d]);
        next += 1;
        match code {
            assembly::LOAD_WORD => registers[to] = u64::from(context[offset / 4]),
            assembly::COPY => registers[to] = registers[from],
            assembly::AND => registers[to] = u64::from(registers[to] as u32 & value),
            assembly::SHIFT_RIGHT => registers[to] = u64::from((registers[to] as u32) >> value),
            assembly::SET => registers[to] = u64::from(value),
            assembly::SKIP_UNLESS_EQUAL if registers[to] != u64::from(value) => next += offset,
            assembly::SKIP_UNLESS_EQUAL => {}
            assembly::EXIT => return registers[0],
            unknown => panic!("instruction {unknown:#x} at {}", next - 1),
        }
    }
}

#[test]
fn the_program_permits_what_the_rules_say() {
    use DeviceKind::{Block, Character};
    let program = program(&DEFAULT);
    for (device, access, permitted) in [
        ((Character, 1, 3), READ | WRITE, true),
        ((Character, 1, 3), READ | WRITE | MKNOD, true),
        ((Character, 1, 9), READ, true),
        ((Character, 5, 0), WRITE, true),
        ((Character, 5, 2), READ | WRITE, true),
        ((Character, 136, 77), READ | WRITE, true),
        // The host's: memory, kernel log, console, KVM.
        ((Character, 1, 1), READ, false),
        ((Character, 1, 11), READ, false),
        ((Character, 5, 1), WRITE, false),
        ((Character, 10, 232), READ | WRITE, false),
        // A disk may have a node, and be neither read nor written.
        ((Block, 8, 0), MKNOD, true),
        ((Block, 8, 0), READ, false),
        ((Block, 8, 0), WRITE, false),
        ((Block, 8, 0), MKNOD | READ, false),
        // The numbers of null on a block device.
        ((Block, 1, 3), READ, false),
        ((Character, 10, 232), MKNOD, true),
    ] {
        let answered = answer(&program, device, access);
        assert_eq!(answered, u64::from(permitted), "{device:?} {access}");
    }
    assert_eq!(answer(&super::program(&[]), (Character, 1, 3), READ), 0, "no rule permits nothing");
}

/// A shell that joins the cgroups and then tries devices: null, the kernel's log, a disk.
fn tried(joined: &[&Path], folder: &Path) -> String {
    let mut script = String::new();
    for cgroup in joined {
        script += &format!("echo $$ > {}/cgroup.procs || exit 1\n", cgroup.display());
    }
    script += "if true < /dev/null; then echo null; fi\n\
               if true < /dev/kmsg; then echo log; fi\n\
               if mknod disk b 7 0; then echo node; fi\n\
               if true < disk; then echo disk; fi\n";
    let run = Command::new("sh").args(["-c", &script]).current_dir(folder).output().unwrap();
    assert!(run.status.code().is_some(), "{run:?}");
    let refusals = String::from_utf8_lossy(&run.stderr).matches("not permitted").count();
    let opened =
        String::from_utf8_lossy(&run.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{opened}, {refusals} not permitted")
}

#[test]
fn the_kernel_refuses_devices_in_a_restricted_cgroup() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: no cgroup can be made, nothing is tried");
        return;
    }
    let layout = Layout::detect();
    let name = format!("wharf-test-devices-{}", std::process::id());
    let mut tries = Vec::new();
    if let Some(mount) = layout.v1.get(&crate::cgroup::Controller::Devices) {
        let directory = mount.join(&name);
        let plan = CgroupPlan {
            writes: v1_writes(&directory),
            directories: vec![directory],
            ..CgroupPlan::default()
        };
        tries.push(("the v1 devices controller", plan));
    }
    if let Some(mount) = &layout.v2 {
        let directory = mount.join(&name);
        let plan = CgroupPlan {
            device_filter: Some(v2_filter(&directory)),
            directories: vec![directory],
            ..CgroupPlan::default()
        };
        tries.push(("the BPF program of v2", plan));
    }
    if tries.is_empty() {
        println!("neither a v1 devices controller nor a v2 hierarchy: nothing is tried");
    }
    for (what, plan) in tries {
        let folder = tempfile::tempdir().unwrap();
        let outside = tried(&[], folder.path());
        fs::remove_file(folder.path().join("disk")).unwrap();
        assert!(outside.starts_with("null log node"), "a root that has devices: {outside}");
        let made = create(&plan);
        let inside = made.is_ok().then(|| tried(&[&plan.directories[0]], folder.path()));
        remove(&plan).unwrap();
        match inside {
            Some(inside) => {
                assert_eq!(inside, "null node, 2 not permitted", "{what}, outside {outside}");
            }
            None => println!("this kernel refuses {what}: {made:?}"),
        }
    }
}

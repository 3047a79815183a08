//! Which devices a container may use: decided by its cgroup, whatever is mounted how.
//!
//! Mounts without devices (`nodev`) stop every container that cannot mount. One with CAP_SYS_ADMIN can
//! mount, and takes `nodev` off again; the cgroup still refuses. On v1 that is the `devices` controller,
//! on v2 a small BPF program that the kernel asks at every mknod(2) and open(2) of a device.
//!
//! Sources: kernel Documentation/admin-guide/cgroup-v1/devices.rst and cgroup-v2.rst (Device controller);
//! OCI runtime-spec config-linux.md (default devices); what runc permits.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::plan::Write;

/// How much of the host's devices a container's cgroup lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceAccess {
    /// Everything: privileged containers, and hosts that cannot restrict it.
    All,
    /// Opening only the devices that every container has. Making nodes is permitted for all devices, as
    /// runc does: CAP_MKNOD is a default capability, and a node that cannot be opened is a mere file.
    Default,
}

/// A v2 cgroup and what its processes may do with devices; everything else is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFilter {
    /// The cgroup's directory.
    pub cgroup: PathBuf,
    /// What is permitted.
    pub rules: Vec<DeviceRule>,
}

/// One permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRule {
    /// Block or character device.
    pub kind: DeviceKind,
    /// Major number; `None` is any.
    pub major: Option<u32>,
    /// Minor number; `None` is any.
    pub minor: Option<u32>,
    /// Sum of 1 (mknod), 2 (opening for reading), 4 (opening for writing).
    pub access: u32,
}

/// The kind of a device, as the kernel's `BPF_DEVCG_DEV_*` numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DeviceKind {
    /// A disk, above all.
    Block = 1,
    /// Everything else.
    Character = 2,
}

/// Making a node (`BPF_DEVCG_ACC_MKNOD`).
const MKNOD: u32 = 1;
/// Opening for reading (`BPF_DEVCG_ACC_READ`).
const READ: u32 = 2;
/// Opening for writing (`BPF_DEVCG_ACC_WRITE`).
const WRITE: u32 = 4;

/// What [`DeviceAccess::Default`] permits. Not the console (5:1), which is the host's: a container's
/// `/dev/console` is one of the terminals below `/dev/pts`.
const DEFAULT: [DeviceRule; 10] = [
    node(DeviceKind::Character),
    node(DeviceKind::Block),
    // null, zero, full, random, urandom
    character(1, Some(3)),
    character(1, Some(5)),
    character(1, Some(7)),
    character(1, Some(8)),
    character(1, Some(9)),
    // tty, ptmx
    character(5, Some(0)),
    character(5, Some(2)),
    // /dev/pts/*
    character(136, None),
];

const fn node(kind: DeviceKind) -> DeviceRule {
    DeviceRule { kind, major: None, minor: None, access: MKNOD }
}

const fn character(major: u32, minor: Option<u32>) -> DeviceRule {
    DeviceRule {
        kind: DeviceKind::Character,
        major: Some(major),
        minor,
        access: MKNOD | READ | WRITE,
    }
}

/// What restricts the v1 cgroup at `directory`. A cgroup with others below it cannot be restricted so.
pub(super) fn v1_writes(directory: &Path) -> Vec<Write> {
    let write = |file: &str, value| Write { file: directory.join(file), value, optional: false };
    let allow = DEFAULT.iter().map(|rule| write("devices.allow", v1_rule(rule)));
    std::iter::once(write("devices.deny", "a".to_owned())).chain(allow).collect()
}

/// What restricts the v2 cgroup at `directory`.
pub(super) fn v2_filter(directory: &Path) -> DeviceFilter {
    DeviceFilter { cgroup: directory.to_path_buf(), rules: DEFAULT.to_vec() }
}

/// A rule in the words of `devices.allow`: `c 1:3 rwm`.
fn v1_rule(rule: &DeviceRule) -> String {
    let kind = match rule.kind {
        DeviceKind::Block => 'b',
        DeviceKind::Character => 'c',
    };
    let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
    let access: String = [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')]
        .iter()
        .filter_map(|(bit, letter)| (rule.access & bit != 0).then_some(*letter))
        .collect();
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

/// The rules as a BPF program of type `BPF_PROG_TYPE_CGROUP_DEVICE`, one instruction an element.
///
/// The kernel hands it a `struct bpf_cgroup_dev_ctx`: the access in the upper half of the first word and
/// the kind in the lower, then major and minor. It answers 1 to permit, 0 to refuse.
pub(super) fn program(rules: &[DeviceRule]) -> Vec<u64> {
    use assembly::*;
    let mut program = vec![
        load_word(KIND, CONTEXT, 0),
        copy(ACCESS, KIND),
        and(KIND, 0xffff),
        shift_right(ACCESS, 16),
        load_word(MAJOR, CONTEXT, 4),
        load_word(MINOR, CONTEXT, 8),
    ];
    for rule in rules {
        // Each test skips what is left of the rule, which is counted from its end.
        let mut tests = vec![(KIND, rule.kind as u32)];
        tests.extend(rule.major.map(|major| (MAJOR, major)));
        tests.extend(rule.minor.map(|minor| (MINOR, minor)));
        let permit = [set(ANSWER, 1), exit()];
        // Asked for something that the rule does not include: three instructions.
        let mut left = tests.len() + 3 + permit.len();
        for (register, value) in tests {
            left -= 1;
            program.push(skip_unless_equal(register, value, left));
        }
        program.push(copy(SCRATCH, ACCESS));
        program.push(and(SCRATCH, !rule.access));
        program.push(skip_unless_equal(SCRATCH, 0, permit.len()));
        program.extend(permit);
    }
    program.extend([set(ANSWER, 0), exit()]);
    program
}

/// The few instructions that [`program`] needs, encoded as the kernel's `struct bpf_insn`.
mod assembly {
    /// Receives the answer (R0).
    pub(super) const ANSWER: u8 = 0;
    /// Holds the context when the program starts (R1).
    pub(super) const CONTEXT: u8 = 1;
    pub(super) const KIND: u8 = 2;
    pub(super) const ACCESS: u8 = 3;
    pub(super) const MAJOR: u8 = 4;
    pub(super) const MINOR: u8 = 5;
    pub(super) const SCRATCH: u8 = 6;

    /// `BPF_LDX | BPF_MEM | BPF_W`.
    pub(super) const LOAD_WORD: u8 = 0x61;
    /// `BPF_ALU64 | BPF_MOV | BPF_X`.
    pub(super) const COPY: u8 = 0xbf;
    /// `BPF_ALU | BPF_AND | BPF_K`: 32 bits, the upper half becomes 0.
    pub(super) const AND: u8 = 0x54;
    /// `BPF_ALU | BPF_RSH | BPF_K`: 32 bits.
    pub(super) const SHIFT_RIGHT: u8 = 0x74;
    /// `BPF_JMP | BPF_JNE | BPF_K`.
    pub(super) const SKIP_UNLESS_EQUAL: u8 = 0x55;
    /// `BPF_ALU64 | BPF_MOV | BPF_K`.
    pub(super) const SET: u8 = 0xb7;
    /// `BPF_JMP | BPF_EXIT`.
    pub(super) const EXIT: u8 = 0x95;

    fn instruction(code: u8, to: u8, from: u8, offset: usize, value: u32) -> u64 {
        // Rules are few: an offset is far below the 2^15 that fit.
        let offset = (offset as u16).to_ne_bytes();
        let value = value.to_ne_bytes();
        // Two registers in one byte: the first named is in the half that comes first on this machine.
        let registers =
            if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
        u64::from_ne_bytes([
            code, registers, offset[0], offset[1], value[0], value[1], value[2], value[3],
        ])
    }

    pub(super) fn load_word(to: u8, from: u8, offset: usize) -> u64 {
        instruction(LOAD_WORD, to, from, offset, 0)
    }

    pub(super) fn copy(to: u8, from: u8) -> u64 {
        instruction(COPY, to, from, 0, 0)
    }

    pub(super) fn and(register: u8, mask: u32) -> u64 {
        instruction(AND, register, 0, 0, mask)
    }

    pub(super) fn shift_right(register: u8, bits: u32) -> u64 {
        instruction(SHIFT_RIGHT, register, 0, 0, bits)
    }

    pub(super) fn skip_unless_equal(register: u8, value: u32, skipped: usize) -> u64 {
        instruction(SKIP_UNLESS_EQUAL, register, 0, skipped, value)
    }

    pub(super) fn set(register: u8, value: u32) -> u64 {
        instruction(SET, register, 0, 0, value)
    }

    pub(super) fn exit() -> u64 {
        instruction(EXIT, 0, 0, 0, 0)
    }
}

#[cfg(test)]
mod tests;

//! `bpf(2)`: a program that decides about devices, loaded and attached to a v2 cgroup (kernel 4.15).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `BPF_PROG_LOAD`.
const LOAD: libc::c_int = 5;
/// `BPF_PROG_ATTACH`.
const ATTACH: libc::c_int = 8;
/// `BPF_PROG_TYPE_CGROUP_DEVICE`.
const DEVICE_PROGRAM: u32 = 15;
/// `BPF_CGROUP_DEVICE`.
const DEVICE_HOOK: u32 = 6;
/// `BPF_F_ALLOW_MULTI`: programs of cgroups above and below decide as well, and each can refuse.
const ALLOW_MULTI: u32 = 2;

/// `union bpf_attr` of `BPF_PROG_LOAD`, up to the fields that are needed.
#[repr(C)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
}

/// `union bpf_attr` of `BPF_PROG_ATTACH`, up to the fields that are needed.
#[repr(C)]
struct AttachAttributes {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// Loads a device program; each `u64` is one `struct bpf_insn` in this machine's layout.
///
/// `EPERM` without CAP_BPF and CAP_NET_ADMIN (or CAP_SYS_ADMIN), `EINVAL` or `EACCES` if the verifier
/// does not accept it.
pub(crate) fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    let insn_cnt =
        u32::try_from(instructions.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let attributes = LoadAttributes {
        prog_type: DEVICE_PROGRAM,
        insn_cnt,
        insns: instructions.as_ptr() as u64,
        // It calls no function of the kernel's, which is what some licences would be needed for.
        license: c"".as_ptr() as u64,
    };
    // SAFETY: `attributes` has the layout and size given, and points at `insn_cnt` 8-byte instructions
    // and a NUL-terminated string that live across the call; the kernel only reads them.
    let number = unsafe { bpf(LOAD, &attributes) }?;
    // SAFETY: the kernel returned a fresh descriptor, close-on-exec, that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Attaches a device program to the cgroup whose directory `cgroup` is. It stays until the cgroup is gone.
///
/// `EPERM` if a cgroup above has one that permits no others.
pub(crate) fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> io::Result<()> {
    let attributes = AttachAttributes {
        target_fd: cgroup.as_raw_fd().unsigned_abs(),
        attach_bpf_fd: program.as_raw_fd().unsigned_abs(),
        attach_type: DEVICE_HOOK,
        attach_flags: ALLOW_MULTI,
    };
    // SAFETY: `attributes` has the layout and size given and holds no pointer.
    unsafe { bpf(ATTACH, &attributes) }.map(|_| ())
}

/// The system call.
///
/// # Safety
/// `T` is the beginning of `union bpf_attr` as `command` reads it, and its pointers are valid.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the size is that of what is pointed at; the rest is the caller's promise.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            std::mem::size_of::<T>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as libc::c_int) }
}

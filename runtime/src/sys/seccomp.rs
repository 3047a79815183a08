//! `seccomp(2)`: installs a finished filter, without setting no_new_privs as a side effect.

use std::io;

/// Installs a BPF program on this thread; each `u64` is one `sock_filter` in the kernel's layout.
///
/// Needs either no_new_privs or CAP_SYS_ADMIN, else `EACCES`.
pub(crate) fn install_filter(program: &[u64]) -> io::Result<()> {
    let length =
        u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let fprog = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `fprog` points at `length` 8-byte sock_filter values that live across the call; the kernel
    // copies and verifies them and never writes through the pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            std::ptr::from_ref(&fprog),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

//! Descriptors that came by inheritance rather than by a call.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use tokio::io::unix::AsyncFd;

/// Takes ownership of a descriptor that an exec handed down under a known number.
///
/// Fails with `EBADF` if nothing is open there. The caller must be the one whom the number was given
/// to, and ask once.
pub(crate) fn adopt_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD only touches the descriptor's flag and fails cleanly on a closed number.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: open, as just shown, and by the contract above owned by nobody else in this process.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor from `first` up, whoever left it open before the exec.
///
/// Only for the first lines of a process, before anything in it owns a descriptor.
pub(crate) fn close_all_from(first: RawFd) -> io::Result<()> {
    // SAFETY: nothing in this process owns a descriptor yet, so none is pulled from under an owner.
    let result = unsafe { libc::close_range(first as libc::c_uint, libc::c_uint::MAX, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Closes every descriptor but the standard streams and those in `keep`.
///
/// Only in a cloned child that never returns to the code that owns the others.
pub(crate) fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut kept: Vec<libc::c_uint> =
        keep.iter().map(|fd| fd.as_raw_fd().unsigned_abs()).filter(|number| *number > 2).collect();
    kept.sort_unstable();
    let mut first = 3;
    for number in kept.into_iter().chain([libc::c_uint::MAX]) {
        if first < number {
            // SAFETY: by the contract above nobody uses the descriptors in between any more.
            if unsafe { libc::close_range(first, number - 1, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = number.saturating_add(1);
    }
    Ok(())
}

/// Puts a copy of `fd` under `number`, open across exec, closing what was there.
///
/// Only in a child that is about to exec and has moved everything it owns out of the way.
pub(crate) fn place_descriptor(fd: &OwnedFd, number: RawFd) -> io::Result<()> {
    // SAFETY: dup2 takes two numbers; by the contract above nothing in this process uses `number`.
    if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Lets the async runtime tell when a descriptor is ready.
pub(crate) fn watch_descriptor(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd always gives the same descriptor and keeps it open for as long as it lives.
    unsafe { AsyncFd::register(fd) }.map_err(Into::into)
}

//! A terminal for the program that is about to run, out of the container's own `/dev/pts`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::LaunchError;

/// Where the container's terminals are made.
const PTMX: &str = "/dev/pts/ptmx";

/// Device number of what is there (Linux, Documentation/admin-guide/devices.txt).
const PTMX_DEVICE: (u32, u32) = (5, 2);

/// Makes a terminal, sends its master side over `socket` with one empty line, and makes the other side
/// this process's controlling terminal and its standard streams. `size` is columns and rows.
///
/// The process leads a session and has become the container's user: the terminal is that user's.
pub(super) fn take(socket: BorrowedFd<'_>, size: Option<(u16, u16)>) -> Result<(), LaunchError> {
    let failed = |operation: &'static str| {
        move |e: io::Error| LaunchError::step(operation, "the container's terminal", e)
    };
    let kernel = |operation| move |e: rustix::io::Errno| failed(operation)(e.into());
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::open(PTMX, flags, Mode::empty()).map_err(kernel("make"))?;
    // The image or the container may have put something else there.
    let stat = rustix::fs::fstat(&master).map_err(kernel("inspect"))?;
    let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    let character = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !character || device != PTMX_DEVICE {
        return Err(failed("make")(io::Error::other(format!("{PTMX} is not a terminal device"))));
    }
    rustix::pty::unlockpt(&master).map_err(kernel("unlock"))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(kernel("open"))?;
    if let Some((columns, rows)) = size {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&terminal, size).map_err(kernel("set the size of"))?;
    }
    crate::rights::send(socket, b"\n", &[master.as_fd()]).map_err(failed("hand over"))?;
    rustix::process::ioctl_tiocsctty(&terminal).map_err(kernel("take control of"))?;
    nix::unistd::dup2_stdin(&terminal)
        .and_then(|()| nix::unistd::dup2_stdout(&terminal))
        .and_then(|()| nix::unistd::dup2_stderr(&terminal))
        .map_err(|e| failed("use")(e.into()))
}

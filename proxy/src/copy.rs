//! Carrying bytes between two sockets.
//!
//! Each direction starts with plain reads and writes through a buffer on the stack: for the small
//! messages of most protocols this takes the fewest system calls, and an idle connection holds no
//! buffer at all. When a read fills the buffer there is bulk to move, and the direction goes over to
//! `splice(2)` through a pipe: the bytes never enter this process.
//!
//! When one side has nothing more to say, the other side is told (`shutdown(SHUT_WR)`) and may go on
//! talking: half-closed connections work. A reset on one side resets the other.

use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Large enough for a request or a small response, small enough for the stack.
const BUFFER: usize = 16 * 1024;
/// Capacity asked of a pipe, and the most moved by one `splice`.
const PIPE: usize = 256 * 1024;
/// Pipes kept for the next bulk transfer.
const SPARE_PIPES: usize = 64;

/// Carries bytes both ways until both sides have ended, or one is reset.
///
/// # Errors
/// What ended the connection, if it was not its end.
pub(crate) async fn both_ways(client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    let result = tokio::try_join!(one_way(client, server), one_way(server, client));
    if result.is_err() {
        reset(client);
        reset(server);
    }
    result.map(|_| ())
}

/// Makes closing the socket a reset instead of an orderly end.
pub(crate) fn reset(stream: &TcpStream) {
    // Fails only for a socket that is gone already.
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).ok();
}

async fn one_way(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let bulk = loop {
        from.readable().await?;
        match relay(from, to)? {
            Relayed::Nothing => {}
            Relayed::All { more: true } => break true,
            Relayed::All { more: false } => {}
            Relayed::Part(rest) => write_all(to, &rest).await?,
            Relayed::End => break false,
        }
    };
    if bulk {
        splice_to_end(from, to).await?;
    }
    // The other side may be gone already: then there is nobody to tell.
    SockRef::from(to).shutdown(Shutdown::Write).ok();
    Ok(())
}

enum Relayed {
    /// Nothing was there after all.
    Nothing,
    /// What was read is written; `more` if it filled the buffer.
    All {
        more: bool,
    },
    /// The receiver takes no more now; this is left.
    Part(Vec<u8>),
    End,
}

/// One read and, as far as it goes without waiting, its write. The buffer is not held across waits.
fn relay(from: &TcpStream, to: &TcpStream) -> io::Result<Relayed> {
    let mut buffer = [0; BUFFER];
    let length = match from.try_read(&mut buffer) {
        Ok(0) => return Ok(Relayed::End),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Relayed::Nothing),
        Err(error) => return Err(error),
    };
    let mut written = 0;
    while written < length {
        match to.try_write(&buffer[written..length]) {
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Relayed::Part(buffer[written..length].to_vec()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Relayed::All { more: length == BUFFER })
}

async fn write_all(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn splice_to_end(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    let pipe = Pipe::take()?;
    loop {
        // The pipe is empty here, so that "would block" can only mean the socket.
        let mut inside = from
            .async_io(Interest::READABLE, || {
                Ok(splice(from, None, &pipe.write, None, PIPE, flags)?)
            })
            .await?;
        if inside == 0 {
            pipe.give_back();
            return Ok(());
        }
        while inside > 0 {
            inside -= to
                .async_io(Interest::WRITABLE, || {
                    Ok(splice(&pipe.read, None, to, None, inside, flags)?)
                })
                .await?;
        }
    }
}

/// An empty pipe.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// Making a pipe and growing it costs three system calls and pages; they are used again.
static SPARE: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

impl Pipe {
    fn take() -> io::Result<Self> {
        if let Some(pipe) = SPARE.lock().pop() {
            return Ok(pipe);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Refused to unprivileged users over their quota; the default of 64 KiB works as well.
        fcntl_setpipe_size(&write, PIPE).ok();
        Ok(Self { read, write })
    }

    /// Keeps the pipe for the next one; only an empty one may be given back.
    fn give_back(self) {
        let mut spare = SPARE.lock();
        if spare.len() < SPARE_PIPES {
            spare.push(self);
        }
    }
}

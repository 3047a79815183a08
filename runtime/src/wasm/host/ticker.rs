//! The one thread beside the guest's: it ticks the epoch and receives signals.
//!
//! A guest that computes without returning to the host yields when the epoch ticks, and only then do
//! other requests, timers and sockets get their turn. Ticking wakes a processor, so it happens only
//! while there is something to interrupt: never while nothing runs, and ever more slowly while what runs
//! only waits. A node full of idle pods is idle.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use wasmtime::{Engine, EngineWeak, Store, UpdateDeadline};

/// How long a computing guest may keep others waiting, in nanoseconds: short against a human's or a
/// load balancer's patience, long against the microseconds that a yield costs.
const TICK: i64 = 10_000_000;
/// The slowest tick, when guests exist but have not computed for a whole tick.
const SLOWEST_TICK: i64 = 80_000_000;

/// The signals that ask a container to end. Everything else keeps its default action.
const STOPPING: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP];

/// What the ticker knows about the guests.
#[derive(Debug)]
pub(super) struct Activity {
    guests: AtomicUsize,
    computed: AtomicBool,
    wake: OwnedFd,
}

impl Activity {
    /// One more guest exists; it is no more when the guard is dropped.
    pub(super) fn guest(self: &Arc<Self>) -> Guest {
        if self.guests.fetch_add(1, Ordering::Relaxed) == 0 {
            // The counter can only be full after 2^64 unread wakes, and then the ticker is awake anyway.
            _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
        }
        Guest(Arc::clone(self))
    }

    /// Makes `store`'s guest yield at every tick.
    pub(super) fn attach<T>(self: &Arc<Self>, store: &mut Store<T>) {
        let activity = Arc::clone(self);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            activity.computed.store(true, Ordering::Relaxed);
            Ok(UpdateDeadline::Yield(1))
        });
    }
}

/// See [`Activity::guest`].
#[derive(Debug)]
pub(super) struct Guest(Arc<Activity>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Signals that are held back until [`start`] takes them.
#[derive(Debug)]
pub(super) struct HeldSignals(SigSet);

/// Blocks the stopping signals for this thread and those it starts. The kernel delivers no signal with a
/// default action to a namespace's first process, so without this a container could not be asked to end.
pub(super) fn hold_signals() -> io::Result<HeldSignals> {
    let mut set = SigSet::empty();
    STOPPING.into_iter().for_each(|signal| set.add(signal));
    set.thread_block()?;
    Ok(HeldSignals(set))
}

/// Starts the thread. `stop` is called on it with the number of every stopping signal.
pub(super) fn start(
    engine: &Engine,
    signals: HeldSignals,
    stop: impl Fn(i32) + Send + 'static,
) -> io::Result<Arc<Activity>> {
    let signals = SignalFd::with_flags(&signals.0, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let activity =
        Arc::new(Activity { guests: AtomicUsize::new(0), computed: AtomicBool::new(false), wake });
    let engine = engine.weak();
    let seen = Arc::clone(&activity);
    thread::Builder::new()
        .name("epoch".into())
        .stack_size(128 * 1024)
        .spawn(move || run(&engine, &signals, &seen, stop))?;
    Ok(activity)
}

fn run(engine: &EngineWeak, signals: &SignalFd, activity: &Activity, stop: impl Fn(i32)) {
    let mut interval = TICK;
    loop {
        let idle = activity.guests.load(Ordering::Relaxed) == 0;
        let timeout = Timespec { tv_sec: 0, tv_nsec: interval };
        let mut fds = [
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            PollFd::new(&activity.wake, PollFlags::IN),
        ];
        let ready = poll(&mut fds, (!idle).then_some(&timeout));
        let woken = fds[1].revents().contains(PollFlags::IN);
        while let Ok(Some(signal)) = signals.read_signal() {
            stop(signal.ssi_signo as i32);
        }
        if woken {
            _ = rustix::io::read(&activity.wake, &mut [0_u8; 8][..]);
            interval = TICK;
        } else if ready == Ok(0) {
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            let computed = activity.computed.swap(false, Ordering::Relaxed);
            interval = if computed { TICK } else { (interval * 2).min(SLOWEST_TICK) };
        }
    }
}

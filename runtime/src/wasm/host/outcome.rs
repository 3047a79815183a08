//! How a program ended, and telling it.

use parking_lot::Mutex;
use wasmtime::{Trap, UnknownImportError, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::launch::report::{Report, Reporter};
use crate::spec::{ExitReason, Identity};

/// Exit code of a container that never ran, as containerd has it for StartError.
const NEVER_STARTED: i32 = 128;
/// Exit code of a trap: what a native program that aborts has (128 + SIGABRT).
const TRAPPED: i32 = 134;

/// The end of the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) reason: ExitReason,
    pub(super) message: String,
    /// The step that failed, if the program never ran.
    step: Option<&'static str>,
}

impl Outcome {
    /// The program ended by itself.
    pub(super) fn exit(code: i32) -> Self {
        let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
        Self { code, reason, message: String::new(), step: None }
    }

    /// Told to stop by a signal.
    pub(super) fn signalled(signal: i32) -> Self {
        Self::exit(128 + signal)
    }

    /// It never ran.
    pub(super) fn not_started(step: &'static str, message: impl ToString) -> Self {
        let message = message.to_string();
        Self { code: NEVER_STARTED, reason: ExitReason::StartError, message, step: Some(step) }
    }

    /// For `map_err`: it never ran because `step` failed.
    pub(super) fn failed_to<E: std::fmt::Display>(step: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::not_started(step, format!("cannot {step}: {error}"))
    }

    /// It imports what is not provided, or lacks the export it should be entered by.
    pub(super) fn link_error(message: String) -> Self {
        let (code, reason) = (NEVER_STARTED, ExitReason::WasmLinkError);
        Self { code, reason, message, step: Some("link") }
    }

    /// Linking failed: the engine's error names the import.
    pub(super) fn unlinkable(error: &wasmtime::Error) -> Self {
        Self::link_error(match error.downcast_ref::<UnknownImportError>() {
            Some(unknown) => {
                format!("imports {}#{}, which is not provided", unknown.module(), unknown.name())
            }
            None => chain(error),
        })
    }

    /// What an error out of guest code means: an exit, or a trap.
    pub(super) fn of(error: &wasmtime::Error) -> Self {
        match error.downcast_ref::<I32Exit>() {
            Some(exit) => Self::exit(exit.0),
            None => {
                let (code, reason) = (TRAPPED, ExitReason::WasmTrap);
                Self { code, reason, message: trap_text(error), step: None }
            }
        }
    }

    fn report(&self) -> Report {
        let (reason, message) = (self.reason, self.message.clone());
        match self.step {
            Some(step) => Report::Failed { step: step.to_owned(), errno: 0, message, reason },
            None => Report::Ended { code: self.code, reason, message },
        }
    }

    /// The code that the kernel carries: eight bits, never 0 for a failure.
    pub(super) fn process_code(&self) -> u8 {
        match (self.code, (self.code & 0xff) as u8) {
            (0, _) => 0,
            (_, 0) => 1,
            (_, low) => low,
        }
    }
}

/// One line for status: the trap and the innermost named functions.
pub(super) fn trap_text(error: &wasmtime::Error) -> String {
    let cause = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    let functions: Vec<&str> = error
        .downcast_ref::<WasmBacktrace>()
        .map(|trace| trace.frames().iter().filter_map(|frame| frame.func_name()).take(3).collect())
        .unwrap_or_default();
    match functions.as_slice() {
        [] => cause,
        names => format!("{cause} (in {})", names.join(", called by ")),
    }
}

/// For the log: the trap and the guest's whole call stack, as the engine tells it.
pub(super) fn story(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<WasmBacktrace>() {
        Some(trace) => format!("{}\n{trace}", trap_text(error)),
        None => trap_text(error),
    }
}

/// The error with its causes, outermost first, without the engine's own repetition.
pub(super) fn chain(error: &wasmtime::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    text
}

/// The way back to the shim. Whoever ends the process first reports; later ends are not the truth.
#[derive(Debug)]
pub(super) struct Ending {
    to: Mutex<Option<Reporter>>,
}

impl Ending {
    pub(super) fn new(to: Reporter) -> Self {
        Self { to: Mutex::new(Some(to)) }
    }

    /// The process has become the container's user.
    pub(super) fn became(&self, identity: Identity) {
        if let Some(to) = &mut *self.to.lock() {
            // As for `ready`.
            _ = to.send(&Report::Became(identity));
        }
    }

    /// The program is loaded, linked and isolated; a server listens.
    pub(super) fn ready(&self) {
        if let Some(to) = &mut *self.to.lock() {
            // A shim that is gone cannot be told; the process goes on until it is killed.
            _ = to.send(&Report::Ready);
        }
    }

    /// Reports the end, unless somebody did before.
    pub(super) fn exited(&self, outcome: &Outcome) {
        if let Some(mut to) = self.to.lock().take() {
            _ = to.send(&outcome.report());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_survive_eight_bits() {
        for (code, low) in [(0, 0), (1, 1), (7, 7), (255, 255), (256, 1), (-1, 255), (134, 134)] {
            assert_eq!(Outcome::exit(code).process_code(), low, "{code}");
        }
    }

    #[test]
    fn an_exit_is_not_a_trap() {
        let exit = wasmtime::Error::from(I32Exit(3)).context("while running");
        assert_eq!(Outcome::of(&exit), Outcome::exit(3));
        let trap = Outcome::of(&wasmtime::Error::from(Trap::StackOverflow));
        assert_eq!((trap.code, trap.reason), (134, ExitReason::WasmTrap));
        assert!(trap.message.contains("stack"), "{}", trap.message);
    }
}

//! What the record says about the end of a container's process.

use jiff::Timestamp;

use super::container::{NEVER_STARTED, Phase, START};
use crate::launch::report::Report;
use crate::spec::{Exit, ExitReason};

/// What the record says about a child that never got to its program.
pub(super) fn late(started_at: Timestamp) -> Exit {
    Exit {
        code: NEVER_STARTED,
        signal: None,
        reason: ExitReason::StartError,
        message: format!(
            "the container's process did not get to its program within {} s",
            START.as_secs()
        ),
        started_at,
        finished_at: Timestamp::now(),
    }
}

/// What the record says about an end; `status` and `signal` are the two halves of the wait status.
pub(super) fn exit(
    (status, signal): (Option<i32>, Option<i32>),
    report: Option<Report>,
    oom: bool,
    phase: Phase,
    started_at: Timestamp,
) -> Exit {
    let code = signal.map_or(status.unwrap_or(-1), |signal| 128 + signal);
    let finished_at = Timestamp::now();
    let exit = |code, signal, reason, message: String| Exit {
        code,
        signal,
        reason,
        message,
        started_at,
        finished_at,
    };
    match report {
        Some(Report::Failed { reason, message, .. }) => exit(NEVER_STARTED, None, reason, message),
        Some(Report::Ended { code, reason, message }) => exit(code, None, reason, message),
        _ if oom && code != 0 => exit(code, signal, ExitReason::OOMKilled, String::new()),
        _ if phase == Phase::Starting => {
            let how = signal.map_or_else(
                || format!("it exited with code {code}"),
                |signal| format!("signal {signal} ended it"),
            );
            let message = format!("the container's process did not get to its program: {how}");
            exit(NEVER_STARTED, signal, ExitReason::StartError, message)
        }
        _ if code == 0 => exit(0, None, ExitReason::Completed, String::new()),
        _ => exit(code, signal, ExitReason::Error, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(
        wait: (Option<i32>, Option<i32>),
        report: Option<Report>,
        oom: bool,
        phase: Phase,
    ) -> (i32, Option<i32>, ExitReason) {
        let exit = exit(wait, report, oom, phase, Timestamp::now());
        (exit.code, exit.signal, exit.reason)
    }

    #[test]
    fn ends_are_told_apart() {
        let running = Phase::Running;
        assert_eq!(ended((Some(0), None), None, false, running), (0, None, ExitReason::Completed));
        assert_eq!(ended((Some(7), None), None, false, running), (7, None, ExitReason::Error));
        assert_eq!(
            ended((None, Some(15)), None, false, running),
            (143, Some(15), ExitReason::Error)
        );
        assert_eq!(
            ended((None, Some(9)), None, true, running),
            (137, Some(9), ExitReason::OOMKilled)
        );
        // A program that shrugs off the kill of a child and ends well has completed.
        assert_eq!(ended((Some(0), None), None, true, running), (0, None, ExitReason::Completed));
        assert_eq!(
            ended((None, Some(9)), None, false, Phase::Starting),
            (128, Some(9), ExitReason::StartError)
        );
        let trap = Report::Ended { code: 134, reason: ExitReason::WasmTrap, message: "x".into() };
        assert_eq!(
            ended((Some(134), None), Some(trap), false, running),
            (134, None, ExitReason::WasmTrap)
        );
    }
}

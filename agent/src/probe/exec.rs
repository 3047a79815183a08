//! exec: a command in the container, whose exit code is the answer.

use std::time::Duration;

use super::Answer;
use crate::exec::Executor;
use crate::image::chain;

/// Probes: exit code 0 is a success. A command that cannot even be started counts for nothing, as with a
/// kubelet.
pub(super) async fn probe(executor: &Executor, command: &[String], timeout: Duration) -> Answer {
    match tokio::time::timeout(timeout, executor.execute(command.to_vec())).await {
        Ok(Ok(ended)) if ended.code == 0 => Answer::Success,
        Ok(Ok(ended)) => Answer::Failure(ended.output),
        Ok(Err(error)) => Answer::Unknown(chain(&error)),
        Err(_) => Answer::Failure(format!(
            "command timed out: {:?} timed out after {}s",
            command.join(" "),
            timeout.as_secs()
        )),
    }
}

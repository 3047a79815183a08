//! Commands that the pod's author wants executed in a container: exec probes and exec hooks.

use std::time::Duration;

use k8s_openapi::api::core::v1::Container;
use runtime::streams::{Output, Wanted};
use runtime::{ExecError, ExecSpec, Runtime};
use tokio::io::AsyncReadExt as _;

use crate::translate::expand::expand;

/// Bytes of a command's output that are kept, of its standard output and of its errors each (as the
/// kubelet).
const LONGEST_OUTPUT: usize = 10 << 10;

/// How long output is waited for after the command has ended: what it wrote itself is there, but something
/// that it left in the background may hold the pipes open.
const SILENCE: Duration = Duration::from_secs(1);

/// One container, as a place to execute commands in.
#[derive(Debug, Clone)]
pub(crate) struct Executor {
    pub(crate) runtime: Runtime,
    /// The pod's.
    pub(crate) uid: String,
    pub(crate) container: String,
}

/// A command that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    /// What it wrote, and then its errors.
    pub(crate) output: String,
}

impl Executor {
    /// Executes a command to its end. Dropping the future ends the command.
    pub(crate) async fn execute(&self, command: Vec<String>) -> Result<Ended, ExecError> {
        let streams = Wanted { stdin: false, stdout: true, stderr: true };
        let spec = ExecSpec { command, streams, ..ExecSpec::default() };
        let mut exec = self.runtime.exec(&self.uid, &self.container, spec).await?;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams = std::mem::take(&mut exec.streams);
        let code = {
            let reading = async {
                tokio::join!(read(streams.stdout, &mut out), read(streams.stderr, &mut err))
            };
            tokio::pin!(reading);
            let waited = tokio::select! {
                code = exec.wait() => Some(code),
                _ = &mut reading => None,
            };
            match waited {
                Some(code) => {
                    let _ = tokio::time::timeout(SILENCE, reading).await;
                    code
                }
                None => exec.wait().await,
            }
        };
        let code =
            code.map_err(|source| ExecError::Start { operation: "wait for the command", source })?;
        out.append(&mut err);
        Ok(Ended { code, output: String::from_utf8_lossy(&out).into_owned() })
    }
}

/// Reads to the end, and keeps the beginning.
async fn read(from: Option<Output>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut chunk = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let room = LONGEST_OUTPUT.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..length.min(room)]);
    }
}

/// The words of a command with the variables filled in that the container's specification gives a value
/// (`$(NAME)`).
pub(crate) fn words(command: &Option<Vec<String>>, container: &Container) -> Vec<String> {
    let value = |name: &str| {
        let variables = container.env.iter().flatten();
        variables.rev().find(|variable| variable.name == name).and_then(|v| v.value.as_deref())
    };
    command.iter().flatten().map(|word| expand(word, value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let container = serde_json::json!({"name": "c", "env": [
            {"name": "A", "value": "first"}, {"name": "A", "value": "last"},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ]});
        let container: Container = serde_json::from_value(container).unwrap();
        let command = ["$(A)", "$$(A)", "$(B)", "$(C)"].map(str::to_owned).to_vec();
        assert_eq!(words(&Some(command), &container), ["last", "$(A)", "$(B)", "$(C)"]);
        assert!(words(&None, &container).is_empty());
    }
}

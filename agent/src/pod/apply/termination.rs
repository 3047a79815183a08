//! What a container leaves behind for its status: `state.terminated.message`.
//!
//! A native container has a file at `terminationMessagePath`. One that failed, left nothing there and has
//! `terminationMessagePolicy: FallbackToLogsOnError` is told of by the end of its log instead.
//!
//! Source: `pkg/kubelet/kuberuntime/kuberuntime_container.go` (getTerminationMessage).

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Container, Pod};
use runtime::log::{self, LogOptions};
use runtime::spec::{ContainerState, Exit};

use crate::pod::containers;
use crate::pod::model::Attempt;
use crate::volume::{PodDir, VolumeError};

/// Bytes of a termination message at most, its last ones (as the kubelet).
const LONGEST_MESSAGE: u64 = 4096;
/// Lines of the log that take its place at most (as the kubelet).
const LOG_LINES: u64 = 80;
/// Bytes of these lines at most (as the kubelet).
const LOG_BYTES: usize = 2048;

/// Makes the file behind `terminationMessagePath` of one attempt, empty.
pub(super) fn make_file(
    dir: &PodDir,
    container: &str,
    attempt: u32,
) -> Result<PathBuf, VolumeError> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = file(dir, container, attempt);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(VolumeError::file("create", parent))?;
    }
    std::fs::write(&path, "").map_err(VolumeError::file("create", &path))?;
    // The container's user is not known here, and it must be able to write.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))
        .map_err(VolumeError::file("set the mode of", &path))?;
    // Messages of the two newest attempts are shown; older ones go.
    if let Some(stale) = attempt.checked_sub(2) {
        let _ = std::fs::remove_file(file(dir, container, stale));
    }
    Ok(path)
}

fn file(dir: &PodDir, container: &str, attempt: u32) -> PathBuf {
    dir.root().join("containers").join(container).join(attempt.to_string())
}

/// Fills an ended attempt's message. One that the runtime has given already stays; what cannot be read
/// is no message. `logs` is where the pod's logs are.
pub(crate) async fn message(
    pod: &Pod,
    dir: &PodDir,
    logs: &Path,
    container: &str,
    attempt: &mut Attempt,
) {
    let ContainerState::Exited(exit) = &mut attempt.state else { return };
    if !exit.message.is_empty() {
        return;
    }
    let left = last_bytes(&file(dir, container, attempt.number)).unwrap_or_default();
    exit.message = String::from_utf8_lossy(&left).into_owned();
    if falls_back(pod, container, exit) {
        let log = logs.join(container).join(format!("{}.log", attempt.number));
        let tail = log_tail(log).await.unwrap_or_default();
        exit.message = String::from_utf8_lossy(&tail).into_owned();
    }
}

/// Whether the log takes the place of a message that is missing.
fn falls_back(pod: &Pod, container: &str, exit: &Exit) -> bool {
    let wants = |spec: &Container| {
        spec.name == container
            && spec.termination_message_policy.as_deref() == Some("FallbackToLogsOnError")
    };
    let mut all = containers::all(pod);
    exit.code != 0 && exit.message.is_empty() && all.any(|spec| wants(&spec))
}

fn last_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(LONGEST_MESSAGE)))?;
    let mut bytes = Vec::new();
    // The container may still be writing: a process that it has left behind.
    file.take(LONGEST_MESSAGE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn log_tail(path: PathBuf) -> Result<Vec<u8>, log::LogError> {
    let options = LogOptions { tail: Some(LOG_LINES), ..LogOptions::default() };
    let lines = log::read(path, options);
    lines
        .try_fold(Vec::new(), |mut last, chunk| async move {
            last.extend_from_slice(&chunk);
            last.drain(..last.len().saturating_sub(LOG_BYTES));
            Ok(last)
        })
        .await
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use runtime::spec::ExitReason;
    use serde_json::json;

    use super::*;

    struct Place {
        temp: tempfile::TempDir,
    }

    impl Place {
        fn dir(&self) -> PodDir {
            PodDir::new(self.temp.path(), "uid")
        }

        /// The message of a container that left `file` and `log` behind.
        async fn message(
            &self,
            policy: &str,
            code: i32,
            said: &str,
            file: &str,
            log: &str,
        ) -> String {
            let pod: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {"containers": [
                {"name": "other", "terminationMessagePolicy": "FallbackToLogsOnError"},
                {"name": "c", "terminationMessagePolicy": policy}]}}))
            .unwrap();
            std::fs::write(make_file(&self.dir(), "c", 1).unwrap(), file).unwrap();
            let logs = self.temp.path().join("logs");
            std::fs::create_dir_all(logs.join("c")).unwrap();
            std::fs::write(logs.join("c/1.log"), log).unwrap();
            let now = Timestamp::UNIX_EPOCH;
            let exit = Exit {
                code,
                signal: None,
                reason: ExitReason::Error,
                message: said.to_owned(),
                started_at: now,
                finished_at: now,
            };
            let mut attempt = Attempt {
                number: 1,
                id: String::new(),
                image_digest: String::new(),
                image: String::new(),
                resources: None,
                wasm: false,
                user: None,
                state: ContainerState::Exited(exit),
            };
            message(&pod, &self.dir(), &logs, "c", &mut attempt).await;
            attempt.exit().unwrap().message.clone()
        }
    }

    fn log(lines: impl Iterator<Item = String>) -> String {
        lines.map(|line| format!("2026-11-21T10:00:00.000000000Z stderr F {line}\n")).collect()
    }

    #[tokio::test]
    async fn the_file_then_the_log_of_a_failure() {
        let place = Place { temp: tempfile::tempdir().unwrap() };
        let oops = log(["oops".to_owned()].into_iter());
        let fallback = "FallbackToLogsOnError";
        for (policy, code, said, file, log, expected) in [
            ("File", 1, "", "left", oops.as_str(), "left"),
            ("File", 1, "", "", &oops, ""),
            (fallback, 1, "", "", &oops, "oops\n"),
            (fallback, 1, "", "left", &oops, "left"),
            (fallback, 0, "", "", &oops, ""),
            (fallback, 1, "trap", "left", &oops, "trap"),
            (fallback, 1, "", "", "", ""),
        ] {
            let got = place.message(policy, code, said, file, log).await;
            assert_eq!(got, expected, "{policy} {code} {said:?} {file:?} {log:?}");
        }
    }

    #[tokio::test]
    async fn the_end_is_what_counts() {
        let place = Place { temp: tempfile::tempdir().unwrap() };
        let long = format!("{}end", "x".repeat(5000));
        let got = place.message("File", 1, "", &long, "").await;
        assert_eq!(got, long[long.len() - 4096..]);
        let many = log((0..200).map(|number| format!("line {number}")));
        let got = place.message("FallbackToLogsOnError", 1, "", "", &many).await;
        let expected: String = (120..200).map(|number| format!("line {number}\n")).collect();
        assert_eq!(got, expected, "80 lines");
        let wide = log((0..80).map(|number| format!("{number:02} {}", "y".repeat(96))));
        let got = place.message("FallbackToLogsOnError", 1, "", "", &wide).await;
        assert_eq!(got.len(), 2048);
        assert!(got.ends_with(&format!("79 {}\n", "y".repeat(96))));
    }
}

//! How a session ended, as the error channel says it.

use serde_json::{Value, json};

/// What is said at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome(Value);

impl Outcome {
    /// The process ended with 0, or nothing is known against it.
    pub(super) fn success() -> Self {
        Self(json!({"metadata": {}, "status": "Success"}))
    }

    /// What an exit code says.
    pub(super) fn of_code(code: i32, command: &[String]) -> Self {
        if code == 0 {
            return Self::success();
        }
        let command = command.join(" ");
        Self(json!({
            "metadata": {},
            "status": "Failure",
            "message": format!(
                "command terminated with non-zero exit code: error executing command [{command}], exit code {code}"
            ),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }))
    }

    /// There was no process.
    pub(super) fn not_executed(why: &str) -> Self {
        Self::internal(&format!("error executing command in container: {why}"))
    }

    /// The process could not be reached.
    pub(super) fn not_attached(why: &str) -> Self {
        Self::internal(&format!("error attaching to container: {why}"))
    }

    fn internal(message: &str) -> Self {
        Self(json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("Internal error occurred: {message}"),
            "reason": "InternalError",
            "details": {"causes": [{"message": message}]},
            "code": 500,
        }))
    }

    /// The Status, from protocol version 4 on.
    pub(super) fn status(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    /// What the versions before say: nothing if all is well, else the message.
    pub(super) fn text(&self) -> Option<String> {
        self.0["message"].as_str().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_said_in_both_styles() {
        assert_eq!(Outcome::of_code(0, &[]).text(), None);
        assert_eq!(Outcome::success().status(), br#"{"metadata":{},"status":"Success"}"#);
        let failed = Outcome::of_code(3, &["sh".into(), "-c".into(), "exit 3".into()]);
        let status: Value = serde_json::from_slice(&failed.status()).unwrap();
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(status["details"]["causes"], json!([{"reason": "ExitCode", "message": "3"}]));
        let text = failed.text().unwrap();
        assert!(text.ends_with("error executing command [sh -c exit 3], exit code 3"), "{text}");
        let text = Outcome::not_executed("why").text().unwrap();
        assert_eq!(text, "Internal error occurred: error executing command in container: why");
    }
}

//! Which lines of a log are asked for: the rules of `PodLogOptions`.
//!
//! Source: `ValidatePodLogOptions` in k8s.io/kubernetes/pkg/apis/core/validation. The node gets the
//! parameters as they came.

use api::field::{Errors, FieldError, Path};
use api::resources::GroupKind;
use api::status::Status;
use jiff::Timestamp;

use crate::request::options::Query;

/// The streams that can be asked for; without one it is both.
const STREAMS: [&str; 3] = ["All", "Stderr", "Stdout"];

/// Checks the parameters for the log of the pod `name`.
///
/// # Errors
/// 400 for what is no number or no time, 422 for what makes no sense.
pub(super) fn check(query: &Query, name: &str) -> Result<(), Status> {
    let since_seconds = query.number("sinceSeconds")?;
    let tail = query.number("tailLines")?;
    let bytes = query.number("limitBytes")?;
    let has_since_time = since_time(query)?;
    let mut errors = Errors::new();
    if let Some(tail) = tail.filter(|tail| *tail < 0) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&Path::new("tailLines"), tail, detail));
    }
    let positive = |field: &str, number: i64| {
        let detail = "must be greater than 0";
        (number < 1).then(|| FieldError::invalid(&Path::new(field), number, detail))
    };
    errors.extend(bytes.and_then(|bytes| positive("limitBytes", bytes)));
    match since_seconds {
        Some(_) if has_since_time => {
            let detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.push(FieldError::forbidden(&nowhere(), detail));
        }
        seconds => errors.extend(seconds.and_then(|seconds| positive("sinceSeconds", seconds))),
    }
    if query.has("stream") {
        let stream = query.get("stream");
        if !STREAMS.contains(&stream) {
            errors.push(FieldError::not_supported(&Path::new("stream"), stream, &STREAMS));
        }
        if stream != "All" && tail.is_some() {
            let detail = "`tailLines` and specific `stream` are mutually exclusive for now";
            errors.push(FieldError::forbidden(&nowhere(), detail));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&GroupKind::new("", "PodLogOptions"), name, &errors))
}

/// What is wrong with several parameters together is told about a field without a name.
fn nowhere() -> Path {
    Path::new("[]")
}

/// Whether a time is given.
fn since_time(query: &Query) -> Result<bool, Status> {
    let text = query.get("sinceTime");
    // Older clients send `null` for no time.
    if !text.is_empty() && text != "null" && text.parse::<Timestamp>().is_err() {
        let quoted = api::field::go_quote(text);
        return Err(Status::bad_request(format!(
            "parsing time {quoted} as \"2006-01-02T15:04:05Z07:00\": cannot parse {quoted} as \"2006\""
        )));
    }
    Ok(query.has("sinceTime"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_told() {
        for (query, code, message) in [
            ("", 0, ""),
            ("tailLines=0&limitBytes=1&sinceSeconds=1&stream=All", 0, ""),
            ("stream=Stderr&sinceTime=2026-01-01T00:00:00Z", 0, ""),
            ("sinceTime=2026-01-01T02:00:00%2B02:00", 0, ""),
            ("tailLines=x", 400, "strconv.ParseInt: parsing \"x\": invalid syntax"),
            (
                "sinceTime=yesterday",
                400,
                "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": \
                 cannot parse \"yesterday\" as \"2006\"",
            ),
            (
                "tailLines=-1",
                422,
                "tailLines: Invalid value: -1: must be greater than or equal to 0",
            ),
            ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
            ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
            (
                "sinceSeconds=0&sinceTime=2026-01-01T00:00:00Z",
                422,
                "[]: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
            ),
            (
                "stream=stdout",
                422,
                "stream: Unsupported value: \"stdout\": supported values: \"All\", \"Stderr\", \"Stdout\"",
            ),
            (
                "stream=Stdout&tailLines=1",
                422,
                "[]: Forbidden: `tailLines` and specific `stream` are mutually exclusive for now",
            ),
            (
                "tailLines=-1&limitBytes=-2",
                422,
                "[tailLines: Invalid value: -1: must be greater than or equal to 0, \
                 limitBytes: Invalid value: -2: must be greater than 0]",
            ),
        ] {
            let (have, said) = match check(&Query::parse(query), "p") {
                Ok(()) => (0, String::new()),
                Err(status) => (status.code, status.message),
            };
            let head = if code == 422 { "PodLogOptions \"p\" is invalid: " } else { "" };
            assert_eq!((have, said), (code, format!("{head}{message}")), "{query}");
        }
    }
}

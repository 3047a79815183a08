//! Answers, and the one place where an error becomes a `Status`.

use std::collections::HashSet;

use api::status::Status;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use serde_json::Value;

use crate::request::negotiate::Media;
use crate::server::body::Body;

/// A response of this server.
pub(crate) type Answer = Response<Body>;

/// What every handler returns.
pub(crate) type Handled = Result<Answer, Status>;

/// Bodies larger than this are compressed for clients that take gzip (as kube-apiserver).
pub(crate) const GZIP_ABOVE: u64 = 128 * 1024;

/// A JSON body that is encoded already.
pub(crate) fn json_bytes(code: StatusCode, body: impl Into<Bytes>) -> Answer {
    json_body(code, Body::whole(body))
}

/// A JSON body of any kind.
pub(crate) fn json_body(code: StatusCode, body: Body) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A JSON value.
pub(crate) fn json(code: StatusCode, value: &Value) -> Answer {
    let mut body = serde_json::to_vec(value).expect("values always encode into memory");
    body.push(b'\n');
    json_bytes(code, body)
}

/// A body in protobuf, of the given media type.
pub(crate) fn protobuf_body(media_type: &'static str, body: Body) -> Answer {
    let mut response = json_body(StatusCode::OK, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// The answer in the encoding that was negotiated. Translates the JSON that handlers make of one
/// object or Status; what has no such form (a log, a Table in protobuf), or is in it already
/// (lists, watches), stays as it is.
pub(crate) fn in_media(answer: Answer, media: Media) -> Answer {
    let json = HeaderValue::from_static("application/json");
    if media == Media::Json || answer.headers().get(header::CONTENT_TYPE) != Some(&json) {
        return answer;
    }
    let value = answer.body().bytes().and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let written = value.and_then(|value| match media {
        Media::Yaml => serde_saphyr::to_string(&value).ok().map(String::into_bytes),
        _ => api::protobuf::write(&value),
    });
    let Some(written) = written else { return answer };
    let mut answer = answer.map(|_| Body::whole(written));
    let media_type = match media {
        Media::Yaml => "application/yaml",
        _ => api::protobuf::MEDIA_TYPE,
    };
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// Plain text.
pub(crate) fn text(code: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = code;
    let value = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// A refusal.
pub(crate) fn refusal(status: &Status) -> Answer {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, &status.to_value());
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    if seconds > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Characters of all warnings of an answer, and of each once those are used up: clients give up on
/// answers with huge heads (the numbers of k8s.io/apiserver/pkg/endpoints/filters/warning.go).
const WARNINGS: usize = 4096;
const LONG_WARNING: usize = 256;

/// Adds a `Warning` header per warning: `299 - "unknown field \"spec.x\""`. What is said twice is told
/// once.
pub(crate) fn with_warnings(mut response: Answer, warnings: &[String]) -> Answer {
    let mut seen = HashSet::new();
    let once: Vec<_> = warnings.iter().filter(|warning| seen.insert(*warning)).collect();
    let total: usize = once.iter().map(|warning| warning.chars().count()).sum();
    let each = if total > WARNINGS { LONG_WARNING } else { usize::MAX };
    let mut left = WARNINGS;
    for warning in once {
        let shown: String = warning.chars().take(each).collect();
        let Some(rest) = left.checked_sub(shown.chars().count()) else { break };
        left = rest;
        let text = format!("299 - {}", api::field::go_quote(&shown));
        // A warning that no header can carry (a control character) is not worth failing for.
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

/// Adds a warning before those that the answer has.
pub(crate) fn with_first_warning(mut answer: Answer, warning: &str) -> Answer {
    let others: Vec<_> = answer.headers().get_all(header::WARNING).iter().cloned().collect();
    answer.headers_mut().remove(header::WARNING);
    let mut answer = with_warnings(answer, &[warning.to_owned()]);
    for other in others {
        answer.headers_mut().append(header::WARNING, other);
    }
    answer
}

/// The answer as people like to read it: JSON with a field per line. Watches stay one event a line, and
/// what somebody else has written stays as it is.
pub(crate) fn indented(answer: Answer) -> Answer {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json { answer.map(Body::indented) } else { answer }
}

/// The head of an answer alone, for HEAD. HTTP/1.1 would hold the body back by itself, HTTP/2 would not.
pub(crate) fn head_only(answer: Answer) -> Answer {
    let length = answer.body().known_length().filter(|length| *length > 0);
    let mut answer = answer.map(|_| Body::empty());
    if let Some(length) = length {
        answer.headers_mut().entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    answer
}

/// A read that the store did not answer.
pub(crate) fn store_read(error: &store::Error) -> Status {
    tracing::warn!(error = %chain(error), "the store does not answer");
    Status::service_unavailable("the datastore is unavailable; reads are served from memory")
        .retry_after(1)
}

/// A write that failed for a reason other than a precondition.
pub(crate) fn store_write(error: &store::WriteError) -> Status {
    tracing::warn!(error = %chain(error), "the store did not take a write");
    match error {
        store::WriteError::Unknown { .. } => Status::timeout(
            "the datastore went away while writing: the request may or may not have been carried \
             out; read the object before trying again",
            1,
        ),
        store::WriteError::InvalidKey { .. } => Status::bad_request(error.to_string()),
        _ => Status::service_unavailable(
            "the datastore is unavailable: nothing was written; try again later",
        )
        .retry_after(1),
    }
}

/// An error and its sources on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(warnings: &[String]) -> Vec<String> {
        let answer = with_warnings(text(StatusCode::OK, ""), warnings);
        let all = answer.headers().get_all(header::WARNING);
        all.iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    }

    #[test]
    fn a_deprecation_comes_first() {
        let answer = with_warnings(text(StatusCode::OK, ""), &["later".to_owned()]);
        let answer = with_first_warning(answer, "deprecated");
        let all: Vec<_> = answer.headers().get_all(header::WARNING).iter().collect();
        assert_eq!(all, ["299 - \"deprecated\"", "299 - \"later\""]);
    }

    #[test]
    fn a_head_says_how_long_the_body_would_be() {
        let answer = head_only(text(StatusCode::OK, "ok"));
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], "2");
        assert_eq!(answer.body().known_length(), Some(0));
        let answer = head_only(text(StatusCode::NO_CONTENT, ""));
        assert!(!answer.headers().contains_key(header::CONTENT_LENGTH));
    }

    #[test]
    fn warnings_fit_into_the_head_of_an_answer() {
        let few = ["unknown field \"spec.é\"".to_owned(), "y".repeat(300)];
        let shown = warned(&few);
        assert_eq!(shown[0], "299 - \"unknown field \\\"spec.é\\\"\"");
        assert!(shown[1].len() > 300);
        let many: Vec<_> = (0..100).map(|n| format!("{n}{}", "x".repeat(1 << 20))).collect();
        let shown = warned(&many);
        assert_eq!(shown.len(), 16);
        assert!(shown.iter().all(|warning| warning.len() < 300));
        let again: Vec<_> = few.iter().chain(&few).cloned().collect();
        assert_eq!(warned(&again), warned(&few));
    }
}

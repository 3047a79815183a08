//! Reading a body under a limit, and making JSON of it.

use std::time::Duration;

use api::status::Status;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::negotiate::{self, Format};
use super::{Incoming, Request};

/// The largest request body, in bytes: 3 MiB, as kube-apiserver.
pub(crate) const LIMIT: usize = 3 * 1024 * 1024;
/// How much of a body that is too large is read and forgotten, in bytes. A client that is still
/// writing when the connection closes sees a broken connection instead of the 413.
const FORGOTTEN: usize = 16 * 1024 * 1024;

/// How long a client may take to send a body (as kube-apiserver's --request-timeout).
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an answer may wait for the rest of a body that nobody wants.
const REST: Duration = Duration::from_secs(5);

/// Reads the whole body.
///
/// # Errors
/// 413 beyond [`LIMIT`], 400 if the client breaks off, 504 if it does not get to the end.
pub(crate) async fn read(request: &mut Request) -> Result<Bytes, Status> {
    let late = "request did not complete within the allotted timeout";
    let reading = tokio::time::timeout(PATIENCE, read_patiently(request));
    reading.await.unwrap_or_else(|_| Err(Status::timeout(late, 0)))
}

async fn read_patiently(request: &mut Request) -> Result<Bytes, Status> {
    // A declared length is refused without keeping any of it.
    let declared = request
        .header(http::header::CONTENT_LENGTH)
        .and_then(|length| length.parse::<u64>().ok())
        .unwrap_or(0);
    if declared > LIMIT as u64 {
        // Who asks first sends nothing until told to.
        if request.header(http::header::EXPECT).is_none() {
            forget(&mut request.take_body(), FORGOTTEN).await;
        }
        return Err(Status::too_large(LIMIT));
    }
    let mut body = request.take_body();
    let mut whole = BytesMut::new();
    let mut first = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Status::bad_request(format!("cannot read the request body: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + first.as_ref().map_or(0, Bytes::len) + data.len() > LIMIT {
            forget(&mut body, FORGOTTEN).await;
            return Err(Status::too_large(LIMIT));
        }
        // Most bodies are one frame, which needs no copy.
        match first.take() {
            None if whole.is_empty() => first = Some(data),
            earlier => {
                whole.extend_from_slice(&earlier.unwrap_or_default());
                whole.extend_from_slice(&data);
            }
        }
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

/// Reads what a handler has left of a body, up to [`LIMIT`]: a client that is answered while it still
/// sends has its HTTP/2 stream reset or its connection closed, and may lose the answer over it.
pub(crate) async fn read_rest(request: &mut Request) {
    if request.body.get_mut().is_end_stream() || request.header(http::header::EXPECT).is_some() {
        return;
    }
    // Who takes longer does without.
    let _ = tokio::time::timeout(REST, forget(&mut request.take_body(), LIMIT)).await;
}

/// Reads on to the end, or over so many bytes.
async fn forget(body: &mut Incoming, limit: usize) {
    let mut left = limit;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(less) = left.checked_sub(length) else { return };
        left = less;
    }
}

/// An empty body.
pub(crate) fn empty() -> Incoming {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Reads the whole body as JSON text, translating YAML and protobuf.
///
/// # Errors
/// Those of [`read`], 415 for other formats, 400 for YAML and protobuf that cannot be read.
pub(crate) async fn read_json(request: &mut Request) -> Result<Bytes, Status> {
    let format = negotiate::format(request.header(http::header::CONTENT_TYPE))?;
    let body = read(request).await?;
    match format {
        Format::Json => Ok(body),
        Format::Yaml => yaml_to_json(&body),
        Format::Protobuf if body.is_empty() => Ok(body),
        Format::Protobuf => Ok(api::decode::from_protobuf(&body)?.to_string().into()),
    }
}

/// Reads one YAML document, and says of keys that occur twice; the last one counts.
///
/// # Errors
/// 400 for YAML that cannot be read.
pub(crate) fn yaml_with_duplicates(body: &[u8]) -> Result<(Value, Vec<String>), Status> {
    let refuse = |error: String| Status::bad_request(format!("error decoding YAML: {error}"));
    let text = std::str::from_utf8(body).map_err(|error| refuse(error.to_string()))?;
    let strict = serde_saphyr::options! { legacy_octal_numbers: true };
    let error = match serde_saphyr::from_str_with_options(text, strict) {
        Ok(value) => return Ok((value, Vec::new())),
        Err(error) => occurs_twice(&error),
    };
    let lenient = serde_saphyr::options! {
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
    };
    let read = serde_saphyr::from_str_with_options(text, lenient);
    read.map(|value| (value, vec![error])).map_err(|error| refuse(error.to_string()))
}

/// In the words that clients look for; other errors are repeated by the lenient reading.
fn occurs_twice(error: &serde_saphyr::Error) -> String {
    match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), location } => format!(
            "error converting YAML to JSON: yaml: unmarshal errors:\n  line {}: key {} already set in map",
            location.line(),
            api::field::go_quote(key)
        ),
        other => other.to_string(),
    }
}

/// Translates one YAML document into JSON text.
///
/// # Errors
/// 400 for YAML that cannot be read, duplicate keys included.
pub(crate) fn yaml_to_json(body: &[u8]) -> Result<Bytes, Status> {
    let refuse = |error: String| {
        Status::bad_request(format!("error converting YAML to JSON: yaml: {error}"))
    };
    let text = std::str::from_utf8(body).map_err(|error| refuse(error.to_string()))?;
    // kubectl reads `mode: 0644` as 420, and so must we.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let value: Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| refuse(error.to_string()))?;
    let bytes = serde_json::to_vec(&value).map_err(|error| refuse(error.to_string()))?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;
    use crate::user::User;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let trickle = futures_util::stream::pending::<Result<http_body::Frame<Bytes>, _>>();
        let (parts, ()) = http::Request::new(()).into_parts();
        let body = StreamBody::new(trickle).boxed_unsync();
        let mut request = Request::new(parts, body, User::anonymous());
        let status = read(&mut request).await.unwrap_err();
        assert_eq!((status.code, status.reason), (504, "Timeout"));
    }

    #[test]
    fn yaml_becomes_json() {
        let json = yaml_to_json(b"a: 0644\nb: [x, 'y']\nc: {d: true}\n").unwrap();
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value, serde_json::json!({"a": 420, "b": ["x", "y"], "c": {"d": true}}));
        assert_eq!(yaml_to_json(b"a: [").unwrap_err().code, 400);
        assert_eq!(yaml_to_json(b"a: 1\na: 2\n").unwrap_err().code, 400);
        assert_eq!(yaml_to_json(b"\xff").unwrap_err().code, 400);
    }
}

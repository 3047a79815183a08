//! Reading a body under a limit, and making an object of it.

use std::time::Duration;

use api::decode::{self, Decoded};
use api::resources::Resource;
use api::status::Status;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use super::negotiate::{self, Format};
use super::{Incoming, Request, yaml};

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

/// Reads the whole body as an object of a resource, translating YAML and protobuf.
///
/// # Errors
/// Those of [`read`], 415 for other formats, 400 for what is no such object.
pub(crate) async fn read_object(
    request: &mut Request,
    resource: &Resource,
) -> Result<Decoded, Status> {
    let protobuf = !resource.schema_type.is_empty();
    let decode = |body: &[u8]| decode::decode(resource, body);
    read_decoded(request, protobuf, (&resource.api_version(), &resource.kind), decode).await
}

/// [`read_object`] for what is no resource of its own, such as a Scale: an object of a version and
/// kind that `decode` makes of JSON.
///
/// # Errors
/// Those of [`read_object`].
pub(crate) async fn read_kind(
    request: &mut Request,
    wanted: (&str, &str),
    decode: impl FnOnce(&[u8]) -> Result<Decoded, Status>,
) -> Result<Decoded, Status> {
    read_decoded(request, true, wanted, decode).await
}

async fn read_decoded(
    request: &mut Request,
    protobuf: bool,
    wanted: (&str, &str),
    decode: impl FnOnce(&[u8]) -> Result<Decoded, Status>,
) -> Result<Decoded, Status> {
    let content_type = request.header(http::header::CONTENT_TYPE);
    let format = negotiate::format(content_type, protobuf)?;
    let body = read(request).await?;
    match format {
        Format::Json => decode(&body),
        Format::Yaml => {
            let read = yaml::read(&body);
            let read = read.map_err(|reason| decode::unrecognized(wanted.1, &reason, &body))?;
            let mut decoded = decode(read.value.to_string().as_bytes())?;
            decoded.problems.splice(0..0, read.twice);
            Ok(decoded)
        }
        Format::Protobuf => {
            let object = decode::from_protobuf(&body, wanted)?;
            decode(object.to_string().as_bytes())
        }
    }
}

/// Reads the whole body as the JSON text of DeleteOptions, empty if there are none.
///
/// # Errors
/// Those of [`read`], 415 for other formats, 400 for YAML and protobuf that cannot be read.
pub(crate) async fn read_options(request: &mut Request) -> Result<Bytes, Status> {
    let body = read(request).await?;
    if body.is_empty() {
        return Ok(body);
    }
    match negotiate::format(request.header(http::header::CONTENT_TYPE), true)? {
        Format::Json => Ok(body),
        Format::Yaml => {
            let read = yaml::read(&body).map_err(Status::bad_request)?;
            Ok(read.value.to_string().into())
        }
        Format::Protobuf => {
            let options = decode::from_protobuf(&body, ("v1", "DeleteOptions"))?;
            Ok(options.to_string().into())
        }
    }
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
}

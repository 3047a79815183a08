//! One call to the API server: JSON in, JSON or lines out, warnings shown, errors in the server's words.

use std::io::Write;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::{AsyncBufReadExt, Stream, TryStreamExt};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::Value;

/// Asks for a Table, and takes plain JSON from a server that has none.
pub(crate) const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const JSON: &str = "application/json";

/// What the server refused, in the words kubectl uses.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ServerError {
    /// `NotFound`, `Conflict`…
    pub(crate) reason: String,
    message: String,
}

/// Whether the server said that the object does not exist.
pub(crate) fn is_not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ServerError>().is_some_and(|error| error.reason == "NotFound")
}

/// GETs JSON.
pub(crate) async fn get(client: &Client, path: &str) -> Result<Value> {
    call(client, Method::GET, path, JSON, None).await
}

/// GETs a Table.
pub(crate) async fn get_table(client: &Client, path: &str) -> Result<Value> {
    call(client, Method::GET, path, TABLE, None).await
}

/// POSTs JSON.
pub(crate) async fn post(client: &Client, path: &str, body: &Value) -> Result<Value> {
    call(client, Method::POST, path, JSON, Some((JSON, body))).await
}

/// PATCHes with the given content type.
pub(crate) async fn patch(client: &Client, path: &str, kind: &str, body: &Value) -> Result<Value> {
    call(client, Method::PATCH, path, JSON, Some((kind, body))).await
}

/// DELETEs with DeleteOptions.
pub(crate) async fn delete(client: &Client, path: &str, options: &Value) -> Result<Value> {
    call(client, Method::DELETE, path, JSON, Some((JSON, options))).await
}

/// GETs bytes as they come: a log, whose bytes are the container's and need not be text.
pub(crate) async fn bytes(
    client: &Client,
    path: &str,
) -> Result<impl Stream<Item = Result<Bytes>> + use<>> {
    let response = checked(client, Request::get(path).body(Body::empty())?).await?;
    let chunks = response.into_body().into_data_stream();
    Ok(chunks.map_err(|error| anyhow::Error::new(error).context("read from the server")))
}

/// GETs a stream of lines: a watch.
pub(crate) async fn lines(
    client: &Client,
    path: &str,
    accept: &str,
) -> Result<impl Stream<Item = Result<String>> + use<>> {
    let request = Request::get(path).header("accept", accept).body(Body::empty())?;
    let response = checked(client, request).await?;
    let reader =
        response.into_body().into_data_stream().map_err(std::io::Error::other).into_async_read();
    Ok(reader.lines().map_err(|error| anyhow::Error::new(error).context("read from the server")))
}

async fn call(
    client: &Client,
    method: Method,
    path: &str,
    accept: &str,
    body: Option<(&str, &Value)>,
) -> Result<Value> {
    let request = Request::builder().method(method).uri(path).header("accept", accept);
    let request = match body {
        Some((kind, body)) => {
            request.header("content-type", kind).body(Body::from(serde_json::to_vec(body)?))?
        }
        None => request.body(Body::empty())?,
    };
    let response = checked(client, request).await?;
    let bytes =
        response.into_body().collect().await.context("read the server's answer")?.to_bytes();
    serde_json::from_slice(&bytes).context("the server's answer is not JSON")
}

/// Sends, shows warnings, turns anything but success into a [`ServerError`].
async fn checked(client: &Client, request: Request<Body>) -> Result<Response<Body>> {
    let response = client.send(request).await.map_err(failed)?;
    for warning in response.headers().get_all("warning") {
        if let Some(text) = warning.to_str().ok().and_then(warning_text) {
            // A warning that cannot be shown does not fail the command.
            let _ = writeln!(std::io::stderr(), "Warning: {text}");
        }
    }
    if response.status().is_success() {
        return Ok(response);
    }
    let code = response.status();
    let bytes =
        response.into_body().collect().await.context("read the server's answer")?.to_bytes();
    Err(server_error(code.as_u16(), &bytes).into())
}

/// An error of the client, and what to do about it.
pub(crate) fn failed(error: kube::Error) -> anyhow::Error {
    let words = match error {
        kube::Error::Service(_) | kube::Error::HyperError(_) => {
            "the API server cannot be reached; is `wctl dev` running?"
        }
        _ => "the API server cannot be asked",
    };
    anyhow::Error::new(error).context(words)
}

fn server_error(code: u16, body: &[u8]) -> ServerError {
    let status: Value = serde_json::from_slice(body).unwrap_or_default();
    let reason = status["reason"].as_str().unwrap_or_default().to_owned();
    let message = status["message"]
        .as_str()
        .map_or_else(|| String::from_utf8_lossy(body).trim().to_owned(), str::to_owned);
    let message = match reason.as_str() {
        // kubectl shows validation errors without the prefix.
        "Invalid" => message,
        "" => format!("the server answered {code}: {message}"),
        reason => format!("the server says ({reason}): {message}"),
    };
    ServerError { reason, message }
}

/// The text of a `299 - "…"` warning header (RFC 7234, section 5.5).
fn warning_text(header: &str) -> Option<String> {
    let quoted = header.strip_prefix("299 ")?.split_once('"')?.1;
    let text = quoted.rsplit_once('"')?.0;
    Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
}

/// Appends query parameters.
pub(crate) fn with_query(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut full = path.to_owned();
    for (name, value) in parameters {
        full.push(if full.contains('?') { '&' } else { '?' });
        full.push_str(name);
        full.push('=');
        full.push_str(&encode(value));
    }
    full
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_encoded() {
        assert_eq!(with_query("/x", &[]), "/x");
        assert_eq!(
            with_query("/x", &[("labelSelector", "a=b,c in (d)"), ("limit", "5")]),
            "/x?labelSelector=a%3Db%2Cc%20in%20%28d%29&limit=5"
        );
    }

    #[test]
    fn warnings_are_unquoted() {
        let text = warning_text(r#"299 - "unknown field \"spec.foo\"""#);
        assert_eq!(text.as_deref(), Some(r#"unknown field "spec.foo""#));
        assert_eq!(warning_text("199 - nothing"), None);
    }

    #[test]
    fn errors_carry_the_servers_words() {
        let error = server_error(404, br#"{"reason":"NotFound","message":"pods \"x\" not found"}"#);
        assert_eq!(error.to_string(), "the server says (NotFound): pods \"x\" not found");
        assert_eq!(server_error(502, b"bad").to_string(), "the server answered 502: bad");
    }
}

//! A response body that keeps its instance: when the client no longer wants it, the instance ends.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{Method, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use tokio::task::AbortHandle;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

/// Ends an instance when dropped, unless disarmed.
#[derive(Debug)]
pub(super) struct EndWithBody(Option<AbortHandle>);

impl EndWithBody {
    pub(super) fn new(instance: AbortHandle) -> Self {
        Self(Some(instance))
    }

    /// Everything that was asked for has been delivered: what the instance still does is its own affair.
    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for EndWithBody {
    fn drop(&mut self) {
        if let Some(instance) = self.0.take() {
            instance.abort();
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct GuardedBody {
    inner: HyperOutgoingBody,
    instance: Option<EndWithBody>,
    /// Bytes still to come, if the response said how many.
    expected: Option<u64>,
}

impl GuardedBody {
    /// A body of the host's own, which depends on no instance.
    pub(super) fn free(inner: HyperOutgoingBody) -> Self {
        Self { inner, instance: None, expected: None }
    }

    /// The body of `response`, an answer to a request with `method`.
    pub(super) fn wrap(
        response: Response<HyperOutgoingBody>,
        method: &Method,
        instance: EndWithBody,
    ) -> Response<Self> {
        let (parts, inner) = response.into_parts();
        let length = parts.headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        // The server never reads the body of these, and drops it at once.
        let bodyless = *method == Method::HEAD
            || matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let mut body = Self { inner, instance: Some(instance), expected: length };
        if bodyless || length == Some(0) || body.inner.is_end_stream() {
            body.delivered();
        }
        Response::from_parts(parts, body)
    }

    fn delivered(&mut self) {
        if let Some(instance) = self.instance.take() {
            instance.disarm();
        }
    }
}

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            None => self.delivered(),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
                self.expected = self.expected.map(|expected| expected.saturating_sub(bytes));
                // With a known length the server stops asking once it has everything.
                if self.expected == Some(0) || frame.is_trailers() {
                    self.delivered();
                }
            }
            Some(Err(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;

    /// Wraps a response; the returned task is what an instance would be.
    fn wrapped(
        method: Method,
        body: HyperOutgoingBody,
        length: Option<u64>,
    ) -> (Response<GuardedBody>, tokio::task::JoinHandle<()>) {
        let tasks = tokio_util::task::TaskTracker::new();
        let instance = tasks.spawn(std::future::pending());
        let mut response = Response::new(body);
        if let Some(length) = length {
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        let guard = EndWithBody::new(instance.abort_handle());
        (GuardedBody::wrap(response, &method, guard), instance)
    }

    fn full(text: &'static str) -> HyperOutgoingBody {
        Full::from(text).map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()
    }

    fn endless() -> HyperOutgoingBody {
        let chunk = Frame::data(Bytes::from_static(b"x"));
        let chunks = futures_util::stream::iter(std::iter::repeat_with(move || {
            Ok::<_, Error>(Frame::data(chunk.data_ref().cloned().unwrap_or_default()))
        }));
        StreamBody::new(chunks).boxed_unsync()
    }

    #[tokio::test]
    async fn an_instance_ends_when_its_body_is_not_wanted_any_more() {
        let (response, instance) = wrapped(Method::GET, endless(), None);
        let mut body = response.into_body();
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert!(instance.await.unwrap_err().is_cancelled());
    }

    #[tokio::test]
    async fn an_instance_goes_on_after_its_body_was_delivered() {
        for (method, body, length) in [
            (Method::GET, full("hello"), Some(5)),
            (Method::GET, full("hello"), None),
            (Method::GET, full(""), Some(0)),
            (Method::HEAD, full("hello"), Some(5)),
        ] {
            let (response, instance) = wrapped(method.clone(), body, length);
            if method == Method::GET {
                response.into_body().collect().await.unwrap();
            } else {
                drop(response);
            }
            tokio::task::yield_now().await;
            assert!(!instance.is_finished(), "{method} {length:?}");
            instance.abort();
        }
    }
}

//! Compression of a body while it is sent.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Body as _, Frame};

use super::body::Body;
use crate::request::BoxError;

/// kube-apiserver compresses at level 4 and found that lists then cost more to compress than to
/// send; the fastest level keeps two thirds of the gain.
const LEVEL: u32 = 1;

/// A body being compressed.
pub(crate) struct Gzip {
    inner: Body,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Gzip {
    pub(super) fn new(inner: Body) -> Gzip {
        let encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
        Gzip { inner, encoder: Some(encoder) }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            let block = match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(_) => continue,
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let encoder = self.encoder.take().map(GzEncoder::finish);
                    return Poll::Ready(encoder.map(|done| {
                        done.map(|bytes| Frame::data(bytes.into())).map_err(BoxError::from)
                    }));
                }
            };
            if let Err(error) = encoder.write_all(&block) {
                return Poll::Ready(Some(Err(error.into())));
            }
            let compressed = std::mem::take(encoder.get_mut());
            if !compressed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(compressed.into()))));
            }
        }
    }
}

//! Response bodies: a whole buffer, a list assembled while it is sent, a watch, a relayed stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

use super::gzip::Gzip;
use super::indent::{Indented, indent};
use super::list_body::ListBody;
use super::watch_body::WatchBody;
use crate::request::BoxError;
use crate::telemetry::Measured;

/// The body of a response. `Data` is [`Bytes`], so it fits `kube::Client::new`.
pub struct Body(Kind, Option<Box<Measured>>);

enum Kind {
    Whole(Option<Bytes>),
    List(Box<ListBody>),
    Watch(Box<WatchBody>),
    Relay(UnsyncBoxBody<Bytes, BoxError>),
    Indented(Box<Indented>),
    Gzip(Box<Gzip>),
}

impl Body {
    /// No body.
    pub(crate) fn empty() -> Body {
        Body(Kind::Whole(None), None)
    }

    /// A body that is there already.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        Body(Kind::Whole((!bytes.is_empty()).then_some(bytes)), None)
    }

    /// A list, assembled in blocks while it is sent.
    pub(crate) fn list(list: ListBody) -> Body {
        Body(Kind::List(Box::new(list)), None)
    }

    /// A watch.
    pub(crate) fn watch(watch: WatchBody) -> Body {
        Body(Kind::Watch(Box::new(watch)), None)
    }

    /// Somebody else's body, passed on.
    pub(crate) fn relay(body: UnsyncBoxBody<Bytes, BoxError>) -> Body {
        Body(Kind::Relay(body), None)
    }

    /// The same body of a request that is over when the body is.
    pub(crate) fn measured(mut self, measured: Measured) -> Body {
        self.1 = Some(Box::new(measured));
        self
    }

    /// The same JSON value with a field per line; a watch stays, and what is relayed.
    pub(crate) fn indented(self) -> Body {
        match self.0 {
            Kind::Whole(Some(bytes)) => Body::whole(indent(&bytes)),
            Kind::List(_) => Body(Kind::Indented(Box::new(Indented::new(self))), None),
            other => Body(other, self.1),
        }
    }

    /// The same body, compressed while it is sent.
    pub(crate) fn gzip(self) -> Body {
        Body(Kind::Gzip(Box::new(Gzip::new(self))), None)
    }

    /// The same body for a reader in this process: events come one by one, as the cache holds them,
    /// and are not joined for the wire.
    pub(super) fn unjoined(mut self) -> Body {
        if let Kind::Watch(watch) = &mut self.0 {
            watch.unjoin();
        }
        self
    }

    /// The bytes of a body that is there already.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Kind::Whole(bytes) => bytes.as_ref(),
            _ => None,
        }
    }

    /// The length of a body that ends by itself, where that is known.
    pub(crate) fn known_length(&self) -> Option<u64> {
        http_body::Body::size_hint(self).exact()
    }

    /// The length that the body has at least, 0 for one that comes bit by bit.
    pub(crate) fn least_length(&self) -> u64 {
        http_body::Body::size_hint(self).lower()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let block = match &mut self.0 {
            Kind::Whole(bytes) => bytes.take(),
            Kind::List(list) => list.next_block(),
            Kind::Watch(watch) => {
                let block = ready!(watch.poll_next(context));
                let sent = watch.take_sent();
                if let Some(measured) = &self.1 {
                    measured.sent(sent);
                }
                block
            }
            Kind::Relay(body) => return Pin::new(body).poll_frame(context),
            Kind::Indented(indented) => return indented.poll_frame(context),
            Kind::Gzip(gzip) => return gzip.poll_frame(context),
        };
        Poll::Ready(block.map(|block| Ok(Frame::data(block))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::List(list) => list.remaining() == 0,
            Kind::Relay(body) => body.is_end_stream(),
            Kind::Watch(_) | Kind::Indented(_) | Kind::Gzip(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::List(list) => SizeHint::with_exact(list.remaining()),
            Kind::Relay(body) => body.size_hint(),
            Kind::Indented(indented) => indented.size_hint(),
            Kind::Watch(_) | Kind::Gzip(_) => SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.0 {
            Kind::Whole(_) => "whole",
            Kind::List(_) => "list",
            Kind::Watch(_) => "watch",
            Kind::Relay(_) => "relay",
            Kind::Indented(_) => "indented",
            Kind::Gzip(_) => "gzip",
        };
        out.debug_tuple("Body").field(&kind).finish()
    }
}

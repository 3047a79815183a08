//! A watch as a body: first what there is, then what happens, until somebody has had enough.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use store::Revision;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::cacher::{Delivery, EventType, Object, Subscription};

/// Frames that are ready at the same time are joined up to this size.
const BLOCK: usize = 64 * 1024;
/// How long before its end a watch asks for a last bookmark, from which its client goes on (as
/// kube-apiserver's cacher). A shorter watch gets none.
const FAREWELL: Duration = Duration::from_secs(2);

/// Makes the frame of an event and its object.
pub(crate) type Framer = Box<dyn FnMut(EventType, &Object) -> Bytes + Send>;

/// How a watch shows objects.
pub(crate) enum WatchForm {
    /// As they are: frames are shared between all watchers.
    Object,
    /// Through a function that makes the frame (Table, metadata, protobuf).
    Framed(Framer),
}

/// The body of a watch.
pub(crate) struct WatchBody {
    form: WatchForm,
    initial: std::vec::IntoIter<Arc<Object>>,
    /// Bookmark to send once `initial` has been sent (`sendInitialEvents`).
    after_initial: Option<Bytes>,
    replay: std::vec::IntoIter<(EventType, Arc<Object>)>,
    queue: tokio::sync::mpsc::Receiver<Delivery>,
    /// Makes the frame of a bookmark.
    bookmark: Box<dyn Fn(Revision) -> Bytes + Send>,
    /// Taken when the last bookmark has been asked for.
    farewell: Option<Farewell>,
    deadline: Pin<Box<Sleep>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Frames are joined up to this size.
    block: usize,
    /// Frames given since somebody last asked.
    sent: u64,
    ended: bool,
}

/// Asks for the last bookmark.
struct Farewell {
    due: Pin<Box<Sleep>>,
    ask: Box<dyn FnOnce() + Send>,
}

impl WatchBody {
    /// Sends a subscription in a form until `timeout` has passed or the server stops.
    pub(crate) fn new(
        subscription: Subscription,
        form: WatchForm,
        bookmark: Box<dyn Fn(Revision) -> Bytes + Send>,
        after_initial: Option<Bytes>,
        timeout: Duration,
        shutdown: CancellationToken,
    ) -> WatchBody {
        WatchBody {
            form,
            initial: subscription.initial.into_iter(),
            after_initial,
            replay: subscription.replay.into_iter(),
            queue: subscription.queue,
            bookmark,
            farewell: None,
            deadline: Box::pin(tokio::time::sleep(timeout)),
            shutdown: Box::pin(shutdown.cancelled_owned()),
            block: BLOCK,
            sent: 0,
            ended: false,
        }
    }

    /// Gives each frame by itself.
    pub(super) fn unjoin(&mut self) {
        self.block = 1;
    }

    /// How many frames were given since the last call.
    pub(super) fn take_sent(&mut self) -> u64 {
        std::mem::take(&mut self.sent)
    }

    /// Has `ask` called shortly before the end; it puts a bookmark into the queue.
    pub(crate) fn with_farewell(
        mut self,
        timeout: Duration,
        ask: impl FnOnce() + Send + 'static,
    ) -> WatchBody {
        self.farewell = timeout
            .checked_sub(FAREWELL)
            .map(|wait| Farewell { due: Box::pin(tokio::time::sleep(wait)), ask: Box::new(ask) });
        self
    }

    /// The next block of frames.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let over = self.shutdown.as_mut().poll(context).is_ready()
            || self.deadline.as_mut().poll(context).is_ready();
        let due = |farewell: &mut Farewell| over || farewell.due.as_mut().poll(context).is_ready();
        let asked = self.farewell.take_if(due).map(|farewell| (farewell.ask)()).is_some();
        self.ended = over;
        if over && !asked {
            return Poll::Ready(None);
        }
        let mut block = Block::default();
        while block.len() < self.block {
            match self.next_frame(context) {
                Poll::Ready(Some(frame)) => {
                    self.sent += 1;
                    block.push(frame);
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    break;
                }
                Poll::Pending if block.is_empty() && !over => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(block.take())
    }

    fn next_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(object) = self.initial.next() {
            return Poll::Ready(Some(self.frame(EventType::Added, &object)));
        }
        if let Some(bookmark) = self.after_initial.take() {
            return Poll::Ready(Some(bookmark));
        }
        if let Some((event, object)) = self.replay.next() {
            return Poll::Ready(Some(self.frame(event, &object)));
        }
        self.queue.poll_recv(context).map(|delivery| {
            delivery.map(|delivery| match delivery {
                Delivery::Event(event, object) => self.frame(event, &object),
                Delivery::Bookmark(revision) => (self.bookmark)(revision),
            })
        })
    }

    fn frame(&mut self, event: EventType, object: &Object) -> Bytes {
        match &mut self.form {
            WatchForm::Object => object.encoded().frame(event),
            WatchForm::Framed(frame) => frame(event, object),
        }
    }
}

/// Joins frames, but passes a single one on without copying it.
#[derive(Default)]
struct Block {
    first: Option<Bytes>,
    joined: BytesMut,
}

impl Block {
    fn len(&self) -> usize {
        self.first.as_ref().map_or(self.joined.len(), Bytes::len)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, frame: Bytes) {
        if self.is_empty() {
            self.first = Some(frame);
            return;
        }
        if let Some(first) = self.first.take() {
            self.joined.extend_from_slice(&first);
        }
        self.joined.extend_from_slice(&frame);
    }

    fn take(self) -> Option<Bytes> {
        match self.first {
            Some(first) => Some(first),
            None if self.joined.is_empty() => None,
            None => Some(self.joined.freeze()),
        }
    }
}

//! The way of a component to the API server, and what goes wrong on it.
//!
//! A link belongs to one life of a component. When that ends, the link is cut: requests that have not
//! arrived never do, answers that are on their way are lost, and nobody hears of it, as when a
//! process is killed.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use api::status::Status;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::random::Random;
use crate::world::{self, Call, World};

/// Why a request has no answer.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// An answer's body.
pub(crate) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Error>;

/// How often in a thousand times something goes wrong. Every seed has some of these, none has all
/// for certain: what one fault does can hide what another would.
#[derive(Debug)]
pub(crate) struct Faults {
    /// The request never arrives, or is refused as by a server that is too busy.
    refused: u64,
    /// The request is done and its answer is lost.
    lost: u64,
    /// Somebody else writes the object just before.
    touched: u64,
    /// A request or an event takes seconds; thrice as often a watch is seconds behind all its life.
    slow: u64,
    /// A watch breaks, with some events in it.
    broken: u64,
    /// A watch cannot be resumed: its revision is forgotten.
    forgotten: u64,
    /// An event comes twice.
    repeated: u64,
    /// Nothing of this happens any more.
    calm: AtomicBool,
}

impl Faults {
    /// Those of a seed.
    pub(crate) fn new(random: &Random) -> Self {
        let mut random = random.of("faults");
        let mut some = |most: u64| {
            let often = random.below(most);
            if random.happens(500) { often } else { 0 }
        };
        Self {
            refused: some(100),
            lost: some(60),
            touched: some(150),
            slow: some(60),
            broken: some(60),
            forgotten: some(600),
            repeated: some(150),
            calm: AtomicBool::new(false),
        }
    }

    /// Ends all faults.
    pub(crate) fn end(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    fn rough(&self) -> bool {
        !self.calm.load(Ordering::Relaxed)
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

struct Inner {
    component: &'static str,
    world: Arc<World>,
    faults: Arc<Faults>,
    random: Mutex<Random>,
    cut: CancellationToken,
}

/// What becomes of a request.
enum Fate {
    Answered,
    Refused(Status),
    Unreachable,
    /// Done, and the connection breaks; or done, and nothing is heard.
    Lost {
        silently: bool,
    },
}

impl Link {
    /// A link for one life of a component, until `cut`.
    pub(crate) fn new(
        component: &'static str,
        world: Arc<World>,
        faults: Arc<Faults>,
        random: Random,
        cut: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner { component, world, faults, random: Mutex::new(random), cut }))
    }

    /// Where it leads.
    pub(crate) fn world(&self) -> &World {
        &self.0.world
    }

    /// Waits, for ever if the link is cut meanwhile.
    pub(crate) async fn wait(&self, time: Duration) {
        tokio::select! {
            biased;
            never = self.gone() => match never {},
            () = sleep(time) => {}
        }
    }

    /// Never comes back; wakes nobody once the link is cut.
    pub(crate) async fn gone(&self) -> Infallible {
        self.0.cut.cancelled().await;
        pending().await
    }

    /// Whether faults still happen.
    pub(crate) fn is_rough(&self) -> bool {
        self.0.faults.rough()
    }

    fn happens(&self, often: u64) -> bool {
        self.is_rough() && self.0.random.lock().happens(often)
    }

    /// Whether a watch is behind all its life.
    pub(crate) fn is_behind(&self) -> bool {
        self.happens(self.0.faults.slow * 3)
    }

    /// How long an event is on its way on a watch that is `behind` or not.
    pub(crate) fn lag(&self, behind: bool) -> Duration {
        let slow = self.happens(self.0.faults.slow) || (behind && self.is_rough());
        let mut random = self.0.random.lock();
        if slow { random.millis(500, 8000) } else { random.millis(0, 20) }
    }

    /// When a watch that says nothing breaks.
    pub(crate) fn breaks_after(&self) -> Option<Duration> {
        let breaks = self.happens(self.0.faults.broken * 10);
        breaks.then(|| self.0.random.lock().millis(1000, 60_000))
    }

    /// Whether a watch breaks here.
    pub(crate) fn breaks(&self) -> bool {
        self.happens(self.0.faults.broken)
    }

    /// Whether an event comes twice.
    pub(crate) fn repeats(&self) -> bool {
        self.happens(self.0.faults.repeated)
    }

    /// Whether a watch cannot be resumed.
    pub(crate) fn forgets(&self) -> bool {
        self.happens(self.0.faults.forgotten)
    }

    fn fate(&self, call: &Call) -> Fate {
        let faults = &self.0.faults;
        if self.happens(faults.refused) {
            let mut random = self.0.random.lock();
            return match random.below(4) {
                0 => Fate::Refused(Status::service_unavailable("the database is not reached")),
                1 => Fate::Refused(Status::internal_error("something went wrong")),
                2 => Fate::Refused(Status::too_many_requests("too many requests", 1)),
                _ => Fate::Unreachable,
            };
        }
        if !call.watches() && self.happens(faults.lost) {
            return Fate::Lost { silently: self.0.random.lock().happens(300) };
        }
        Fate::Answered
    }

    fn time(&self) -> Duration {
        let slow = self.happens(self.0.faults.slow);
        let mut random = self.0.random.lock();
        if slow { random.millis(200, 4000) } else { random.millis(0, 5) }
    }

    async fn send(self, request: Request<kube::client::Body>) -> Result<Response<Body>, Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let call = match Call::read(&parts, body) {
            Ok(call) => call,
            Err(status) => return Ok(refusal(&status)),
        };
        let fate = if call.is_exempt() { Fate::Answered } else { self.fate(&call) };
        self.wait(self.time()).await;
        match fate {
            Fate::Refused(status) => return Ok(refusal(&status)),
            Fate::Unreachable => return Err("connection refused".into()),
            Fate::Answered | Fate::Lost { .. } => {}
        }
        if call.watches() {
            return Ok(match world::open(&self, &call) {
                Ok(body) => Response::new(body),
                Err(status) => refusal(&status),
            });
        }
        if self.happens(self.0.faults.touched) {
            self.touch(&call);
        }
        let (component, world) = (self.0.component, &self.0.world);
        let answer = world.request(component, &call);
        if let Fate::Lost { silently } = fate {
            world.unknown(&call);
            world.note(&format!("{component}: {call}: the answer is lost"));
            if silently {
                return pending().await;
            }
            return Err("connection reset".into());
        }
        self.wait(self.time()).await;
        Ok(match answer {
            Ok((code, bytes)) => response(code, bytes),
            Err(status) => refusal(&status),
        })
    }

    /// Somebody else writes the object that the call is about to write.
    fn touch(&self, call: &Call) {
        if matches!(call.method, Method::PUT | Method::PATCH | Method::DELETE) {
            let number = self.0.random.lock().below(1000);
            let (world, key) = (&self.0.world, (&*call.namespace, &*call.name));
            world.edit("somebody", call.resource, key, |object, _| {
                object["metadata"]["labels"]["touched"] = json!(format!("t{number}"));
            });
        }
    }
}

fn response(code: u16, bytes: Bytes) -> Response<Body> {
    let body = Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::OK);
    response
}

fn refusal(status: &Status) -> Response<Body> {
    response(status.code, Bytes::from(status.to_value().to_string()))
}

impl tower::Service<Request<kube::client::Body>> for Link {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

//! The way of a component to the API server, and what goes wrong on it.
//!
//! A link belongs to one life of a component. When that ends, the link is cut: requests that have not
//! arrived never do, answers that are on their way are lost, and nobody hears of it, as when a
//! process is killed.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use api::resources::Resource;
use api::status::Status;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::faults::Faults;
use crate::random::Random;
use crate::world::{self, Call, World};

/// Why a request has no answer.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long a kind can be out of sight, in milliseconds: less than what anybody who waits for what it
/// has written waits at most.
const BLIND: (u64, u64) = (500, 30_000);

/// An answer's body.
pub(crate) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Error>;

/// See the module.
#[derive(Clone)]
pub(crate) struct Link(Arc<Inner>);

struct Inner {
    component: &'static str,
    world: Arc<World>,
    faults: Arc<Faults>,
    random: Mutex<Random>,
    /// Until when watches of a kind, by its collection, show nothing.
    blind: Mutex<BTreeMap<String, Instant>>,
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
        let (random, blind) = (Mutex::new(random), Mutex::default());
        Self(Arc::new(Inner { component, world, faults, random, blind, cut }))
    }

    /// Where it leads.
    pub(crate) fn world(&self) -> &World {
        &self.0.world
    }

    /// Waits, for ever if the link is cut meanwhile.
    pub(crate) async fn wait(&self, time: Duration) {
        sleep(time).await;
        self.unless_cut().await;
    }

    /// Never comes back once the link is cut, and wakes nobody.
    pub(crate) async fn unless_cut(&self) {
        if self.0.cut.is_cancelled() {
            pending::<()>().await;
        }
    }

    /// Whether faults still happen.
    pub(crate) fn is_rough(&self) -> bool {
        self.0.faults.are_on()
    }

    fn happens(&self, often: u64) -> bool {
        self.is_rough() && self.0.random.lock().happens(often)
    }

    /// Whether a watch is behind all its life.
    pub(crate) fn is_behind(&self) -> bool {
        self.happens(self.0.faults.often.slow * 3)
    }

    /// How long an event is on its way on a watch that is `behind` or not.
    pub(crate) fn lag(&self, behind: bool) -> Duration {
        let slow = self.happens(self.0.faults.often.slow) || (behind && self.is_rough());
        let mut random = self.0.random.lock();
        if slow { random.millis(500, 8000) } else { random.millis(0, 20) }
    }

    /// Waits as long as nothing of the kind is shown.
    pub(crate) async fn sight(&self, resource: &Resource) {
        loop {
            let until = self.0.blind.lock().get(&*resource.plural).copied();
            let Some(until) = until.filter(|until| *until > Instant::now()) else { return };
            self.wait(until - Instant::now()).await;
        }
    }

    /// After a write, its kind may be out of sight for a while.
    fn blind(&self, call: &Call) {
        if call.resource.kind == "Event" || !self.happens(self.0.faults.often.blind) {
            return;
        }
        let long = self.0.random.lock().millis(BLIND.0, BLIND.1);
        let until = Instant::now() + long;
        self.0.blind.lock().insert(call.resource.plural.to_string(), until);
        let (component, kind) = (self.0.component, &call.resource.plural);
        self.0.world.note(&format!("{component}: sees no {kind} for {long:?}"));
        self.0.faults.strike();
    }

    /// When a watch that says nothing breaks.
    pub(crate) fn breaks_after(&self) -> Option<Duration> {
        let breaks = self.happens(self.0.faults.often.broken * 10);
        breaks.then(|| self.0.random.lock().millis(1000, 60_000))
    }

    /// Whether a watch breaks here.
    pub(crate) fn breaks(&self) -> bool {
        self.happens(self.0.faults.often.broken)
    }

    /// Whether an event comes twice.
    pub(crate) fn repeats(&self) -> bool {
        self.happens(self.0.faults.often.repeated)
    }

    /// Whether a watch cannot be resumed.
    pub(crate) fn forgets(&self) -> bool {
        self.happens(self.0.faults.often.forgotten)
    }

    fn fate(&self, call: &Call) -> Fate {
        let often = &self.0.faults.often;
        if self.happens(often.refused) {
            let mut random = self.0.random.lock();
            return match random.below(4) {
                0 => Fate::Refused(Status::service_unavailable("the database is not reached")),
                1 => Fate::Refused(Status::internal_error("something went wrong")),
                2 => Fate::Refused(Status::too_many_requests("too many requests", 1)),
                _ => Fate::Unreachable,
            };
        }
        if !call.watches() && self.happens(often.lost) {
            return Fate::Lost { silently: self.0.random.lock().happens(300) };
        }
        Fate::Answered
    }

    fn time(&self) -> Duration {
        let slow = self.happens(self.0.faults.often.slow);
        let mut random = self.0.random.lock();
        if slow { random.millis(200, 4000) } else { random.millis(0, 5) }
    }

    async fn send(self, request: Request<kube::client::Body>) -> Result<Response<Body>, Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let query = parts.uri.query().unwrap_or_default();
        if let Some(answer) = self.0.world.served(parts.uri.path(), query) {
            self.wait(self.time()).await;
            return Ok(answered(answer));
        }
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
        if self.happens(self.0.faults.often.touched) {
            self.touch(&call);
        }
        let (component, world) = (self.0.component, &self.0.world);
        let answer = world.request(component, &call);
        if answer.is_ok() && !call.reads() && !call.is_exempt() {
            self.blind(&call);
        }
        if let Fate::Lost { silently } = fate {
            world.unknown(&call);
            world.note(&format!("{component}: {call}: the answer is lost"));
            if silently {
                return pending().await;
            }
            return Err("connection reset".into());
        }
        self.wait(self.time()).await;
        Ok(answered(answer))
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

fn answered(answer: world::Answer) -> Response<Body> {
    match answer {
        Ok((code, bytes)) => response(code, bytes),
        Err(status) => refusal(&status),
    }
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

//! The API server's place: objects in memory, the history of their changes, and the log.
//!
//! Every write goes through [`State::put`] or [`State::remove`], one after the other; each gets the
//! next revision, is shown to the [laws](crate::laws) and to the watches of its kind.
//!
//! | file | what |
//! |---|---|
//! | `call.rs` | a request, taken apart |
//! | `verbs.rs` | what a request does to the objects |
//! | `removal.rs` | deletions and evictions |
//! | `served.rs` | what is no object: kinds of groups, metrics |
//! | `stream.rs` | watches |

mod call;
mod removal;
mod served;
mod stream;
mod verbs;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::resources::{self, GroupResource, Resource};
use api::status::Status;
use bytes::Bytes;
use client::Clock;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use self::call::Call;
pub(crate) use self::served::{LOAD, TARGET};
pub(crate) use self::stream::open;
use crate::laws::Laws;
use crate::random::Random;

/// When every simulation begins.
const BEGINNING: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// The cluster's objects; shared by all who make requests.
pub(crate) struct World {
    began: Instant,
    clock: Clock,
    state: Mutex<State>,
}

/// What is behind the lock.
pub(crate) struct State {
    kinds: BTreeMap<GroupResource, Kind>,
    revision: u64,
    random: Random,
    laws: Laws,
    log: Vec<String>,
    /// Requests that may change something, by who made them.
    writes: BTreeMap<String, usize>,
    broken: Option<String>,
}

/// The objects of one kind.
pub(crate) struct Kind {
    objects: BTreeMap<Key, Arc<Object>>,
    changes: Vec<Change>,
    /// Told of every change.
    heard: Arc<Notify>,
}

/// Namespace and name.
type Key = (String, String);

/// An object as it was at a revision.
pub(crate) struct Object {
    pub(crate) value: Value,
    pub(crate) revision: u64,
    /// What a client gets.
    bytes: Bytes,
}

/// One event.
pub(crate) struct Change {
    before: Option<Arc<Object>>,
    now: Arc<Object>,
    gone: bool,
}

/// What a request comes to.
pub(crate) type Answer = Result<(u16, Bytes), Status>;

impl World {
    /// An empty one; its components hear of everything at once, or not.
    pub(crate) fn new(random: &Random, prompt: bool) -> Arc<Self> {
        let state = State {
            kinds: BTreeMap::new(),
            revision: 0,
            random: random.of("world"),
            laws: Laws::new(prompt),
            log: Vec::new(),
            writes: BTreeMap::new(),
            broken: None,
        };
        let clock = Clock::timers(BEGINNING);
        Arc::new(Self { began: Instant::now(), clock, state: Mutex::new(state) })
    }

    /// The time of everybody.
    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Answers a request of `actor`.
    pub(crate) fn request(&self, actor: &str, call: &Call) -> Answer {
        let now = self.now();
        let mut state = self.state.lock();
        let answer = verbs::answer(&mut state, call, actor, now);
        if !call.reads() {
            let code = answer.as_ref().map_or_else(|status| status.code, |(code, _)| *code);
            state.tell(format!("{} {actor}: {call}{}: {code}", self.time(), call.told()));
            *state.writes.entry(actor.to_owned()).or_default() += 1;
        }
        answer
    }

    /// Answers a request for something that is no object; `None` if it is not about that.
    pub(crate) fn served(&self, path: &str, query: &str) -> Option<Answer> {
        let now = self.now();
        served::answer(&self.state.lock(), path, query, now)
    }

    /// Changes an object as its node or user does who needs no checks. Nothing happens to what is
    /// gone.
    pub(crate) fn edit(
        &self,
        actor: &str,
        resource: &Resource,
        key: (&str, &str),
        change: impl FnOnce(&mut Value, Timestamp),
    ) {
        let now = self.now();
        let mut state = self.state.lock();
        let Some(object) = state.object(resource, key.0, key.1) else { return };
        let mut value = object.value.clone();
        change(&mut value, now);
        if value != object.value {
            state.tell(format!("{} {actor}: edits {} {}", self.time(), resource.kind, key.1));
            state.put(resource, value, actor, now);
        }
    }

    /// A node says that a pod has ended, for good.
    pub(crate) fn end(&self, actor: &str, key: (&str, &str)) {
        let body = serde_json::json!({"gracePeriodSeconds": 0});
        let path = (key.0, key.1, "");
        let call = Call::of_user(http::Method::DELETE, row("", "pods"), path, &body);
        // It is gone already if this fails.
        self.request(actor, &call).ok();
    }

    /// Reads.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.lock())
    }

    /// Notes something that is no request.
    pub(crate) fn note(&self, what: &str) {
        let line = format!("{} {what}", self.time());
        self.state.lock().tell(line);
    }

    /// Nobody knows whether this request of a component was done: what it told is not to be held
    /// against it.
    pub(crate) fn unknown(&self, call: &Call) {
        self.state.lock().laws.unknown(call);
    }

    /// How many requests these have made that may change something.
    pub(crate) fn writes(&self, actors: &[&str]) -> usize {
        let state = self.state.lock();
        actors.iter().filter_map(|actor| state.writes.get(*actor)).sum()
    }

    /// Who tells of every change of a kind.
    pub(crate) fn changes(&self, resource: &Resource) -> Arc<Notify> {
        self.state.lock().kind(resource).heard.clone()
    }

    /// The log, and the law that was broken.
    pub(crate) fn take(&self) -> (Vec<String>, Option<String>) {
        let mut state = self.state.lock();
        (std::mem::take(&mut state.log), state.broken.take())
    }

    /// Says that the cluster is not as it should be in the end.
    pub(crate) fn accuse(&self, what: String) {
        let line = format!("{} the end", self.time());
        let mut state = self.state.lock();
        state.tell(line);
        state.accuse(what);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn time(&self) -> String {
        format!("{:10.3}", self.began.elapsed().as_secs_f64())
    }
}

impl State {
    /// The law that was broken first.
    pub(crate) fn broken(&self) -> Option<&String> {
        self.broken.as_ref()
    }

    /// One object.
    pub(crate) fn object(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Object>> {
        let kind = self.kinds.get(&resource.stored_as)?;
        kind.objects.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects of a kind, to be kept.
    pub(crate) fn objects(&self, resource: &Resource) -> impl Iterator<Item = &Arc<Object>> {
        self.kinds.get(&resource.stored_as).into_iter().flat_map(|kind| kind.objects.values())
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, resource: &Resource) -> impl Iterator<Item = &Value> {
        self.objects(resource).map(|object| &object.value)
    }

    /// All objects.
    pub(crate) fn everything(&self) -> impl Iterator<Item = &Value> {
        self.kinds.values().flat_map(|kind| kind.objects.values()).map(|object| &object.value)
    }

    fn kind(&mut self, resource: &Resource) -> &mut Kind {
        self.kinds.entry(resource.stored_as.clone()).or_insert_with(|| Kind {
            objects: BTreeMap::new(),
            changes: Vec::new(),
            heard: Arc::default(),
        })
    }

    /// Writes an object.
    fn put(
        &mut self,
        resource: &Resource,
        value: Value,
        actor: &str,
        now: Timestamp,
    ) -> Arc<Object> {
        self.commit(resource, value, false, actor, now)
    }

    /// Takes an object away; `value` is its last state.
    fn remove(
        &mut self,
        resource: &Resource,
        value: Value,
        actor: &str,
        now: Timestamp,
    ) -> Arc<Object> {
        self.commit(resource, value, true, actor, now)
    }

    fn commit(
        &mut self,
        resource: &Resource,
        mut value: Value,
        gone: bool,
        actor: &str,
        at: Timestamp,
    ) -> Arc<Object> {
        self.revision += 1;
        let revision = self.revision;
        value["metadata"]["resourceVersion"] = revision.to_string().into();
        let bytes = Bytes::from(value.to_string());
        let key = key(&value);
        let now = Arc::new(Object { value, revision, bytes });
        let kind = self.kind(resource);
        let before =
            if gone { kind.objects.remove(&key) } else { kind.objects.insert(key, now.clone()) };
        let earlier = before.clone();
        kind.changes.push(Change { before, now: now.clone(), gone });
        // In the order in which they began to wait, unlike the receivers of a `watch`.
        kind.heard.notify_waiters();

        let mut laws = std::mem::take(&mut self.laws);
        let event = crate::laws::Event {
            resource,
            before: earlier.as_ref().map(|object| &object.value),
            now: Some(&now.value).filter(|_| !gone),
            actor,
            at,
        };
        if let Err(broken) = laws.judge(self, &event) {
            self.accuse(format!("{broken} (revision {revision})"));
        }
        self.laws = laws;
        now
    }

    /// Says that a law is broken.
    fn accuse(&mut self, what: String) {
        self.tell(format!("BROKEN {what}"));
        self.broken.get_or_insert(what);
    }

    /// Adds a line to the log.
    fn tell(&mut self, line: String) {
        tracing::debug!("{line}");
        self.log.push(line);
    }

    /// A UUID, as the seed wants it.
    fn uid(&mut self) -> String {
        let (high, low) = (self.random.next(), self.random.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            low >> 52,
            low & 0xffff_ffff_ffff
        )
    }
}

/// A built-in row, of the version in which its objects are stored.
pub(crate) fn row(group: &str, plural: &str) -> &'static Arc<Resource> {
    let version = if group == "autoscaling" { "v2" } else { "v1" };
    resources::by_path(group, version, plural).expect("a row of the built-in table")
}

fn key(value: &Value) -> Key {
    let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

//! What the server counts, and `/metrics`, which shows it in the Prometheus text format under the names
//! of kube-apiserver (<https://kubernetes.io/docs/reference/instrumentation/metrics/>).
//!
//! | metric | what |
//! |---|---|
//! | `apiserver_request_total` | requests by verb, resource, scope and code |
//! | `apiserver_request_duration_seconds` | how long they took; of a watch, how long it lived |
//! | `apiserver_current_inflight_requests` | what is being answered now |
//! | `apiserver_longrunning_requests` | watches and other streams that are open |
//! | `apiserver_watch_events_total` | events and bookmarks sent |
//! | `apiserver_resource_objects`, `apiserver_storage_objects` | objects there are |
//! | `process_*`, `kubernetes_build_info` | the process and its version |
//!
//! Requests are counted once it is known what they are about: not those of nobody, of users without
//! the right, or for what is not there, so that no client can make up series. A request costs one
//! look-up without a lock or an allocation ([`series`]).

mod process;
mod series;
mod text;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

pub(crate) use series::Labels;
use series::{BOUNDS, CODES, Series, Table};
use text::Page;

use crate::cacher::Cacher;
use crate::context::Context;
use crate::response::{self, Answer};

/// All counters of a server.
#[derive(Default)]
pub(crate) struct Telemetry {
    requests: Table,
    /// Requests being answered: those that change nothing, those that do.
    in_flight: [AtomicI64; 2],
}

/// The names of the two kinds of [`Telemetry::in_flight`].
const KINDS: [&str; 2] = ["readOnly", "mutating"];

impl Telemetry {
    /// Counts a request that is being answered, until the guard is dropped.
    pub(crate) fn enter(&self, method: &Method) -> InFlight<'_> {
        let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let count = &self.in_flight[usize::from(changes)];
        count.fetch_add(1, Ordering::Relaxed);
        InFlight(count)
    }

    /// Measures a request about something known; `None` if there is no room for another series.
    /// `long`: whether it is a stream that may live as long as its client.
    pub(crate) fn measure(
        self: &Arc<Self>,
        labels: &Labels<'_>,
        started: Instant,
        long: bool,
    ) -> Option<Measured> {
        let slot = self.requests.slot(labels)?;
        if long {
            self.requests.at(slot).open.fetch_add(1, Ordering::Relaxed);
        }
        Some(Measured { telemetry: self.clone(), slot, started, long, code: None })
    }
}

/// A request that is being answered.
pub(crate) struct InFlight<'a>(&'a AtomicI64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that is being measured. It is over when this is dropped.
pub(crate) struct Measured {
    telemetry: Arc<Telemetry>,
    slot: usize,
    started: Instant,
    long: bool,
    code: Option<StatusCode>,
}

impl Measured {
    /// Says how the request was answered.
    pub(crate) fn answered(&mut self, code: StatusCode) {
        self.code = Some(code);
    }

    /// Whether it goes on while the body of the answer is sent.
    pub(crate) fn is_long(&self) -> bool {
        self.long
    }

    /// Counts events that were sent.
    pub(crate) fn sent(&self, events: u64) {
        self.series().events.fetch_add(events, Ordering::Relaxed);
    }

    fn series(&self) -> &Series {
        self.telemetry.requests.at(self.slot)
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let unanswered = || {
            if std::thread::panicking() {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                // Out of time, or the client is gone.
                StatusCode::GATEWAY_TIMEOUT
            }
        };
        let code = self.code.unwrap_or_else(unanswered);
        self.series().observe(code.as_u16(), self.started.elapsed());
        if self.long {
            self.series().open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Measured").field("code", &self.code).finish_non_exhaustive()
    }
}

/// Answers `/metrics`.
pub(crate) fn answer(context: &Context) -> Answer {
    let mut page = Page::default();
    requests(&mut page, &context.telemetry);
    objects(&mut page, context);
    build(&mut page);
    process::show(&mut page);
    let mut answer = response::text(StatusCode::OK, page.into_text());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

fn requests(page: &mut Page, telemetry: &Telemetry) {
    let series = telemetry.requests.sorted();
    page.gauge(
        "apiserver_current_inflight_requests",
        "Number of requests being answered, by request kind.",
    );
    for (kind, count) in KINDS.into_iter().zip(&telemetry.in_flight) {
        let count = count.load(Ordering::Relaxed);
        page.sample("apiserver_current_inflight_requests", &[("request_kind", kind)], count);
    }
    page.gauge(
        "apiserver_longrunning_requests",
        "Number of open streams, by verb, group, version, resource, scope and component.",
    );
    for series in &series {
        let open = series.open.load(Ordering::Relaxed);
        if open > 0 {
            // Every label but the dry run, which no stream is.
            let labels = series.labels();
            let labels: Vec<_> =
                labels.into_iter().filter(|(name, _)| *name != "dry_run").collect();
            page.sample("apiserver_longrunning_requests", &labels, open);
        }
    }
    page.histogram(
        "apiserver_request_duration_seconds",
        "Response latency in seconds, by verb, dry run, group, version, resource, scope and component.",
    );
    for series in &series {
        let (counts, seconds) = series.durations();
        page.buckets(
            "apiserver_request_duration_seconds",
            &series.labels(),
            &BOUNDS,
            &counts,
            seconds,
        );
    }
    page.counter(
        "apiserver_request_total",
        "Number of requests, by verb, dry run, group, version, resource, scope, component and code.",
    );
    for series in &series {
        for (code, count) in CODES.iter().zip(&series.codes) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                let code = code.to_string();
                let mut labels = series.labels().to_vec();
                labels.push(("code", &code));
                page.sample("apiserver_request_total", &labels, count);
            }
        }
    }
    page.counter("apiserver_watch_events_total", "Number of events sent to watchers, by resource.");
    // Watches of the same resource in another scope come right after each other.
    let mut sums: Vec<([(&str, &str); 3], u64)> = Vec::new();
    for series in &series {
        let events = series.events.load(Ordering::Relaxed);
        let labels = series.resource();
        match sums.iter_mut().find(|(have, _)| *have == labels) {
            _ if events == 0 => {}
            Some((_, sum)) => *sum += events,
            None => sums.push((labels, events)),
        }
    }
    for (labels, events) in sums {
        page.sample("apiserver_watch_events_total", &labels, events);
    }
}

/// How many objects there are of what is stored under a name of its own.
fn objects(page: &mut Page, context: &Context) {
    // Versions of the same objects are stored once.
    let count =
        |cache: &Arc<Cacher>| (cache.resource().stored_as.clone(), cache.now().objects.len());
    let custom = context.custom.all_caches();
    let mut counts: Vec<_> = context.caches.iter().chain(&custom).map(count).collect();
    counts.sort_by(|(a, _), (b, _)| (&a.group, &a.resource).cmp(&(&b.group, &b.resource)));
    counts.dedup_by(|(a, _), (b, _)| a == b);
    page.gauge("apiserver_resource_objects", "Number of objects, by group and resource.");
    for (resource, count) in &counts {
        let labels = [("group", &*resource.group), ("resource", &*resource.resource)];
        page.sample("apiserver_resource_objects", &labels, count);
    }
    page.gauge(
        "apiserver_storage_objects",
        "Number of objects, by resource. The older name of apiserver_resource_objects.",
    );
    for (resource, count) in &counts {
        let resource = resource.to_string();
        page.sample("apiserver_storage_objects", &[("resource", &resource)], count);
    }
}

fn build(page: &mut Page) {
    let version = api::discovery::version();
    let text = |field: &str| version[field].as_str().unwrap_or_default();
    page.gauge(
        "kubernetes_build_info",
        "The version this server speaks, and what it was built for.",
    );
    let labels = [
        ("git_version", text("gitVersion")),
        ("major", text("major")),
        ("minor", text("minor")),
        ("platform", text("platform")),
    ];
    page.sample("kubernetes_build_info", &labels, 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(verb: &'static str) -> Labels<'static> {
        Labels {
            verb,
            dry_run: false,
            group: "apps",
            version: "v1",
            resource: "deployments",
            subresource: "",
            scope: "namespace",
        }
    }

    fn shown(telemetry: &Telemetry) -> Vec<String> {
        let mut page = Page::default();
        requests(&mut page, telemetry);
        page.into_text().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_request_is_counted_when_it_is_over() {
        let telemetry = Arc::new(Telemetry::default());
        let started = Instant::now();
        let mut request = telemetry.measure(&labels("LIST"), started, false).expect("room");
        request.answered(StatusCode::OK);
        let total = "apiserver_request_total{verb=\"LIST\",dry_run=\"\",group=\"apps\",\
                     version=\"v1\",resource=\"deployments\",subresource=\"\",\
                     scope=\"namespace\",component=\"apiserver\",code=\"200\"} 1";
        assert!(!shown(&telemetry).contains(&total.to_owned()));
        drop(request);
        assert!(shown(&telemetry).contains(&total.to_owned()), "{:#?}", shown(&telemetry));
        drop(telemetry.measure(&labels("LIST"), started, false));
        let late = total.replace("200", "504");
        assert!(shown(&telemetry).contains(&late), "{:#?}", shown(&telemetry));
    }

    #[test]
    fn streams_are_open_until_they_end() {
        let telemetry = Arc::new(Telemetry::default());
        let open = "apiserver_longrunning_requests{verb=\"WATCH\",group=\"apps\",version=\"v1\",\
                    resource=\"deployments\",subresource=\"\",scope=\"namespace\",\
                    component=\"apiserver\"} 1";
        let watch = telemetry.measure(&labels("WATCH"), Instant::now(), true).expect("room");
        watch.sent(3);
        assert!(shown(&telemetry).contains(&open.to_owned()), "{:#?}", shown(&telemetry));
        drop(watch);
        let after = shown(&telemetry);
        assert!(!after.iter().any(|line| line.starts_with("apiserver_longrunning_requests{")));
        let sent = "apiserver_watch_events_total{group=\"apps\",version=\"v1\",\
                    resource=\"deployments\"} 3";
        assert!(after.contains(&sent.to_owned()), "{after:#?}");
    }

    #[test]
    fn what_is_in_flight_is_of_two_kinds() {
        let telemetry = Telemetry::default();
        let reads = [telemetry.enter(&Method::GET), telemetry.enter(&Method::HEAD)];
        let write = telemetry.enter(&Method::PATCH);
        let line = |kind: &str, count: u32| {
            format!("apiserver_current_inflight_requests{{request_kind=\"{kind}\"}} {count}")
        };
        let now = shown(&telemetry);
        assert!(now.contains(&line("readOnly", 2)) && now.contains(&line("mutating", 1)));
        drop((reads, write));
        assert!(shown(&telemetry).contains(&line("readOnly", 0)));
    }
}

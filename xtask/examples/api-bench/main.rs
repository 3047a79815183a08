//! The API server's figures, and a plain etcd's with the same bytes: `cargo xtask bench api`.
//!
//! The server is `wctl dev` (`$WHARF_WCTL`) as users run it, controllers and all, on pods that no
//! scheduler and no node takes up. The load comes from this process, over TLS and HTTP/1.1 with a client
//! certificate, and competes for the same cores. The peer is one etcd over gRPC without TLS, which
//! neither decodes, defaults, authorizes nor validates what it stores. The servers run one after the
//! other, each measurement once. Names of parts as arguments (`start`, `creates`, `reads`, `watches`,
//! `postgres`, `large`) run only those, without the peer.
//!
//! | file | what |
//! |---|---|
//! | `server` | starting `wctl dev`, its memory and processor time |
//! | `wharf`, `etcd` | what is measured of each |
//! | `load`, `delivery` | closed-loop rates; create to watch event |
//! | `client`, `grpc` | the connections |
#![allow(clippy::print_stdout, reason = "its output is its purpose")]

mod client;
mod delivery;
mod etcd;
mod grpc;
mod load;
mod report;
mod server;
mod wharf;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use delivery::Delivery;
use etcd::Etcd;
use load::Load;
use server::Server;

/// How long each rate is measured.
const TIME: Duration = Duration::from_secs(4);
/// Connections that create.
const CONNECTIONS: [usize; 3] = [1, 8, 32];
/// Connections that get.
const MANY: usize = 32;
/// Connections that list.
const LISTERS: usize = 4;
/// Pods in the namespace that is read.
const PODS: u64 = 5_000;
/// Pods of the large cluster.
const LARGE: u64 = 50_000;
/// The namespace that is read.
const READ: &str = "read";
/// Watchers that get each event.
const WATCHERS: [usize; 3] = [1, 100, 1000];
/// Starts on a new data folder.
const STARTS: usize = 5;
/// How long a server has been idle when its memory is read.
const IDLE: Duration = Duration::from_secs(5);

/// What `wctl dev` and etcd both do.
struct Figures {
    creates: Vec<Load>,
    gets: Load,
    lists: Load,
    deliveries: Vec<Delivery>,
}

/// What only `wctl dev` is asked for.
struct Start {
    ready: Duration,
    idle: f64,
}

/// The cluster with [`LARGE`] pods.
struct Large {
    resident: f64,
    creates: Load,
    /// The server's processor time per create.
    create: Duration,
    gets: Load,
    lists: Load,
}

fn main() -> Result<()> {
    // A thousand watchers are a thousand connections.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let wctl = std::env::var_os("WHARF_WCTL").map(PathBuf::from);
    let wctl = wctl.context("$WHARF_WCTL names no wctl; run `cargo xtask bench api`")?;
    let parts: Vec<String> = std::env::args().skip(1).collect();
    if !parts.is_empty() {
        return parts.iter().try_for_each(|part| alone(&wctl, part));
    }

    say("start");
    let start = start(&wctl)?;
    say("SQLite");
    let (sqlite, events, stored) = sqlite(&wctl)?;
    say("PostgreSQL");
    let postgres = postgres(&wctl)?;
    say("etcd");
    let etcd = etcd(stored.clone())?;
    say("50,000 pods");
    let large = large(&wctl)?;
    print(&start, &sqlite, &events, postgres.as_deref(), &etcd, &large);
    println!("\nA stored pod has {} bytes.", stored.len());
    Ok(())
}

/// Runs one part and prints it as it is measured.
fn alone(wctl: &Path, part: &str) -> Result<()> {
    report::head();
    match part {
        "start" => print_start(&start(wctl)?),
        "creates" => print_creates(&wharf::creates(&Server::start(wctl, None)?)?, None, None),
        "postgres" => {
            if let Some(loads) = postgres(wctl)? {
                print_creates(&loads, None, None);
            }
        }
        "reads" => {
            let server = Server::start(wctl, None)?;
            wharf::fill(&server, READ, PODS)?;
            print_reads(
                &wharf::gets(&server, READ, PODS)?,
                &wharf::lists(&server, READ, PODS)?,
                None,
            );
        }
        "watches" => {
            let server = Server::start(wctl, None)?;
            let (deliveries, events): (Vec<_>, Vec<_>) =
                wharf::deliveries(&server)?.into_iter().unzip();
            print_watches(&deliveries, &events, None);
        }
        "large" => print_large(&large(wctl)?),
        _ => anyhow::bail!(
            "no part {part:?}; there are start, creates, reads, watches, postgres and large"
        ),
    }
    Ok(())
}

fn start(wctl: &Path) -> Result<Start> {
    let mut ready = Vec::new();
    for _ in 0..STARTS {
        ready.push(Server::start(wctl, None)?.ready);
    }
    ready.sort();
    let server = Server::start(wctl, None)?;
    Ok(Start { ready: ready[STARTS / 2], idle: resident_when_idle(&server)? })
}

fn sqlite(wctl: &Path) -> Result<(Figures, Vec<Duration>, Vec<u8>)> {
    let server = Server::start(wctl, None)?;
    let creates = wharf::creates(&server)?;
    wharf::fill(&server, READ, PODS)?;
    let gets = wharf::gets(&server, READ, PODS)?;
    let lists = wharf::lists(&server, READ, PODS)?;
    let (deliveries, events) = wharf::deliveries(&server)?.into_iter().unzip();
    let stored = wharf::stored(&server)?;
    Ok((Figures { creates, gets, lists, deliveries }, events, stored))
}

/// Only the creates: reads come from the same memory on either engine.
fn postgres(wctl: &Path) -> Result<Option<Vec<Load>>> {
    if let Err(reason) = tests::program::postgres_folder() {
        println!("    left out: {reason}");
        return Ok(None);
    }
    let url = tests::postgres::database()?;
    wharf::creates(&Server::start(wctl, Some(&url))?).map(Some)
}

fn etcd(value: Vec<u8>) -> Result<Figures> {
    let etcd = Etcd::start(value)?;
    let creates = etcd.creates()?;
    etcd.fill()?;
    let (gets, lists) = (etcd.gets()?, etcd.lists()?);
    Ok(Figures { creates, gets, lists, deliveries: etcd.deliveries()? })
}

fn large(wctl: &Path) -> Result<Large> {
    let server = Server::start(wctl, None)?;
    let before = server.processor_time()?;
    let creates = wharf::fill(&server, READ, LARGE)?;
    let create = (server.processor_time()? - before) / u32::try_from(LARGE)?;
    let resident = resident_when_idle(&server)?;
    let gets = wharf::gets(&server, READ, LARGE)?;
    let lists = wharf::lists(&server, READ, LARGE)?;
    Ok(Large { resident, creates, create, gets, lists })
}

fn resident_when_idle(server: &Server) -> Result<f64> {
    let begin = std::time::Instant::now();
    while let Some(rest) = IDLE.checked_sub(begin.elapsed()) {
        std::thread::park_timeout(rest);
    }
    server.resident()
}

fn print(
    start: &Start,
    sqlite: &Figures,
    events: &[Duration],
    postgres: Option<&[Load]>,
    etcd: &Figures,
    large: &Large,
) {
    report::head();
    print_creates(&sqlite.creates, postgres, Some(&etcd.creates));
    print_reads(&sqlite.gets, &sqlite.lists, Some(etcd));
    print_watches(&sqlite.deliveries, events, Some(&etcd.deliveries));
    print_large(large);
    print_start(start);
}

fn print_creates(loads: &[Load], postgres: Option<&[Load]>, etcd: Option<&[Load]>) {
    for (index, (connections, bar)) in
        CONNECTIONS.iter().zip(["1,000/s", "4,000/s", "6,000/s; PostgreSQL 3,000/s"]).enumerate()
    {
        let what = format!("durable creates, connections: {connections}");
        let of = |loads: Option<&'_ [Load]>| loads.map(|loads| loads[index]);
        report::rates(&what, bar, &loads[index], of(postgres).as_ref(), of(etcd).as_ref());
    }
}

fn print_reads(gets: &Load, lists: &Load, etcd: Option<&Figures>) {
    let what = format!("gets among 5,000 pods, {MANY} connections");
    report::rates(&what, "20,000/s", gets, None, etcd.map(|etcd| &etcd.gets));
    let what = format!("full lists of 5,000 pods, {LISTERS} connections");
    report::rates(&what, "60/s", lists, None, etcd.map(|etcd| &etcd.lists));
}

fn print_watches(deliveries: &[Delivery], events: &[Duration], etcd: Option<&[Delivery]>) {
    for (index, (watchers, bar)) in WATCHERS.iter().zip(["", "", "p99 < 50 ms"]).enumerate() {
        let wharf = deliveries[index];
        let cell = |of: Delivery| report::percentiles(of.p50, of.p99);
        let what = format!("create to watch event at {}/s, watchers: {watchers}", delivery::RATE);
        let (etcd, ratio) = etcd.map_or_else(Default::default, |etcd| {
            let ratio = wharf.p50.as_secs_f64() / etcd[index].p50.as_secs_f64();
            (cell(etcd[index]), format!("{ratio:.2} (p50, less is better)"))
        });
        report::row(&what, bar, [cell(wharf), String::new(), etcd, ratio]);
    }
    for (watchers, time) in WATCHERS.iter().zip(events) {
        let what = format!("processor time per event, creates included, watchers: {watchers}");
        report::figure(&what, "", format!("{:.1} µs", time.as_secs_f64() * 1e6));
    }
}

fn print_large(large: &Large) {
    report::rates("creating 50,000 pods, 32 connections", "", &large.creates, None, None);
    let create = format!("{:.0} µs", large.create.as_secs_f64() * 1e6);
    report::figure("processor time per create", "", create);
    report::rates("gets among 50,000 pods, 32 connections", "", &large.gets, None, None);
    report::rates("full lists of 50,000 pods, 4 connections", "", &large.lists, None, None);
    report::figure("resident with 50,000 pods", "400 MiB", format!("{:.0} MiB", large.resident));
}

fn print_start(start: &Start) {
    report::figure("resident when idle", "40 MiB", format!("{:.1} MiB", start.idle));
    let ready = format!("{:.1} ms, median of {STARTS}", report::milliseconds(start.ready));
    report::figure("start until ready, new data folder", "300 ms", ready);
}

fn say(what: &str) {
    println!("==> {what}");
}

//! The peer: one etcd with its own defaults, the same bytes, no TLS.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tests::process::Guard;
use tests::program;

use crate::client::PATIENCE;
use crate::delivery::{self, Delivery, Watcher};
use crate::grpc::{Channel, field};
use crate::load::{self, Load, Until};
use crate::{CONNECTIONS, LISTERS, MANY, PODS, TIME, WATCHERS};

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// A running etcd; killed when dropped.
pub(crate) struct Etcd {
    _process: Guard,
    port: u16,
    value: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl Etcd {
    /// Starts etcd; every value will be `value`.
    pub(crate) fn start(value: Vec<u8>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("wharf-api-bench-").tempdir()?;
        let (port, peers) = (free_port()?, free_port()?);
        let (clients, peers) =
            (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
        let mut command = Command::new(program::find("etcd").context("etcd-server is missing")?);
        command.arg("--data-dir").arg(folder.path().join("data")).args([
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            "--logger=zap".to_owned(),
            "--log-level=error".to_owned(),
        ]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Guard::spawn(&mut command)?;
        let etcd = Self { _process: process, port, value, _folder: folder };
        let end = Instant::now() + PATIENCE;
        while let Err(error) = etcd.channel().and_then(|mut channel| etcd.put(&mut channel, "/r")) {
            ensure!(Instant::now() < end, "etcd is not ready after {PATIENCE:?}: {error:#}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(etcd)
    }

    /// Puts per second with each number of connections.
    pub(crate) fn creates(&self) -> Result<Vec<Load>> {
        let measure = |connections: &usize| {
            load::run(&mut self.channels(*connections)?, Until::Time(TIME), |channel, number| {
                self.put(channel, &format!("/c{connections}/{number}"))
            })
        };
        CONNECTIONS.iter().map(measure).collect()
    }

    /// Puts the keys that are read then.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut channels = self.channels(MANY)?;
        let put = |channel: &mut Channel, number| self.put(channel, &format!("/p/{number}"));
        load::run(&mut channels, Until::Count(PODS), put).map(drop)
    }

    /// Linearizable reads of single keys.
    pub(crate) fn gets(&self) -> Result<Load> {
        load::run(&mut self.channels(MANY)?, Until::Time(TIME), |channel, number| {
            let key = format!("/p/{}", number * 7919 % PODS);
            let answer = channel.call(RANGE, &field(1, key.as_bytes()))?;
            ensure!(answer.len() > self.value.len(), "etcd has no {key}");
            Ok(())
        })
    }

    /// Linearizable reads of all keys.
    pub(crate) fn lists(&self) -> Result<Load> {
        // "0" comes after "/": the range is every key with the prefix.
        let range = [field(1, b"/p/"), field(2, b"/p0")].concat();
        load::run(&mut self.channels(LISTERS)?, Until::Time(TIME), |channel, _| {
            let answer = channel.call(RANGE, &range)?;
            ensure!(answer.len() > self.value.len() * PODS as usize, "etcd lost keys");
            Ok(())
        })
    }

    /// Put to watch event with each number of watchers.
    pub(crate) fn deliveries(&self) -> Result<Vec<Delivery>> {
        let measure = |watchers: usize| {
            let prefix = format!("/w{watchers}/");
            let watching: Result<Vec<Watcher>> =
                (0..watchers).map(|_| self.watcher(&prefix)).collect();
            let mut channel = self.channel()?;
            delivery::measure(watching?, delivery::COUNT, |number| {
                self.put(&mut channel, &format!("{prefix}{number}"))
            })
        };
        WATCHERS.into_iter().map(measure).collect()
    }

    fn watcher(&self, prefix: &str) -> Result<Watcher> {
        let after = prefix.trim_end_matches('/').to_owned() + "0";
        let create = [field(1, prefix.as_bytes()), field(2, after.as_bytes())].concat();
        let (mut channel, mut body) = (self.channel()?, Vec::new());
        channel.open(WATCH, &field(1, &create))?;
        channel.message(&mut body).context("etcd refuses a watch")?;
        let prefix = prefix.as_bytes().to_vec();
        Ok(Box::new(move |found| {
            found.extend(delivery::numbers(&channel.message(&mut body)?, &prefix));
            Ok(())
        }))
    }

    fn put(&self, channel: &mut Channel, key: &str) -> Result<()> {
        channel.call(PUT, &[field(1, key.as_bytes()), field(2, &self.value)].concat()).map(drop)
    }

    fn channel(&self) -> Result<Channel> {
        Channel::connect(self.port)
    }

    fn channels(&self, number: usize) -> Result<Vec<Channel>> {
        (0..number).map(|_| self.channel()).collect()
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

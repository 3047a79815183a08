//! What is measured of a running `wctl dev`.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::client::{Connection, Endpoint};
use crate::delivery::{self, Delivery, Watcher};
use crate::load::{self, Load, Until};
use crate::server::{Server, create};
use crate::{CONNECTIONS, LISTERS, MANY, READ, TIME, WATCHERS};

/// Creates per second with each number of connections.
pub(crate) fn creates(server: &Server) -> Result<Vec<Load>> {
    server.endpoint.namespace("creates")?;
    CONNECTIONS
        .iter()
        .map(|number| {
            let prefix = format!("c{number}");
            let mut clients = server.endpoint.connections(*number)?;
            load::run(&mut clients, Until::Time(TIME), |client, number| {
                create(client, "creates", &prefix, number)
            })
        })
        .collect()
}

/// Fills `namespace` with the pods `p-0` to `p-COUNT`.
pub(crate) fn fill(server: &Server, namespace: &str, count: u64) -> Result<Load> {
    server.endpoint.namespace(namespace)?;
    let mut clients = server.endpoint.connections(MANY)?;
    load::run(&mut clients, Until::Count(count), |client, number| {
        create(client, namespace, "p", number)
    })
}

/// Gets of single pods, one after the other of `count`.
pub(crate) fn gets(server: &Server, namespace: &str, count: u64) -> Result<Load> {
    let mut clients = buffered(&server.endpoint, MANY)?;
    load::run(&mut clients, Until::Time(TIME), |(client, body), number| {
        let path = format!("/api/v1/namespaces/{namespace}/pods/p-{}", number * 7919 % count);
        client.expect("GET", &path, "", body)
    })
}

/// Full lists of a namespace's pods.
pub(crate) fn lists(server: &Server, namespace: &str, count: u64) -> Result<Load> {
    let mut clients = buffered(&server.endpoint, LISTERS)?;
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let load = load::run(&mut clients, Until::Time(TIME), |(client, body), _| {
        client.expect("GET", &path, "", body)
    })?;
    let listed = delivery::numbers(&clients[0].1, br#""name":"p-"#).len() as u64;
    ensure!(listed == count, "a list has {listed} of {count} pods");
    Ok(load)
}

/// The stored form of a pod, as a get answers it.
pub(crate) fn stored(server: &Server) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    let path = format!("/api/v1/namespaces/{READ}/pods/p-0");
    server.endpoint.connect()?.expect("GET", &path, "", &mut body)?;
    Ok(body)
}

/// Create to watch event with each number of watchers, and the server's processor time per event.
pub(crate) fn deliveries(server: &Server) -> Result<Vec<(Delivery, Duration)>> {
    let mut all = Vec::new();
    for watchers in WATCHERS {
        let namespace = format!("watch{watchers}");
        server.endpoint.namespace(&namespace)?;
        let path = format!("/api/v1/namespaces/{namespace}/pods?watch=true");
        let watching: Result<Vec<Watcher>> =
            (0..watchers).map(|_| watcher(server.endpoint.connect()?, &path)).collect();
        let mut client = server.endpoint.connect()?;
        let before = server.processor_time()?;
        let delivery = delivery::measure(watching?, delivery::COUNT, |number| {
            create(&mut client, &namespace, "w", number)
        })?;
        let used = server.processor_time()? - before;
        all.push((delivery, used / (watchers * delivery::COUNT) as u32));
    }
    Ok(all)
}

fn watcher(mut client: Connection, path: &str) -> Result<Watcher> {
    client.watch(path)?;
    let mut body = Vec::new();
    Ok(Box::new(move |found| {
        ensure!(client.chunk(&mut body)?, "the server ended a watch");
        while let Some(end) = body.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = body.drain(..=end).collect();
            ensure!(line.starts_with(br#"{"type":"ADDED""#), "{}", String::from_utf8_lossy(&line));
            found.extend(delivery::numbers(&line, br#""name":"w-"#).first());
        }
        Ok(())
    }))
}

fn buffered(endpoint: &Endpoint, number: usize) -> Result<Vec<(Connection, Vec<u8>)>> {
    let clients = endpoint.connections(number)?;
    Ok(clients.into_iter().map(|client| (client, Vec::new())).collect())
}

//! The harness itself: its servers are real and answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use tests::{postgres, program, registry::Registry};

#[test]
fn each_call_gives_an_empty_database_of_a_durable_postgres() {
    let (first, second) = (postgres::database().unwrap(), postgres::database().unwrap());
    assert_ne!(first, second);
    let psql = program::find("psql").unwrap();
    let ask = |sql: &str| {
        let output = Command::new(&psql).args([&first, "-Atc", sql]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(ask("select count(*) from pg_tables where schemaname = 'public'"), "0");
    assert_eq!(ask("show fsync"), "on");
    assert_eq!(ask("show synchronous_commit"), "on");
}

#[test]
fn a_registry_answers_and_is_gone_when_dropped() {
    let registry = Registry::start().unwrap();
    let host = registry.host();
    let mut stream = TcpStream::connect(&host).unwrap();
    write!(stream, "GET /v2/ HTTP/1.0\r\nHost: {host}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    drop(registry);
    assert!(TcpStream::connect(&host).is_err(), "the registry outlived its guard");
}

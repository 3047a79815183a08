//! The least HTTP client that can ask a Service.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// GETs `path` from `address` on a connection of its own; the body of a 200 answer.
pub(crate) fn get(address: &str, path: &str) -> Result<String> {
    let mut stream =
        TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("read from {address}"))?;
    let (head, body) =
        answer.split_once("\r\n\r\n").context("an answer without an end of headers")?;
    ensure!(
        head.starts_with("HTTP/1.1 200 "),
        "{address}{path}: {}",
        head.lines().next().unwrap_or("")
    );
    Ok(body.to_owned())
}

//! The two requests of a push, over a plain socket: nothing between the test and the registry.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

/// Uploads a blob in one piece.
pub(super) fn blob(registry: &str, repository: &str, digest: &str, bytes: &[u8]) -> Result<()> {
    let start = request(registry, "POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"")?;
    ensure!(start.starts_with("HTTP/1.1 202"), "upload refused: {start}");
    let location = start
        .lines()
        .find_map(|line| line.strip_prefix("Location: "))
        .context("no Location in the registry's answer")?;
    let path = location.trim_start_matches("http://").trim_start_matches(registry);
    let joint = if path.contains('?') { '&' } else { '?' };
    let put = format!("{path}{joint}digest={digest}");
    let done = request(registry, "PUT", &put, "application/octet-stream", bytes)?;
    ensure!(done.starts_with("HTTP/1.1 201"), "blob refused: {done}");
    Ok(())
}

/// Uploads a manifest under a tag or digest.
pub(super) fn manifest(
    registry: &str,
    repository: &str,
    name: &str,
    media_type: &str,
    bytes: &[u8],
) -> Result<()> {
    let path = format!("/v2/{repository}/manifests/{name}");
    let done = request(registry, "PUT", &path, media_type, bytes)?;
    ensure!(done.starts_with("HTTP/1.1 201"), "manifest refused: {done}");
    Ok(())
}

fn request(host: &str, method: &str, path: &str, media: &str, body: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

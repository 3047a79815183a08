//! A registry that misbehaves as told. Only for what a real one cannot be made to do.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tests::images::Layout;

/// A request's first line and the headers that matter here.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) range: Option<u64>,
    pub(crate) authorization: Option<String>,
}

/// What to answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// Close the connection after this many bytes of the body.
    pub(crate) cut: Option<usize>,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }
}

type Script = dyn FnMut(&Asked, Answer) -> Answer + Send;

/// Serves one image of a layout as `image`; the script may change every answer.
pub(crate) struct Scripted {
    address: String,
    stopped: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Asked>>>,
    server: Option<JoinHandle<()>>,
}

impl Scripted {
    pub(crate) fn start(
        layout: &Layout,
        tag: &str,
        script: impl FnMut(&Asked, Answer) -> Answer + Send + 'static,
    ) -> Self {
        let mut content = HashMap::new();
        let digest = layout.digest(tag).unwrap();
        let manifest = layout.blob(&digest).unwrap();
        content.insert(format!("/v2/image/manifests/{digest}"), manifest.clone());
        content.insert("/v2/image/manifests/latest".to_owned(), manifest);
        let manifest = layout.manifest(tag).unwrap();
        for blob in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
            let digest = blob["digest"].as_str().unwrap();
            content.insert(format!("/v2/image/blobs/{digest}"), layout.blob(digest).unwrap());
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stopped, requests) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (stop, seen) = (stopped.clone(), Arc::clone(&requests));
        let server = std::thread::spawn(move || serve(&listener, &content, &stop, &seen, script));
        Self { address, stopped, requests, server: Some(server) }
    }

    pub(crate) fn reference(&self) -> String {
        format!("{}/image", self.address)
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Requests whose path contains `part`.
    pub(crate) fn asked(&self, part: &str) -> Vec<Asked> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|asked| asked.path.contains(part)).cloned().collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the accept; refused means that it has ended.
        let _ = TcpStream::connect(&self.address);
        let ended = self.server.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || !matches!(ended, Some(Err(_))), "the script failed");
    }
}

fn serve(
    listener: &TcpListener,
    content: &HashMap<String, Vec<u8>>,
    stopped: &AtomicBool,
    requests: &Mutex<Vec<Asked>>,
    mut script: impl FnMut(&Asked, Answer) -> Answer + Send + 'static,
) {
    let script: &mut Script = &mut script;
    for stream in listener.incoming() {
        if stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut stream) = stream else { continue };
        let Some(asked) = read(&stream) else { continue };
        requests.lock().unwrap().push(asked.clone());
        let usual = match content.get(asked.path.split('?').next().unwrap_or_default()) {
            Some(body) => Answer { status: 200, body: body.clone(), ..Answer::default() },
            None => Answer::status(404),
        };
        // A client that has gone away is none of the script's business.
        let _ = write(&mut stream, &script(&asked, usual));
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut asked = Asked { path, range: None, authorization: None };
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            return Some(asked);
        }
        let (name, value) = line.split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                asked.range = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok();
            }
            "authorization" => asked.authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    None
}

fn write(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    let Answer { status, headers, body, cut } = answer;
    let mut head =
        format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for header in headers {
        head.push_str(&format!("{header}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body[..cut.unwrap_or(body.len())])
}

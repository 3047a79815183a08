//! One HTTP/1.1 connection with TLS and a client certificate, and nothing that costs processor time:
//! the load generator runs on the same cores as the server.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long a connection may say nothing. No bar: it only ends a benchmark that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where the API server is and who asks.
#[derive(Clone)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Endpoint {
    /// Reads what `wctl dev` writes: one cluster, credentials inline.
    pub(crate) fn from_kubeconfig(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("read kubeconfig {}", path.display()))?;
        let value = |key: &str| {
            let mut lines = text.lines();
            let found = lines.find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
            found.with_context(|| format!("kubeconfig {} has no {key}", path.display()))
        };
        let pem = |key: &str| -> Result<Vec<u8>> {
            STANDARD.decode(value(key)?).with_context(|| format!("decode the kubeconfig's {key}"))
        };
        let server = value("server")?.trim_matches('"');
        let address = server.strip_prefix("https://").context("the server's URL is not https")?;
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&pem("certificate-authority-data")?) {
            roots.add(authority?)?;
        }
        let certificates = pem("client-certificate-data")?;
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&certificates).collect();
        let key = PrivateKeyDer::from_pem_slice(&pem("client-key-data")?)?;
        let mut tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates?, key)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { address: address.parse()?, tls: Arc::new(tls) })
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> Result<Connection> {
        let socket = TcpStream::connect(self.address)
            .with_context(|| format!("connect to {}", self.address))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::from(self.address.ip());
        let session = ClientConnection::new(self.tls.clone(), name)?;
        let stream = StreamOwned::new(session, socket);
        Ok(Connection { stream, host: self.address.to_string(), read: Vec::new(), at: 0 })
    }

    /// Opens `number` connections.
    pub(crate) fn connections(&self, number: usize) -> Result<Vec<Connection>> {
        (0..number).map(|_| self.connect()).collect()
    }

    /// Makes a namespace and waits for its service account: pods may come then.
    pub(crate) fn namespace(&self, name: &str) -> Result<()> {
        let mut client = self.connect()?;
        let mut body = Vec::new();
        let namespace =
            format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{name}"}}}}"#);
        client.expect("POST", "/api/v1/namespaces", &namespace, &mut body)?;
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        let end = Instant::now() + PATIENCE;
        while client.request("GET", &account, "", &mut body)? != 200 {
            ensure!(
                Instant::now() < end,
                "namespace {name} has no service account after {PATIENCE:?}"
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// A connection that stays open between requests.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    host: String,
    read: Vec<u8>,
    at: usize,
}

/// How an answer's body ends.
enum Framing {
    Length(usize),
    Chunked,
}

impl Connection {
    /// One request, the whole answer in `body`. Gives the status code.
    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        json: &str,
        body: &mut Vec<u8>,
    ) -> Result<u16> {
        self.send(method, path, json)?;
        body.clear();
        let (status, framing) = self.head()?;
        match framing {
            Framing::Length(length) => self.take(length, body)?,
            Framing::Chunked => while self.chunk(body)? {},
        }
        Ok(status)
    }

    /// One request that has to succeed.
    pub(crate) fn expect(
        &mut self,
        method: &str,
        path: &str,
        json: &str,
        body: &mut Vec<u8>,
    ) -> Result<()> {
        let status = self.request(method, path, json, body)?;
        ensure!(
            (200..300).contains(&status),
            "{method} {path} answered {status}: {}",
            String::from_utf8_lossy(body)
        );
        Ok(())
    }

    /// Starts a watch; its events come from [`Connection::chunk`].
    pub(crate) fn watch(&mut self, path: &str) -> Result<()> {
        self.send("GET", path, "")?;
        match self.head()? {
            (200, Framing::Chunked) => Ok(()),
            (status, _) => bail!("watch {path} answered {status}, or not in chunks"),
        }
    }

    fn send(&mut self, method: &str, path: &str, json: &str) -> Result<()> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             accept: application/json\r\ncontent-length: {}\r\n\r\n{json}",
            self.host,
            json.len()
        );
        self.stream.write_all(request.as_bytes()).context("send a request")?;
        self.stream.flush().context("send a request")
    }

    fn head(&mut self) -> Result<(u16, Framing)> {
        let line = self.line()?;
        let code = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = code.with_context(|| format!("no status line: {line}"))?;
        let mut framing = Framing::Length(0);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            let Some((name, value)) = line.split_once(':') else { break };
            match (name, value.trim()) {
                ("content-length", length) => framing = Framing::Length(length.parse()?),
                ("transfer-encoding", "chunked") => framing = Framing::Chunked,
                _ => {}
            }
        }
        Ok((status, framing))
    }

    /// Appends one chunk to `body`; `false` after the last.
    pub(crate) fn chunk(&mut self, body: &mut Vec<u8>) -> Result<bool> {
        let line = self.line()?;
        let length = usize::from_str_radix(&line, 16)
            .with_context(|| format!("no length of a chunk: {line}"))?;
        self.take(length, body)?;
        self.line()?;
        Ok(length > 0)
    }

    /// A line without its end.
    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.read[self.at..].iter().position(|byte| *byte == b'\n') {
                let line = &self.read[self.at..self.at + end];
                let line = String::from_utf8_lossy(line).trim_end().to_owned();
                self.at += end + 1;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    fn take(&mut self, mut length: usize, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let have = length.min(self.read.len() - self.at);
            body.extend_from_slice(&self.read[self.at..self.at + have]);
            self.at += have;
            length -= have;
            if length == 0 {
                return Ok(());
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<()> {
        self.read.drain(..self.at);
        self.at = 0;
        let mut part = [0; 16 * 1024];
        let length = loop {
            match self.stream.read(&mut part) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read.context("read an answer")?,
            }
        };
        ensure!(length > 0, "the server closed the connection");
        self.read.extend_from_slice(&part[..length]);
        Ok(())
    }
}

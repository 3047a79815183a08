//! A blob, streamed to a file and hashed on the way; resumed where a connection broke.

use std::path::Path;
use std::sync::Arc;

use http::header::CONTENT_RANGE;
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::http::{Answer, STALL_DEADLINE, unreachable};
use super::{RegistryError, Session, retry};
use crate::image::digest::Hasher;
use crate::image::manifest::Descriptor;

/// One write per half megabyte: each costs a trip to the blocking pool.
const BUFFER: usize = 512 * 1024;
/// A server that breaks after every few bytes is not worth a hundred connections.
const MOST_RESUMES: u32 = 20;

/// A partly received blob.
struct Receiving<'a> {
    path: &'a Path,
    file: BufWriter<File>,
    hasher: Hasher,
    descriptor: &'a Descriptor,
    what: &'a str,
}

impl Session {
    /// Writes the blob to `path`, which must not exist; `arrived` hears of every piece.
    ///
    /// On an error the file is left for the caller's guard to remove.
    pub(crate) async fn blob(
        &self,
        descriptor: &Descriptor,
        path: &Path,
        arrived: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), RegistryError> {
        let what = format!("blob {}", descriptor.digest);
        let write = |source| write_error(path, source);
        let file = File::create_new(path).await.map_err(write)?;
        let mut receiving = Receiving {
            path,
            file: BufWriter::with_capacity(BUFFER, file),
            hasher: Hasher::default(),
            descriptor,
            what: &what,
        };
        let (mut tries, mut resumes) = (0, 0);
        while let Err(error) = self.receive(&mut receiving, arrived, &mut tries).await {
            resumes += 1;
            if resumes > MOST_RESUMES {
                return Err(error);
            }
            tries = retry::pause(&what, error, tries).await?;
        }
        receiving.file.flush().await.map_err(write)?;
        receiving.file.get_ref().sync_data().await.map_err(write)?;
        let actual = receiving.hasher.finish();
        if actual != descriptor.digest {
            let expected = descriptor.digest.clone();
            return Err(RegistryError::WrongDigest { what, expected, actual });
        }
        Ok(())
    }

    /// One request for what is missing. Any progress starts the count of `tries` anew.
    async fn receive(
        &self,
        receiving: &mut Receiving<'_>,
        arrived: &(dyn Fn(u64) + Send + Sync),
        tries: &mut u32,
    ) -> Result<(), RegistryError> {
        let have = receiving.hasher.size();
        if have == receiving.descriptor.size && have > 0 {
            return Ok(());
        }
        let mut ask = self.request(Method::GET, &format!("blobs/{}", receiving.descriptor.digest));
        if have > 0 {
            ask = ask.header("range", &format!("bytes={have}-"));
        }
        let answer = match self.send(ask, receiving.what).await {
            // There is nothing after what came: the registry itself holds too little.
            Err(RegistryError::Status { status: StatusCode::RANGE_NOT_SATISFIABLE, .. })
                if have > 0 =>
            {
                let (what, expected) = (receiving.what.to_owned(), receiving.descriptor.size);
                return Err(RegistryError::Truncated { what, received: have, expected });
            }
            answer => answer?,
        };
        if have > 0 && !continues_at(&answer, have) {
            receiving.restart().await?;
        }
        let host = self.reference().host();
        let mut body = answer.into_body();
        loop {
            let frame = tokio::time::timeout(STALL_DEADLINE, body.frame()).await.map_err(|_| {
                RegistryError::Timeout { host: host.to_owned(), after: STALL_DEADLINE }
            })?;
            let Some(frame) = frame else { break };
            let frame = match frame {
                Ok(frame) => frame,
                // The body ended before its announced length.
                Err(error) if error.is_incomplete_message() || error.is_body_write_aborted() => {
                    break;
                }
                Err(error) => return Err(unreachable(host, error)),
            };
            if let Some(data) = frame.data_ref() {
                receiving.append(data).await?;
                *tries = 0;
                arrived(data.len() as u64);
            }
        }
        let (received, expected) = (receiving.hasher.size(), receiving.descriptor.size);
        if received < expected {
            let what = receiving.what.to_owned();
            return Err(RegistryError::Truncated { what, received, expected });
        }
        Ok(())
    }
}

impl Receiving<'_> {
    async fn append(&mut self, data: &[u8]) -> Result<(), RegistryError> {
        let limit = self.descriptor.size;
        if self.hasher.size() + data.len() as u64 > limit {
            return Err(RegistryError::TooLarge { what: self.what.to_owned(), limit });
        }
        self.hasher.update(data);
        self.file.write_all(data).await.map_err(|source| write_error(self.path, source))
    }

    /// The server sent everything again: what is there is worthless.
    async fn restart(&mut self) -> Result<(), RegistryError> {
        let write = |source| write_error(self.path, source);
        self.file.flush().await.map_err(write)?;
        self.file.get_ref().set_len(0).await.map_err(write)?;
        self.file.rewind().await.map_err(write)?;
        self.hasher = Hasher::default();
        Ok(())
    }
}

/// Whether the answer is the rest of the blob from `have` on.
fn continues_at(answer: &Answer, have: u64) -> bool {
    let range = answer.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    answer.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
}

fn write_error(path: &Path, source: std::io::Error) -> RegistryError {
    RegistryError::Write { path: path.to_owned(), source: Arc::new(source) }
}

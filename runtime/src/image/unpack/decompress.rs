//! gzip, zstd or nothing: the first bytes decide, not the media type.

use std::io::{self, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;

use super::UnpackError;
use super::blocks::is_header;
use crate::image::sniff::{Content, HEAD, sniff};

const BUFFER: usize = 256 * 1024;

/// A reader of the tar inside `source`.
pub(super) fn open<'a>(source: impl Read + 'a) -> Result<Box<dyn Read + 'a>, UnpackError> {
    open_any(source)
        .map_err(|source| UnpackError::Corrupt { entries: 0, source })?
        .map_err(|found| UnpackError::NotTar { found: found.to_string() })
}

fn open_any<'a>(mut source: impl Read + 'a) -> io::Result<Result<Box<dyn Read + 'a>, Content>> {
    let mut head = Vec::with_capacity(HEAD);
    source.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    let content = sniff(&head);
    // An empty layer is two blocks of zeros: no magic number, and still a tar.
    let zeros = head.len() == HEAD && head.iter().all(|byte| *byte == 0);
    // Nor have archives older than POSIX.
    let old_tar = zeros || is_header(&head);
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(head).chain(source));
    Ok(Ok(match content {
        Content::Gzip => Box::new(MultiGzDecoder::new(whole)),
        Content::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(whole)?),
        Content::Tar => Box::new(whole),
        _ if old_tar => Box::new(whole),
        other => return Ok(Err(other)),
    }))
}

//! Header blocks: names and values with their lengths, compressed with one zlib stream per direction.

use std::io;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// The words of the dictionary that both sides start from (SPDY/3 draft, 2.6.10.1), in its order, each
/// with its length before it.
const WORDS: &str = "options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|\
    accept-language|accept-ranges|age|allow|authorization|cache-control|connection|content-base|\
    content-encoding|content-language|content-length|content-location|content-md5|content-range|\
    content-type|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|\
    if-unmodified-since|last-modified|location|max-forwards|pragma|proxy-authenticate|\
    proxy-authorization|range|referer|retry-after|server|te|trailer|transfer-encoding|upgrade|user-agent|\
    vary|via|warning|www-authenticate|method|get|status|200 OK|version|HTTP/1.1|url|public|set-cookie|\
    keep-alive|origin";

/// What follows the words, without lengths.
const TEXT: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502\
    504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 \
    Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service \
    UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, \
    Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,\
    text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,\
    utf-,*,enq=0.";

/// Longest block that is taken, once decompressed, in bytes.
const LONGEST: usize = 64 << 10;

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1423);
    for word in WORDS.split('|') {
        bytes.extend((word.len() as u32).to_be_bytes());
        bytes.extend(word.as_bytes());
    }
    bytes.extend(TEXT.as_bytes());
    bytes
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// One direction's end that reads.
pub(super) struct Decoder(Decompress);

impl Decoder {
    pub(super) fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// The names and values of a block.
    pub(super) fn decode(&mut self, block: &[u8]) -> io::Result<Vec<(String, String)>> {
        pairs(&self.inflate(block)?).ok_or_else(|| malformed("a header block is cut short"))
    }

    fn inflate(&mut self, mut block: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::with_capacity(4 << 10);
        loop {
            if plain.len() == plain.capacity() {
                if plain.len() >= LONGEST {
                    return Err(malformed("a header block is too long"));
                }
                plain.reserve(4 << 10);
            }
            let (read, written) = (self.0.total_in(), self.0.total_out());
            match self.0.decompress_vec(block, &mut plain, FlushDecompress::Sync) {
                // The first block asks for the dictionary.
                Err(e) if e.needs_dictionary().is_some() => {
                    block = &block[(self.0.total_in() - read) as usize..];
                    self.0.set_dictionary(&dictionary()).map_err(io::Error::other)?;
                    continue;
                }
                Err(e) => return Err(io::Error::other(e)),
                Ok(Status::StreamEnd) => return Err(malformed("the header compression has ended")),
                Ok(Status::Ok | Status::BufError) => {}
            }
            block = &block[(self.0.total_in() - read) as usize..];
            let stuck = self.0.total_in() == read && self.0.total_out() == written;
            if (block.is_empty() && plain.len() < plain.capacity()) || stuck {
                return Ok(plain);
            }
        }
    }
}

/// The other direction's end, which writes.
pub(super) struct Encoder(Compress);

impl Encoder {
    pub(super) fn new() -> io::Result<Self> {
        let mut compress = Compress::new(Compression::best(), true);
        compress.set_dictionary(&dictionary()).map_err(io::Error::other)?;
        Ok(Self(compress))
    }

    /// A block of these names and values.
    pub(super) fn encode(&mut self, pairs: &[(&str, &str)]) -> io::Result<Vec<u8>> {
        let mut plain = (pairs.len() as u32).to_be_bytes().to_vec();
        for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend((text.len() as u32).to_be_bytes());
            plain.extend(text.as_bytes());
        }
        let mut block = Vec::with_capacity(plain.len() + 256);
        let before = self.0.total_in();
        self.0.compress_vec(&plain, &mut block, FlushCompress::Sync).map_err(io::Error::other)?;
        // A flushed block is at most a few bytes longer than what is in it.
        if (self.0.total_in() - before) as usize != plain.len() {
            return Err(malformed("a header block does not fit"));
        }
        Ok(block)
    }
}

fn pairs(mut plain: &[u8]) -> Option<Vec<(String, String)>> {
    fn number(from: &mut &[u8]) -> Option<usize> {
        let (number, rest) = from.split_first_chunk::<4>()?;
        *from = rest;
        Some(u32::from_be_bytes(*number) as usize)
    }
    fn text(from: &mut &[u8]) -> Option<String> {
        let length = number(from)?;
        let (text, rest) = from.split_at_checked(length)?;
        *from = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
    let count = number(&mut plain)?;
    let mut pairs = Vec::new();
    for _ in 0..count {
        pairs.push((text(&mut plain)?, text(&mut plain)?));
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_the_drafts() {
        let bytes = dictionary();
        let (mut a, mut b) = (1_u32, 0_u32);
        for byte in &bytes {
            a = (a + u32::from(*byte)) % 65_521;
            b = (b + a) % 65_521;
        }
        // The Adler-32 checksum by which zlib asks for it.
        assert_eq!((bytes.len(), b << 16 | a), (1423, 0xe3c6_a7c2));
    }

    #[test]
    fn blocks_build_on_each_other() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new());
        for round in 0..50 {
            let number = round.to_string();
            let long = "x".repeat(round * 200);
            let sent = [("streamtype", "error"), ("port", number.as_str()), ("long", &long)];
            let block = encoder.encode(&sent).unwrap();
            let got = decoder.decode(&block).unwrap();
            let got: Vec<_> = got.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(got, sent);
        }
        assert_eq!(decoder.decode(&encoder.encode(&[]).unwrap()).unwrap(), []);
    }

    #[test]
    fn what_is_no_block_is_refused() {
        assert!(Decoder::new().decode(b"nonsense").is_err());
        assert_eq!(pairs(&[0, 0, 0, 1, 0, 0, 0, 9, b'x']), None);
        assert_eq!(pairs(&[0, 0]), None);
    }
}

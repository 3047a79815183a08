//! A tar archive, read block by block: headers with their extensions, content as a stream.
//!
//! The iterator of the `tar` crate splits PAX records at line ends, and values may contain them: file
//! capabilities are binary, and some read as `\n`. So records are taken by their length here.
//! Source: POSIX `pax`, "ustar interchange format" and "pax extended header".

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{EntryType, Header};

use super::entry::is_blank;

const BLOCK: usize = 512;
/// All extensions of one entry: a few names and attributes of at most 64 KiB each.
const LARGEST_EXTENSION: u64 = 8 * 1024 * 1024;

/// One entry's header and what extends it.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) header: Header,
    pub(super) pax: BTreeMap<String, Vec<u8>>,
    pub(super) name: Vec<u8>,
    pub(super) link: Option<Vec<u8>>,
}

/// Reads entries; between two calls of [`Blocks::next`], reading it gives the entry's content.
pub(super) struct Blocks<R> {
    reader: R,
    /// Content of the current entry that nobody has read.
    left: u64,
    /// Zeros after it.
    padding: u64,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, left: 0, padding: 0 }
    }

    /// The next entry, or `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Raw>> {
        let (mut pax, mut long_name, mut long_link) = (BTreeMap::new(), None, None);
        loop {
            self.finish_entry()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            self.expect(match kind {
                // Only these have content, whatever their size says.
                EntryType::Link
                | EntryType::Symlink
                | EntryType::Char
                | EntryType::Block
                | EntryType::Directory
                | EntryType::Fifo => 0,
                _ => match size(&pax) {
                    Some(size) => size,
                    None if is_blank(&header.as_old().size) => 0,
                    None => header.entry_size()?,
                },
            });
            match kind {
                EntryType::XHeader => pax = records(&self.extension()?)?,
                EntryType::XGlobalHeader => {}
                EntryType::GNULongName => long_name = Some(text(self.extension()?)),
                EntryType::GNULongLink => long_link = Some(text(self.extension()?)),
                _ => {
                    let name = pax.get("path").cloned().or(long_name);
                    let link = pax.get("linkpath").cloned().or(long_link);
                    return Ok(Some(Raw {
                        name: name.unwrap_or_else(|| header.path_bytes().into_owned()),
                        link: link
                            .or_else(|| header.link_name_bytes().map(|name| name.into_owned())),
                        header,
                        pax,
                    }));
                }
            }
        }
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.reader.read(&mut block[filled..])? {
                // Some writers leave the end marker out; a digest tells whether anything is missing.
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        if block == [0; BLOCK] {
            return Ok(None);
        }
        if !is_header(&block) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a header's checksum is wrong"));
        }
        Ok(Some(Header::from_byte_slice(&block).clone()))
    }

    fn extension(&mut self) -> io::Result<Vec<u8>> {
        if self.left > LARGEST_EXTENSION {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "an extended header is too large",
            ));
        }
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Passes over what is left of the current entry. Content must be there in full; the zeros after
    /// the last entry may be missing like the end marker (umoci's `insert` writes neither).
    fn finish_entry(&mut self) -> io::Result<()> {
        let (left, padding) = (self.left, self.padding);
        (self.left, self.padding) = (0, 0);
        if self.pass(left)? < left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.pass(padding)?;
        Ok(())
    }

    fn pass(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut self.reader.by_ref().take(bytes), &mut io::sink())
    }
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        match self.reader.read(&mut buffer[..most])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.left -= count as u64;
                Ok(count)
            }
        }
    }
}

/// Whether the block's checksum holds: the only mark that the oldest archives have.
pub(super) fn is_header(block: &[u8]) -> bool {
    if block.len() != BLOCK {
        return false;
    }
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    Header::from_byte_slice(block).cksum().is_ok_and(|stored| stored == sum)
}

fn size(pax: &BTreeMap<String, Vec<u8>>) -> Option<u64> {
    std::str::from_utf8(pax.get("size")?).ok()?.parse().ok()
}

/// GNU's long names end with a zero.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// `length key=value\n`, where the length counts the whole record.
fn records(mut bytes: &[u8]) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "an extended header is broken");
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
        let length = std::str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse().ok());
        let length: usize = length.filter(|length| *length <= bytes.len()).ok_or_else(broken)?;
        let record = bytes.get(space + 1..length).ok_or_else(broken)?;
        let record = record.strip_suffix(b"\n").ok_or_else(broken)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
        let key = String::from_utf8_lossy(&record[..equals]).into_owned();
        records.insert(key, record[equals + 1..].to_vec());
        bytes = &bytes[length..];
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_line_ends() {
        let parsed = records(b"10 a=b\nc=d\n6 e=f\n").unwrap_or_default();
        assert!(parsed.is_empty(), "the first length is one short");
        let parsed = records(b"11 a=b\nc=d\n6 e=f\n").unwrap();
        assert_eq!(parsed["a"], b"b\nc=d");
        assert_eq!(parsed["e"], b"f");
        for broken in [&b"x a=b\n"[..], b"99 a=b\n", b"6 a b\n", b"2 \n", b"5 a=b"] {
            assert!(records(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn the_size_of_large_files_is_in_the_extension() {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_pax_extensions([("size", &b"5"[..])]).unwrap();
        let mut header = Header::new_ustar();
        header.set_path("large").unwrap();
        header.set_size(0);
        header.set_cksum();
        builder.append(&header, io::empty()).unwrap();
        let mut bytes = builder.into_inner().unwrap();
        let end = bytes.len() - 1024;
        bytes.splice(end..end, b"12345".iter().copied().chain(std::iter::repeat_n(0, 507)));
        let mut blocks = Blocks::new(&bytes[..]);
        assert_eq!(blocks.next().unwrap().unwrap().name, b"large");
        let mut content = String::new();
        blocks.read_to_string(&mut content).unwrap();
        assert_eq!(content, "12345");
        assert!(blocks.next().unwrap().is_none());
    }
}

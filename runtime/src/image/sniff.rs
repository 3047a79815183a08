//! What bytes are, by their first few: media types and file names may lie.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How many bytes [`sniff`] wants to see.
pub(crate) const HEAD: usize = 512;
/// `\0asm`, the first four bytes of modules and components.
const WASM: &[u8] = b"\0asm";

/// A file format, as far as images care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Wasm,
    Gzip,
    Zstd,
    Tar,
    Elf,
    Other(&'static str),
}

impl fmt::Display for Content {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Wasm => "WebAssembly",
            Self::Gzip => "a gzip archive",
            Self::Zstd => "a zstd archive",
            Self::Tar => "a tar archive",
            Self::Elf => "an ELF file (native code)",
            Self::Other(name) => name,
        })
    }
}

/// The format of a file that starts with `head`.
pub(crate) fn sniff(head: &[u8]) -> Content {
    let starts = |magic: &[u8]| head.starts_with(magic);
    if starts(WASM) {
        Content::Wasm
    } else if starts(b"\x1f\x8b") {
        Content::Gzip
    } else if starts(&[0x28, 0xb5, 0x2f, 0xfd]) || (starts_skippable(head)) {
        Content::Zstd
    } else if head.get(257..262) == Some(b"ustar") {
        Content::Tar
    } else if starts(b"\x7fELF") {
        Content::Elf
    } else {
        Content::Other(name_other(head))
    }
}

/// A zstd skippable frame may come before the first data frame.
fn starts_skippable(head: &[u8]) -> bool {
    head.len() >= 4 && (0x50..=0x5f).contains(&head[0]) && head[1..4] == [0x2a, 0x4d, 0x18]
}

fn name_other(head: &[u8]) -> &'static str {
    let text = std::str::from_utf8(head)
        .or_else(|error| {
            std::str::from_utf8(&head[..error.valid_up_to()]).map(|part| {
                // A multi-byte character cut by the window is still text.
                if head.len() - part.len() < 4 { part } else { "" }
            })
        })
        .unwrap_or_default();
    let trimmed = text.trim_start().to_ascii_lowercase();
    match head {
        [] => "an empty file",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [b'B', b'Z', b'h', ..] => "a bzip2 archive",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "an xz archive",
        [b'M', b'Z', ..] => "a Windows program",
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] => "a macOS program",
        [b'#', b'!', ..] => "a script",
        _ if trimmed.starts_with("(module") || trimmed.starts_with("(component") => {
            "WebAssembly text (convert it to binary first, for example with wat2wasm)"
        }
        _ if trimmed.starts_with("<!doctype") || trimmed.starts_with("<html") => "an HTML page",
        _ if trimmed.starts_with('{') || trimmed.starts_with('[') => "JSON text",
        _ if !text.is_empty() => "text",
        _ => "binary data of an unknown kind",
    }
}

/// The format of the file at `path`.
pub(crate) fn sniff_file(path: &Path) -> io::Result<Content> {
    sniff_reader(&mut File::open(path)?)
}

/// The format of what `reader` gives; reads up to [`HEAD`] bytes of it.
pub(crate) fn sniff_reader(reader: &mut impl Read) -> io::Result<Content> {
    let mut head = Vec::with_capacity(HEAD);
    reader.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(sniff(&head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (head, content) in [
            (&b"\0asm\x01\0\0\0"[..], Content::Wasm),
            (b"\0asm\x0d\0\x01\0", Content::Wasm),
            (b"\x1f\x8b\x08", Content::Gzip),
            (b"\x28\xb5\x2f\xfd", Content::Zstd),
            (b"\x5a\x2a\x4d\x18", Content::Zstd),
            (&tar, Content::Tar),
            (b"\x7fELF\x02", Content::Elf),
            (b"", Content::Other("an empty file")),
            (b"#!/bin/sh", Content::Other("a script")),
            (b" <!DOCTYPE html>", Content::Other("an HTML page")),
            (b"{\"a\":1}", Content::Other("JSON text")),
            (b"hello", Content::Other("text")),
            (b"\xff\xfe\xfd\xfc\xfb\xfa", Content::Other("binary data of an unknown kind")),
        ] {
            assert_eq!(sniff(head), content, "{head:?}");
        }
        assert!(sniff(b"(module)").to_string().starts_with("WebAssembly text"));
    }
}

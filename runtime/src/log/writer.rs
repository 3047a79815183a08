//! Writing: chunks of output in, whole log lines out.
//!
//! Many lines become one write. A write that fails (a full disk) loses those lines, and as soon as
//! writing works again a line says how many bytes were lost; the container never waits for a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::line::LineStream;
use super::rotate::{MAX_SIZE, rotate};

pub(crate) use super::line::LineStream as Stream;

/// Longest text of one log line; more becomes several, marked partial. containerd's and CRI-O's value.
const MAX_LINE: usize = 16 << 10;

/// One attempt's log file.
pub(crate) struct LogWriter {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    max_size: u64,
    lost: u64,
}

impl LogWriter {
    /// Opens the file for appending, with its directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut writer =
            Self { path: path.to_path_buf(), file: None, size: 0, max_size: MAX_SIZE, lost: 0 };
        writer.reopen()?;
        Ok(writer)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }

    /// Writes the lines that `chunk` completes; the rest waits in `partial`.
    pub(crate) fn write(
        &mut self,
        stream: LineStream,
        partial: &mut Vec<u8>,
        chunk: &[u8],
        now: Timestamp,
    ) {
        let mut out = Vec::with_capacity(chunk.len() + 256);
        let stamp = format!("{now:.9} {} ", stream.name());
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            let mut text = text;
            while partial.len() + text.len() > MAX_LINE {
                let (now, later) = text.split_at(MAX_LINE - partial.len());
                push(&mut out, &stamp, b'P', partial, now);
                text = later;
            }
            if ends {
                push(&mut out, &stamp, b'F', partial, text);
            } else {
                partial.extend_from_slice(text);
            }
        }
        self.append(&out);
    }

    /// Writes what waits. It never got its newline, so it stays a partial line (tag `P`), as containerd
    /// leaves it; readers then print none either.
    pub(crate) fn finish(&mut self, stream: LineStream, partial: &mut Vec<u8>, now: Timestamp) {
        if partial.is_empty() {
            return;
        }
        let mut out = Vec::new();
        push(&mut out, &format!("{now:.9} {} ", stream.name()), b'P', partial, b"");
        self.append(&out);
    }

    fn append(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if self.try_append(lines).is_err() {
            self.lost += lines.len() as u64;
        }
    }

    fn try_append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.size >= self.max_size && self.lost == 0 {
            self.file = None;
            rotate(&self.path)?;
        }
        if self.file.is_none() {
            self.reopen()?;
        }
        let note;
        let mut parts = vec![lines];
        if self.lost > 0 {
            note = format!(
                "{:.9} stderr F [{} bytes of log lost: the disk refused them]\n",
                Timestamp::now(),
                self.lost
            );
            parts.insert(0, note.as_bytes());
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let before = self.size;
        let outcome = parts.iter().try_for_each(|part| {
            file.write_all(part)?;
            self.size += part.len() as u64;
            Ok(())
        });
        if outcome.is_err() {
            // Half a line would swallow the next one.
            let _ = file.set_len(before);
            self.size = before;
        } else {
            self.lost = 0;
        }
        outcome
    }
}

fn push(out: &mut Vec<u8>, stamp: &str, tag: u8, partial: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(stamp.as_bytes());
    out.extend_from_slice(&[tag, b' ']);
    out.append(partial);
    out.extend_from_slice(text);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::super::rotate::rotated;
    use super::*;

    fn stamp() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn written(chunks: &[&[u8]]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app/0.log");
        let mut writer = LogWriter::open(&path).unwrap();
        let mut partial = Vec::new();
        for chunk in chunks {
            writer.write(LineStream::Stdout, &mut partial, chunk, stamp());
        }
        writer.finish(LineStream::Stdout, &mut partial, stamp());
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn chunks_become_lines() {
        assert_eq!(
            written(&[b"one\ntw", b"o\n\nlast"]),
            "2026-11-21T10:00:00.000000000Z stdout F one\n\
             2026-11-21T10:00:00.000000000Z stdout F two\n\
             2026-11-21T10:00:00.000000000Z stdout F \n\
             2026-11-21T10:00:00.000000000Z stdout P last\n"
        );
    }

    #[test]
    fn long_lines_become_partial_ones() {
        let long = "x".repeat(MAX_LINE + 5);
        let text = written(&[long.as_bytes(), b"y\n"]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains(" P xxx") && lines[0].ends_with('x'));
        assert!(lines[1].ends_with(" F xxxxxy"));
        let exact = "z".repeat(MAX_LINE);
        assert_eq!(written(&[exact.as_bytes(), b"\n"]).lines().count(), 1);
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut writer = LogWriter::open(&path).unwrap();
        // Two lines of 102 bytes each.
        writer.max_size = 150;
        let mut partial = Vec::new();
        for number in 0..20 {
            let line = format!("{number:060}\n");
            writer.write(LineStream::Stderr, &mut partial, line.as_bytes(), stamp());
        }
        let numbers: Vec<String> = (0..6)
            .map(|age| std::fs::read_to_string(rotated(&path, age)).unwrap_or_default())
            .map(|text| {
                text.lines().filter_map(|l| l.get(l.len() - 2..)).collect::<Vec<_>>().join(",")
            })
            .collect();
        assert_eq!(numbers, ["18,19", "16,17", "14,15", "12,13", "10,11", ""]);
    }

    #[test]
    fn a_full_disk_loses_lines_says_so_and_recovers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut writer = LogWriter::open(&path).unwrap();
        let mut partial = Vec::new();
        writer.write(LineStream::Stdout, &mut partial, b"before\n", stamp());
        let good = writer.file.replace(File::options().write(true).open("/dev/full").unwrap());
        writer.write(LineStream::Stdout, &mut partial, b"lost\n", stamp());
        writer.file = good;
        writer.write(LineStream::Stdout, &mut partial, b"after\n", stamp());
        let text = std::fs::read_to_string(path).unwrap();
        let ends: Vec<&str> = text.lines().map(|l| l.splitn(4, ' ').nth(3).unwrap()).collect();
        assert_eq!(ends.len(), 3);
        assert_eq!((ends[0], ends[2]), ("before", "after"));
        assert!(ends[1].contains("bytes of log lost"), "{text}");
    }
}

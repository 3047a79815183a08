//! A place in an attempt's log files that only moves forward, across rotations.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::rotate::{MAX_FILES, rotated};

/// Read at a time.
const CHUNK: usize = 128 << 10;

/// Where reading is.
pub(super) struct Cursor {
    path: PathBuf,
    file: Option<File>,
}

impl Cursor {
    /// At the oldest line, or at the last `tail` lines.
    pub(super) fn open(path: &Path, tail: Option<u64>) -> io::Result<Self> {
        let mut cursor = Self { path: path.to_path_buf(), file: None };
        let Some(mut wanted) = tail else {
            cursor.file = cursor.oldest()?;
            return Ok(cursor);
        };
        for age in 0..MAX_FILES {
            let Some(mut file) = open(&rotated(path, age))? else { break };
            let (offset, found) = last_lines(&mut file, wanted)?;
            file.seek(SeekFrom::Start(offset))?;
            cursor.file = Some(file);
            wanted -= found;
            if wanted == 0 {
                break;
            }
        }
        Ok(cursor)
    }

    /// What comes next; nothing at the end of the newest file.
    pub(super) fn read(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if self.file.is_none() {
                self.file = self.oldest()?;
            }
            let Some(file) = &mut self.file else { return Ok(Vec::new()) };
            // Looked up before reading: a file that had a successor by now gets no more lines.
            let newer = successor(&self.path, file.metadata()?.ino())?;
            let mut chunk = vec![0; CHUNK];
            let length = file.read(&mut chunk)?;
            if length > 0 {
                chunk.truncate(length);
                return Ok(chunk);
            }
            match newer {
                Some(newer) => self.file = Some(newer),
                None => return Ok(Vec::new()),
            }
        }
    }

    fn oldest(&self) -> io::Result<Option<File>> {
        for age in (0..MAX_FILES).rev() {
            if let Some(file) = open(&rotated(&self.path, age))? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// The file that followed the one with this inode; `None` if that one is the newest.
fn successor(path: &Path, inode: u64) -> io::Result<Option<File>> {
    let mut newer = None;
    for age in 0..MAX_FILES {
        // Rotation renames the newest away a moment before it makes a new one.
        let Some(file) = open(&rotated(path, age))? else {
            if age == 0 {
                continue;
            }
            break;
        };
        if file.metadata()?.ino() == inode {
            return Ok(newer);
        }
        newer = Some(file);
    }
    // Rotated away altogether while it was being read: go on with the oldest there is.
    Ok(newer)
}

/// Where the last `wanted` lines begin, and how many there are.
fn last_lines(file: &mut File, wanted: u64) -> io::Result<(u64, u64)> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut position = size;
    let mut found = 0;
    let mut chunk = vec![0; CHUNK];
    if wanted == 0 {
        return Ok((size, 0));
    }
    while position > 0 {
        let length = position.min(CHUNK as u64);
        position -= length;
        file.seek(SeekFrom::Start(position))?;
        let part = &mut chunk[..length as usize];
        file.read_exact(part)?;
        for (index, byte) in part.iter().enumerate().rev() {
            // The line feed at the very end closes the last line and opens none.
            if *byte == b'\n' && position + index as u64 + 1 != size {
                found += 1;
                if found == wanted {
                    return Ok((position + index as u64 + 1, found));
                }
            }
        }
    }
    Ok((0, if size > 0 { found + 1 } else { 0 }))
}

//! One tar entry, its PAX records read and its name made safe.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::Timespec;
use tar::EntryType;

use super::UnpackError;
use super::blocks::Raw;

/// PAX records that carry extended attributes.
const XATTR_PREFIX: &str = "SCHILY.xattr.";

/// What an entry makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink { target: PathBuf },
    HardLink { target: PathBuf },
    Character { major: u32, minor: u32 },
    Block { major: u32, minor: u32 },
    Fifo,
}

/// Owner, permissions, times, attributes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Metadata {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Timespec,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
}

/// An entry, ready to be written.
#[derive(Debug)]
pub(super) struct Header {
    /// Relative and without `.` and `..`; empty for the layer's own root.
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
    pub(super) metadata: Metadata,
}

/// Makes sense of an entry's header.
pub(super) fn header(raw: &Raw) -> Result<Header, UnpackError> {
    let name = lossy(&raw.name);
    let corrupt = |source| UnpackError::Corrupt { entries: 0, source };
    let unsupported = |what: String| UnpackError::Unsupported { entry: name.clone(), what };
    if raw.pax.keys().any(|key| key.starts_with("GNU.sparse.")) {
        return Err(unsupported("a sparse file".to_owned()));
    }
    let path = contained(&raw.name)?;
    let device = || -> std::io::Result<(u32, u32)> {
        let header = &raw.header;
        Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
    };
    let kind = match raw.header.entry_type() {
        // The oldest archives mark directories by a slash alone.
        EntryType::Regular if raw.name.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink { target: link_name(raw)? },
        EntryType::Link => {
            Kind::HardLink { target: contained(link_name(raw)?.as_os_str().as_bytes())? }
        }
        EntryType::Char => {
            let (major, minor) = device().map_err(corrupt)?;
            Kind::Character { major, minor }
        }
        EntryType::Block => {
            let (major, minor) = device().map_err(corrupt)?;
            Kind::Block { major, minor }
        }
        EntryType::Fifo => Kind::Fifo,
        EntryType::GNUSparse => return Err(unsupported("a sparse file".to_owned())),
        other => return Err(unsupported(format!("of type {:?}", char::from(other.as_byte())))),
    };
    let metadata = metadata(&raw.header, &raw.pax).map_err(corrupt)?;
    Ok(Header { path, kind, metadata })
}

fn metadata(header: &tar::Header, pax: &BTreeMap<String, Vec<u8>>) -> std::io::Result<Metadata> {
    let number = |key: &str| -> Option<u64> { text(pax, key)?.parse().ok() };
    // Linux has 32 bits; wrapping a larger number would make it somebody else's file.
    let id = |value: u64| u32::try_from(value).map_err(std::io::Error::other);
    let fields = header.as_old();
    let mode = if is_blank(&fields.mode) { 0 } else { header.mode()? };
    let owner = |key: &str, field: &[u8], value: std::io::Result<u64>| match number(key) {
        Some(value) => id(value),
        None if is_blank(field) => Ok(0),
        None => id(value?),
    };
    let mtime = match text(pax, "mtime").and_then(timestamp) {
        Some(time) => time,
        None if is_blank(&fields.mtime) => Timespec { tv_sec: 0, tv_nsec: 0 },
        None => Timespec { tv_sec: i64::try_from(header.mtime()?).unwrap_or(0), tv_nsec: 0 },
    };
    Ok(Metadata {
        mode: mode & 0o7777,
        uid: owner("uid", &fields.uid, header.uid())?,
        gid: owner("gid", &fields.gid, header.gid())?,
        mtime,
        xattrs: pax
            .iter()
            .filter_map(|(key, value)| {
                Some((key.strip_prefix(XATTR_PREFIX)?.to_owned(), value.clone()))
            })
            .collect(),
    })
}

/// Some writers leave numbers out where they mean 0.
pub(super) fn is_blank(field: &[u8]) -> bool {
    field.iter().all(|byte| matches!(byte, 0 | b' '))
}

fn text<'a>(pax: &'a BTreeMap<String, Vec<u8>>, key: &str) -> Option<&'a str> {
    std::str::from_utf8(pax.get(key)?).ok()
}

/// `[-]seconds[.fraction]`
fn timestamp(text: &str) -> Option<Timespec> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let mut digits: String = fraction.chars().take(9).collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    while digits.len() < 9 {
        digits.push('0');
    }
    let nanos: i64 = digits.parse().ok()?;
    // Before 1970 the fraction still counts away from zero, and the kernel wants it upwards.
    Some(if whole.starts_with('-') && nanos > 0 {
        Timespec { tv_sec: seconds - 1, tv_nsec: 1_000_000_000 - nanos }
    } else {
        Timespec { tv_sec: seconds, tv_nsec: nanos }
    })
}

fn link_name(raw: &Raw) -> Result<PathBuf, UnpackError> {
    match &raw.link {
        Some(target) if !target.is_empty() && !target.contains(&0) => {
            Ok(PathBuf::from(OsStr::from_bytes(target)))
        }
        _ => Err(UnpackError::Name { entry: lossy(&raw.name) }),
    }
}

/// The name below the layer's root: leading slashes and `.` dropped, `..` refused.
fn contained(name: &[u8]) -> Result<PathBuf, UnpackError> {
    let mut path = PathBuf::new();
    if name.contains(&0) {
        return Err(UnpackError::Name { entry: lossy(name) });
    }
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(UnpackError::Escape { entry: lossy(name) });
            }
        }
    }
    Ok(path)
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for (name, path) in [
            ("a/b", "a/b"),
            ("./a/./b/", "a/b"),
            ("/etc/passwd", "etc/passwd"),
            ("./", ""),
            ("a..b", "a..b"),
        ] {
            assert_eq!(contained(name.as_bytes()).unwrap(), Path::new(path), "{name}");
        }
        for name in ["../a", "a/../../b", "a/..", "/.."] {
            let error = contained(name.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(contained(b"a\0b").is_err());
    }

    #[test]
    fn times() {
        let time = |text| timestamp(text).map(|time| (time.tv_sec, time.tv_nsec));
        assert_eq!(time("12"), Some((12, 0)));
        assert_eq!(time("12.5"), Some((12, 500_000_000)));
        assert_eq!(time("12.1234567891"), Some((12, 123_456_789)));
        assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time("-0.25"), Some((-1, 750_000_000)));
        assert_eq!(time("x"), None);
        assert_eq!(time("1.x"), None);
    }
}

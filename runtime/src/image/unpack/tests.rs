//! Layers made by hand: what no tool at hand writes, above all what nobody should.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;

fn header(kind: EntryType, name: &str, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    // The crate's own setter refuses the names these tests are about.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_mode(mode);
    header.set_uid(rustix::process::getuid().as_raw().into());
    header.set_gid(rustix::process::getgid().as_raw().into());
    header.set_mtime(1_000_000);
    header.set_size(0);
    header
}

struct Layer {
    tar: Builder<Vec<u8>>,
}

impl Layer {
    fn new() -> Self {
        Self { tar: Builder::new(Vec::new()) }
    }

    fn raw(mut self, mut header: Header, content: &[u8]) -> Self {
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.tar.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.raw(header(EntryType::Regular, name, 0o644), content.as_bytes())
    }

    fn folder(self, name: &str) -> Self {
        self.raw(header(EntryType::Directory, name, 0o755), b"")
    }

    fn link(self, kind: EntryType, name: &str, target: &str) -> Self {
        let mut header = header(kind, name, 0o777);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        self.raw(header, b"")
    }

    fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.tar.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.tar.into_inner().unwrap()
    }

    /// Unpacks into `root` inside a folder that also has a file outside the root.
    fn unpack(self) -> (TempDir, Result<Digest, UnpackError>) {
        unpack_bytes(&self.bytes())
    }
}

fn unpack_bytes(bytes: &[u8]) -> (TempDir, Result<Digest, UnpackError>) {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("victim"), "untouched").unwrap();
    let ownership =
        if rustix::process::geteuid().is_root() { Ownership::Keep } else { Ownership::Discard };
    let result = unpack(bytes, &temp.path().join("root"), ownership, None);
    assert_eq!(fs::read_to_string(temp.path().join("victim")).unwrap(), "untouched");
    let mut outside: Vec<_> =
        fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    outside.sort();
    assert!(outside.len() <= 2, "something was written outside the layer: {outside:?}");
    (temp, result)
}

#[test]
fn climbing_names_are_refused_by_name() {
    for name in ["../victim", "a/../../victim", "./../victim", "/../victim"] {
        let (_temp, result) = Layer::new().file("ok", "ok").file(name, "evil").unpack();
        let error = result.unwrap_err();
        assert!(matches!(&error, UnpackError::Escape { entry } if entry == name), "{error:?}");
    }
    let (_temp, result) = Layer::new().link(EntryType::Link, "x", "../victim").unpack();
    assert!(matches!(result, Err(UnpackError::Escape { .. })), "{result:?}");
}

#[test]
fn links_that_point_out_lead_inside() {
    let temp = tempfile::tempdir().unwrap();
    let outside = temp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let absolute = outside.display().to_string();
    let (layer, result) = Layer::new()
        .link(EntryType::Symlink, "absolute", &absolute)
        .file("absolute/evil", "evil")
        .link(EntryType::Symlink, "climbing", "../../../../../../..")
        .file("climbing/etc-evil", "evil")
        .link(EntryType::Symlink, "file", &format!("{absolute}/new"))
        .file("file", "replaced, not followed")
        .unpack();
    result.unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "a file was written through a link");
    let root = layer.path().join("root");
    let inside = root.join(absolute.trim_start_matches('/'));
    // The link's target is made inside the layer: as in a container that has this root.
    let made = inside.join("evil").exists() || root.join("absolute/evil").exists();
    assert!(made, "the entry below the link is lost");
    assert!(root.join("etc-evil").exists());
    assert!(!Path::new("/etc-evil").exists());
    assert!(fs::symlink_metadata(root.join("file")).unwrap().is_file());
}

#[test]
fn hard_links_cannot_name_files_outside() {
    let temp = tempfile::tempdir().unwrap();
    let secret = temp.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let (layer, result) = Layer::new()
        .link(EntryType::Symlink, "out", &temp.path().display().to_string())
        .link(EntryType::Link, "stolen", "out/secret")
        .unpack();
    assert!(matches!(result, Err(UnpackError::DanglingLink { .. })), "{result:?}");
    assert!(!layer.path().join("root/stolen").exists());
    assert_eq!(fs::metadata(&secret).unwrap().nlink(), 1);
}

#[test]
fn hard_links_may_come_before_their_target() {
    let (layer, result) = Layer::new()
        .link(EntryType::Link, "early", "late")
        .file("late", "content")
        .link(EntryType::Link, "after", "late")
        .unpack();
    result.unwrap();
    let inode = |name: &str| fs::metadata(layer.path().join("root").join(name)).unwrap().ino();
    assert_eq!(inode("early"), inode("late"));
    assert_eq!(inode("after"), inode("late"));
}

#[test]
fn later_entries_replace_earlier_ones() {
    let (layer, result) = Layer::new()
        .folder("a")
        .file("a/old", "old")
        .file("a", "now a file")
        .file("b", "file")
        .folder("b")
        .file("b/new", "new")
        .folder("c")
        .file("c/kept", "kept")
        .folder("c")
        .unpack();
    result.unwrap();
    let root = layer.path().join("root");
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "now a file");
    assert_eq!(fs::read_to_string(root.join("b/new")).unwrap(), "new");
    assert_eq!(fs::read_to_string(root.join("c/kept")).unwrap(), "kept");
    assert_eq!(fs::metadata(root.join("c")).unwrap().mtime(), 1_000_000);
}

#[test]
fn whiteouts_become_what_overlayfs_reads() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: whiteout attributes cannot be checked");
        return;
    }
    let (layer, result) = Layer::new()
        .file(".wh.gone", "")
        .folder("opaque")
        .file("opaque/.wh..wh..opq", "")
        .file("opaque/new", "new")
        .file(".wh..wh.plnk", "")
        .folder("both")
        .file(".wh.both", "")
        .file(".wh.later", "")
        .folder("later")
        .file("kept", "kept")
        .file(".wh.kept", "")
        .unpack();
    result.unwrap();
    let root = layer.path().join("root");
    let gone = fs::symlink_metadata(root.join("gone")).unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    for folder in ["opaque", "both", "later"] {
        let mut value = [0; 8];
        let length =
            rustix::fs::lgetxattr(root.join(folder), "trusted.overlay.opaque", &mut value[..]);
        assert_eq!(length, Ok(1), "{folder} is not opaque");
        assert_eq!(value[0], b'y');
    }
    assert_eq!(fs::read_to_string(root.join("kept")).unwrap(), "kept");
    let names = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with(".wh.")));
}

#[test]
fn whiteouts_cannot_climb() {
    for name in [".wh...", ".wh..", "a/.wh..."] {
        let (_temp, result) = Layer::new().folder("a").file(name, "").unpack();
        assert!(matches!(result, Err(UnpackError::Name { .. })), "{name}: {result:?}");
    }
}

#[test]
fn metadata_survives() {
    let long = format!("{}/{}", "d".repeat(100), "f".repeat(120));
    let (layer, result) = Layer::new()
        .raw(header(EntryType::Regular, "setuid", 0o4755), b"x")
        .raw(header(EntryType::Directory, "sticky", 0o1777), b"")
        .raw(header(EntryType::Fifo, "fifo", 0o640), b"")
        .pax(&[
            ("path", long.as_bytes()),
            ("mtime", b"1234.5678"),
            ("SCHILY.xattr.user.note", b"a\0b=c\nd"),
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ])
        .file("short", "long name")
        .unpack();
    result.unwrap();
    let root = layer.path().join("root");
    let mode =
        |name: &str| fs::symlink_metadata(root.join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("setuid"), mode("sticky"), mode("fifo")), (0o4755, 0o1777, 0o640));
    assert!(fs::symlink_metadata(root.join("fifo")).unwrap().file_type().is_fifo());
    let named = fs::metadata(root.join(&long)).unwrap();
    assert_eq!((named.mtime(), named.mtime_nsec()), (1234, 567_800_000));
    let mut value = [0; 32];
    match rustix::fs::lgetxattr(root.join(&long), "user.note", &mut value[..]) {
        Ok(length) => assert_eq!(&value[..length], b"a\0b=c\nd"),
        Err(errno) => assert_eq!(errno, rustix::io::Errno::NOTSUP),
    }
    let redirect =
        rustix::fs::lgetxattr(root.join(&long), "trusted.overlay.redirect", &mut value[..]);
    assert!(redirect.is_err(), "an image steers overlayfs");
}

/// cap_net_bind_service+ep, as setcap(8) writes it.
const FILE_CAPABILITIES: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn an_attribute_that_is_refused_is_left_out_but_capabilities_are_not() {
    if !rustix::process::geteuid().is_root() {
        println!("not root: nothing is refused that a layer of root's could have");
        return;
    }
    let layer = |name: &str, value: &[u8]| {
        Layer::new().pax(&[(&format!("SCHILY.xattr.{name}"), value)]).file("a", "content")
    };
    let attribute = |temp: &TempDir, name: &str| {
        let mut value = [0; 64];
        let length = rustix::fs::lgetxattr(temp.path().join("root/a"), name, &mut value[..]);
        length.map(|length| value[..length].to_vec())
    };
    // Capabilities belong to a thread: the one that loses some is thrown away.
    let without = |capability, bytes: Vec<u8>| {
        let unpacked = std::thread::spawn(move || {
            caps::drop(None, caps::CapSet::Effective, capability).unwrap();
            let (temp, result) = unpack_bytes(&bytes);
            (temp, result.map_err(|error| (error.to_string(), error)))
        });
        unpacked.join().unwrap()
    };
    let (temp, result) = layer("security.capability", &FILE_CAPABILITIES).unpack();
    result.unwrap();
    assert_eq!(attribute(&temp, "security.capability").unwrap(), FILE_CAPABILITIES);

    // What root in a container of somebody else's meets: it has not all of root's rights.
    let evm = layer("security.evm", b"x").bytes();
    let (temp, result) = without(caps::Capability::CAP_SYS_ADMIN, evm);
    result.unwrap();
    assert_eq!(std::fs::read_to_string(temp.path().join("root/a")).unwrap(), "content");
    assert!(attribute(&temp, "security.evm").is_err());

    let capable = layer("security.capability", &FILE_CAPABILITIES).bytes();
    let (_temp, result) = without(caps::Capability::CAP_SETFCAP, capable);
    let (text, error) = result.unwrap_err();
    assert!(text.contains("attribute") && text.contains("\"a\""), "{text}");
    let source = error.write_source().and_then(std::io::Error::raw_os_error);
    assert_eq!(source, Some(libc::EPERM));

    // No file system knows this one.
    let (temp, result) = layer("nonesuch.name", b"x").unpack();
    result.unwrap();
    assert!(temp.path().join("root/a").exists());
}

#[test]
fn numbers_left_out_mean_zero() {
    let mut header = header(EntryType::Symlink, "link", 0o777);
    let fields = header.as_old_mut();
    (fields.mode, fields.mtime) = ([0; 8], [b' '; 12]);
    fields.linkname[..6].copy_from_slice(b"target");
    let (layer, result) = Layer::new().raw(header, b"").file("file", "x").unpack();
    result.unwrap();
    let link = fs::symlink_metadata(layer.path().join("root/link")).unwrap();
    assert!(link.is_symlink() && link.mtime() == 0);
}

#[test]
fn compression_is_found_by_content_and_truncation_is_an_error() {
    let tar = Layer::new().file("a", "content").file("b", &"x".repeat(100_000)).bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::stream::encode_all(&tar[..], 1).unwrap();
    for (name, bytes) in [("tar", &tar), ("gzip", &gzip), ("zstd", &zstd)] {
        let (layer, result) = unpack_bytes(bytes);
        assert_eq!(result.unwrap(), Digest::of(&tar), "{name}");
        assert_eq!(fs::read_to_string(layer.path().join("root/a")).unwrap(), "content");
        let (_layer, result) = unpack_bytes(&bytes[..bytes.len() / 2]);
        assert!(matches!(result, Err(UnpackError::Corrupt { .. })), "{name}: {result:?}");
    }
    // Two gzip members are one stream.
    let half = gzip.len();
    let mut twice = gzip.clone();
    twice.extend_from_slice(&gzip[..half]);
    assert!(unpack_bytes(&twice).1.is_ok());
}

#[test]
fn an_archive_may_end_without_padding_but_not_inside_content() {
    // What `umoci insert` writes: one entry, no zeros after it, no end marker.
    let tar = Layer::new().file("a", "content").bytes();
    let bare = &tar[..512 + "content".len()];
    let (layer, result) = unpack_bytes(bare);
    assert_eq!(result.unwrap(), Digest::of(bare));
    assert_eq!(fs::read_to_string(layer.path().join("root/a")).unwrap(), "content");
    let (_layer, result) = unpack_bytes(&bare[..bare.len() - 1]);
    assert!(matches!(result, Err(UnpackError::Corrupt { .. })), "{result:?}");
}

#[test]
fn what_is_no_tar_is_named() {
    for (bytes, says) in
        [(&b"<html>not found</html>"[..], "HTML"), (b"\x7fELF\x02\x01", "ELF"), (b"", "empty file")]
    {
        let error = unpack_bytes(bytes).1.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(unpack_bytes(&[0; 1024]).1.is_ok(), "an empty layer");
}

#[test]
fn the_diff_id_must_hold() {
    let tar = Layer::new().file("a", "content").bytes();
    let temp = tempfile::tempdir().unwrap();
    let wrong = Digest::of(b"something else");
    let result = unpack(&tar[..], &temp.path().join("x"), Ownership::Discard, Some(&wrong));
    assert!(matches!(result, Err(UnpackError::WrongDiffId { .. })), "{result:?}");
    let right = Digest::of(&tar);
    assert!(unpack(&tar[..], &temp.path().join("y"), Ownership::Discard, Some(&right)).is_ok());
}

#[test]
fn a_full_disk_is_reported_as_the_file_systems_answer() {
    // /dev/full refuses every byte; a layer directory cannot be made of it, so write through File.
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    let error = full.write_all(&[0; 1]).unwrap_err();
    assert!(crate::image::error::is_disk_full(&error));
}

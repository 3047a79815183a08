//! Which file of a layered image is its program, and whether it is Wasm.
//!
//! The layers are looked at as overlayfs would show them, but without mounting: links are followed
//! inside the image only, whiteouts and opaque directories hide what is below.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2, readlinkat};
use rustix::io::Errno;

use super::fetch::Ingest;
use crate::image::digest::{self, Digest};
use crate::image::error::ImageError;
use crate::image::model::ImageConfig;
use crate::image::sniff::{Content, sniff_reader};
use crate::image::store::Inner;

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;
/// Where programs without a slash are looked for when the image has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Whether the program's name says Wasm (`/app.wasm`, `app.wasm#main`).
pub(super) fn is_named(config: &ImageConfig) -> bool {
    program(config).is_some_and(|name| without_function(name).ends_with(".wasm"))
}

/// The program as a blob, if it is Wasm; `stack` holds diff ids, lowest first.
pub(super) async fn find(
    ingest: &Ingest,
    stack: &[Digest],
    config: &mut ImageConfig,
) -> Result<Option<Digest>, ImageError> {
    let (stack, asked) = (stack.to_vec(), config.clone());
    let found =
        ingest.blocking(move |store, name| keep_if_wasm(store, name, &stack, &asked)).await?;
    Ok(found.map(|(digest, name)| {
        if program(config).is_none() {
            config.entrypoint = vec![name];
        }
        digest
    }))
}

fn keep_if_wasm(
    store: &Inner,
    reference: &str,
    stack: &[Digest],
    config: &ImageConfig,
) -> Result<Option<(Digest, String)>, ImageError> {
    let layers: Vec<PathBuf> = stack.iter().rev().map(|id| store.disk.layer(id)).collect();
    let read = |source| ImageError::storage("read", reference, &store.disk.layers(), source);
    let names = match program(config) {
        Some(name) => candidates(name, config),
        None => only_module(&layers).map_err(read)?,
    };
    for name in names {
        let Some(mut file) = open_in(&layers, Path::new(&name)).map_err(read)? else { continue };
        if sniff_reader(&mut file).map_err(read)? != Content::Wasm {
            return Ok(None);
        }
        let mut file = match open_in(&layers, Path::new(&name)).map_err(read)? {
            Some(file) => file,
            None => return Ok(None),
        };
        let draft = store.disk.draft();
        let write = |source| ImageError::storage("write", reference, draft.path(), source);
        let mut copy = File::create_new(draft.path()).map_err(write)?;
        let (digest, _) = digest::copy(&mut file, &mut copy).map_err(write)?;
        copy.sync_data().map_err(write)?;
        let place = store.disk.blob(&digest);
        draft
            .keep(&place)
            .map_err(|source| ImageError::storage("write", reference, &place, source))?;
        return Ok(Some((digest, name.to_string_lossy().into_owned())));
    }
    Ok(None)
}

fn program(config: &ImageConfig) -> Option<&str> {
    config.entrypoint.first().or(config.cmd.first()).map(String::as_str)
}

fn without_function(name: &str) -> &str {
    name.split_once('#').map_or(name, |(name, _)| name)
}

/// Absolute paths that the program's name may mean, in order.
fn candidates(name: &str, config: &ImageConfig) -> Vec<OsString> {
    let folder = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
    let mut found = Vec::new();
    for name in [name, without_function(name)] {
        if name.contains('/') {
            found.push(Path::new("/").join(folder).join(name).into_os_string());
            continue;
        }
        let path =
            config.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_str());
        let folders = path.unwrap_or(DEFAULT_PATH).split(':').chain([folder, "/"]);
        found.extend(folders.map(|folder| Path::new(folder).join(name).into_os_string()));
    }
    found.dedup();
    found
}

/// An image that names no program and holds a single Wasm file at its root means that file.
fn only_module(layers: &[PathBuf]) -> io::Result<Vec<OsString>> {
    let mut found = Vec::new();
    for layer in layers {
        for entry in std::fs::read_dir(layer)? {
            let name = entry?.file_name();
            if name.as_bytes().ends_with(b".wasm") {
                found.push(Path::new("/").join(name).into_os_string());
            }
        }
    }
    Ok(if found.len() == 1 { found } else { Vec::new() })
}

/// Opens the regular file that the image shows at `path`; `layers` topmost first.
fn open_in(layers: &[PathBuf], path: &Path) -> io::Result<Option<File>> {
    let mut roots = Vec::with_capacity(layers.len());
    for layer in layers {
        roots.push(open(layer, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
    }
    let mut links = 0;
    let mut resolved = PathBuf::new();
    let mut rest: VecDeque<OsString> = parts(path);
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            resolved.pop();
            continue;
        }
        let here = resolved.join(&part);
        match look(&roots, layers, &here)? {
            Seen::Nothing => return Ok(None),
            Seen::Folder => resolved = here,
            Seen::File(file) if rest.is_empty() => {
                // Opened by path only: now it is known to be a regular file of a layer.
                return File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).map(Some);
            }
            Seen::File(_) => return Ok(None),
            Seen::Link(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return Ok(None);
                }
                if target.is_absolute() {
                    resolved.clear();
                }
                for part in parts(&target).into_iter().rev() {
                    rest.push_front(part);
                }
            }
        }
    }
    Ok(None)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

enum Seen {
    Nothing,
    Folder,
    File(OwnedFd),
    Link(PathBuf),
}

/// What the stack shows at `path`, none of whose parents is a link.
fn look(roots: &[OwnedFd], layers: &[PathBuf], path: &Path) -> io::Result<Seen> {
    for (root, layer) in roots.iter().zip(layers) {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let found = match openat2(root, path, flags, Mode::empty(), inside) {
            Ok(found) => found,
            Err(Errno::NOENT) if hides_below(layer, path) => return Ok(Seen::Nothing),
            Err(Errno::NOENT) => continue,
            // A parent is no directory in this layer, so overlayfs looks no further down.
            Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Seen::Nothing),
            Err(errno) => return Err(errno.into()),
        };
        return Ok(match FileType::from_raw_mode(fstat(&found)?.st_mode) {
            FileType::RegularFile => Seen::File(found),
            FileType::Directory => Seen::Folder,
            FileType::Symlink => {
                let target = readlinkat(&found, "", Vec::new())?;
                Seen::Link(PathBuf::from(OsStr::from_bytes(target.to_bytes())))
            }
            _ => Seen::Nothing,
        });
    }
    Ok(Seen::Nothing)
}

/// Whether a parent of `path` is opaque in `layer`.
fn hides_below(layer: &Path, path: &Path) -> bool {
    path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()).any(|parent| {
        let mut value = [0; 1];
        let length =
            rustix::fs::lgetxattr(layer.join(parent), "trusted.overlay.opaque", &mut value[..]);
        length == Ok(1) && value == *b"y"
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn text(layers: &[PathBuf], path: &str) -> Option<String> {
        let mut text = String::new();
        open_in(layers, Path::new(path)).unwrap()?.read_to_string(&mut text).unwrap();
        Some(text)
    }

    #[test]
    fn files_are_found_as_overlayfs_shows_them() {
        let temp = tempfile::tempdir().unwrap();
        let (top, low) = (temp.path().join("top"), temp.path().join("low"));
        let outside = temp.path().join("outside");
        for folder in [&top, &low, &outside] {
            fs::create_dir_all(folder.join("d")).unwrap();
            fs::write(folder.join("d/f"), folder.file_name().unwrap().as_bytes()).unwrap();
        }
        fs::write(low.join("only"), "low").unwrap();
        symlink("/d/../d/f", low.join("link")).unwrap();
        symlink(&outside, low.join("escape")).unwrap();
        symlink("../../../../d/f", low.join("climb")).unwrap();
        symlink("loop", low.join("loop")).unwrap();
        // A directory above, a link out of the image below: overlayfs shows the directory only.
        fs::create_dir(top.join("mixed")).unwrap();
        symlink(&outside, low.join("mixed")).unwrap();
        let layers = [top, low];
        assert_eq!(text(&layers, "/d/f").as_deref(), Some("top"));
        assert_eq!(text(&layers, "/only").as_deref(), Some("low"));
        assert_eq!(text(&layers, "/link").as_deref(), Some("top"));
        assert_eq!(text(&layers, "/climb").as_deref(), Some("top"));
        for hidden in ["/escape/d/f", "/mixed/d/f", "/loop", "/d", "/missing", "/only/x"] {
            assert_eq!(text(&layers, hidden), None, "{hidden}");
        }
    }

    #[test]
    fn candidates_follow_path_and_working_directory() {
        let mut config = ImageConfig { working_dir: "/app".into(), ..ImageConfig::default() };
        config.env.push(("PATH".into(), "/x:/y".into()));
        assert_eq!(candidates("/a.wasm", &config), ["/a.wasm"]);
        assert_eq!(candidates("./a.wasm", &config), ["/app/./a.wasm"]);
        let found = candidates("a.wasm", &config);
        assert_eq!(found[..4], ["/x/a.wasm", "/y/a.wasm", "/app/a.wasm", "/a.wasm"]);
        assert!(candidates("/a.wasm#run", &config).contains(&"/a.wasm".into()));
        config.cmd = vec!["/a.wasm#run".into()];
        assert!(is_named(&config));
    }
}

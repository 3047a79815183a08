//! The container's mount table, made with the descriptor-based mount calls (kernel 5.12).
//!
//! Everything happens in the child's own mount namespace, so a child that fails, or a shim that is
//! killed, leaves no mount behind.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, makedev};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};

use super::LaunchError;
use super::plan::Attributes;
use super::rootfs::{Kind, Root, kind_of};
use crate::sys::{MountAttributes, set_mount_attributes};

/// mount(2) copies its option string into one page.
const MAX_MOUNT_OPTIONS: usize = 4095;

pub(super) fn make_private() -> Result<(), LaunchError> {
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", flags)
        .map_err(|e| LaunchError::step("make private", "the mount tree", e))
}

/// Mounts the overlay through mount(2): its layer list outgrows the 256 bytes that fsconfig(2) takes in
/// one string before Linux 6.5. Layers are named relative to their common directory to save room.
pub(super) fn overlay_root(
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    at: &Path,
) -> Result<Root, LaunchError> {
    let subject = || format!("the overlay at {}", at.display());
    let (base, options) = overlay_options(lower, upper, work);
    if options.len() > MAX_MOUNT_OPTIONS {
        return Err(LaunchError::step("mount", subject(), Errno::TOOBIG));
    }
    rustix::process::chdir(&base)
        .map_err(|e| LaunchError::step("enter", base.display().to_string(), e))?;
    let options = std::ffi::CString::new(options)
        .map_err(|_| LaunchError::step("mount", subject(), Errno::INVAL))?;
    // No device node of an image or made by the container can be opened: the ones it may use are bound
    // into /dev one by one. The cgroup refuses them as well, to a container that can change its mounts.
    rustix::mount::mount(
        "overlay",
        at,
        "overlay",
        rustix::mount::MountFlags::NODEV,
        Some(options.as_c_str()),
    )
    .map_err(|e| LaunchError::step("mount", subject(), e))?;
    open_root(at)
}

/// The directory to be in and the option string.
fn overlay_options(lower: &[PathBuf], upper: &Path, work: &Path) -> (PathBuf, String) {
    let base = match lower {
        [only] => only.parent().map(Path::to_path_buf),
        many => many
            .iter()
            .map(|layer| layer.parent().map(Path::to_path_buf))
            .reduce(|a, b| if a == b { a } else { None })
            .flatten(),
    }
    .unwrap_or_else(|| PathBuf::from("/"));
    let layers: Vec<String> =
        lower.iter().map(|layer| escape(layer.strip_prefix(&base).unwrap_or(layer))).collect();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        layers.join(":"),
        escape(upper),
        escape(work)
    );
    (base, options)
}

/// overlayfs splits layers at `:` and options at `,`; a backslash protects both.
fn escape(path: &Path) -> String {
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        if matches!(c, ':' | ',' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

pub(super) fn empty_root(at: &Path) -> Result<Root, LaunchError> {
    let failed = |e: Errno| LaunchError::step("mount", format!("tmpfs at {}", at.display()), e);
    let options = [("mode".to_owned(), "755".to_owned()), ("size".to_owned(), "1m".to_owned())];
    let attributes =
        Attributes { no_suid: true, no_dev: true, no_exec: true, ..Attributes::default() };
    let mount = make_filesystem("tmpfs", &options, attributes).map_err(failed)?;
    rustix::mount::move_mount(mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .map_err(failed)?;
    open_root(at)
}

fn open_root(at: &Path) -> Result<Root, LaunchError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(at, flags, Mode::empty())
        .map(Root::new)
        .map_err(|e| LaunchError::step("open", at.display().to_string(), e))
}

pub(super) fn filesystem(
    root: &Root,
    kind: &str,
    target: &str,
    options: &[(String, String)],
    attributes: Attributes,
) -> Result<(), LaunchError> {
    let onto = root.plain_directory(target)?;
    make_filesystem(kind, options, attributes)
        .and_then(|mount| attach(&mount, onto.as_fd()))
        .map_err(|e| LaunchError::step("mount", format!("{kind} on {target}"), e))
}

fn make_filesystem(
    kind: &str,
    options: &[(String, String)],
    attributes: Attributes,
) -> Result<OwnedFd, Errno> {
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        if value.is_empty() {
            rustix::mount::fsconfig_set_flag(context.as_fd(), key)?;
        } else {
            rustix::mount::fsconfig_set_string(context.as_fd(), key, value)?;
        }
    }
    rustix::mount::fsconfig_create(context.as_fd())?;
    let mut flags = MountAttrFlags::empty();
    flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, attributes.read_only);
    flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, attributes.no_suid);
    flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, attributes.no_dev);
    flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, attributes.no_exec);
    rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, flags)
}

/// Puts a detached mount onto what a path descriptor names.
fn attach(mount: &OwnedFd, onto: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(mount, "", onto, "", flags)
}

pub(super) fn bind(
    root: &Root,
    source: &Path,
    target: &str,
    attributes: Attributes,
) -> Result<(), LaunchError> {
    let failed =
        |e: Errno| LaunchError::step("bind", format!("{} on {target}", source.display()), e);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, source, flags).map_err(failed)?;
    let onto = root.mountpoint(target, kind_of(tree.as_fd()).map_err(failed)?)?;
    restrict(&tree, attributes, true)
        .map_err(|e| LaunchError::step("restrict the mount on", target, e))?;
    attach(&tree, onto.as_fd()).map_err(failed)
}

/// A node that the container may open and change as it likes: it is not the host's.
pub(super) fn device(root: &Root, target: &str, major: u32, minor: u32) -> Result<(), LaunchError> {
    let failed = |e: Errno| LaunchError::step("make device", target, e);
    let (parent, name) = target.rsplit_once('/').unwrap_or(("", target));
    let parent = root.mountpoint(parent, Kind::Directory)?;
    let device = makedev(major, minor);
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(&parent, name, FileType::CharacterDevice, mode, device).map_err(failed)?;
    // The shim's umask took bits away.
    rustix::fs::chmodat(&parent, name, mode, rustix::fs::AtFlags::empty()).map_err(failed)?;
    let node = root.find(target).map_err(failed)?;
    clone_of(&node).and_then(|tree| attach(&tree, node.as_fd())).map_err(failed)
}

pub(super) fn no_devices(root: &Root, target: &str) -> Result<(), LaunchError> {
    let failed = |e: std::io::Error| LaunchError::step("forbid devices in", target, e);
    let mount = root.find(target).map_err(|e| failed(e.into()))?;
    let attributes = MountAttributes { no_dev: true, ..MountAttributes::default() };
    set_mount_attributes(mount.as_fd(), attributes, false).map_err(failed)
}

fn restrict(tree: &OwnedFd, attributes: Attributes, recursive: bool) -> std::io::Result<()> {
    if attributes == Attributes::default() {
        return Ok(());
    }
    let Attributes { read_only, no_suid, no_dev, no_exec } = attributes;
    let attributes = MountAttributes { read_only, no_suid, no_dev, no_exec };
    set_mount_attributes(tree.as_fd(), attributes, recursive)
}

/// Binds what is at the path onto itself, read-only.
pub(super) fn read_only_path(root: &Root, target: &str) -> Result<(), LaunchError> {
    let Some(onto) = existing(root, target)? else { return Ok(()) };
    let failed = |e: std::io::Error| LaunchError::step("make read-only", target, e);
    let tree = clone_of(&onto).map_err(|e| failed(e.into()))?;
    // Setting what /proc already has keeps it: the attributes of the copied mount stay.
    restrict(&tree, Attributes { read_only: true, ..Attributes::default() }, true)
        .map_err(failed)?;
    attach(&tree, onto.as_fd()).map_err(|e| failed(e.into()))
}

/// Covers a file with the container's /dev/null and a directory with an empty read-only tmpfs.
pub(super) fn masked_path(root: &Root, target: &str) -> Result<(), LaunchError> {
    let Some(onto) = existing(root, target)? else { return Ok(()) };
    let failed = |e: Errno| LaunchError::step("mask", target, e);
    let cover = match kind_of(onto.as_fd()).map_err(failed)? {
        Kind::File => null_device(root).and_then(|null| clone_of(&null)),
        Kind::Directory => {
            let attributes =
                Attributes { read_only: true, no_suid: true, no_dev: true, no_exec: true };
            make_filesystem("tmpfs", &[("nr_inodes".into(), "2".into())], attributes)
        }
    };
    cover.and_then(|cover| attach(&cover, onto.as_fd())).map_err(failed)
}

/// The container's /dev/null, if that is what is there: a volume may have put something else in its place
/// (runc's CVE-2025-31133).
fn null_device(root: &Root) -> Result<OwnedFd, Errno> {
    let null = root.find("/dev/null")?;
    let stat = rustix::fs::statat(&null, "", rustix::fs::AtFlags::EMPTY_PATH)?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if is_device && stat.st_rdev == makedev(1, 3) { Ok(null) } else { Err(Errno::NODEV) }
}

fn existing(root: &Root, target: &str) -> Result<Option<OwnedFd>, LaunchError> {
    match root.find(target) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(e) => Err(LaunchError::step("find", target, e)),
    }
}

fn clone_of(path: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    rustix::mount::open_tree(path, "", flags)
}

/// Only the root's own mount: volumes under it keep their own attributes.
pub(super) fn read_only_root(root: &Root) -> Result<(), LaunchError> {
    let attributes = MountAttributes { read_only: true, ..MountAttributes::default() };
    set_mount_attributes(root.as_fd(), attributes, false)
        .map_err(|e| LaunchError::step("make read-only", "the root", e))
}

/// pivot_root(2) with both arguments the same directory stacks the old root over the new one, where it
/// can be unmounted without needing a directory of its own in the image.
pub(super) fn pivot(root: &Root) -> Result<(), LaunchError> {
    let failed = |e: Errno| LaunchError::step("pivot into", "the root", e);
    rustix::process::fchdir(root).map_err(failed)?;
    rustix::process::pivot_root(".", ".").map_err(failed)?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)
        .map_err(|e| LaunchError::step("unmount", "the host's root", e))?;
    rustix::process::chdir("/").map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_one_directory_are_named_relative_to_it() {
        let (base, options) = overlay_options(
            &["/r/layers/bb".into(), "/r/layers/a:a".into()],
            Path::new("/r/c/upper"),
            Path::new("/r/c/work"),
        );
        assert_eq!(base, Path::new("/r/layers"));
        assert_eq!(options, r"lowerdir=bb:a\:a,upperdir=/r/c/upper,workdir=/r/c/work");
    }

    #[test]
    fn layers_of_several_directories_are_named_from_the_root() {
        let (base, options) =
            overlay_options(&["/x/1".into(), "/y/2".into()], Path::new("/u"), Path::new("/w"));
        assert_eq!(base, Path::new("/"));
        assert_eq!(options, "lowerdir=x/1:y/2,upperdir=/u,workdir=/w");
    }
}

//! Volumes of a pod: made before its sandbox, removed after it.
//!
//! Everything a pod's volumes need is below `<data dir>/pods/<uid>/`:
//! `volumes/<name>` is the volume, `volume-subpaths/<container>/<index>` a bind mount of a part of one.
//! Contents of ConfigMaps, Secrets and the downward API are computed by pure functions
//! ([`payload`]) and put in place by an atomic swap ([`atomic`]), so that a running container never
//! sees half of an update. All functions here block: the worker calls them on the blocking pool.

pub(crate) mod atomic;
mod clean;
mod host_path;
pub(crate) mod mounts;
pub(crate) mod payload;

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod, Volume};
use rustix::fs::Gid;
use rustix::io::Errno;
use rustix::mount::MountFlags;

use crate::translate::env::References;
use crate::translate::field::Placement;
use crate::translate::{resources, security};

pub(crate) use clean::remove;

/// Why a volume could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error(transparent)]
    Payload(#[from] payload::PayloadError),
    #[error("hostPath type check failed: {path} is not {wanted}")]
    HostPathType { path: String, wanted: &'static str },
    #[error("volumes of this kind are not supported by this node")]
    Unsupported,
    #[error("medium Memory needs the right to mount a tmpfs, which this host does not give")]
    NoTmpfs,
    #[error("volume {name:?} does not exist in the pod")]
    NoSuchVolume { name: String },
    #[error("subPath {path:?} leads out of its volume")]
    SubPathEscapes { path: String },
    #[error("cannot {operation} {path}: {source}", path = path.display())]
    File { operation: &'static str, path: PathBuf, source: io::Error },
}

impl VolumeError {
    pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { operation, path, source }
    }

    pub(crate) fn errno(operation: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        let path = path.to_owned();
        move |errno| Self::File { operation, path, source: errno.into() }
    }
}

/// A volume that could not be made, in the kubelet's words.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?} : {source}")]
pub(crate) struct SetUpError {
    pub(crate) volume: String,
    pub(crate) source: VolumeError,
}

/// Where a pod's files are.
#[derive(Debug, Clone)]
pub(crate) struct PodDir {
    root: PathBuf,
}

impl PodDir {
    pub(crate) fn new(data_dir: &Path, uid: &str) -> Self {
        Self { root: data_dir.join("pods").join(uid) }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.root.join("volumes").join(name)
    }

    fn sub_path(&self, container: &str, index: usize) -> PathBuf {
        self.root.join("volume-subpaths").join(container).join(index.to_string())
    }
}

/// Makes every volume of the pod, or brings its contents up to date. May be called any number of times.
pub(crate) fn set_up(
    pod: &Pod,
    dir: &PodDir,
    references: &References,
    placement: &Placement,
) -> Result<(), SetUpError> {
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        set_up_one(pod, volume, dir, references, placement)
            .map_err(|source| SetUpError { volume: volume.name.clone(), source })?;
    }
    Ok(())
}

/// Rewrites the volumes whose contents come from the API, after one of their sources changed.
pub(crate) fn refresh(
    pod: &Pod,
    dir: &PodDir,
    references: &References,
    placement: &Placement,
) -> Result<(), SetUpError> {
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        if payload::is_payload(volume) {
            set_up_one(pod, volume, dir, references, placement)
                .map_err(|source| SetUpError { volume: volume.name.clone(), source })?;
        }
    }
    Ok(())
}

fn set_up_one(
    pod: &Pod,
    volume: &Volume,
    dir: &PodDir,
    references: &References,
    placement: &Placement,
) -> Result<(), VolumeError> {
    let path = dir.volume(&volume.name);
    let fs_group = security::fs_group(pod);
    if payload::is_payload(volume) {
        let files = payload::of_volume(pod, volume, references, placement)?;
        make_dir(&path, 0o755)?;
        return atomic::write(&path, &files, fs_group);
    }
    if let Some(source) = &volume.empty_dir {
        return empty_dir(&path, source, fs_group);
    }
    if let Some(source) = &volume.host_path {
        return host_path::check(source);
    }
    Err(VolumeError::Unsupported)
}

/// An empty directory that everyone may write to; in memory if asked.
fn empty_dir(
    path: &Path,
    source: &EmptyDirVolumeSource,
    fs_group: Option<u32>,
) -> Result<(), VolumeError> {
    let existed = path.exists();
    make_dir(path, 0o777)?;
    if source.medium.as_deref() == Some("Memory") && !clean::is_mount(path)? {
        let size = source.size_limit.as_ref().and_then(resources::units).filter(|size| *size > 0);
        let options =
            size.map_or_else(|| "mode=0777".to_owned(), |size| format!("mode=0777,size={size}"));
        let options = std::ffi::CString::new(options).expect("digits and words have no NUL");
        match rustix::mount::mount(
            "tmpfs",
            path,
            "tmpfs",
            MountFlags::NOSUID | MountFlags::NODEV,
            options.as_c_str(),
        ) {
            Err(Errno::PERM | Errno::ACCESS) => return Err(VolumeError::NoTmpfs),
            other => other.map_err(VolumeError::errno("mount a tmpfs on", path))?,
        }
    } else if existed {
        return Ok(());
    }
    if let Some(group) = fs_group {
        own(path, group)?;
        chmod(path, 0o2777)?;
    }
    Ok(())
}

fn make_dir(path: &Path, mode: u32) -> Result<(), VolumeError> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path).map_err(VolumeError::file("create", path))?;
    // Not left to create_dir: the umask would take bits away.
    chmod(path, mode)
}

fn chmod(path: &Path, mode: u32) -> Result<(), VolumeError> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(VolumeError::file("set the mode of", path))
}

fn own(path: &Path, group: u32) -> Result<(), VolumeError> {
    rustix::fs::chown(path, None, Some(Gid::from_raw(group)))
        .map_err(VolumeError::errno("set the group of", path))
}

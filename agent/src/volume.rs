//! Volumes of a pod: made before its sandbox, removed after it.
//!
//! Everything a pod's volumes need is below `<data dir>/pods/<uid>/`:
//! `volumes/<name>` is the volume, `volume-subpaths/<container>/<index>` a bind mount of a part of one.
//! Contents of ConfigMaps, Secrets and the downward API are computed by pure functions
//! ([`payload`]) and put in place by an atomic swap ([`atomic`]), so that a running container never
//! sees half of an update. All functions here block: the worker calls them on the blocking pool.

pub(crate) mod atomic;
pub(crate) mod claim;
mod clean;
mod host_path;
pub(crate) mod mounts;
mod ownership;
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

use claim::Backing;
pub(crate) use clean::remove;

/// Why a volume could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error(transparent)]
    Payload(#[from] payload::PayloadError),
    #[error("hostPath type check failed: {path} is not {wanted}")]
    HostPathType { path: String, wanted: &'static str },
    #[error("hostPath {path} holds a NUL character, which no path may")]
    Nul { path: String },
    #[error("volumes of this kind are not supported by this node")]
    Unsupported,
    #[error("nothing is known of what is behind the claim")]
    NoBacking,
    #[error("path {path:?} does not exist or is not a directory")]
    LocalPath { path: PathBuf },
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

/// Unmounts what the volumes of all pods are on, as a reboot would: what is in memory is gone, what is on
/// the disk stays. Only once no sandbox is left.
///
/// # Errors
/// [`Error::Volumes`](crate::Error::Volumes) if a mount cannot be undone.
pub fn unmount_all(data_dir: &Path) -> Result<(), crate::Error> {
    clean::unmount_below(&data_dir.join("pods"))
        .map_err(|error| crate::Error::Volumes { source: Box::new(error) })
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
        if payload::is_secret(volume) {
            keep_in_memory(&path)?;
        }
        return atomic::write(&path, &files, fs_group);
    }
    if let Some(source) = &volume.empty_dir {
        return empty_dir(&path, source, memory_size(pod, source, placement), fs_group);
    }
    if let Some(source) = &volume.host_path {
        return host_path::check(source);
    }
    if let Some(of) = claim::of_volume(pod, volume) {
        let backing = references.claims.get(&volume.name).ok_or(VolumeError::NoBacking)?;
        return claimed(pod, &path, backing, of.read_only);
    }
    Err(VolumeError::Unsupported)
}

/// Puts a link to what is behind a claim where the pod's volume is.
fn claimed(pod: &Pod, path: &Path, backing: &Backing, read_only: bool) -> Result<(), VolumeError> {
    let target = match backing {
        Backing::HostPath(source) => {
            host_path::check(source)?;
            Path::new(&source.path)
        }
        Backing::Local(target) => {
            if !target.is_dir() {
                return Err(VolumeError::LocalPath { path: target.clone() });
            }
            if let Some(group) = security::fs_group(pod).filter(|_| !read_only) {
                ownership::give(target, group, security::changes_on_root_mismatch(pod))?;
            }
            target
        }
    };
    if std::fs::read_link(path).is_ok_and(|linked| linked == target) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_dir(parent, 0o755)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(VolumeError::file("remove", path)(error));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(target, path).map_err(VolumeError::file("link", path))
}

/// An empty directory that everyone may write to; in memory, up to `size` bytes, if asked.
fn empty_dir(
    path: &Path,
    source: &EmptyDirVolumeSource,
    size: u64,
    fs_group: Option<u32>,
) -> Result<(), VolumeError> {
    let existed = path.exists();
    make_dir(path, 0o777)?;
    if source.medium.as_deref() == Some("Memory") && !clean::is_mount(path)? {
        mount_tmpfs(path, &format!("mode=0777,size={size}"))?;
    } else if existed {
        return Ok(());
    }
    if let Some(group) = fs_group {
        own(path, group)?;
        chmod(path, 0o2777)?;
    }
    Ok(())
}

/// Bytes of a volume in memory: what it asks for, but never more than the pod may use, nor than the node
/// has.
fn memory_size(pod: &Pod, source: &EmptyDirVolumeSource, placement: &Placement) -> u64 {
    let of_pod = pod.spec.as_ref().and_then(|spec| resources::of_pod(spec).memory_limit_bytes);
    let asked = source.size_limit.as_ref().and_then(resources::units);
    let bounds = [asked, of_pod].into_iter().flatten().filter(|bytes| *bytes > 0);
    bounds.fold(placement.node_memory, u64::min)
}

/// Puts a volume with Secrets on a tmpfs, so that they never are on a disk; where the host gives no right
/// to mount, they are in a directory that only this user can enter.
fn keep_in_memory(path: &Path) -> Result<(), VolumeError> {
    let mut entries = std::fs::read_dir(path).map_err(VolumeError::file("read", path))?;
    // What is there is in use, on a tmpfs or not: containers would not see what is mounted over it.
    if entries.next().is_some() || clean::is_mount(path)? {
        return Ok(());
    }
    match mount_tmpfs(path, "mode=0755") {
        Err(VolumeError::NoTmpfs) => Ok(()),
        other => other,
    }
}

/// Mounts a tmpfs that is never swapped out, where the kernel can promise that (Linux 6.3).
fn mount_tmpfs(path: &Path, options: &str) -> Result<(), VolumeError> {
    let mount = |options: &str| {
        let options = std::ffi::CString::new(options).expect("digits and words have no NUL");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        rustix::mount::mount("tmpfs", path, "tmpfs", flags, options.as_c_str())
    };
    let mounted = match mount(&format!("{options},noswap")) {
        Err(Errno::INVAL) => mount(options),
        other => other,
    };
    match mounted {
        Err(Errno::PERM | Errno::ACCESS) => Err(VolumeError::NoTmpfs),
        other => other.map_err(VolumeError::errno("mount a tmpfs on", path)),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use std::sync::Arc;

    use super::*;

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    fn placement() -> Placement {
        Placement {
            pod_ip: "10.0.0.2".parse().unwrap(),
            host_ip: "192.0.2.1".parse().unwrap(),
            node_cpu_millis: 1000,
            node_memory: 1 << 30,
        }
    }

    #[test]
    fn memory_is_bounded_by_the_smallest() {
        let limited =
            json!({"containers": [{"name": "c", "resources": {"limits": {"memory": "64Mi"}}}]});
        let free = json!({"containers": [{"name": "c"}]});
        for (spec, asked, mebibytes) in [
            (&free, Value::Null, 1024),
            (&free, json!("16Mi"), 16),
            (&free, json!("0"), 1024),
            (&free, json!("1Ti"), 1024),
            (&limited, Value::Null, 64),
            (&limited, json!("16Mi"), 16),
            (&limited, json!("128Mi"), 64),
        ] {
            let source = json!({"medium": "Memory", "sizeLimit": asked});
            let source: EmptyDirVolumeSource = serde_json::from_value(source).unwrap();
            let size = memory_size(&pod(spec.clone()), &source, &placement());
            assert_eq!(size, mebibytes << 20, "{asked} {spec}");
        }
    }

    #[test]
    fn claims_are_linked_and_what_is_behind_them_stays() {
        let temp = tempfile::tempdir().unwrap();
        let dir = PodDir::new(temp.path(), "uid");
        let (local, made) = (temp.path().join("local"), temp.path().join("made"));
        let claim = |name: &str, read_only: bool| {
            let source = json!({"claimName": "c", "readOnly": read_only});
            json!({"name": name, "persistentVolumeClaim": source})
        };
        let mounted = |name: &str| json!({"name": name, "mountPath": format!("/{name}")});
        let mut part = mounted("l");
        part["subPath"] = json!("part");
        let pod = pod(json!({
            "securityContext": {"fsGroup": 4242},
            "containers": [{"name": "c", "volumeMounts": [mounted("l"), part, mounted("h")]}],
            "volumes": [claim("l", false), claim("h", true)],
        }));
        let source = json!({"path": made, "type": "DirectoryOrCreate"});
        let claims = [
            ("l".to_owned(), Backing::Local(local.clone())),
            ("h".to_owned(), Backing::HostPath(serde_json::from_value(source).unwrap())),
        ];
        let references = References { claims: claims.into(), ..References::default() };
        let error = set_up(&pod, &dir, &references, &placement()).unwrap_err().to_string();
        assert!(error.ends_with("does not exist or is not a directory"), "{error}");

        std::fs::create_dir(&local).unwrap();
        std::fs::write(local.join("data"), "keep").unwrap();
        for _ in 0..2 {
            set_up(&pod, &dir, &references, &placement()).expect("tests run as root");
        }
        let group = std::os::unix::fs::MetadataExt::gid;
        assert_eq!(group(&std::fs::metadata(local.join("data")).unwrap()), 4242);
        assert_eq!(group(&std::fs::metadata(&made).unwrap()), 0, "a host's path is left as it is");
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let mounts = mounts::of_container(&pod, container, &dir, &[]).unwrap();
        assert_eq!((&mounts[0].source, mounts[0].read_only), (&local, false));
        assert_eq!((&mounts[2].source, mounts[2].read_only), (&made, true));
        std::fs::write(mounts[1].source.join("seen"), "").unwrap();
        assert!(local.join("part/seen").exists());

        remove(&dir).unwrap();
        assert!(!dir.root().exists());
        assert_eq!(std::fs::read_to_string(local.join("data")).unwrap(), "keep");
        assert!(local.join("part/seen").exists() && made.exists());
    }

    fn is_in_memory(path: &Path) -> bool {
        /// `TMPFS_MAGIC` of linux/magic.h.
        const TMPFS: u64 = 0x0102_1994;
        let kind = rustix::fs::statfs(path).unwrap().f_type;
        u64::try_from(kind).unwrap() == TMPFS && clean::is_mount(path).unwrap()
    }

    #[test]
    fn secrets_are_on_no_disk() {
        let temp = tempfile::tempdir().unwrap();
        let dir = PodDir::new(temp.path(), "uid");
        let secret = json!({"secret": {"name": "s"}});
        let map = json!({"configMap": {"name": "m"}});
        let pod = pod(json!({"containers": [], "volumes": [
            {"name": "secret", "secret": {"secretName": "s"}},
            {"name": "both", "projected": {"sources": [map, secret]}},
            {"name": "map", "configMap": {"name": "m"}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        ]}));
        let references = |value: &str| {
            let secret = json!({"stringData": {}, "data": {"k": value}});
            let map = json!({"data": {"m": "1"}});
            References {
                config_maps: [("m".into(), Arc::new(serde_json::from_value(map).unwrap()))].into(),
                secrets: [("s".into(), Arc::new(serde_json::from_value(secret).unwrap()))].into(),
                ..References::default()
            }
        };
        let path = |name: &str| dir.root().join("volumes").join(name);
        set_up(&pod, &dir, &references("eA=="), &placement()).expect("tests run as root");
        // A new value comes into the same place; nothing is mounted twice.
        refresh(&pod, &dir, &references("eQ=="), &placement()).unwrap();
        for (name, in_memory) in
            [("secret", true), ("both", true), ("memory", true), ("map", false)]
        {
            assert_eq!(is_in_memory(&path(name)), in_memory, "{name}");
        }
        for name in ["secret", "both"] {
            assert_eq!(std::fs::read_to_string(path(name).join("k")).unwrap(), "y", "{name}");
        }
        let room = rustix::fs::statvfs(path("memory")).unwrap();
        assert_eq!(room.f_blocks * room.f_frsize, 1 << 20);
        rustix::mount::unmount(path("secret"), rustix::mount::UnmountFlags::empty()).unwrap();
        assert_eq!(std::fs::read_dir(path("secret")).unwrap().count(), 0, "below the tmpfs");

        // A volume that is on the disk already stays where its containers look.
        std::fs::write(path("secret").join("old"), "").unwrap();
        refresh(&pod, &dir, &references("eA=="), &placement()).unwrap();
        assert!(!is_in_memory(&path("secret")));
        remove(&dir).unwrap();
        assert!(!dir.root().exists());
    }
}

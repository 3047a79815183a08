//! volumeMounts of a container as the runtime's bind mounts, `subPath` included.
//!
//! A sub-path is resolved below its volume by the kernel (openat2 with RESOLVE_BENEATH) and pinned as a
//! bind mount of the descriptor found, so that a container that writes to the volume cannot swap a
//! symlink in between. Where the host gives no right to mount, the resolved path itself is used: the
//! only containers there are Wasm's, whose preopens are resolved the same way.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use runtime::spec::Mount;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use super::{PodDir, VolumeError, chmod, claim, payload};
use crate::translate::expand::expand;

/// Builds the mounts of a container; its volumes must have been set up. `env` expands `subPathExpr`.
pub(crate) fn of_container(
    pod: &Pod,
    container: &Container,
    dir: &PodDir,
    env: &[(String, String)],
) -> Result<Vec<Mount>, VolumeError> {
    let mut mounts = Vec::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let (source, always_read_only) = source(pod, dir, mount)?;
        let part = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) if !path.is_empty() => Some(path.clone()),
            (_, Some(text)) if !text.is_empty() => Some(expand(text, |name| {
                env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
            })),
            _ => None,
        };
        let source = match part {
            Some(part) => pin(&source, &part, &dir.sub_path(&container.name, index))?,
            None => source,
        };
        let target = if mount.mount_path.starts_with('/') {
            mount.mount_path.clone()
        } else {
            format!("/{}", mount.mount_path)
        };
        mounts.push(Mount {
            source,
            target,
            read_only: mount.read_only == Some(true) || always_read_only,
        });
    }
    Ok(mounts)
}

/// The volume's path on the host, and whether its kind is always mounted read-only.
fn source(pod: &Pod, dir: &PodDir, mount: &VolumeMount) -> Result<(PathBuf, bool), VolumeError> {
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let volume = volumes
        .find(|volume| volume.name == mount.name)
        .ok_or_else(|| VolumeError::NoSuchVolume { name: mount.name.clone() })?;
    if let Some(host) = &volume.host_path {
        return Ok((PathBuf::from(&host.path), false));
    }
    let path = dir.volume(&volume.name);
    if let Some(of) = claim::of_volume(pod, volume) {
        let target = std::fs::read_link(&path).map_err(VolumeError::file("read", &path))?;
        return Ok((target, of.read_only));
    }
    Ok((path, payload::is_payload(volume)))
}

fn pin(volume: &Path, part: &str, target: &Path) -> Result<PathBuf, VolumeError> {
    let found = open_part(volume, part)?;
    let magic = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
    let is_dir = std::fs::metadata(&magic).map_err(VolumeError::file("look at", &magic))?.is_dir();
    let resolved = || std::fs::read_link(&magic).map_err(VolumeError::file("read", &magic));
    // A mount left by an earlier attempt: that container has its own copy.
    while rustix::mount::unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
    // What it was mounted on may have been of the other kind; a directory goes only if it is empty.
    let _ = std::fs::remove_file(target).or_else(|_| std::fs::remove_dir(target));
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(VolumeError::file("create", parent))?;
    }
    let made = if is_dir {
        std::fs::create_dir(target)
    } else {
        std::fs::File::create_new(target).map(drop)
    };
    match made {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(VolumeError::file("create", target)(error));
        }
        _ => {}
    }
    match rustix::mount::mount_bind_recursive(&magic, target) {
        Ok(()) => Ok(target.to_owned()),
        Err(Errno::PERM | Errno::ACCESS) => resolved(),
        Err(errno) => Err(VolumeError::errno("bind", target)(errno)),
    }
}

/// Opens `part` below `volume`; directories that are missing are made with the volume's own mode, as
/// the kubelet makes them: who may write to the volume may write to its part.
fn open_part(volume: &Path, part: &str) -> Result<OwnedFd, VolumeError> {
    let here = volume.join(part);
    let root = rustix::fs::openat(CWD, volume, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(VolumeError::errno("open", volume))?;
    let stat = rustix::fs::fstat(&root).map_err(VolumeError::errno("look at", volume))?;
    let mode = stat.st_mode & 0o7777;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let open = |path: &Path| {
        rustix::fs::openat2(&root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), beneath)
    };
    let fail = |operation: &'static str, errno: Errno| match errno {
        Errno::XDEV => VolumeError::SubPathEscapes { path: part.to_owned() },
        other => VolumeError::errno(operation, &here)(other),
    };
    let parts: Vec<&str> =
        part.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    if part.starts_with('/') || parts.contains(&"..") || parts.is_empty() {
        return Err(VolumeError::SubPathEscapes { path: part.to_owned() });
    }
    let mut reached = PathBuf::new();
    for name in parts {
        let parent = if reached.as_os_str().is_empty() {
            None
        } else {
            Some(open(&reached).map_err(|errno| fail("open", errno))?)
        };
        reached.push(name);
        match open(&reached) {
            Ok(_) => {}
            Err(Errno::NOENT) => {
                let made = rustix::fs::mkdirat(
                    parent.as_ref().unwrap_or(&root),
                    name,
                    Mode::from_raw_mode(mode),
                );
                match made {
                    Ok(()) => {
                        // Through the descriptor, and not left to mkdir: the umask took bits away.
                        // Whoever writes to the volume must not put a link in its place.
                        let flags =
                            OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
                        let within = parent.as_ref().unwrap_or(&root);
                        let fresh = rustix::fs::openat(within, name, flags, Mode::empty())
                            .map_err(|errno| fail("open", errno))?;
                        let fresh = PathBuf::from(format!("/proc/self/fd/{}", fresh.as_raw_fd()));
                        chmod(&fresh, mode)?;
                    }
                    Err(Errno::EXIST) => {}
                    Err(errno) => return Err(fail("create", errno)),
                }
            }
            Err(errno) => return Err(fail("open", errno)),
        }
    }
    open(&reached).map_err(|errno| fail("open", errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::os::unix::fs::PermissionsExt as _;

    fn mounts(temp: &Path, volumes: Value, volume_mounts: Value) -> Result<Vec<Mount>, String> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "spec": {"volumes": volumes, "containers": [{"name": "c", "volumeMounts": volume_mounts}]}
        }))
        .unwrap();
        let container = pod.spec.as_ref().unwrap().containers[0].clone();
        let env = [("WHO".to_owned(), "me".to_owned())];
        of_container(&pod, &container, &PodDir::new(temp, "uid"), &env)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn whole_volumes() {
        let temp = tempfile::tempdir().unwrap();
        let volumes = json!([{"name": "e", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/srv"}}, {"name": "s", "secret": {"secretName": "x"}}]);
        let got = mounts(
            temp.path(),
            volumes,
            json!([
                {"name": "e", "mountPath": "/data"}, {"name": "h", "mountPath": "rel", "readOnly": true}, {"name": "s", "mountPath": "/s"}
            ]),
        );
        let dir = temp.path().join("pods/uid/volumes");
        assert_eq!(
            got.unwrap(),
            [
                Mount { source: dir.join("e"), target: "/data".into(), read_only: false },
                Mount { source: "/srv".into(), target: "/rel".into(), read_only: true },
                Mount { source: dir.join("s"), target: "/s".into(), read_only: true },
            ]
        );
        assert!(
            mounts(temp.path(), json!([]), json!([{"name": "x", "mountPath": "/x"}]))
                .unwrap_err()
                .contains("does not exist")
        );
    }

    #[test]
    fn parts_are_pinned_and_cannot_escape() {
        let temp = tempfile::tempdir().unwrap();
        let volume = temp.path().join("pods/uid/volumes/e");
        std::fs::create_dir_all(&volume).unwrap();
        chmod(&volume, 0o777).unwrap();
        std::fs::write(volume.join("file"), "inside").unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
        std::os::unix::fs::symlink("file", volume.join("link")).unwrap();
        let one = |mount: Value| {
            mounts(temp.path(), json!([{"name": "e", "emptyDir": {}}]), json!([mount]))
        };
        let got = one(json!({"name": "e", "mountPath": "/f", "subPath": "link"})).unwrap();
        assert_eq!(std::fs::read_to_string(&got[0].source).unwrap(), "inside");
        let got =
            one(json!({"name": "e", "mountPath": "/d", "subPathExpr": "new/$(WHO)"})).unwrap();
        std::fs::write(got[0].source.join("seen"), "").unwrap();
        assert!(volume.join("new/me/seen").exists(), "the mount is the part that was asked for");
        for part in ["new", "new/me"] {
            let mode = std::fs::metadata(volume.join(part)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o777, "{part}: a container of any user can write there");
        }
        for path in ["out", "out/passwd", "../e", "/etc"] {
            let error = one(json!({"name": "e", "mountPath": "/x", "subPath": path})).unwrap_err();
            assert_eq!(error, format!("subPath {path:?} leads out of its volume"));
        }
        super::super::remove(&PodDir::new(temp.path(), "uid")).unwrap();
    }
}

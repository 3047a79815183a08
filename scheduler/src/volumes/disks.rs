//! Disks that pods name themselves and that not every two pods can share.

use k8s_openapi::api::core::v1::{Pod, Volume};

/// Such a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of the API's volume sources")]
pub enum Disk {
    Gce { name: String, read_only: bool },
    Aws { volume: String },
    Iscsi { iqn: String, read_only: bool },
    Rbd { monitors: Vec<String>, pool: String, image: String, read_only: bool },
}

/// The disks of a pod.
pub(crate) fn disks(pod: &Pod) -> Box<[Disk]> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(disk).collect()
}

fn disk(volume: &Volume) -> Option<Disk> {
    if let Some(source) = &volume.gce_persistent_disk {
        let read_only = source.read_only.unwrap_or(false);
        return Some(Disk::Gce { name: source.pd_name.clone(), read_only });
    }
    if let Some(source) = &volume.aws_elastic_block_store {
        return Some(Disk::Aws { volume: source.volume_id.clone() });
    }
    if let Some(source) = &volume.iscsi {
        let read_only = source.read_only.unwrap_or(false);
        return Some(Disk::Iscsi { iqn: source.iqn.clone(), read_only });
    }
    let source = volume.rbd.as_ref()?;
    Some(Disk::Rbd {
        monitors: source.monitors.clone(),
        pool: source.pool.clone().unwrap_or_else(|| "rbd".to_owned()),
        image: source.image.clone(),
        read_only: source.read_only.unwrap_or(false),
    })
}

/// Whether two pods with these disks cannot be on one node.
pub(crate) fn conflict(one: &Disk, other: &Disk) -> bool {
    match (one, other) {
        (Disk::Gce { name, read_only }, Disk::Gce { name: n, read_only: r }) => {
            name == n && !(*read_only && *r)
        }
        (Disk::Aws { volume }, Disk::Aws { volume: v }) => volume == v,
        (Disk::Iscsi { iqn, read_only }, Disk::Iscsi { iqn: i, read_only: r }) => {
            iqn == i && !(*read_only && *r)
        }
        (
            Disk::Rbd { monitors, pool, image, read_only },
            Disk::Rbd { monitors: m, pool: p, image: i, read_only: r },
        ) => {
            let shared = monitors.iter().any(|monitor| m.contains(monitor));
            shared && pool == p && image == i && !(*read_only && *r)
        }
        _ => false,
    }
}

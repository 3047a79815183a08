//! What the scheduler keeps of the objects that have to do with volumes.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use api::selector::LabelSelector;
use k8s_openapi::api::core::v1::{
    NodeSelector, PersistentVolume, PersistentVolumeClaim, TopologySelectorTerm,
};
use k8s_openapi::api::storage::v1::{
    CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use kube::{Resource, ResourceExt};

use super::{BIND_COMPLETED, SELECTED_NODE};
use crate::affinity::{Labels, selector};

/// The kinds there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's kinds")]
pub enum Kind {
    Claim,
    Volume,
    Class,
    Node,
    Driver,
    Capacity,
    Attachment,
}

impl Kind {
    /// How many there are.
    pub const COUNT: usize = 7;
}

/// An object, reduced.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each is described at its type")]
pub enum Object {
    Claim(ClaimInfo),
    Volume(VolumeInfo),
    Class(ClassInfo),
    /// What a CSINode says: how many volumes of a driver the node takes.
    Node(BTreeMap<String, i64>),
    /// Whether the driver says how much room it has.
    Driver(bool),
    Capacity(CapacityInfo),
    /// The node and the volume that is attached to it.
    Attachment(String, String),
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimInfo {
    /// `namespace/name`.
    pub id: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Name of its storage class; empty for none.
    pub class: String,
    /// `spec.volumeName`; empty for none.
    pub volume: String,
    /// It and its volume are bound for good.
    pub bound: bool,
    /// Its volume is gone.
    pub lost: bool,
    /// Has a deletion timestamp.
    pub deleting: bool,
    /// The node where its volume is to be made.
    pub selected: Option<String>,
    /// How much it asks for, in bytes.
    pub size: i64,
    /// `spec.accessModes`.
    pub modes: Vec<String>,
    /// `spec.volumeMode` is `Block`.
    pub block: bool,
    /// `spec.volumeAttributesClassName`; empty for none.
    pub attributes: String,
    /// Which volumes will do; all if none.
    pub selector: Option<LabelSelector>,
    /// The uid of what it was made for.
    pub owner: Option<String>,
}

/// A PersistentVolume.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeInfo {
    /// Its name.
    pub name: String,
    /// `metadata.resourceVersion`.
    pub version: String,
    /// Name of its storage class; empty for none.
    pub class: String,
    /// Its size in bytes.
    pub size: i64,
    /// `spec.accessModes`.
    pub modes: Vec<String>,
    /// `spec.volumeMode` is `Block`.
    pub block: bool,
    /// `spec.volumeAttributesClassName`; empty for none.
    pub attributes: String,
    /// `metadata.labels`.
    pub labels: Labels,
    /// The nodes that reach it; all if none.
    pub affinity: Option<NodeSelector>,
    /// The claim it is for: `namespace/name`, and uid unless it is for any of that name.
    pub claimed: Option<(String, String)>,
    /// Phase `Available`.
    pub available: bool,
    /// Has a deletion timestamp.
    pub deleting: bool,
    /// Driver and handle of a CSI volume.
    pub csi: Option<(String, String)>,
}

/// A StorageClass.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassInfo {
    /// It waits for the first pod.
    pub delayed: bool,
    /// Who makes its volumes.
    pub provisioner: String,
    /// Where its volumes can be; anywhere if none.
    pub topologies: Vec<TopologySelectorTerm>,
}

/// A CSIStorageCapacity.
#[derive(Debug, Clone, PartialEq)]
pub struct CapacityInfo {
    /// Name of the storage class.
    pub class: String,
    /// The largest volume that there is room for, in bytes.
    pub largest: Option<i64>,
    /// The nodes that have access; none if absent.
    pub nodes: Option<LabelSelector>,
}

/// An object of the API that is kept reduced.
pub(crate) trait Stored: Resource<DynamicType = ()> + Sized {
    /// Which kind it is.
    const KIND: Kind;

    /// What is kept of it.
    fn reduce(&self) -> Object;

    /// Its name, with its namespace before it if it is in one.
    fn id(&self) -> String {
        let name = self.name_any();
        self.namespace().map_or(name.clone(), |namespace| format!("{namespace}/{name}"))
    }
}

fn bytes(amounts: Option<&BTreeMap<String, ApiQuantity>>) -> i64 {
    amounts.and_then(|amounts| amounts.get("storage")).map_or(0, whole)
}

fn whole(quantity: &ApiQuantity) -> i64 {
    quantity.0.parse::<Quantity>().map_or(0, |quantity| quantity.value())
}

impl Stored for PersistentVolumeClaim {
    const KIND: Kind = Kind::Claim;

    fn reduce(&self) -> Object {
        let spec = self.spec.clone().unwrap_or_default();
        let volume = spec.volume_name.unwrap_or_default();
        let owner = self.owner_references().iter().find(|owner| owner.controller == Some(true));
        Object::Claim(ClaimInfo {
            id: self.id(),
            uid: self.uid().unwrap_or_default(),
            class: spec.storage_class_name.unwrap_or_default(),
            bound: !volume.is_empty() && self.annotations().contains_key(BIND_COMPLETED),
            volume,
            lost: self.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Lost"),
            deleting: self.metadata.deletion_timestamp.is_some(),
            selected: self.annotations().get(SELECTED_NODE).cloned(),
            size: bytes(spec.resources.and_then(|resources| resources.requests).as_ref()),
            modes: spec.access_modes.unwrap_or_default(),
            block: spec.volume_mode.as_deref() == Some("Block"),
            attributes: spec.volume_attributes_class_name.unwrap_or_default(),
            selector: spec.selector.map(|wanted| selector(Some(&wanted), &[], &Labels::new())),
            owner: owner.map(|owner| owner.uid.clone()),
        })
    }
}

impl Stored for PersistentVolume {
    const KIND: Kind = Kind::Volume;

    fn reduce(&self) -> Object {
        let spec = self.spec.clone().unwrap_or_default();
        let claimed = spec.claim_ref.map(|claim| {
            let part = |text: Option<String>| text.unwrap_or_default();
            (format!("{}/{}", part(claim.namespace), part(claim.name)), part(claim.uid))
        });
        Object::Volume(VolumeInfo {
            name: self.name_any(),
            version: self.resource_version().unwrap_or_default(),
            class: spec.storage_class_name.unwrap_or_default(),
            size: bytes(spec.capacity.as_ref()),
            modes: spec.access_modes.unwrap_or_default(),
            block: spec.volume_mode.as_deref() == Some("Block"),
            attributes: spec.volume_attributes_class_name.unwrap_or_default(),
            labels: self.labels().clone(),
            affinity: spec.node_affinity.and_then(|affinity| affinity.required),
            claimed,
            available: self.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Available"),
            deleting: self.metadata.deletion_timestamp.is_some(),
            csi: spec.csi.map(|source| (source.driver, source.volume_handle)),
        })
    }
}

impl Stored for StorageClass {
    const KIND: Kind = Kind::Class;

    fn reduce(&self) -> Object {
        Object::Class(ClassInfo {
            delayed: self.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
            provisioner: self.provisioner.clone(),
            topologies: self.allowed_topologies.clone().unwrap_or_default(),
        })
    }
}

impl Stored for CSINode {
    const KIND: Kind = Kind::Node;

    fn reduce(&self) -> Object {
        let limits = self.spec.drivers.iter().filter_map(|driver| {
            let count = driver.allocatable.as_ref()?.count?;
            Some((driver.name.clone(), i64::from(count)))
        });
        Object::Node(limits.collect())
    }
}

impl Stored for CSIDriver {
    const KIND: Kind = Kind::Driver;

    fn reduce(&self) -> Object {
        Object::Driver(self.spec.storage_capacity.unwrap_or(false))
    }
}

impl Stored for CSIStorageCapacity {
    const KIND: Kind = Kind::Capacity;

    fn reduce(&self) -> Object {
        let largest = self.maximum_volume_size.as_ref().or(self.capacity.as_ref());
        Object::Capacity(CapacityInfo {
            class: self.storage_class_name.clone(),
            largest: largest.map(whole),
            nodes: self.node_topology.as_ref().map(|it| selector(Some(it), &[], &Labels::new())),
        })
    }
}

impl Stored for VolumeAttachment {
    const KIND: Kind = Kind::Attachment;

    fn reduce(&self) -> Object {
        let volume = self.spec.source.persistent_volume_name.clone().unwrap_or_default();
        Object::Attachment(self.spec.node_name.clone(), volume)
    }
}

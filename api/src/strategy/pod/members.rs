//! All containers of a pod, whatever their kind, for rules about what they have in common.

use k8s_openapi::api::core::v1::{PodSpec, SecurityContext, VolumeDevice};

use crate::field::Path;

/// A container, init container or ephemeral container.
pub(super) struct Member<'a> {
    /// The list it is in, and its place there.
    place: (&'static str, usize),
    pub(super) name: &'a str,
    pub(super) security: Option<&'a SecurityContext>,
    pub(super) devices: &'a [VolumeDevice],
}

impl Member<'_> {
    /// Where it is, under the path of the spec.
    pub(super) fn path(&self, spec: &Path) -> Path {
        spec.child(self.place.0).index(self.place.1)
    }
}

/// Init containers, containers, ephemeral containers.
pub(super) fn members(spec: &PodSpec) -> impl Iterator<Item = Member<'_>> {
    let inits = spec.init_containers.iter().flatten().enumerate();
    let plain = inits.map(|(n, container)| (("initContainers", n), container));
    let mains = spec.containers.iter().enumerate().map(|(n, c)| (("containers", n), c));
    let plain = plain.chain(mains).map(|(place, container)| Member {
        place,
        name: &container.name,
        security: container.security_context.as_ref(),
        devices: container.volume_devices.as_deref().unwrap_or_default(),
    });
    let ephemeral = spec.ephemeral_containers.iter().flatten().enumerate();
    plain.chain(ephemeral.map(|(n, container)| Member {
        place: ("ephemeralContainers", n),
        name: &container.name,
        security: container.security_context.as_ref(),
        devices: container.volume_devices.as_deref().unwrap_or_default(),
    }))
}

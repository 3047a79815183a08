//! What Go calls the texts that are types of their own (`v1.RestartPolicy`), for the messages about
//! fields of another type. Where a field is not listed, Go calls it what it is.
//!
//! Source: the types of k8s.io/api and k8s.io/apimachinery.

/// The struct, the field, the type of the field or (in a list) of its items. A map is what is named
/// here itself.
const TYPES: &[(&str, &str, &str)] = &[
    ("AppArmorProfile", "type", "v1.AppArmorProfileType"),
    ("Capabilities", "add", "v1.Capability"),
    ("Capabilities", "drop", "v1.Capability"),
    ("Condition", "status", "v1.ConditionStatus"),
    ("Container", "imagePullPolicy", "v1.PullPolicy"),
    ("Container", "restartPolicy", "v1.ContainerRestartPolicy"),
    ("Container", "terminationMessagePolicy", "v1.TerminationMessagePolicy"),
    ("ContainerPort", "protocol", "v1.Protocol"),
    ("ContainerResizePolicy", "resourceName", "v1.ResourceName"),
    ("ContainerResizePolicy", "restartPolicy", "v1.ResourceResizeRestartPolicy"),
    ("CronJobSpec", "concurrencyPolicy", "v1.ConcurrencyPolicy"),
    ("DaemonSetUpdateStrategy", "type", "v1.DaemonSetUpdateStrategyType"),
    ("DeleteOptions", "propagationPolicy", "v1.DeletionPropagation"),
    ("DeploymentCondition", "status", "v1.ConditionStatus"),
    ("DeploymentCondition", "type", "v1.DeploymentConditionType"),
    ("DeploymentStrategy", "type", "v1.DeploymentStrategyType"),
    ("EmptyDirVolumeSource", "medium", "v1.StorageMedium"),
    ("EndpointPort", "protocol", "v1.Protocol"),
    ("EndpointSlice", "addressType", "v1.AddressType"),
    ("EphemeralContainer", "imagePullPolicy", "v1.PullPolicy"),
    ("EphemeralContainer", "terminationMessagePolicy", "v1.TerminationMessagePolicy"),
    ("HTTPGetAction", "scheme", "v1.URIScheme"),
    ("HTTPIngressPath", "pathType", "v1.PathType"),
    ("HostPathVolumeSource", "type", "v1.HostPathType"),
    ("JobCondition", "status", "v1.ConditionStatus"),
    ("JobCondition", "type", "v1.JobConditionType"),
    ("JobSpec", "completionMode", "v1.CompletionMode"),
    ("JobSpec", "podReplacementPolicy", "v1.PodReplacementPolicy"),
    ("LabelSelectorRequirement", "operator", "v1.LabelSelectorOperator"),
    ("LimitRangeItem", "default", "v1.ResourceList"),
    ("LimitRangeItem", "defaultRequest", "v1.ResourceList"),
    ("LimitRangeItem", "max", "v1.ResourceList"),
    ("LimitRangeItem", "maxLimitRequestRatio", "v1.ResourceList"),
    ("LimitRangeItem", "min", "v1.ResourceList"),
    ("LimitRangeItem", "type", "v1.LimitType"),
    ("ManagedFieldsEntry", "operation", "v1.ManagedFieldsOperationType"),
    ("NamespaceSpec", "finalizers", "v1.FinalizerName"),
    ("NamespaceStatus", "phase", "v1.NamespacePhase"),
    ("NetworkPolicyPort", "protocol", "v1.Protocol"),
    ("NetworkPolicySpec", "policyTypes", "v1.PolicyType"),
    ("NodeAddress", "type", "v1.NodeAddressType"),
    ("NodeCondition", "status", "v1.ConditionStatus"),
    ("NodeCondition", "type", "v1.NodeConditionType"),
    ("NodeSelectorRequirement", "operator", "v1.NodeSelectorOperator"),
    ("NodeStatus", "allocatable", "v1.ResourceList"),
    ("NodeStatus", "capacity", "v1.ResourceList"),
    ("ObjectMeta", "uid", "types.UID"),
    ("ObjectReference", "uid", "types.UID"),
    ("OwnerReference", "uid", "types.UID"),
    ("PersistentVolumeClaimSpec", "accessModes", "v1.PersistentVolumeAccessMode"),
    ("PersistentVolumeClaimSpec", "volumeMode", "v1.PersistentVolumeMode"),
    ("PersistentVolumeClaimStatus", "phase", "v1.PersistentVolumeClaimPhase"),
    ("PersistentVolumeSpec", "accessModes", "v1.PersistentVolumeAccessMode"),
    ("PersistentVolumeSpec", "capacity", "v1.ResourceList"),
    ("PersistentVolumeSpec", "persistentVolumeReclaimPolicy", "v1.PersistentVolumeReclaimPolicy"),
    ("PersistentVolumeSpec", "volumeMode", "v1.PersistentVolumeMode"),
    ("PodCondition", "status", "v1.ConditionStatus"),
    ("PodCondition", "type", "v1.PodConditionType"),
    ("PodFailurePolicyRule", "action", "v1.PodFailurePolicyAction"),
    ("PodOS", "name", "v1.OSName"),
    ("PodReadinessGate", "conditionType", "v1.PodConditionType"),
    ("PodSecurityContext", "fsGroupChangePolicy", "v1.PodFSGroupChangePolicy"),
    ("PodSecurityContext", "supplementalGroupsPolicy", "v1.SupplementalGroupsPolicy"),
    ("PodSpec", "dnsPolicy", "v1.DNSPolicy"),
    ("PodSpec", "overhead", "v1.ResourceList"),
    ("PodSpec", "preemptionPolicy", "v1.PreemptionPolicy"),
    ("PodSpec", "restartPolicy", "v1.RestartPolicy"),
    ("PodStatus", "phase", "v1.PodPhase"),
    ("PodStatus", "qosClass", "v1.PodQOSClass"),
    ("Preconditions", "uid", "types.UID"),
    ("PriorityClass", "preemptionPolicy", "v1.PreemptionPolicy"),
    ("ResourceQuotaSpec", "hard", "v1.ResourceList"),
    ("ResourceQuotaSpec", "scopes", "v1.ResourceQuotaScope"),
    ("ResourceRequirements", "limits", "v1.ResourceList"),
    ("ResourceRequirements", "requests", "v1.ResourceList"),
    ("SeccompProfile", "type", "v1.SeccompProfileType"),
    ("Secret", "type", "v1.SecretType"),
    ("SecurityContext", "procMount", "v1.ProcMountType"),
    ("ServicePort", "protocol", "v1.Protocol"),
    ("ServiceSpec", "externalTrafficPolicy", "v1.ServiceExternalTrafficPolicy"),
    ("ServiceSpec", "internalTrafficPolicy", "v1.ServiceInternalTrafficPolicy"),
    ("ServiceSpec", "ipFamilies", "v1.IPFamily"),
    ("ServiceSpec", "ipFamilyPolicy", "v1.IPFamilyPolicy"),
    ("ServiceSpec", "sessionAffinity", "v1.ServiceAffinity"),
    ("ServiceSpec", "type", "v1.ServiceType"),
    ("StatefulSetSpec", "podManagementPolicy", "v1.PodManagementPolicyType"),
    ("StatefulSetUpdateStrategy", "type", "v1.StatefulSetUpdateStrategyType"),
    ("StorageClass", "reclaimPolicy", "v1.PersistentVolumeReclaimPolicy"),
    ("StorageClass", "volumeBindingMode", "v1.VolumeBindingMode"),
    ("Taint", "effect", "v1.TaintEffect"),
    ("Toleration", "effect", "v1.TaintEffect"),
    ("Toleration", "operator", "v1.TolerationOperator"),
    ("TopologySpreadConstraint", "whenUnsatisfiable", "v1.UnsatisfiableConstraintAction"),
    ("VolumeMount", "mountPropagation", "v1.MountPropagationMode"),
    ("VolumeResourceRequirements", "limits", "v1.ResourceList"),
    ("VolumeResourceRequirements", "requests", "v1.ResourceList"),
];

/// The type of a field of a struct, if it has a name of its own.
pub(super) fn named(go_struct: &str, field: &str) -> Option<&'static str> {
    let found = TYPES.binary_search_by(|(of, name, _)| (*of, *name).cmp(&(go_struct, field)));
    found.ok().map(|index| TYPES[index].2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{base_name, types};

    #[test]
    fn the_table_is_in_order_and_about_fields_that_exist() {
        assert!(TYPES.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)), "in order, and nothing twice");
        for (of, field, _) in TYPES {
            let mut known = types().iter().filter(|(name, _)| base_name(name) == *of);
            assert!(known.any(|(_, of)| of.fields.contains_key(*field)), "{of}.{field}");
        }
        assert_eq!(named("PodSpec", "restartPolicy"), Some("v1.RestartPolicy"));
        assert_eq!(named("PodSpec", "hostname"), None);
    }
}

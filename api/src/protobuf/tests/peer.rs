//! Our messages against prost's, which were generated from Kubernetes' own `.proto` files.

use k8s_pb::api::{
    admissionregistration, apps, authentication, authorization, autoscaling, batch, certificates,
    coordination, core, discovery, events, flowcontrol, networking, node, policy, rbac, resource,
    scheduling, storage,
};
use k8s_pb::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_pb::apimachinery::pkg::apis::meta;
use k8s_pb::kube_aggregator::pkg::apis::apiregistration;
use prost::Message;

use super::*;

/// What prost reads of a message, written again: without the fields that it does not know, or
/// that have another form there.
fn through<M: Message + Default>(message: &[u8]) -> Vec<u8> {
    M::decode(message).expect("a message that prost reads").encode_to_vec()
}

type Through = fn(&[u8]) -> Vec<u8>;

const TYPES: &[(&str, Through)] = &[
    (
        "admissionregistration.v1.ValidatingAdmissionPolicy",
        through::<admissionregistration::v1::ValidatingAdmissionPolicy>,
    ),
    (
        "admissionregistration.v1.MutatingWebhookConfiguration",
        through::<admissionregistration::v1::MutatingWebhookConfiguration>,
    ),
    (
        "apiextensions.v1.CustomResourceDefinition",
        through::<apiextensions::v1::CustomResourceDefinition>,
    ),
    ("apiextensions.v1.JSONSchemaProps", through::<apiextensions::v1::JsonSchemaProps>),
    ("apiregistration.v1.APIService", through::<apiregistration::v1::APIService>),
    ("apps.v1.ControllerRevision", through::<apps::v1::ControllerRevision>),
    ("apps.v1.DaemonSet", through::<apps::v1::DaemonSet>),
    ("apps.v1.Deployment", through::<apps::v1::Deployment>),
    ("apps.v1.ReplicaSet", through::<apps::v1::ReplicaSet>),
    ("apps.v1.StatefulSet", through::<apps::v1::StatefulSet>),
    ("authentication.v1.TokenRequest", through::<authentication::v1::TokenRequest>),
    ("authentication.v1.TokenReview", through::<authentication::v1::TokenReview>),
    ("authorization.v1.SubjectAccessReview", through::<authorization::v1::SubjectAccessReview>),
    ("autoscaling.v1.Scale", through::<autoscaling::v1::Scale>),
    ("autoscaling.v2.HorizontalPodAutoscaler", through::<autoscaling::v2::HorizontalPodAutoscaler>),
    ("batch.v1.CronJob", through::<batch::v1::CronJob>),
    ("batch.v1.Job", through::<batch::v1::Job>),
    (
        "certificates.v1.CertificateSigningRequest",
        through::<certificates::v1::CertificateSigningRequest>,
    ),
    ("coordination.v1.Lease", through::<coordination::v1::Lease>),
    ("core.v1.Binding", through::<core::v1::Binding>),
    ("core.v1.ConfigMap", through::<core::v1::ConfigMap>),
    ("core.v1.Container", through::<core::v1::Container>),
    ("core.v1.Endpoints", through::<core::v1::Endpoints>),
    ("core.v1.EphemeralContainer", through::<core::v1::EphemeralContainer>),
    ("core.v1.Event", through::<core::v1::Event>),
    ("core.v1.LimitRange", through::<core::v1::LimitRange>),
    ("core.v1.Namespace", through::<core::v1::Namespace>),
    ("core.v1.Node", through::<core::v1::Node>),
    ("core.v1.PersistentVolume", through::<core::v1::PersistentVolume>),
    ("core.v1.PersistentVolumeClaim", through::<core::v1::PersistentVolumeClaim>),
    ("core.v1.Pod", through::<core::v1::Pod>),
    ("core.v1.PodSpec", through::<core::v1::PodSpec>),
    ("core.v1.Probe", through::<core::v1::Probe>),
    ("core.v1.ResourceQuota", through::<core::v1::ResourceQuota>),
    ("core.v1.Secret", through::<core::v1::Secret>),
    ("core.v1.Service", through::<core::v1::Service>),
    ("core.v1.ServiceAccount", through::<core::v1::ServiceAccount>),
    ("core.v1.Volume", through::<core::v1::Volume>),
    ("discovery.v1.EndpointSlice", through::<discovery::v1::EndpointSlice>),
    ("events.v1.Event", through::<events::v1::Event>),
    ("flowcontrol.v1.FlowSchema", through::<flowcontrol::v1::FlowSchema>),
    (
        "flowcontrol.v1.PriorityLevelConfiguration",
        through::<flowcontrol::v1::PriorityLevelConfiguration>,
    ),
    ("meta.v1.DeleteOptions", through::<meta::v1::DeleteOptions>),
    ("meta.v1.Status", through::<meta::v1::Status>),
    ("networking.v1.Ingress", through::<networking::v1::Ingress>),
    ("networking.v1.NetworkPolicy", through::<networking::v1::NetworkPolicy>),
    ("node.v1.RuntimeClass", through::<node::v1::RuntimeClass>),
    ("policy.v1.Eviction", through::<policy::v1::Eviction>),
    ("policy.v1.PodDisruptionBudget", through::<policy::v1::PodDisruptionBudget>),
    ("rbac.v1.ClusterRole", through::<rbac::v1::ClusterRole>),
    ("rbac.v1.RoleBinding", through::<rbac::v1::RoleBinding>),
    ("resource.v1.ResourceClaim", through::<resource::v1::ResourceClaim>),
    ("resource.v1.ResourceSlice", through::<resource::v1::ResourceSlice>),
    ("scheduling.v1.PriorityClass", through::<scheduling::v1::PriorityClass>),
    ("storage.v1.CSIDriver", through::<storage::v1::CSIDriver>),
    ("storage.v1.StorageClass", through::<storage::v1::StorageClass>),
    ("storage.v1.VolumeAttachment", through::<storage::v1::VolumeAttachment>),
];

/// What v1.36 added to the v1.35 of those messages.
const NEWER: &[(&str, &str)] = &[
    ("core.v1.PodSpec", "schedulingGroup"),
    ("core.v1.PodStatus", "nodeAllocatableResourceClaimStatuses"),
    ("core.v1.ResourceHealth", "message"),
    ("core.v1.VolumeMountStatus", "volumeStatus"),
    ("meta.v1.ListMeta", "shardInfo"),
    ("resource.v1.Device", "nodeAllocatableResourceMappings"),
    ("resource.v1.DeviceAttribute", "bools"),
    ("resource.v1.DeviceAttribute", "ints"),
    ("resource.v1.DeviceAttribute", "strings"),
    ("resource.v1.DeviceAttribute", "versions"),
    ("storage.v1.CSIDriverSpec", "preventPodSchedulingIfMissing"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prost_reads_and_writes_the_same(seed in 1_u64..) {
        for (name, through) in TYPES {
            let mut generator = Generator { without: NEWER, ..Generator::new(seed) };
            let object = generator.object(name, 0);
            let message = encode(name, &object).expect(name);
            let again = through(&message);
            prop_assert_eq!(decode(name, &again).expect(name), object, "{}", name);
        }
    }
}

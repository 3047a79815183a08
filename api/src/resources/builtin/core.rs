//! The rows of the core group.

use super::*;

const ENDPOINTS_DEPRECATION: &str =
    "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

const COMPONENT_STATUS_DEPRECATION: &str = "v1 ComponentStatus is deprecated in v1.19+";

pub(super) fn rows() -> Vec<Resource> {
    use strategy::core as rest;
    vec![
        row("", "Binding", "bindings", "binding", strategy::binding::Binding)
            .verbs(CREATE)
            .schema("core.v1.Binding"),
        row(
            "",
            "ComponentStatus",
            "componentstatuses",
            "componentstatus",
            rest::component_status::ComponentStatus,
        )
        .cluster()
        .verbs(GET_LIST)
        .short("cs")
        .schema("core.v1.ComponentStatus")
        .deprecated(COMPONENT_STATUS_DEPRECATION)
        .printer(table::core::COMPONENT_STATUS),
        row("", "ConfigMap", "configmaps", "configmap", strategy::config_map::ConfigMap)
            .short("cm")
            .hash("qFsyl6wFWjQ=")
            .schema("core.v1.ConfigMap")
            .printer(table::core::CONFIG_MAP),
        row("", "Endpoints", "endpoints", "endpoints", strategy::endpoints::Endpoints)
            .short("ep")
            .hash("fWeeMqaN/OA=")
            .schema("core.v1.Endpoints")
            .deprecated(ENDPOINTS_DEPRECATION)
            .printer(table::discovery::ENDPOINTS),
        row("", "Event", "events", "event", strategy::event::Event)
            .short("ev")
            .hash("r2yiGXH7wu8=")
            .schema("core.v1.Event")
            .printer(table::event::EVENT)
            .fields(&[
                ("involvedObject.kind", &["involvedObject.kind"]),
                ("involvedObject.namespace", &["involvedObject.namespace"]),
                ("involvedObject.name", &["involvedObject.name"]),
                ("involvedObject.uid", &["involvedObject.uid"]),
                ("involvedObject.apiVersion", &["involvedObject.apiVersion"]),
                ("involvedObject.resourceVersion", &["involvedObject.resourceVersion"]),
                ("involvedObject.fieldPath", &["involvedObject.fieldPath"]),
                ("reason", &["reason"]),
                ("reportingComponent", &["reportingComponent"]),
                ("source", &["source.component", "reportingComponent"]),
                ("type", &["type"]),
            ]),
        row("", "LimitRange", "limitranges", "limitrange", rest::limit_range::LimitRange)
            .short("limits")
            .hash("EBKMFVe6cwo=")
            .schema("core.v1.LimitRange")
            .printer(table::core::LIMIT_RANGE),
        row("", "Namespace", "namespaces", "namespace", strategy::namespace::Namespace)
            .cluster()
            .verbs(NO_COLLECTION_DELETE)
            .short("ns")
            .hash("Q3oi5N2YM8M=")
            .schema("core.v1.Namespace")
            .printer(table::core::NAMESPACE)
            .sub("finalize", "Namespace", UPDATE)
            .sub("status", "Namespace", READ_WRITE)
            .fields(&[("name", &["metadata.name"]), ("status.phase", &["status.phase"])]),
        row("", "Node", "nodes", "node", strategy::node::Node)
            .cluster()
            .short("no")
            .hash("XwShjMxG9Fs=")
            .schema("core.v1.Node")
            .printer(table::node::NODE)
            .sub("proxy", "NodeProxyOptions", PROXY)
            .sub("status", "Node", READ_WRITE)
            .fields(&[("spec.unschedulable", &["spec.unschedulable"])]),
        row(
            "",
            "PersistentVolumeClaim",
            "persistentvolumeclaims",
            "persistentvolumeclaim",
            rest::persistent_volume_claim::PersistentVolumeClaim,
        )
        .short("pvc")
        .hash("QWTyNDq0dC4=")
        .schema("core.v1.PersistentVolumeClaim")
        .printer(table::volume::CLAIM)
        .sub("status", "PersistentVolumeClaim", READ_WRITE),
        row(
            "",
            "PersistentVolume",
            "persistentvolumes",
            "persistentvolume",
            rest::persistent_volume::PersistentVolume,
        )
        .cluster()
        .short("pv")
        .hash("HN/zwEC+JgM=")
        .schema("core.v1.PersistentVolume")
        .printer(table::volume::VOLUME)
        .sub("status", "PersistentVolume", READ_WRITE),
        row("", "Pod", "pods", "pod", strategy::pod::Pod)
            .short("po")
            .category("all")
            .hash("xPOwRZ+Yhw8=")
            .schema("core.v1.Pod")
            .printer(table::pod::POD)
            .sub("attach", "PodAttachOptions", CONNECT)
            .sub("binding", "Binding", CREATE)
            .sub("ephemeralcontainers", "Pod", READ_WRITE)
            .foreign_sub("eviction", ("policy", "v1", "Eviction"), CREATE)
            .sub("exec", "PodExecOptions", CONNECT)
            .sub("log", "Pod", GET)
            .sub("portforward", "PodPortForwardOptions", CONNECT)
            .sub("proxy", "PodProxyOptions", PROXY)
            .sub("resize", "Pod", READ_WRITE)
            .sub("status", "Pod", READ_WRITE)
            .fields(&[
                ("spec.nodeName", &["spec.nodeName"]),
                // What old clients call it.
                ("spec.host", &["spec.nodeName"]),
                ("spec.restartPolicy", &["spec.restartPolicy"]),
                ("spec.schedulerName", &["spec.schedulerName"]),
                ("spec.serviceAccountName", &["spec.serviceAccountName"]),
                ("spec.hostNetwork", &["spec.hostNetwork"]),
                ("status.phase", &["status.phase"]),
                ("status.podIP", &["status.podIP"]),
                ("status.nominatedNodeName", &["status.nominatedNodeName"]),
            ]),
        row("", "PodTemplate", "podtemplates", "podtemplate", rest::pod_template::PodTemplate)
            .hash("LIXB2x4IFpk=")
            .schema("core.v1.PodTemplate")
            .printer(table::core::POD_TEMPLATE),
        row(
            "",
            "ReplicationController",
            "replicationcontrollers",
            "replicationcontroller",
            strategy::replication_controller::ReplicationController,
        )
        .short("rc")
        .category("all")
        .hash("Jond2If31h0=")
        .schema("core.v1.ReplicationController")
        .printer(table::core::REPLICATION_CONTROLLER)
        .foreign_sub("scale", ("autoscaling", "v1", "Scale"), READ_WRITE)
        .sub("status", "ReplicationController", READ_WRITE)
        .fields(&[("status.replicas", &["status.replicas"])]),
        row(
            "",
            "ResourceQuota",
            "resourcequotas",
            "resourcequota",
            rest::resource_quota::ResourceQuota,
        )
        .short("quota")
        .hash("8uhSgffRX6w=")
        .schema("core.v1.ResourceQuota")
        .printer(table::core::RESOURCE_QUOTA)
        .sub("status", "ResourceQuota", READ_WRITE),
        row("", "Secret", "secrets", "secret", strategy::secret::Secret)
            .hash("S6u1pOWzb84=")
            .schema("core.v1.Secret")
            .printer(table::core::SECRET)
            .fields(&[("type", &["type"])]),
        row(
            "",
            "ServiceAccount",
            "serviceaccounts",
            "serviceaccount",
            strategy::service_account::ServiceAccount,
        )
        .short("sa")
        .hash("pbx9ZvyFpBE=")
        .schema("core.v1.ServiceAccount")
        .foreign_sub("token", ("authentication.k8s.io", "v1", "TokenRequest"), CREATE),
        row("", "Service", "services", "service", strategy::service::Service)
            .short("svc")
            .category("all")
            .hash("0/CO1lhkEBI=")
            .schema("core.v1.Service")
            .printer(table::service::SERVICE)
            .sub("proxy", "ServiceProxyOptions", PROXY)
            .sub("status", "Service", READ_WRITE)
            .fields(&[("spec.clusterIP", &["spec.clusterIP"]), ("spec.type", &["spec.type"])]),
    ]
}

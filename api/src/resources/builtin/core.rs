//! The rows of the core group.

use super::*;

const ENDPOINTS_DEPRECATION: &str =
    "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

pub(super) fn rows() -> Vec<Resource> {
    vec![
        row("", "Binding", "bindings", "binding", strategy::binding::Binding)
            .verbs(CREATE)
            .schema("core.v1.Binding"),
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
            .sub("status", "Node", READ_WRITE)
            .fields(&[("spec.unschedulable", &["spec.unschedulable"])]),
        row("", "Pod", "pods", "pod", strategy::pod::Pod)
            .short("po")
            .category("all")
            .hash("xPOwRZ+Yhw8=")
            .schema("core.v1.Pod")
            .printer(table::pod::POD)
            .sub("binding", "Binding", CREATE)
            .sub("log", "Pod", GET)
            .sub("status", "Pod", READ_WRITE)
            .fields(&[
                ("spec.nodeName", &["spec.nodeName"]),
                ("spec.restartPolicy", &["spec.restartPolicy"]),
                ("spec.schedulerName", &["spec.schedulerName"]),
                ("spec.serviceAccountName", &["spec.serviceAccountName"]),
                ("spec.hostNetwork", &["spec.hostNetwork"]),
                ("status.phase", &["status.phase"]),
                ("status.podIP", &["status.podIP"]),
                ("status.nominatedNodeName", &["status.nominatedNodeName"]),
            ]),
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
        .schema("core.v1.ServiceAccount"),
        row("", "Service", "services", "service", strategy::service::Service)
            .short("svc")
            .category("all")
            .hash("0/CO1lhkEBI=")
            .schema("core.v1.Service")
            .printer(table::service::SERVICE)
            .sub("status", "Service", READ_WRITE)
            .fields(&[("spec.clusterIP", &["spec.clusterIP"]), ("spec.type", &["spec.type"])]),
    ]
}

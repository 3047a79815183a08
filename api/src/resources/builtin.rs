//! The rows of the built-in kinds.

use std::sync::Arc;

use super::{GroupResource, Resource, Scope, SelectableField, Subresource, Text, Verb};
use crate::strategy::{self, Strategy};
use crate::table::Printer;

use Verb::{Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch};

const ALL: &[Verb] = &[Create, Delete, DeleteCollection, Get, List, Patch, Update, Watch];
/// Namespaces cannot be deleted in bulk.
const NO_COLLECTION_DELETE: &[Verb] = &[Create, Delete, Get, List, Patch, Update, Watch];
const CREATE: &[Verb] = &[Create];
const GET: &[Verb] = &[Get];
const UPDATE: &[Verb] = &[Update];
const READ_WRITE: &[Verb] = &[Get, Patch, Update];

const ENDPOINTS_DEPRECATION: &str =
    "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

/// The rows, in discovery order.
pub(super) fn rows() -> Vec<Arc<Resource>> {
    let rows = vec![
        row("", "Binding", "bindings", "binding", strategy::binding())
            .verbs(CREATE)
            .schema("core.v1.Binding"),
        row("", "ConfigMap", "configmaps", "configmap", strategy::config_map())
            .short("cm")
            .hash("qFsyl6wFWjQ=")
            .schema("core.v1.ConfigMap")
            .printer(Printer::ConfigMap),
        row("", "Endpoints", "endpoints", "endpoints", strategy::endpoints())
            .short("ep")
            .hash("fWeeMqaN/OA=")
            .schema("core.v1.Endpoints")
            .deprecated(ENDPOINTS_DEPRECATION)
            .printer(Printer::Endpoints),
        row("", "Event", "events", "event", strategy::event())
            .short("ev")
            .hash("r2yiGXH7wu8=")
            .schema("core.v1.Event")
            .printer(Printer::Event)
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
        row("", "Namespace", "namespaces", "namespace", strategy::namespace())
            .cluster()
            .verbs(NO_COLLECTION_DELETE)
            .short("ns")
            .hash("Q3oi5N2YM8M=")
            .schema("core.v1.Namespace")
            .printer(Printer::Namespace)
            .sub("finalize", "Namespace", UPDATE)
            .sub("status", "Namespace", READ_WRITE)
            .fields(&[("name", &["metadata.name"]), ("status.phase", &["status.phase"])]),
        row("", "Node", "nodes", "node", strategy::node())
            .cluster()
            .short("no")
            .hash("XwShjMxG9Fs=")
            .schema("core.v1.Node")
            .printer(Printer::Node)
            .sub("status", "Node", READ_WRITE)
            .fields(&[("spec.unschedulable", &["spec.unschedulable"])]),
        row("", "Pod", "pods", "pod", strategy::pod())
            .short("po")
            .category("all")
            .hash("xPOwRZ+Yhw8=")
            .schema("core.v1.Pod")
            .printer(Printer::Pod)
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
            strategy::replication_controller(),
        )
        .short("rc")
        .category("all")
        .hash("Jond2If31h0=")
        .schema("core.v1.ReplicationController")
        .printer(Printer::ReplicationController)
        .foreign_sub("scale", ("autoscaling", "v1", "Scale"), READ_WRITE)
        .sub("status", "ReplicationController", READ_WRITE)
        .fields(&[("status.replicas", &["status.replicas"])]),
        row("", "Secret", "secrets", "secret", strategy::secret())
            .hash("S6u1pOWzb84=")
            .schema("core.v1.Secret")
            .printer(Printer::Secret)
            .fields(&[("type", &["type"])]),
        row("", "ServiceAccount", "serviceaccounts", "serviceaccount", strategy::service_account())
            .short("sa")
            .hash("pbx9ZvyFpBE=")
            .schema("core.v1.ServiceAccount")
            .printer(Printer::ServiceAccount),
        row("", "Service", "services", "service", strategy::service())
            .short("svc")
            .category("all")
            .hash("0/CO1lhkEBI=")
            .schema("core.v1.Service")
            .printer(Printer::Service)
            .sub("status", "Service", READ_WRITE)
            .fields(&[("spec.clusterIP", &["spec.clusterIP"]), ("spec.type", &["spec.type"])]),
        row("events.k8s.io", "Event", "events", "event", strategy::event_v1())
            .short("ev")
            .stored_as("", "events")
            .hash("r2yiGXH7wu8=")
            .schema("events.v1.Event")
            .printer(Printer::Event)
            .fields(&[
                ("regarding.kind", &["regarding.kind"]),
                ("regarding.namespace", &["regarding.namespace"]),
                ("regarding.name", &["regarding.name"]),
                ("regarding.uid", &["regarding.uid"]),
                ("regarding.apiVersion", &["regarding.apiVersion"]),
                ("regarding.resourceVersion", &["regarding.resourceVersion"]),
                ("regarding.fieldPath", &["regarding.fieldPath"]),
                ("reason", &["reason"]),
                ("reportingController", &["reportingController"]),
                ("type", &["type"]),
            ]),
        row("coordination.k8s.io", "Lease", "leases", "lease", strategy::lease())
            .hash("gqkMMb/YqFM=")
            .schema("coordination.v1.Lease")
            .printer(Printer::Lease),
        row(
            "discovery.k8s.io",
            "EndpointSlice",
            "endpointslices",
            "endpointslice",
            strategy::endpoint_slice(),
        )
        .hash("qgS0xkrxYAI=")
        .schema("discovery.v1.EndpointSlice")
        .printer(Printer::EndpointSlice),
    ];
    rows.into_iter().map(Arc::new).collect()
}

fn row(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    strategy: Arc<dyn Strategy>,
) -> Resource {
    Resource {
        group: Text::Borrowed(group),
        version: Text::Borrowed("v1"),
        kind: Text::Borrowed(kind),
        plural: Text::Borrowed(plural),
        singular: Text::Borrowed(singular),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: Scope::Namespaced,
        verbs: ALL,
        subresources: Vec::new(),
        selectable_fields: Vec::new(),
        stored_as: GroupResource::new(group, plural),
        storage_version_hash: Text::Borrowed(""),
        schema_type: Text::Borrowed(""),
        deprecation: Text::Borrowed(""),
        strategy,
        printer: Printer::NameAndAge,
    }
}

/// The words in which a row is written.
impl Resource {
    fn cluster(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    fn verbs(mut self, verbs: &'static [Verb]) -> Self {
        self.verbs = verbs;
        self
    }

    fn short(mut self, name: &'static str) -> Self {
        self.short_names.push(Text::Borrowed(name));
        self
    }

    fn category(mut self, name: &'static str) -> Self {
        self.categories.push(Text::Borrowed(name));
        self
    }

    fn hash(mut self, hash: &'static str) -> Self {
        self.storage_version_hash = Text::Borrowed(hash);
        self
    }

    fn schema(mut self, name: &'static str) -> Self {
        self.schema_type = Text::Borrowed(name);
        self
    }

    fn deprecated(mut self, warning: &'static str) -> Self {
        self.deprecation = Text::Borrowed(warning);
        self
    }

    fn printer(mut self, printer: Printer) -> Self {
        self.printer = printer;
        self
    }

    fn stored_as(mut self, group: &'static str, resource: &'static str) -> Self {
        self.stored_as = GroupResource::new(group, resource);
        self
    }

    fn sub(self, name: &'static str, kind: &'static str, verbs: &'static [Verb]) -> Self {
        self.foreign_sub(name, ("", "", kind), verbs)
    }

    fn foreign_sub(
        mut self,
        name: &'static str,
        (group, version, kind): (&'static str, &'static str, &'static str),
        verbs: &'static [Verb],
    ) -> Self {
        self.subresources.push(Subresource {
            name: Text::Borrowed(name),
            group: Text::Borrowed(group),
            version: Text::Borrowed(version),
            kind: Text::Borrowed(kind),
            verbs,
        });
        self
    }

    fn fields(mut self, fields: &[(&'static str, &'static [&'static str])]) -> Self {
        self.selectable_fields = fields
            .iter()
            .map(|(name, paths)| SelectableField {
                name: Text::Borrowed(name),
                paths: paths.iter().map(|path| Text::Borrowed(*path)).collect(),
            })
            .collect();
        self
    }
}

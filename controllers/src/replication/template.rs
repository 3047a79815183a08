//! The pod a controller creates from its template.

use api::owner;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

/// A pod with the template's metadata and spec, owned by the controller, named by the API server.
pub(super) fn pod(controller: &ReplicationController) -> Pod {
    let template = controller.spec.as_ref().and_then(|spec| spec.template.clone());
    let template = template.unwrap_or_default();
    let metadata = template.metadata.unwrap_or_default();
    let name = controller.name_any();
    let uid = controller.uid().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}-")),
            namespace: controller.namespace(),
            labels: metadata.labels,
            annotations: metadata.annotations,
            finalizers: metadata.finalizers,
            owner_references: Some(vec![owner::controller_reference(
                "v1",
                "ReplicationController",
                &name,
                &uid,
            )]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

//! Rows of workloads.

use super::*;

/// `2/3`: how many of the wanted pods are ready.
fn ready(object: &Value) -> Value {
    let number = |pointer| number(object, pointer);
    format!("{}/{}", number("/status/readyReplicas"), number("/spec/replicas")).into()
}

fn template_containers(object: &Value) -> (String, String) {
    containers(&object["spec"]["template"]["spec"])
}

pub(crate) const CONTROLLER_REVISION: Printer =
    Printer::new("ControllerRevision", |object, now| {
        let owners = object["metadata"]["ownerReferences"].as_array();
        let controller = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
        let shown = controller.map(|owner| {
            let text = |field: &str| owner[field].as_str().unwrap_or_default();
            let kind = text("kind").to_lowercase();
            match text("apiVersion").split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{}", text("name")),
                None => format!("{kind}/{}", text("name")),
            }
        });
        let controller = or(shown.as_deref().unwrap_or_default(), "<none>");
        vec![name(object), controller.into(), number(object, "/revision"), age(object, now)]
    });

pub(crate) const DAEMON_SET: Printer = Printer::new("DaemonSet", |object, now| {
    let (names, images) = template_containers(object);
    vec![
        name(object),
        number(object, "/status/desiredNumberScheduled"),
        number(object, "/status/currentNumberScheduled"),
        number(object, "/status/numberReady"),
        number(object, "/status/updatedNumberScheduled"),
        number(object, "/status/numberAvailable"),
        labels(&object["spec"]["template"]["spec"]["nodeSelector"]).into(),
        age(object, now),
        names.into(),
        images.into(),
        selector_text(&object["spec"]["selector"]),
    ]
});

pub(crate) const DEPLOYMENT: Printer = Printer::new("Deployment", |object, now| {
    let (names, images) = template_containers(object);
    vec![
        name(object),
        ready(object),
        number(object, "/status/updatedReplicas"),
        number(object, "/status/availableReplicas"),
        age(object, now),
        names.into(),
        images.into(),
        selector_text(&object["spec"]["selector"]),
    ]
});

pub(crate) const REPLICA_SET: Printer = Printer::new("ReplicaSet", |object, now| {
    let (names, images) = template_containers(object);
    vec![
        name(object),
        number(object, "/spec/replicas"),
        number(object, "/status/replicas"),
        number(object, "/status/readyReplicas"),
        age(object, now),
        names.into(),
        images.into(),
        selector_text(&object["spec"]["selector"]),
    ]
});

pub(crate) const STATEFUL_SET: Printer = Printer::new("StatefulSet", |object, now| {
    let (names, images) = template_containers(object);
    vec![name(object), ready(object), age(object, now), names.into(), images.into()]
});

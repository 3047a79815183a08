//! What must hold before a write, beyond the object itself, and what other objects add to it.
//!
//! One chain: [`create`] for what is new, [`change`] for what is changed, [`deletion`] for what
//! goes. Each plugin of Kubernetes that is on by default and looks at other objects has a file with
//! its decision; what it needs to know of other objects is a [`View`], made when they change and not
//! when they are asked about.

mod certificates;
mod classes;
mod limits;
mod node;
mod priority;
pub(crate) mod quota;
mod runtime_class;
pub(crate) mod service_account;
mod view;

use std::sync::Arc;

use api::status::Status;
use serde_json::Value;

use crate::authz::node_of;
use crate::cacher::Cacher;
use crate::context::Context;
use crate::dispatch::Target;
use crate::user::User;
use crate::writing::Part;

pub(crate) use view::View;

/// The labels of a node that its pods get, too.
const TOPOLOGY: [&str; 2] = ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"];

/// What the plugins know of other objects.
pub(crate) struct Views {
    priorities: View<priority::Classes>,
    limits: View<limits::Ranges>,
    storage: View<classes::StorageClasses>,
    ingress: View<classes::IngressClasses>,
    runtimes: View<runtime_class::RuntimeClasses>,
    quotas: View<quota::Quotas>,
}

impl Views {
    /// Views of the objects in the caches of the built-in rows.
    pub(crate) fn new(caches: &[Arc<Cacher>]) -> Views {
        let priority_classes = ("scheduling.k8s.io", "priorityclasses");
        let ingress_classes = ("networking.k8s.io", "ingressclasses");
        let storage_classes = ("storage.k8s.io", "storageclasses");
        let runtime_classes = ("node.k8s.io", "runtimeclasses");
        Views {
            priorities: View::new(caches, priority_classes, priority::Classes::read),
            limits: View::new(caches, ("", "limitranges"), limits::Ranges::read),
            storage: View::new(caches, storage_classes, classes::StorageClasses::read),
            ingress: View::new(caches, ingress_classes, classes::IngressClasses::read),
            runtimes: View::new(caches, runtime_classes, runtime_class::RuntimeClasses::read),
            quotas: View::new(caches, ("", "resourcequotas"), quota::Quotas::read),
        }
    }
}

/// A refusal in the words of admission: 403 about the object, by its name or what begins it.
pub(crate) fn refuse(target: &Target, object: &Value, detail: &str) -> Status {
    let text = |field: &str| {
        let text = object["metadata"][field].as_str();
        text.filter(|text| !text.is_empty())
    };
    let own = Some(target.name.as_str()).filter(|name| !name.is_empty());
    let name = own.or_else(|| text("name")).or_else(|| text("generateName")).unwrap_or_default();
    Status::forbidden(&target.resource.group_resource(), name, detail)
}

/// Looks at a new object and completes it. Comes before the defaults that depend on it, and before
/// its validation.
///
/// # Errors
/// 403 with the words of the plugin that refuses.
pub(crate) async fn create(
    context: &Context,
    target: &Target,
    object: &mut Value,
) -> Result<(), Status> {
    let views = &context.admission;
    let row = &target.resource;
    let admitted = match (&*row.group, &*row.plural) {
        ("", "pods") => return pod(context, target, object).await,
        ("", "endpoints") | ("discovery.k8s.io", "endpointslices") => {
            return endpoints(context, target, object, &Value::Null);
        }
        ("", "persistentvolumeclaims") => {
            views.storage.now().complete(object);
            views.limits.now().check_claim(&target.namespace, object)
        }
        ("networking.k8s.io", "ingresses") => {
            views.ingress.now().complete(object);
            Ok(())
        }
        ("scheduling.k8s.io", "priorityclasses") => {
            views.priorities.now().admit_class(object, true)
        }
        (certificates::GROUP, "certificatesigningrequests") => certificates::subject(object),
        _ => Ok(()),
    };
    admitted.map_err(|detail| refuse(target, object, &detail))
}

async fn pod(context: &Context, target: &Target, pod: &mut Value) -> Result<(), Status> {
    if !pod["spec"].is_object() {
        return Ok(());
    }
    let views = &context.admission;
    let class = pod["spec"]["priorityClassName"].as_str().unwrap_or_default();
    if !views.priorities.now().has(class) || !views.runtimes.now().has(pod) {
        // It may have been made a moment ago, by another server.
        context.freshness.consistent().await?;
    }
    topology(context, pod);
    let limits = views.limits.now();
    let limited = limits.limits(&target.namespace);
    let mut plan = || -> Result<(), String> {
        views.priorities.now().admit(pod)?;
        views.runtimes.now().admit(pod)?;
        if limited {
            // A request follows from a limit of the pod's own, not from one that it gets here.
            target.resource.strategy.default(pod);
            limits.complete(&target.namespace, pod);
            limits.check_pod(&target.namespace, pod)?;
        }
        Ok(())
    };
    plan().map_err(|detail| refuse(target, pod, &detail))
}

/// PodTopologyLabels: a pod that is created on a node says where that is.
fn topology(context: &Context, pod: &mut Value) {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned();
    if !node.is_empty() {
        add_topology(context, &node, pod);
    }
}

/// Gives a pod, or the binding that makes it one of the node's, the labels that say where the node
/// is. What it says itself stays.
pub(crate) fn add_topology(context: &Context, node: &str, object: &mut Value) {
    let Some(node) = context.core("nodes").get(node) else { return };
    for key in TOPOLOGY {
        let Some(value) = node.label(key) else { continue };
        api::meta::ensure(object);
        let labels = &mut object["metadata"]["labels"];
        if !labels.is_object() {
            *labels = serde_json::json!({});
        }
        if labels[key].is_null() {
            labels[key] = value.into();
        }
    }
}

/// Refuses addresses of the loopback interface, but for a cluster whose pods have no others.
fn endpoints(context: &Context, target: &Target, new: &Value, old: &Value) -> Result<(), Status> {
    let unchanged = ["subsets", "endpoints"].iter().all(|field| new[field] == old[field]);
    if unchanged || context.allocators.are_on_loopback() {
        return Ok(());
    }
    let errors = api::strategy::loopback_addresses(new);
    if errors.is_empty() {
        return Ok(());
    }
    let name = new["metadata"]["name"].as_str().unwrap_or(&target.name);
    Err(Status::invalid(&target.resource.group_kind(), name, &errors))
}

/// Looks at what a user changes; cheap for what no plugin cares about.
///
/// # Errors
/// 403 with the words of the plugin that refuses.
pub(crate) fn change(
    context: &Context,
    target: &Target,
    part: Part,
    (new, old): (&Value, &Value),
    user: &User,
) -> Result<(), Status> {
    by_node(target, part, (new, old), user)?;
    let views = &context.admission;
    let row = &target.resource;
    let admitted = match (&*row.group, &*row.plural, part) {
        // A size that stays is not looked at again.
        ("", "persistentvolumeclaims", Part::Main)
            if new["spec"]["resources"] != old["spec"]["resources"] =>
        {
            let resized = views.storage.now().resize(new, old);
            resized.and_then(|()| views.limits.now().check_claim(&target.namespace, new))
        }
        ("", "endpoints", Part::Main) | ("discovery.k8s.io", "endpointslices", Part::Main) => {
            return endpoints(context, target, new, old);
        }
        ("", "pods", Part::Subresource("resize")) => {
            views.limits.now().check_pod(&target.namespace, new)
        }
        ("scheduling.k8s.io", "priorityclasses", Part::Main) => {
            views.priorities.now().admit_class(new, false)
        }
        (certificates::GROUP, "certificatesigningrequests", part) => {
            certificates::change(context, part, new, old, user)
        }
        _ => Ok(()),
    };
    admitted.map_err(|detail| refuse(target, new, &detail))
}

/// NodeRestriction, for what a node creates (`old` is null) or changes.
///
/// # Errors
/// 403 for what is not the node's to write.
pub(crate) fn by_node(
    target: &Target,
    part: Part,
    (new, old): (&Value, &Value),
    user: &User,
) -> Result<(), Status> {
    let Some(node) = node_of(user) else { return Ok(()) };
    let own = new["metadata"]["name"].as_str().unwrap_or_default();
    let name = if target.name.is_empty() { own } else { &target.name };
    let (group, plural) = (&*target.resource.group, &*target.resource.plural);
    let written = node::Written { group, plural, name, new, old, part };
    node::judge(node, &written).map_err(|detail| refuse(target, new, &detail))
}

/// NodeRestriction, for a pod that a node deletes or evicts (`verb`).
///
/// # Errors
/// 403 for another node's pod.
pub(crate) fn removal_by_node(
    context: &Context,
    target: &Target,
    user: &User,
    verb: &str,
) -> Result<(), Status> {
    let row = &target.resource;
    let Some(node) = node_of(user) else { return Ok(()) };
    if !row.group.is_empty() || row.plural != "pods" {
        return Ok(());
    }
    // A pod that is not there is told by whoever deletes it.
    let Some(pod) = context.core("pods").get(&target.key()) else { return Ok(()) };
    let pod: Value = pod.encoded().parse();
    node::judge_removal(node, &pod, verb).map_err(|detail| refuse(target, &pod, &detail))
}

/// Namespaces that every cluster has and nobody may delete.
const PERMANENT: &[&str] = &["default", "kube-system", "kube-public"];

/// NamespaceLifecycle: objects are created in namespaces that exist and are not going away.
///
/// # Errors
/// 404 for a namespace that does not exist, 403 with the cause NamespaceTerminating.
pub(crate) async fn namespace(
    context: &Context,
    target: &Target,
    object: &Value,
) -> Result<(), Status> {
    if !target.resource.namespaced() {
        return Ok(());
    }
    let namespaces = context.core("namespaces");
    let mut found = namespaces.get(&target.namespace);
    if found.is_none() {
        // It may have been created a moment ago, by another server.
        context.freshness.consistent().await?;
        found = namespaces.get(&target.namespace);
    }
    let row = namespaces.resource();
    let Some(found) = found else {
        return Err(Status::not_found(&row.group_resource(), &target.namespace));
    };
    let phase = row.selectable_fields.iter().position(|field| field.name == "status.phase");
    if phase.is_some_and(|index| found.field(index) == "Terminating") {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let resource = target.resource.group_resource();
        return Err(Status::namespace_terminating(&resource, name, &target.namespace));
    }
    Ok(())
}

/// ServiceAccount, the part that needs no account: a pod that names no account runs as `default`.
pub(crate) fn complete(target: &Target, object: &mut Value) {
    if !target.resource.group.is_empty() || target.resource.plural != "pods" {
        return;
    }
    if !object["spec"].is_object() {
        return;
    }
    let spec = &mut object["spec"];
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    let (name, old) = (text("serviceAccountName"), text("serviceAccount"));
    let account = [name, old].into_iter().find(|name| !name.is_empty());
    let account = account.unwrap_or_else(|| "default".to_owned());
    // The deprecated alias always says the same.
    spec["serviceAccountName"] = account.clone().into();
    spec["serviceAccount"] = account.into();
}

/// A certificate is asked for by whoever asks: the request's author is the request's user. The
/// strategy has removed what the client said about it.
pub(crate) fn requester(target: &Target, object: &mut Value, user: &User) {
    let row = &target.resource;
    if row.group == "certificates.k8s.io" && row.plural == "certificatesigningrequests" {
        object["spec"]["username"] = user.name().into();
        object["spec"]["groups"] = user.groups().into();
        if !user.uid().is_empty() {
            object["spec"]["uid"] = user.uid().into();
        }
        if !user.extra().is_empty() {
            object["spec"]["extra"] = serde_json::json!(user.extra());
        }
    }
}

/// NamespaceLifecycle: some namespaces stay.
///
/// # Errors
/// 403 for those.
pub(crate) fn deletion(target: &Target) -> Result<(), Status> {
    let namespace = target.resource.group.is_empty() && target.resource.plural == "namespaces";
    if namespace && PERMANENT.contains(&target.name.as_str()) {
        let resource = target.resource.group_resource();
        let detail = "this namespace may not be deleted";
        return Err(Status::forbidden(&resource, &target.name, detail));
    }
    Ok(())
}

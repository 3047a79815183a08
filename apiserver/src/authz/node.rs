//! The node authorizer: a node reads what the pods bound to it need, and writes what it reports.
//!
//! What is open to every node is in the role `system:node` of the bootstrap policy. Of some
//! resources in it a node gets a part: its own objects, and those that its pods name. What a pod
//! names is looked up when a node asks, among the pods of that node: nothing is kept in memory.
//! [`admission`](crate::admission) looks into what a node writes.
//! Source: k8s.io/kubernetes/plugin/pkg/auth/authorizer/node.

mod references;

use serde_json::Value;

use super::{Attributes, Decision};
use crate::bootstrap;
use crate::cacher::Cacher;
use crate::context::Context;
use crate::user::User;

pub(crate) use references::references;

/// Where the leases of nodes are.
const LEASES: &str = "kube-node-lease";
/// Marks a pod that a node has made: what it names opens nothing.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The node that a user is, if it is one.
pub(crate) fn name_of(user: &User) -> Option<&str> {
    user.name().strip_prefix("system:node:").filter(|_| user.is_in("system:nodes"))
}

/// What has to hold for a node to be let through.
#[derive(Debug, PartialEq, Eq)]
enum Condition<'a> {
    /// Nothing: the node's own, or admission looks.
    None,
    /// A rule of the role for all nodes.
    Rule,
    /// A pod of the node names the object.
    Named { plural: &'a str },
    /// The object is a pod of the node.
    Bound,
    /// The object says in `spec.nodeName` that it is the node's.
    Attached,
    /// Cannot be.
    Never(String),
}

/// Decides about a request of the node `node`. `selector` is the field selector of a list or watch,
/// "" for none.
pub(super) fn decide(
    context: &Context,
    node: &str,
    asked: &Attributes<'_>,
    selector: &str,
) -> Decision {
    let unrelated = || format!("no relationship found between node '{node}' and this object");
    let (allowed, reason) = match condition(node, asked, selector) {
        Condition::None => (true, String::new()),
        Condition::Rule => {
            (bootstrap::node_rules().iter().any(|rule| rule.allows(asked)), String::new())
        }
        Condition::Never(reason) => (false, reason),
        related => {
            let Attributes::Resource { group, resource, namespace, name, .. } = asked else {
                return Decision::default();
            };
            let related = match related {
                Condition::Named { plural } => is_named(context, node, plural, namespace, name),
                Condition::Bound => is_bound(context.core("pods"), node, namespace, name),
                _ => is_attached(context, node, group, resource, name),
            };
            (related, if related { String::new() } else { unrelated() })
        }
    };
    Decision { allowed, reason }
}

fn condition<'a>(node: &str, asked: &Attributes<'a>, selector: &str) -> Condition<'a> {
    let Attributes::Resource { verb, group, resource, namespace, name } = *asked else {
        return Condition::Rule;
    };
    let (plural, below) = resource.split_once('/').unwrap_or((resource, ""));
    let never = |reason: &str| Condition::Never(reason.to_owned());
    let own = |name: &str| name == node;
    let readable = || match (verb, below) {
        ("get" | "list" | "watch", "") if namespace.is_empty() => {
            never("can only read namespaced object of this type")
        }
        ("get" | "list" | "watch", "") if name.is_empty() => never("No Object name found"),
        ("get" | "list" | "watch", "") => Condition::Named { plural },
        ("get" | "list" | "watch", _) => never("cannot read subresource"),
        _ => never("can only read resources of this type"),
    };
    let gettable = |condition| match (verb, below) {
        ("get", "") if name.is_empty() => never("No Object name found"),
        ("get", "") => condition,
        ("get", _) => never("cannot get subresource"),
        _ => never("can only get individual resources of this type"),
    };
    match (group, plural, below) {
        ("", "secrets" | "configmaps", _) => readable(),
        ("", "persistentvolumeclaims", "status") => match verb {
            "get" | "update" | "patch" => Condition::Named { plural },
            _ => never("can only get/update/patch this type"),
        },
        ("", "persistentvolumeclaims" | "persistentvolumes", _)
        | ("resource.k8s.io", "resourceclaims", _) => gettable(Condition::Named { plural }),
        ("storage.k8s.io", "volumeattachments", _) => gettable(Condition::Attached),
        ("", "serviceaccounts", "token") if verb == "create" && !name.is_empty() => {
            Condition::Named { plural }
        }
        ("", "serviceaccounts", "") if verb == "get" && !name.is_empty() => {
            Condition::Named { plural }
        }
        ("", "serviceaccounts", _) => {
            never("can only get individual service accounts, or create tokens for them")
        }
        ("coordination.k8s.io", "leases", _) => match verb {
            "get" | "create" | "update" | "patch" | "delete" if namespace != LEASES => {
                never("can only access leases in the \"kube-node-lease\" system namespace")
            }
            "create" => Condition::None,
            "get" | "update" | "patch" | "delete" if own(name) => Condition::None,
            "get" | "update" | "patch" | "delete" => {
                never("can only access node lease with the same name as the requesting node")
            }
            _ => never("can only get, create, update, patch, or delete a node lease"),
        },
        ("storage.k8s.io", "csinodes", "") => match verb {
            "create" => Condition::None,
            "get" | "update" | "patch" | "delete" if own(name) => Condition::None,
            "get" | "update" | "patch" | "delete" => {
                never("can only access CSINode with the same name as the requesting node")
            }
            _ => never("can only get, create, update, patch, or delete a CSINode"),
        },
        ("resource.k8s.io", "resourceslices", "") => match verb {
            "create" => Condition::None,
            "get" | "update" | "patch" | "delete" => Condition::Attached,
            _ if selects(selector, "spec.nodeName", node) => Condition::None,
            _ => never(
                "can only list/watch/deletecollection resourceslices with nodeName field selector",
            ),
        },
        ("", "nodes", "") => match verb {
            "create" | "update" | "patch" => Condition::None,
            "get" | "list" | "watch" if own(name) => Condition::None,
            "get" | "list" | "watch" if name.is_empty() => Condition::Never(format!(
                "node '{node}' cannot read all nodes, only its own Node object"
            )),
            "get" | "list" | "watch" => Condition::Never(format!(
                "node '{node}' cannot read '{name}', only its own Node object"
            )),
            _ => never(""),
        },
        ("", "nodes" | "pods", "status") if matches!(verb, "update" | "patch") => Condition::None,
        ("", "pods", "eviction") if verb == "create" => Condition::None,
        ("", "pods", "") => match verb {
            "create" | "delete" => Condition::None,
            "list" | "watch" if selects(selector, "spec.nodeName", node) => Condition::None,
            "get" | "list" | "watch" if !name.is_empty() => Condition::Bound,
            "list" | "watch" => never("can only list/watch pods with spec.nodeName field selector"),
            _ => never(""),
        },
        ("", "nodes" | "pods", _) => never(""),
        _ => Condition::Rule,
    }
}

/// Whether a field selector demands this value.
fn selects(selector: &str, field: &str, value: &str) -> bool {
    selector.split(',').any(|term| {
        let wanted = term.trim().strip_prefix(field).and_then(|rest| rest.strip_prefix('='));
        wanted.is_some_and(|wanted| wanted.strip_prefix('=').unwrap_or(wanted) == value)
    })
}

/// The pods of a node in a namespace ("" for all), but those that the node itself has made up.
fn pods_of(context: &Context, node: &str, namespace: &str) -> impl Iterator<Item = Value> {
    let cache = context.core("pods");
    let fields = &cache.resource().selectable_fields;
    let field = fields.iter().position(|field| field.name == "spec.nodeName");
    let prefix = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    let found: Vec<_> = cache
        .now()
        .objects
        .from(&prefix)
        .take_while(|pod| pod.key().starts_with(&prefix))
        .filter(|pod| field.is_some_and(|field| pod.field(field) == node))
        .cloned()
        .collect();
    let parsed = found.into_iter().map(|pod| -> Value { pod.encoded().parse() });
    parsed.filter(|pod| pod["metadata"]["annotations"][MIRROR].is_null())
}

fn is_bound(pods: &Cacher, node: &str, namespace: &str, name: &str) -> bool {
    let fields = &pods.resource().selectable_fields;
    let field = fields.iter().position(|field| field.name == "spec.nodeName");
    let pod = pods.get(&format!("{namespace}/{name}"));
    pod.zip(field).is_some_and(|(pod, field)| pod.field(field) == node)
}

fn is_attached(context: &Context, node: &str, group: &str, plural: &str, name: &str) -> bool {
    let row = api::resources::by_path(group, "v1", plural);
    let object = row.and_then(|row| context.cache(row)).and_then(|cache| cache.get(name));
    object.is_some_and(|object| {
        let object: Value = object.encoded().parse();
        object["spec"]["nodeName"] == node
    })
}

/// Whether a pod of the node names the object, itself or by way of a volume.
fn is_named(context: &Context, node: &str, plural: &str, namespace: &str, name: &str) -> bool {
    let names = |namespace: &str, plural: &str, name: &str| {
        pods_of(context, node, namespace)
            .any(|pod| references(&pod).iter().any(|(of, named)| *of == plural && named == name))
    };
    // A volume's claim, of which it says where it is.
    let claimed = |volume: &Value| {
        let claim = |field: &str| volume["spec"]["claimRef"][field].as_str().unwrap_or_default();
        !claim("name").is_empty()
            && names(claim("namespace"), "persistentvolumeclaims", claim("name"))
    };
    match plural {
        "persistentvolumes" => {
            let volume = context.core(plural).get(name);
            volume.is_some_and(|volume| claimed(&volume.encoded().parse()))
        }
        "secrets" => {
            names(namespace, plural, name)
                || context.core("persistentvolumes").now().objects.iter().any(|volume| {
                    let volume: Value = volume.encoded().parse();
                    let mut secrets = Vec::new();
                    volume_secrets(&volume["spec"], &mut secrets);
                    let own = volume["spec"]["claimRef"]["namespace"].as_str().unwrap_or_default();
                    let meant = |(given, named): &(&str, &str)| {
                        let at = if given.is_empty() { own } else { given };
                        at == namespace && *named == name
                    };
                    secrets.iter().any(meant) && claimed(&volume)
                })
        }
        _ => names(namespace, plural, name),
    }
}

/// The secrets that a PersistentVolume's source names, as namespace and name.
fn volume_secrets<'a>(value: &'a Value, found: &mut Vec<(&'a str, &'a str)>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        if key.to_ascii_lowercase().ends_with("secretref") {
            let text = |field: &str| value[field].as_str().unwrap_or_default();
            found.push((text("namespace"), text("name")));
        } else {
            volume_secrets(value, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_hold_for_a_node() {
        let never = |reason: &str| Condition::Never(reason.to_owned());
        for (verb, group, resource, namespace, name, selector, want) in [
            ("get", "", "secrets", "n", "s", "", Condition::Named { plural: "secrets" }),
            ("list", "", "secrets", "n", "", "", never("No Object name found")),
            (
                "list",
                "",
                "secrets",
                "",
                "",
                "",
                never("can only read namespaced object of this type"),
            ),
            ("update", "", "secrets", "n", "s", "", never("can only read resources of this type")),
            ("watch", "", "configmaps", "n", "m", "", Condition::Named { plural: "configmaps" }),
            ("get", "", "nodes", "", "n1", "", Condition::None),
            (
                "get",
                "",
                "nodes",
                "",
                "n2",
                "",
                never("node 'n1' cannot read 'n2', only its own Node object"),
            ),
            (
                "list",
                "",
                "nodes",
                "",
                "",
                "",
                never("node 'n1' cannot read all nodes, only its own Node object"),
            ),
            ("delete", "", "nodes", "", "n1", "", never("")),
            ("patch", "", "nodes/status", "", "n1", "", Condition::None),
            ("list", "", "pods", "", "", "spec.nodeName=n1", Condition::None),
            ("watch", "", "pods", "", "", "a=b,spec.nodeName==n1", Condition::None),
            (
                "list",
                "",
                "pods",
                "",
                "",
                "spec.nodeName=n2",
                never("can only list/watch pods with spec.nodeName field selector"),
            ),
            (
                "list",
                "",
                "pods",
                "",
                "",
                "spec.nodeName!=n1",
                never("can only list/watch pods with spec.nodeName field selector"),
            ),
            ("get", "", "pods", "n", "p", "", Condition::Bound),
            ("update", "", "pods", "n", "p", "", never("")),
            ("patch", "", "pods/status", "n", "p", "", Condition::None),
            ("create", "", "pods/binding", "n", "p", "", never("")),
            (
                "create",
                "",
                "serviceaccounts/token",
                "n",
                "a",
                "",
                Condition::Named { plural: "serviceaccounts" },
            ),
            ("update", "coordination.k8s.io", "leases", LEASES, "n1", "", Condition::None),
            (
                "update",
                "coordination.k8s.io",
                "leases",
                LEASES,
                "n2",
                "",
                never("can only access node lease with the same name as the requesting node"),
            ),
            (
                "get",
                "coordination.k8s.io",
                "leases",
                "n",
                "n1",
                "",
                never("can only access leases in the \"kube-node-lease\" system namespace"),
            ),
            ("get", "storage.k8s.io", "volumeattachments", "", "v", "", Condition::Attached),
            ("list", "", "services", "", "", "", Condition::Rule),
            ("create", "", "events", "n", "", "", Condition::Rule),
        ] {
            let asked = Attributes::Resource { verb, group, resource, namespace, name };
            assert_eq!(condition("n1", &asked, selector), want, "{asked:?}");
        }
    }

    #[test]
    fn a_node_is_a_user_in_a_group() {
        let user = |name: &str, group: &str| User::new(name, vec![group.to_owned()]);
        assert_eq!(name_of(&user("system:node:n1", "system:nodes")), Some("n1"));
        assert_eq!(name_of(&user("system:node:n1", "others")), None);
        assert_eq!(name_of(&user("n1", "system:nodes")), None);
    }
}

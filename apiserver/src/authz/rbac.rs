//! Role-based access control: which roles are bound to a user, and what they grant.
//!
//! An index of all roles and bindings is made from the watch caches when one of them has changed
//! since the last question; the questions themselves look up the user's name and groups.
//! Source: <https://kubernetes.io/docs/reference/access-authn-authz/rbac/>.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::rule::Rule;
use super::{Attributes, Decision};
use crate::cacher::{Cacher, Objects};
use crate::user::User;

/// The group of the four kinds.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";
/// The four kinds, in the order of [`Index::of`].
const PLURALS: [&str; 4] = ["clusterroles", "roles", "clusterrolebindings", "rolebindings"];

/// The bindings of the accounts that Kubernetes' controllers have, one each.
const CONTROLLERS: &str = "system:controller:";
/// The user as whom one process runs them all here: it has what they have.
const CONTROLLER_MANAGER: &str = "User/system:kube-controller-manager";

/// The roles and bindings, ready to be asked.
pub(crate) struct Policies {
    /// In the order of [`PLURALS`].
    caches: [Arc<Cacher>; 4],
    /// The index and the objects that it was made of.
    last: Mutex<Option<([Objects; 4], Arc<Index>)>>,
}

impl Policies {
    /// Of the objects in the caches of the built-in rows.
    pub(crate) fn new(caches: &[Arc<Cacher>]) -> Policies {
        let caches = PLURALS.map(|plural| {
            let found = caches
                .iter()
                .find(|cache| cache.resource().group == GROUP && cache.resource().plural == plural);
            found.expect("the four kinds are rows of the built-in table").clone()
        });
        Policies { caches, last: Mutex::new(None) }
    }

    /// The index of the roles and bindings that there are now.
    pub(crate) fn index(&self) -> Arc<Index> {
        let now = self.caches.each_ref().map(|cache| cache.now().objects);
        let mut last = self.last.lock();
        if let Some((objects, index)) = &*last
            && objects.iter().zip(&now).all(|(had, has)| had.is(has))
        {
            return index.clone();
        }
        let parsed = now.each_ref().map(|objects| {
            objects.iter().map(|object| object.encoded().parse()).collect::<Vec<Value>>()
        });
        let index = Arc::new(Index::of(&parsed));
        *last = Some((now, index.clone()));
        index
    }
}

/// A role by scope and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RoleRef {
    /// A ClusterRole.
    Cluster(String),
    /// A Role of a namespace.
    Namespaced(String, String),
}

impl RoleRef {
    /// What the `roleRef` of a binding in `namespace` means.
    pub(crate) fn read(reference: &Value, namespace: &str) -> RoleRef {
        let name = reference["name"].as_str().unwrap_or_default().to_owned();
        if reference["kind"] == "ClusterRole" {
            RoleRef::Cluster(name)
        } else {
            RoleRef::Namespaced(namespace.to_owned(), name)
        }
    }
}

/// A role that somebody has.
#[derive(Clone, Debug)]
struct Grant {
    role: RoleRef,
    /// The binding and its role, in the words of SubjectAccessReviews.
    words: Arc<str>,
}

/// Who is bound to what, by `User/name` or `Group/name`.
type Subjects = HashMap<String, Vec<Grant>>;

/// All roles and bindings.
#[derive(Debug, Default)]
pub(crate) struct Index {
    roles: HashMap<RoleRef, Vec<Rule>>,
    everywhere: Subjects,
    inside: HashMap<String, Subjects>,
}

impl Index {
    /// An index of ClusterRoles, Roles, ClusterRoleBindings and RoleBindings.
    fn of([cluster_roles, roles, cluster_bindings, bindings]: &[Vec<Value>; 4]) -> Index {
        let mut index = Index::default();
        for role in cluster_roles {
            index.roles.insert(RoleRef::Cluster(name(role)), Rule::all_of(role));
        }
        for role in roles {
            let role_ref = RoleRef::Namespaced(namespace(role), name(role));
            index.roles.insert(role_ref, Rule::all_of(role));
        }
        for binding in cluster_bindings {
            bind(&mut index.everywhere, binding);
        }
        for binding in bindings {
            bind(index.inside.entry(namespace(binding)).or_default(), binding);
        }
        index
    }

    /// The rules of a role, if there is one.
    pub(crate) fn role(&self, role: &RoleRef) -> Option<&[Rule]> {
        self.roles.get(role).map(Vec::as_slice)
    }

    /// What the user has in `namespace` ("": everywhere).
    fn grants<'a>(
        &'a self,
        user: &'a User,
        namespace: &str,
    ) -> impl Iterator<Item = (String, &'a Grant)> {
        let tables = [Some(&self.everywhere), self.inside.get(namespace)];
        tables.into_iter().flatten().flat_map(move |subjects| {
            let groups = user.groups().iter().map(|group| format!("Group/{group}"));
            let names = std::iter::once(format!("User/{}", user.name())).chain(groups);
            names.flat_map(move |subject| {
                let grants = subjects.get(&subject).into_iter().flatten();
                grants.map(move |grant| (subject.clone(), grant))
            })
        })
    }

    /// All rules that the user has in `namespace` ("": everywhere).
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<Rule> {
        let granted = self.grants(user, namespace).filter_map(|(_, grant)| self.role(&grant.role));
        granted.flatten().cloned().collect()
    }

    /// Whether a role of the user grants what is asked for.
    pub(crate) fn decide(&self, user: &User, asked: &Attributes<'_>) -> Decision {
        let namespace = match asked {
            Attributes::Resource { namespace, .. } => namespace,
            Attributes::Path { .. } => "",
        };
        let mut lost = Vec::new();
        for (subject, grant) in self.grants(user, namespace) {
            let Some(rules) = self.role(&grant.role) else {
                lost.push(not_found(&grant.role));
                continue;
            };
            if rules.iter().any(|rule| rule.allows(asked)) {
                let (kind, name) = subject.split_once('/').unwrap_or_default();
                let to = api::field::go_quote(name);
                let reason = format!("RBAC: allowed by {} to {kind} {to}", grant.words);
                return Decision { allowed: true, reason };
            }
        }
        lost.dedup();
        let reason = match &lost[..] {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            all => format!("RBAC: [{}]", all.join(", ")),
        };
        Decision { allowed: false, reason }
    }
}

fn not_found(role: &RoleRef) -> String {
    let (kind, name) = match role {
        RoleRef::Cluster(name) => ("clusterrole", name),
        RoleRef::Namespaced(_, name) => ("role", name),
    };
    format!("{kind}.{GROUP} {} not found", api::field::go_quote(name))
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn namespace(object: &Value) -> String {
    object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned()
}

fn bind(subjects: &mut Subjects, binding: &Value) {
    let here = namespace(binding);
    let role = RoleRef::read(&binding["roleRef"], &here);
    let text = |field: &str| binding["roleRef"][field].as_str().unwrap_or_default();
    let (kind, at) = if here.is_empty() {
        ("ClusterRoleBinding", name(binding))
    } else {
        ("RoleBinding", format!("{}/{here}", name(binding)))
    };
    let quoted = api::field::go_quote;
    let role_words = format!("{} {}", text("kind"), quoted(text("name")));
    let words: Arc<str> = format!("{kind} {} of {role_words}", quoted(&at)).into();
    if name(binding).starts_with(CONTROLLERS) {
        let grant = Grant { role: role.clone(), words: words.clone() };
        subjects.entry(CONTROLLER_MANAGER.to_owned()).or_default().push(grant);
    }
    for subject in binding["subjects"].as_array().into_iter().flatten() {
        let text = |field: &str| subject[field].as_str().unwrap_or_default();
        let key = match text("kind") {
            "ServiceAccount" => {
                let given = text("namespace");
                let home = if given.is_empty() { &here } else { given };
                format!("User/system:serviceaccount:{home}:{}", text("name"))
            }
            kind => format!("{kind}/{}", text("name")),
        };
        let grant = Grant { role: role.clone(), words: words.clone() };
        subjects.entry(key).or_default().push(grant);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn index() -> Index {
        let rule = |resource: &str| json!([{"verbs": ["get"], "apiGroups": [""], "resources": [resource]}]);
        let binding = |namespace: &str, name: &str, kind: &str, role: &str, subject: Value| {
            json!({"metadata": {"name": name, "namespace": namespace},
                "roleRef": {"kind": kind, "name": role}, "subjects": [subject]})
        };
        let user = |name: &str| json!({"kind": "User", "name": name});
        let account = |name: &str| json!({"kind": "ServiceAccount", "name": name});
        Index::of(&[
            vec![
                json!({"metadata": {"name": "nodes"}, "rules": rule("nodes")}),
                json!({"metadata": {"name": "pods"}, "rules": rule("pods")}),
            ],
            vec![
                json!({"metadata": {"name": "maps", "namespace": "n"}, "rules": rule("configmaps")}),
            ],
            vec![
                binding("", "all-nodes", "ClusterRole", "nodes", user("ann")),
                binding("", "gone", "ClusterRole", "none", user("eve")),
                binding("", "system:controller:x", "ClusterRole", "pods", account("x")),
            ],
            vec![
                binding("n", "pods", "ClusterRole", "pods", json!({"kind": "Group", "name": "g"})),
                binding("n", "maps", "Role", "maps", account("robot")),
            ],
        ])
    }

    #[test]
    fn roles_reach_whom_they_are_bound_to_and_where() {
        let index = index();
        let robot = "system:serviceaccount:n:robot";
        for (who, group, resource, namespace, want) in [
            ("ann", "", "nodes", "", true),
            ("ann", "", "nodes", "n", true),
            ("ann", "", "pods", "n", false),
            ("bob", "g", "pods", "n", true),
            ("bob", "g", "pods", "m", false),
            ("bob", "g", "pods", "", false),
            ("g", "", "pods", "n", false),
            (robot, "", "configmaps", "n", true),
            ("system:kube-controller-manager", "", "pods", "m", true),
            ("system:kube-controller-manager", "", "nodes", "", false),
            (robot, "", "configmaps", "m", false),
            ("system:serviceaccount:m:robot", "", "configmaps", "n", false),
        ] {
            let user = User::new(who, vec![group.to_owned()]);
            let asked =
                Attributes::Resource { verb: "get", group: "", resource, namespace, name: "x" };
            assert_eq!(index.decide(&user, &asked).allowed, want, "{who} {resource} {namespace}");
        }
    }

    #[test]
    fn decisions_say_why() {
        let index = index();
        let ask = |who: &str, group: &str, resource| {
            let user = User::new(who, vec![group.to_owned()]);
            let asked = Attributes::Resource {
                verb: "get",
                group: "",
                resource,
                namespace: "n",
                name: "x",
            };
            index.decide(&user, &asked).reason
        };
        assert_eq!(
            ask("ann", "", "nodes"),
            "RBAC: allowed by ClusterRoleBinding \"all-nodes\" of ClusterRole \"nodes\" to User \"ann\""
        );
        assert_eq!(
            ask("bob", "g", "pods"),
            "RBAC: allowed by RoleBinding \"pods/n\" of ClusterRole \"pods\" to Group \"g\""
        );
        assert_eq!(
            ask("eve", "", "pods"),
            "RBAC: clusterrole.rbac.authorization.k8s.io \"none\" not found"
        );
        assert_eq!(index.rules(&User::new("ann", vec!["g".to_owned()]), "n").len(), 2);
    }
}

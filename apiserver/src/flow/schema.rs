//! FlowSchemas: to which level and flow a request belongs.
//! Source: k8s.io/apiserver/pkg/util/flowcontrol/rule.go.

use serde_json::Value;

use crate::authz::Attributes;
use crate::user::User;

/// By what the flows of a schema differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Distinguisher {
    Nothing,
    User,
    Namespace,
}

/// Whose requests.
#[derive(Debug)]
enum Subject {
    Group(String),
    User(String),
    /// A ServiceAccount by namespace and name; the name `*` is all of the namespace.
    ServiceAccount(String, String),
}

/// Which requests for resources.
#[derive(Debug)]
struct ResourceRule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    /// Requests without a namespace.
    cluster: bool,
    namespaces: Vec<String>,
}

/// Which requests for paths.
#[derive(Debug)]
struct PathRule {
    verbs: Vec<String>,
    urls: Vec<String>,
}

/// Whose requests, and which of theirs.
#[derive(Debug)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

/// A FlowSchema, ready to be compared with requests.
#[derive(Debug)]
pub(super) struct FlowSchema {
    pub(super) name: String,
    pub(super) uid: String,
    /// The name of its priority level.
    pub(super) level: String,
    pub(super) distinguisher: Distinguisher,
    /// The lowest is tried first.
    precedence: i64,
    rules: Vec<Rule>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn each<T>(list: &Value, read: impl Fn(&Value) -> T) -> Vec<T> {
    list.as_array().into_iter().flatten().map(read).collect()
}

fn has(list: &[String], what: &str) -> bool {
    list.iter().any(|item| item == "*" || item == what)
}

impl FlowSchema {
    /// Reads an object.
    pub(super) fn read(object: &Value) -> FlowSchema {
        let (metadata, spec) = (&object["metadata"], &object["spec"]);
        FlowSchema {
            name: text(&metadata["name"]),
            uid: text(&metadata["uid"]),
            level: text(&spec["priorityLevelConfiguration"]["name"]),
            distinguisher: match spec["distinguisherMethod"]["type"].as_str() {
                Some("ByUser") => Distinguisher::User,
                Some("ByNamespace") => Distinguisher::Namespace,
                _ => Distinguisher::Nothing,
            },
            precedence: spec["matchingPrecedence"].as_i64().unwrap_or(i64::MAX),
            rules: each(&spec["rules"], Rule::read),
        }
    }

    /// In which order schemas are tried.
    pub(super) fn order(&self) -> (i64, &str) {
        (self.precedence, &self.name)
    }

    /// Whether a request is of this schema. Pure.
    pub(super) fn covers(&self, user: &User, request: &Attributes<'_>) -> bool {
        self.rules.iter().any(|rule| {
            rule.covers(request) && rule.subjects.iter().any(|subject| subject.is(user))
        })
    }

    /// By what a request's flow is told from the schema's others.
    pub(super) fn flow<'a>(&self, user: &'a User, request: &Attributes<'a>) -> &'a str {
        match (self.distinguisher, request) {
            (Distinguisher::User, _) => user.name(),
            (Distinguisher::Namespace, Attributes::Resource { namespace, .. }) => namespace,
            _ => "",
        }
    }
}

impl Subject {
    fn read(subject: &Value) -> Subject {
        match subject["kind"].as_str() {
            Some("User") => Subject::User(text(&subject["user"]["name"])),
            Some("ServiceAccount") => {
                let account = &subject["serviceAccount"];
                Subject::ServiceAccount(text(&account["namespace"]), text(&account["name"]))
            }
            _ => Subject::Group(text(&subject["group"]["name"])),
        }
    }

    fn is(&self, user: &User) -> bool {
        match self {
            Subject::Group(group) => group == "*" || user.is_in(group),
            Subject::User(name) => name == "*" || user.name() == name,
            Subject::ServiceAccount(namespace, name) => user
                .name()
                .strip_prefix("system:serviceaccount:")
                .and_then(|account| account.split_once(':'))
                .is_some_and(|(of, account)| of == namespace && (name == "*" || account == name)),
        }
    }
}

impl Rule {
    fn read(rule: &Value) -> Rule {
        let resource = |rule: &Value| ResourceRule {
            verbs: texts(&rule["verbs"]),
            groups: texts(&rule["apiGroups"]),
            resources: texts(&rule["resources"]),
            cluster: rule["clusterScope"] == true,
            namespaces: texts(&rule["namespaces"]),
        };
        let path = |rule: &Value| PathRule {
            verbs: texts(&rule["verbs"]),
            urls: texts(&rule["nonResourceURLs"]),
        };
        Rule {
            subjects: each(&rule["subjects"], Subject::read),
            resources: each(&rule["resourceRules"], resource),
            paths: each(&rule["nonResourceRules"], path),
        }
    }

    fn covers(&self, request: &Attributes<'_>) -> bool {
        match *request {
            Attributes::Resource { verb, group, resource, namespace, .. } => {
                self.resources.iter().any(|rule| {
                    has(&rule.verbs, verb)
                        && has(&rule.groups, group)
                        && has(&rule.resources, resource)
                        && if namespace.is_empty() {
                            rule.cluster
                        } else {
                            has(&rule.namespaces, namespace)
                        }
                })
            }
            Attributes::Path { verb, path } => self.paths.iter().any(|rule| {
                let below = |url: &String| {
                    url.strip_suffix('*').is_some_and(|start| path.starts_with(start))
                };
                has(&rule.verbs, verb) && (has(&rule.urls, path) || rule.urls.iter().any(below))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_choose_requests() {
        let schema = FlowSchema::read(&json!({"metadata": {"name": "s", "uid": "1"}, "spec": {
            "priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 5,
            "distinguisherMethod": {"type": "ByNamespace"},
            "rules": [
                {"subjects": [{"kind": "User", "user": {"name": "ann"}}],
                 "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"],
                    "namespaces": ["n"]}]},
                {"subjects": [{"kind": "Group", "group": {"name": "staff"}}],
                 "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["nodes"],
                    "clusterScope": true}],
                 "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/health/*", "/x"]}]},
                {"subjects": [{"kind": "ServiceAccount",
                    "serviceAccount": {"namespace": "n", "name": "robot"}}],
                 "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}}));
        assert_eq!((schema.order(), &*schema.level), ((5, "s"), "l"));
        let user = |name: &str, group: &str| User::new(name, vec![group.to_owned()]);
        let (ann, bob) = (user("ann", "x"), user("bob", "staff"));
        let robot = user("system:serviceaccount:n:robot", "x");
        let other = user("system:serviceaccount:n:other", "x");
        let pods = |verb, namespace| Attributes::Resource {
            verb,
            group: "",
            resource: "pods",
            namespace,
            name: "",
        };
        let nodes = Attributes::Resource {
            verb: "list",
            group: "",
            resource: "nodes",
            namespace: "",
            name: "",
        };
        let path = |path| Attributes::Path { verb: "get", path };
        for (user, request, want) in [
            (&ann, pods("get", "n"), true),
            (&ann, pods("list", "n"), false),
            (&ann, pods("get", "m"), false),
            (&ann, pods("get", ""), false),
            (&bob, pods("get", "n"), false),
            (&bob, nodes, true),
            (&ann, nodes, false),
            (&bob, path("/health/a"), true),
            (&bob, path("/x"), true),
            (&bob, path("/xy"), false),
            (&robot, path("/any"), true),
            (&other, path("/any"), false),
        ] {
            assert_eq!(schema.covers(user, &request), want, "{} {request:?}", user.name());
        }
        assert_eq!(schema.flow(&ann, &pods("get", "n")), "n");
    }
}

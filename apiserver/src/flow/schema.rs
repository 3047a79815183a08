//! To which level and flow a request belongs: the FlowSchemas and PriorityLevelConfigurations that
//! every Kubernetes cluster has (k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap).

use crate::authz::Attributes;
use crate::user::User;

/// A level whose seats are limited. The level `exempt` has no limit, and is none of these.
#[derive(Debug)]
pub(super) struct PriorityLevel {
    pub(super) name: &'static str,
    /// Its part of all seats.
    pub(super) shares: usize,
    /// Who finds no seat waits, or else is refused.
    pub(super) queuing: Option<Queuing>,
}

/// The lines of a level.
#[derive(Debug)]
pub(super) struct Queuing {
    pub(super) queues: usize,
    pub(super) length: usize,
}

const fn queued(name: &'static str, shares: usize, queues: usize) -> PriorityLevel {
    PriorityLevel { name, shares, queuing: Some(Queuing { queues, length: 50 }) }
}

pub(super) const LEVELS: [PriorityLevel; 7] = [
    PriorityLevel { name: "catch-all", shares: 5, queuing: None },
    queued("global-default", 20, 128),
    queued("leader-election", 10, 16),
    queued("node-high", 40, 64),
    queued("system", 30, 64),
    queued("workload-high", 40, 128),
    queued("workload-low", 100, 128),
];

/// By what the flows of a schema differ.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Distinguisher {
    Nothing,
    User,
    Namespace,
}

/// Whose requests.
#[derive(Debug)]
enum Subject {
    Group(&'static str),
    User(&'static str),
    /// All ServiceAccounts of a namespace.
    ServiceAccounts(&'static str),
}

/// Which of their requests.
#[derive(Debug)]
enum Rule {
    Everything,
    /// Asking whether the server is well.
    Probes,
    /// Leases, by these verbs; none are all.
    Leases(&'static [&'static str]),
    /// Nodes, with their status.
    Nodes,
}

/// A class of requests.
#[derive(Debug)]
pub(super) struct FlowSchema {
    pub(super) name: &'static str,
    pub(super) level: &'static str,
    pub(super) distinguisher: Distinguisher,
    subjects: &'static [Subject],
    rules: &'static [Rule],
}

const ANYBODY: &[Subject] =
    &[Subject::Group("system:unauthenticated"), Subject::Group("system:authenticated")];
const KUBE_SYSTEM: Subject = Subject::ServiceAccounts("kube-system");
const CONTROLLERS: Subject = Subject::User("system:kube-controller-manager");
const SCHEDULER: Subject = Subject::User("system:kube-scheduler");
const NODES: Subject = Subject::Group("system:nodes");
const CATCH_ALL: FlowSchema = schema("catch-all", "catch-all", Distinguisher::User, ANYBODY);

/// A schema for everything that its subjects ask for.
const fn schema(
    name: &'static str,
    level: &'static str,
    distinguisher: Distinguisher,
    subjects: &'static [Subject],
) -> FlowSchema {
    FlowSchema { name, level, distinguisher, subjects, rules: &[Rule::Everything] }
}

/// In the order in which they are tried.
pub(super) const SCHEMAS: [FlowSchema; 11] = [
    schema("exempt", "exempt", Distinguisher::Nothing, &[Subject::Group("system:masters")]),
    FlowSchema {
        rules: &[Rule::Probes],
        ..schema("probes", "exempt", Distinguisher::Nothing, ANYBODY)
    },
    FlowSchema {
        rules: &[Rule::Leases(&["get", "create", "update"])],
        ..schema(
            "system-leader-election",
            "leader-election",
            Distinguisher::User,
            &[CONTROLLERS, SCHEDULER, KUBE_SYSTEM],
        )
    },
    FlowSchema {
        rules: &[Rule::Nodes, Rule::Leases(&[])],
        ..schema("system-node-high", "node-high", Distinguisher::User, &[NODES])
    },
    schema("system-nodes", "system", Distinguisher::User, &[NODES]),
    schema("kube-controller-manager", "workload-high", Distinguisher::Namespace, &[CONTROLLERS]),
    schema("kube-scheduler", "workload-high", Distinguisher::Namespace, &[SCHEDULER]),
    schema(
        "kube-system-service-accounts",
        "workload-high",
        Distinguisher::Namespace,
        &[KUBE_SYSTEM],
    ),
    schema(
        "service-accounts",
        "workload-low",
        Distinguisher::User,
        &[Subject::Group("system:serviceaccounts")],
    ),
    schema("global-default", "global-default", Distinguisher::User, ANYBODY),
    CATCH_ALL,
];

/// The schema of a request, and by what its flow is told from the schema's others. Pure.
pub(super) fn classify<'a>(
    user: &'a User,
    request: &Attributes<'a>,
) -> (&'static FlowSchema, &'a str) {
    const LAST: &FlowSchema = &CATCH_ALL;
    let found = SCHEMAS.iter().find(|schema| {
        schema.subjects.iter().any(|subject| subject.is(user))
            && schema.rules.iter().any(|rule| rule.covers(request))
    });
    let schema = found.unwrap_or(LAST);
    let flow = match (&schema.distinguisher, request) {
        (Distinguisher::User, _) => user.name(),
        (Distinguisher::Namespace, Attributes::Resource { namespace, .. }) => namespace,
        _ => "",
    };
    (schema, flow)
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        match self {
            Subject::Group(group) => user.is_in(group),
            Subject::User(name) => user.name() == *name,
            Subject::ServiceAccounts(namespace) => user
                .name()
                .strip_prefix("system:serviceaccount:")
                .and_then(|account| account.split_once(':'))
                .is_some_and(|(of, _)| of == *namespace),
        }
    }
}

impl Rule {
    fn covers(&self, request: &Attributes<'_>) -> bool {
        match (self, request) {
            (Rule::Everything, _) => true,
            (Rule::Probes, Attributes::Path { verb, path }) => {
                *verb == "get" && matches!(*path, "/healthz" | "/readyz" | "/livez")
            }
            (Rule::Leases(verbs), Attributes::Resource { group, resource, verb, .. }) => {
                *group == "coordination.k8s.io"
                    && *resource == "leases"
                    && (verbs.is_empty() || verbs.contains(verb))
            }
            (Rule::Nodes, Attributes::Resource { group, resource, .. }) => {
                group.is_empty() && matches!(*resource, "nodes" | "nodes/status")
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn resource<'a>(verb: &'a str, group: &'a str, resource: &'a str) -> Attributes<'a> {
        Attributes::Resource { verb, group, resource, namespace: "shop", name: "" }
    }

    #[test]
    fn requests_have_a_schema_and_a_flow() {
        let user = |name: &str, groups: &[&str]| {
            User::new(name, groups.iter().map(|group| (*group).to_owned()).collect())
        };
        let (admin, alice) = (user("admin", &["system:masters"]), user("alice", &[]));
        let scheduler = user("system:kube-scheduler", &[]);
        let node = user("system:node:n1", &["system:nodes"]);
        let dns = "system:serviceaccount:kube-system:dns";
        let app = "system:serviceaccount:shop:app";
        let accounts = |name| user(name, &["system:serviceaccounts"]);
        let (dns_user, app_user) = (accounts(dns), accounts(app));
        let stranger = User::anonymous();
        let nobody = User::exactly("nobody", Vec::new());
        let probe = Attributes::Path { verb: "get", path: "/readyz" };
        let version = Attributes::Path { verb: "get", path: "/version" };
        let pods = || resource("list", "", "pods");
        let lease = |verb| resource(verb, "coordination.k8s.io", "leases");
        for (user, request, want) in [
            (&admin, pods(), ("exempt", "")),
            (&stranger, probe, ("probes", "")),
            (&stranger, version, ("global-default", "system:anonymous")),
            (&scheduler, lease("update"), ("system-leader-election", "system:kube-scheduler")),
            (&scheduler, lease("list"), ("kube-scheduler", "shop")),
            (&scheduler, pods(), ("kube-scheduler", "shop")),
            (&node, lease("patch"), ("system-node-high", "system:node:n1")),
            (&node, resource("patch", "", "nodes/status"), ("system-node-high", "system:node:n1")),
            (&node, pods(), ("system-nodes", "system:node:n1")),
            (&dns_user, pods(), ("kube-system-service-accounts", "shop")),
            (&dns_user, lease("get"), ("system-leader-election", dns)),
            (&app_user, pods(), ("service-accounts", app)),
            (&app_user, lease("get"), ("service-accounts", app)),
            (&alice, pods(), ("global-default", "alice")),
            (&nobody, pods(), ("catch-all", "nobody")),
        ] {
            let (schema, flow) = classify(user, &request);
            assert_eq!((schema.name, flow), want, "{} {request:?}", user.name());
        }
    }

    /// The objects that a real server makes in every cluster say the same.
    #[test]
    fn schemas_and_levels_are_the_recorded_ones() {
        let records = include_str!("../../../fixtures/wire/bootstrap.jsonl");
        let recorded = |name: &str| -> Vec<Value> {
            let records = records.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let record = records.into_iter().find(|record| record["name"] == name);
            let items = record.expect("a record")["response"]["items"].take();
            let mut items: Vec<Value> = items.as_array().expect("items").clone();
            // What the recording had made itself.
            items.retain(|item| item["metadata"]["name"] != "min");
            items
        };
        let mut schemas = recorded("flowschemas");
        schemas.sort_by_key(|item| {
            let precedence = item["spec"]["matchingPrecedence"].as_i64();
            (precedence, item["metadata"]["name"].to_string())
        });
        let told: Vec<_> = schemas
            .iter()
            .map(|item| {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let spec = &item["spec"];
                (
                    text(&item["metadata"]["name"]),
                    text(&spec["priorityLevelConfiguration"]["name"]),
                    text(&spec["distinguisherMethod"]["type"]),
                )
            })
            .collect();
        let ours: Vec<_> = SCHEMAS
            .iter()
            .map(|schema| {
                let method = match schema.distinguisher {
                    Distinguisher::Nothing => "",
                    Distinguisher::User => "ByUser",
                    Distinguisher::Namespace => "ByNamespace",
                };
                (schema.name.to_owned(), schema.level.to_owned(), method.to_owned())
            })
            .collect();
        assert_eq!(ours, told);
        for item in recorded("prioritylevels") {
            let limited = &item["spec"]["limited"];
            let level = LEVELS.iter().find(|level| item["metadata"]["name"] == level.name);
            let Some(level) = level else {
                assert_eq!(item["spec"]["type"], "Exempt", "{item}");
                continue;
            };
            assert_eq!(limited["nominalConcurrencyShares"], level.shares, "{}", level.name);
            let queuing = &limited["limitResponse"]["queuing"];
            let have = level.queuing.as_ref().map(|queuing| (queuing.queues, queuing.length));
            let number = |field: &str| {
                queuing[field].as_u64().and_then(|number| usize::try_from(number).ok())
            };
            assert_eq!(have, number("queues").zip(number("queueLengthLimit")), "{}", level.name);
        }
    }
}

//! All schemas in the order in which they are tried, each with its level's seats: what a request is
//! compared with. Made when a FlowSchema or PriorityLevelConfiguration changes.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::level::{Bounds, Level};
use super::schema::FlowSchema;
use crate::authz::Attributes;
use crate::bootstrap::flow;
use crate::user::User;

const SCHEMA_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL_HEADER: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
/// The schema, and the level, of what no other is for.
const CATCH_ALL: &str = "catch-all";

/// A schema with its level.
#[derive(Debug)]
pub(crate) struct Class {
    pub(super) schema: FlowSchema,
    /// Its name in the keys of lines.
    pub(super) name: Arc<str>,
    /// None: the level is exempt from limits.
    pub(super) level: Option<Arc<Level>>,
    uids: [HeaderValue; 2],
}

impl Class {
    /// Says in an answer how its request was classified.
    pub(crate) fn mark(&self, headers: &mut HeaderMap) {
        for (name, uid) in [SCHEMA_HEADER, LEVEL_HEADER].into_iter().zip(&self.uids) {
            // Only in tests of parts are objects without a UID.
            if !uid.is_empty() {
                headers.insert(name, uid.clone());
            }
        }
    }
}

/// Schemas and levels of one moment.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Ends with one that covers everything.
    classes: Vec<Arc<Class>>,
    levels: HashMap<String, Arc<Level>>,
}

impl Table {
    /// Divides `in_flight` seats among the levels, by their shares. Levels of `before` keep the
    /// seats that are taken and the lines that wait. The schemas and levels that every cluster must
    /// have are there, whether there are objects of them or not.
    pub(super) fn new(
        in_flight: usize,
        schemas: &[Value],
        levels: &[Value],
        before: &Table,
    ) -> Table {
        let with_mandatory = |objects: &[Value], mandatory: Vec<Value>| {
            let mut all = objects.to_vec();
            for object in mandatory {
                let name = &object["metadata"]["name"];
                if !all.iter().any(|had| had["metadata"]["name"] == *name) {
                    all.push(object);
                }
            }
            all
        };
        let levels = with_mandatory(levels, flow::mandatory(flow::levels()));
        let schemas = with_mandatory(schemas, flow::mandatory(flow::schemas()));
        let limits = |level: &Value| level["spec"]["limited"].is_object();
        let shares = |level: &Value| {
            let shares = level["spec"]["limited"]["nominalConcurrencyShares"].as_u64();
            usize::try_from(shares.unwrap_or(0)).unwrap_or(0)
        };
        let all: usize = levels.iter().map(shares).sum();
        let mut table = Table::default();
        let mut uids = HashMap::new();
        for level in &levels {
            let name = level["metadata"]["name"].as_str().unwrap_or_default();
            let uid = level["metadata"]["uid"].as_str().unwrap_or_default();
            uids.insert(name, uid);
            if !limits(level) {
                continue;
            }
            let seats = (in_flight * shares(level)).div_ceil(all.max(1));
            let bounds = Bounds::read(seats, &level["spec"]["limited"]["limitResponse"]);
            let kept = before.levels.get(name).cloned();
            let kept = kept.inspect(|level| level.resize(bounds));
            let level = kept.unwrap_or_else(|| Arc::new(Level::new(bounds)));
            table.levels.insert(name.to_owned(), level);
        }
        let mut read: Vec<_> = schemas.iter().map(FlowSchema::read).collect();
        read.sort_by(|a, b| a.order().cmp(&b.order()));
        // A schema whose level does not exist is passed over.
        let class = |schema: FlowSchema| {
            let level_uid = *uids.get(schema.level.as_str())?;
            let value =
                |uid: &str| HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""));
            Some(Arc::new(Class {
                uids: [value(&schema.uid), value(level_uid)],
                name: schema.name.as_str().into(),
                level: table.levels.get(&schema.level).cloned(),
                schema,
            }))
        };
        let classes = read.into_iter().filter_map(class).collect();
        table.classes = classes;
        table
    }

    /// Whether it was never made of anything.
    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// The class of a request, and by what its flow is told from the class' others.
    pub(super) fn classify<'a>(
        &self,
        user: &'a User,
        request: &Attributes<'a>,
    ) -> Option<(&Arc<Class>, &'a str)> {
        let found = self.classes.iter().find(|class| class.schema.covers(user, request));
        // Users in no group at all.
        let last = || self.classes.iter().find(|class| class.schema.name == CATCH_ALL);
        let class = found.or_else(last)?;
        Some((class, class.schema.flow(user, request)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn builtin(in_flight: usize) -> Table {
        Table::new(in_flight, &flow::schemas(), &flow::levels(), &Table::default())
    }

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
        let table = builtin(600);
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
            let (class, flow) = table.classify(user, &request).expect("a class");
            assert_eq!((&*class.name, flow), want, "{} {request:?}", user.name());
            assert_eq!(class.level.is_none(), matches!(want.0, "exempt" | "probes"));
        }
    }

    #[test]
    fn seats_follow_shares() {
        let table = builtin(600);
        let seats = |level: &str| table.levels[level].seats();
        assert_eq!((seats("workload-low"), seats("catch-all")), (245, 13));
        assert!(builtin(1).levels.values().all(|level| level.seats() == 1));
    }

    #[test]
    fn levels_outlive_changes_and_the_mandatory_ones_deletion() {
        let before = builtin(600);
        let mut levels = flow::levels();
        levels.retain(|level| level["metadata"]["name"] != "system");
        let mut workload =
            levels.iter_mut().find(|level| level["metadata"]["name"] == "workload-low");
        workload.as_mut().expect("a level")["spec"]["limited"]["nominalConcurrencyShares"] =
            1.into();
        let after = Table::new(600, &flow::schemas(), &levels, &before);
        assert!(Arc::ptr_eq(&before.levels["workload-low"], &after.levels["workload-low"]));
        assert!(after.levels["workload-low"].seats() < 10);
        // Without its level a schema is none.
        let node = User::new("system:node:n1", vec!["system:nodes".to_owned()]);
        let (class, _) = after.classify(&node, &resource("list", "", "pods")).expect("a class");
        assert_eq!(&*class.name, "global-default");

        let bare = Table::new(600, &[], &[], &after);
        let names: Vec<_> = bare.classes.iter().map(|class| &*class.name).collect();
        assert_eq!(names, ["exempt", "catch-all"]);
        let own = json!({"metadata": {"name": "a", "uid": "u1"}, "spec": {
            "priorityLevelConfiguration": {"name": "catch-all"}, "matchingPrecedence": 7,
            "rules": [{"subjects": [{"kind": "User", "user": {"name": "*"}}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}]}});
        let level = json!({"metadata": {"name": "catch-all", "uid": "u2"},
            "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 5}}});
        let table = Table::new(600, &[own], &[level], &bare);
        let path = Attributes::Path { verb: "get", path: "/x" };
        let (class, _) = table.classify(&node, &path).expect("a class");
        let mut headers = HeaderMap::new();
        class.mark(&mut headers);
        assert_eq!(
            (&headers[SCHEMA_HEADER], &headers[LEVEL_HEADER]),
            (&"u1".parse().unwrap(), &"u2".parse().unwrap())
        );
    }
}

//! What a rule of a role grants, and whether some rules grant all that another does.
//! Source: k8s.io/kubernetes/pkg/apis/rbac/v1/evaluation_helpers.go,
//! k8s.io/component-helpers/auth/rbac/validation/policy_comparator.go.

use serde_json::{Map, Value, json};

use super::Attributes;

/// Everything.
const ALL: &str = "*";

/// A rule of a Role or ClusterRole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Verbs, or `*`.
    pub(crate) verbs: Vec<String>,
    /// API groups, or `*`.
    pub(crate) groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, or `*`.
    pub(crate) resources: Vec<String>,
    /// Names of the objects; none: all objects.
    pub(crate) names: Vec<String>,
    /// `/healthz`, `/healthz/*`, or `*`.
    pub(crate) urls: Vec<String>,
}

fn has(list: &[String], what: &str) -> bool {
    list.iter().any(|item| item == what)
}

fn has_or_all(list: &[String], what: &str) -> bool {
    list.iter().any(|item| item == ALL || item == what)
}

impl Rule {
    /// The rule as it is written in a role.
    pub(crate) fn read(rule: &Value) -> Rule {
        let list = |field: &str| {
            let items = rule[field].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Rule {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            urls: list("nonResourceURLs"),
        }
    }

    /// The rules of a role.
    pub(crate) fn all_of(role: &Value) -> Vec<Rule> {
        role["rules"].as_array().into_iter().flatten().map(Rule::read).collect()
    }

    /// The rule as a role or a SelfSubjectRulesReview shows it.
    pub(crate) fn to_value(&self) -> Value {
        let lists = [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ];
        let told = lists.into_iter().filter(|(_, list)| !list.is_empty());
        told.map(|(key, list)| (key.to_owned(), json!(list))).collect::<Map<_, _>>().into()
    }

    /// Whether the rule grants what is asked for.
    pub(crate) fn allows(&self, asked: &Attributes<'_>) -> bool {
        match asked {
            Attributes::Path { verb, path } => {
                has_or_all(&self.verbs, verb) && self.urls.iter().any(|url| url_is(url, path))
            }
            Attributes::Resource { verb, group, resource, name, .. } => {
                has_or_all(&self.verbs, verb)
                    && has_or_all(&self.groups, group)
                    && self.grants_resource(resource)
                    && (self.names.is_empty() || has(&self.names, name))
            }
        }
    }

    fn grants_resource(&self, resource: &str) -> bool {
        let below = resource.split_once('/').map(|(_, sub)| sub);
        self.resources.iter().any(|granted| {
            granted == ALL
                || granted == resource
                || below.is_some_and(|sub| granted.strip_prefix("*/") == Some(sub))
        })
    }

    /// The rule in its smallest pieces: one verb on one resource, object or path.
    fn pieces(&self) -> Vec<Rule> {
        let one = |text: &String| vec![text.clone()];
        let mut pieces = Vec::new();
        for verb in &self.verbs {
            for url in &self.urls {
                pieces.push(Rule { verbs: one(verb), urls: one(url), ..Rule::default() });
            }
            for group in &self.groups {
                for resource in &self.resources {
                    let piece = Rule {
                        verbs: one(verb),
                        groups: one(group),
                        resources: one(resource),
                        ..Rule::default()
                    };
                    if self.names.is_empty() {
                        pieces.push(piece);
                        continue;
                    }
                    let named = |name| Rule { names: one(name), ..piece.clone() };
                    pieces.extend(self.names.iter().map(named));
                }
            }
        }
        pieces
    }

    /// Whether the rule grants all of a piece of another.
    fn covers(&self, piece: &Rule) -> bool {
        has_or_all(&self.verbs, &piece.verbs[0])
            && piece.groups.iter().all(|group| has_or_all(&self.groups, group))
            && piece.resources.iter().all(|resource| self.grants_resource(resource))
            && (piece.resources.is_empty()
                || self.names.is_empty()
                || piece.names.first().is_some_and(|name| has(&self.names, name)))
            && piece.urls.iter().all(|url| self.urls.iter().any(|have| url_is(have, url)))
    }

    /// The rule on one line, in the words of refusals.
    pub(crate) fn compact(&self) -> String {
        let lists = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("ResourceNames", &self.names),
            ("NonResourceURLs", &self.urls),
            ("Verbs", &self.verbs),
        ];
        let told = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let told: Vec<_> = told.map(|(key, list)| format!("{key}:{}", quoted(list))).collect();
        format!("{{{}}}", told.join(", "))
    }
}

/// A list in Go's `%q`: `["a" "b"]`.
pub(crate) fn quoted(list: &[String]) -> String {
    let quoted: Vec<_> = list.iter().map(|item| api::field::go_quote(item)).collect();
    format!("[{}]", quoted.join(" "))
}

/// `/healthz/*` is everything below `/healthz/`.
fn url_is(granted: &str, path: &str) -> bool {
    granted == ALL
        || granted == path
        || granted.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

/// What of `wanted` no single rule of `held` grants, with the verbs of the same thing together.
pub(crate) fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let mut missing: Vec<Rule> = Vec::new();
    for piece in wanted.iter().flat_map(Rule::pieces) {
        if held.iter().any(|rule| rule.covers(&piece)) {
            continue;
        }
        let same =
            |rule: &&mut Rule| Rule { verbs: piece.verbs.clone(), ..(*rule).clone() } == piece;
        match missing.iter_mut().find(same) {
            Some(rule) if !has(&rule.verbs, &piece.verbs[0]) => rule.verbs.extend(piece.verbs),
            Some(_) => {}
            None => missing.push(piece),
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(value: Value) -> Rule {
        Rule::read(&value)
    }

    #[test]
    fn rules_grant_resources() {
        let asked = |verb, group, resource, name| Attributes::Resource {
            verb,
            group,
            resource,
            namespace: "n",
            name,
        };
        let get_pods = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        let named = json!({"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*"], "resourceNames": ["a"]});
        let scale = json!({"verbs": ["update"], "apiGroups": ["*"], "resources": ["*/scale"]});
        let log = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]});
        for (value, asked, want) in [
            (&get_pods, asked("get", "", "pods", "a"), true),
            (&get_pods, asked("list", "", "pods", ""), false),
            (&get_pods, asked("get", "apps", "pods", "a"), false),
            (&get_pods, asked("get", "", "pods/log", "a"), false),
            (&named, asked("delete", "apps", "deployments", "a"), true),
            (&named, asked("delete", "apps", "deployments/scale", "a"), true),
            (&named, asked("delete", "apps", "deployments", "b"), false),
            (&named, asked("list", "apps", "deployments", ""), false),
            (&scale, asked("update", "apps", "deployments/scale", "a"), true),
            (&scale, asked("update", "apps", "deployments/status", "a"), false),
            (&scale, asked("update", "apps", "scale", "a"), false),
            (&log, asked("get", "", "pods/log", "a"), true),
            (&log, asked("get", "", "pods", "a"), false),
        ] {
            assert_eq!(rule(value.clone()).allows(&asked), want, "{value} {asked:?}");
        }
    }

    #[test]
    fn rules_grant_paths() {
        for (url, path, want) in [
            ("/healthz", "/healthz", true),
            ("/healthz", "/healthz/x", false),
            ("/healthz/*", "/healthz/x", true),
            ("/healthz/*", "/healthz", false),
            ("*", "/anything", true),
            ("/api*", "/apis", true),
        ] {
            let rule = rule(json!({"verbs": ["get"], "nonResourceURLs": [url]}));
            assert_eq!(rule.allows(&Attributes::Path { verb: "get", path }), want, "{url} {path}");
            assert!(!rule.allows(&Attributes::Path { verb: "post", path }));
        }
    }

    #[test]
    fn what_is_missing_is_told_shortly() {
        let r = |verbs: &str, groups: &str, resources: &str, names: &str| {
            let list = |text: &str| match text {
                "" => Vec::new(),
                "core" => vec![String::new()],
                text => text.split(',').map(str::to_owned).collect(),
            };
            Rule {
                verbs: list(verbs),
                groups: list(groups),
                resources: list(resources),
                names: list(names),
                urls: Vec::new(),
            }
        };
        for (held, wanted, want) in [
            (vec![r("*", "*", "*", "")], r("get,list", "core", "pods,pods/log", ""), ""),
            (
                vec![r("get", "core", "pods", ""), r("list", "core", "pods", "")],
                r("get,list", "core", "pods", "x"),
                "",
            ),
            (
                vec![r("get", "core", "pods", "")],
                r("get,list,watch", "core", "pods", ""),
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["list" "watch"]}"#,
            ),
            (
                vec![r("get", "core", "pods", "x")],
                r("get", "core", "pods", ""),
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["get"]}"#,
            ),
            (
                vec![r("get", "core", "pods", "x")],
                r("get", "core", "pods", "x,y"),
                r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["y"], Verbs:["get"]}"#,
            ),
            (vec![r("*", "apps", "*/scale", "")], r("get", "apps", "deployments/scale", ""), ""),
            (
                vec![r("get", "core", "*", "")],
                r("*", "core", "pods", ""),
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["*"]}"#,
            ),
        ] {
            let missing: Vec<_> = missing(&held, &[wanted]).iter().map(Rule::compact).collect();
            assert_eq!(missing.join("\n"), want);
        }
        let urls = |url: &str| rule(json!({"verbs": ["get"], "nonResourceURLs": [url]}));
        assert!(missing(&[urls("/a/*")], &[urls("/a/b/*")]).is_empty());
        let left = missing(&[urls("/a/b")], &[urls("/a/*")]);
        assert_eq!(left[0].compact(), r#"{NonResourceURLs:["/a/*"], Verbs:["get"]}"#);
    }
}

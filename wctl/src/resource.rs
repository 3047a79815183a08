//! From what people type (`po`, `svc/web`, `replicationcontrollers`) to paths of the API.

use anyhow::{Context, Result, bail};
use kube::Client;
use serde_json::Value;

use crate::request;

/// What it takes to address one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Empty for the core group.
    pub(crate) group: String,
    /// `v1`.
    pub(crate) version: String,
    /// `Pod`.
    pub(crate) kind: String,
    /// `pods`.
    pub(crate) plural: String,
    /// `pod`.
    pub(crate) singular: String,
    /// Whether objects live in namespaces.
    pub(crate) namespaced: bool,
    /// `po`.
    pub(crate) short_names: Vec<String>,
    /// `all`.
    pub(crate) categories: Vec<String>,
    /// `get`, `list`…
    pub(crate) verbs: Vec<String>,
}

impl Resource {
    /// `v1` or `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pod/web` in messages; `deployment.apps/web` outside the core group.
    pub(crate) fn display(&self, name: &str) -> String {
        if self.group.is_empty() {
            format!("{}/{name}", self.singular)
        } else {
            format!("{}.{}/{name}", self.singular, self.group)
        }
    }

    /// Path of the collection; `None` is all namespaces.
    pub(crate) fn collection(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// Path of one object.
    pub(crate) fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(Some(namespace)))
    }

    fn answers_to(&self, word: &str) -> bool {
        let (name, group) = word.split_once('.').unwrap_or((word, ""));
        let named = self.plural == name
            || self.singular == name
            || self.kind.eq_ignore_ascii_case(name)
            || self.short_names.iter().any(|short| short == name);
        named
            && (group.is_empty()
                || group == self.group
                || group.starts_with(&format!("{}.", self.version)))
    }
}

/// Every resource the server serves, in its order of preference.
#[derive(Debug)]
pub(crate) struct Resources(Vec<Resource>);

impl Resources {
    /// Asks the server.
    pub(crate) async fn discover(client: &Client) -> Result<Self> {
        let core = client.list_core_api_versions_aggregated().await.map_err(request::failed)?;
        let groups = client.list_api_groups_aggregated().await.map_err(request::failed)?;
        let mut found = from_discovery(&serde_json::to_value(core)?);
        found.extend(from_discovery(&serde_json::to_value(groups)?));
        Ok(Self(found))
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Resource] {
        &self.0
    }

    /// The resource that `word` means.
    pub(crate) fn find(&self, word: &str) -> Result<&Resource> {
        let word = word.to_ascii_lowercase();
        self.0.iter().find(|resource| resource.answers_to(&word)).with_context(|| {
            format!("the server doesn't have a resource type \"{word}\"; `wctl api-resources` lists them")
        })
    }

    /// The resource of an object's `apiVersion` and `kind`.
    pub(crate) fn of_kind(&self, api_version: &str, kind: &str) -> Result<&Resource> {
        self.0
            .iter()
            .find(|resource| resource.kind == kind && resource.api_version() == api_version)
            .with_context(|| {
                format!("the server doesn't have kind \"{kind}\" in version \"{api_version}\"")
            })
    }

    /// `pods`, `po,svc` or a category like `all`.
    pub(crate) fn list(&self, words: &str) -> Result<Vec<&Resource>> {
        let mut found = Vec::new();
        for word in words.split(',').filter(|word| !word.is_empty()) {
            let category = self
                .0
                .iter()
                .filter(|resource| resource.categories.iter().any(|category| category == word));
            let before = found.len();
            found.extend(category);
            if found.len() == before {
                found.push(self.find(word)?);
            }
        }
        Ok(found)
    }

    /// `RESOURCE [NAME…]` or `RESOURCE/NAME…`.
    pub(crate) fn targets<'a>(&'a self, words: &[String]) -> Result<Vec<Target<'a>>> {
        let Some(first) = words.first() else { return Ok(Vec::new()) };
        if words.iter().any(|word| word.contains('/')) {
            return words
                .iter()
                .map(|word| match word.split_once('/') {
                    Some((kind, name)) => {
                        Ok(Target { resource: self.find(kind)?, name: Some(name.to_owned()) })
                    }
                    None => bail!(
                        "\"{word}\": there is no need to mix RESOURCE/NAME with RESOURCE NAME"
                    ),
                })
                .collect();
        }
        let resources = self.list(first)?;
        let names = &words[1..];
        let mut targets = Vec::new();
        for resource in resources {
            if names.is_empty() {
                targets.push(Target { resource, name: None });
            }
            targets.extend(names.iter().map(|name| Target { resource, name: Some(name.clone()) }));
        }
        Ok(targets)
    }
}

/// One object, or all objects of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Which resource.
    pub(crate) resource: &'a Resource,
    /// Which object; `None` means all.
    pub(crate) name: Option<String>,
}

/// Reads an APIGroupDiscoveryList; the first version of each group is the preferred one.
fn from_discovery(list: &Value) -> Vec<Resource> {
    let mut found = Vec::new();
    for group in array(&list["items"]) {
        for version in array(&group["versions"]) {
            for resource in array(&version["resources"]) {
                found.push(Resource {
                    group: text(&group["metadata"]["name"]),
                    version: text(&version["version"]),
                    kind: text(&resource["responseKind"]["kind"]),
                    plural: text(&resource["resource"]),
                    singular: singular(resource),
                    namespaced: resource["scope"] == "Namespaced",
                    short_names: texts(&resource["shortNames"]),
                    categories: texts(&resource["categories"]),
                    verbs: texts(&resource["verbs"]),
                });
            }
        }
    }
    found
}

/// The name of one; who gives none means the kind's.
fn singular(resource: &Value) -> String {
    match text(&resource["singularResource"]) {
        none if none.is_empty() => text(&resource["responseKind"]["kind"]).to_lowercase(),
        given => given,
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    array(value).iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resources() -> Resources {
        let entry = |plural: &str, singular: &str, kind: &str, short: &[&str]| {
            json!({"resource": plural, "singularResource": singular, "scope": "Namespaced",
                   "responseKind": {"kind": kind}, "shortNames": short, "categories": ["all"], "verbs": ["get"]})
        };
        let mut found = from_discovery(
            &json!({"items": [{"metadata": {}, "versions": [{"version": "v1", "resources": [
            entry("pods", "pod", "Pod", &["po"]), entry("services", "service", "Service", &["svc"])]}]}]}),
        );
        found.extend(from_discovery(&json!({"items": [{"metadata": {"name": "apps"}, "versions": [{"version": "v1", "resources": [
            entry("deployments", "deployment", "Deployment", &["deploy"])]}]}]})));
        Resources(found)
    }

    #[test]
    fn a_resource_without_a_singular_name_is_called_by_its_kind() {
        let entry = json!({"resource": "pods", "responseKind": {"kind": "PodMetrics"}});
        let list = json!({"items": [{"metadata": {"name": "metrics.k8s.io"},
            "versions": [{"version": "v1beta1", "resources": [entry]}]}]});
        assert_eq!(from_discovery(&list)[0].display("a"), "podmetrics.metrics.k8s.io/a");
    }

    #[test]
    fn words_become_targets() {
        let resources = resources();
        let shown = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let targets = resources.targets(&words).map_err(|error| error.to_string())?;
            Ok(targets
                .iter()
                .map(|target| target.resource.display(target.name.as_deref().unwrap_or("*")))
                .collect::<Vec<_>>())
        };
        for (words, want) in [
            (&["po"][..], &["pod/*"][..]),
            (&["Pod", "a", "b"], &["pod/a", "pod/b"]),
            (&["po,svc"], &["pod/*", "service/*"]),
            (&["po/a", "deploy.apps/b"], &["pod/a", "deployment.apps/b"]),
            (&["all"], &["pod/*", "service/*", "deployment.apps/*"]),
        ] {
            assert_eq!(
                shown(words),
                Ok::<_, String>(want.iter().map(|s| (*s).to_owned()).collect())
            );
        }
        assert!(
            shown(&["nosuch"]).unwrap_err().contains("doesn't have a resource type \"nosuch\"")
        );
        assert!(shown(&["po/a", "b"]).unwrap_err().contains("mix"));
    }

    #[test]
    fn paths() {
        let resources = resources();
        let deployment = resources.find("deploy").unwrap();
        assert_eq!(deployment.collection(None), "/apis/apps/v1/deployments");
        assert_eq!(deployment.object("ns", "web"), "/apis/apps/v1/namespaces/ns/deployments/web");
        assert_eq!(
            resources.find("po").unwrap().collection(Some("ns")),
            "/api/v1/namespaces/ns/pods"
        );
    }
}

//! The paths of a row, and what can be done with them.

use serde_json::{Value, json};

use super::definition;
use super::form::Form;
use super::operation::{Body, Operation};
use super::parameter::{self, PRETTY, Parameter};
use crate::protobuf::MEDIA_TYPE as PROTOBUF;
use crate::resources::{Resource, Subresource, Verb};

const JSON: &str = "application/json";
const OK: &[(&str, &str)] = &[("200", "OK")];
const WRITTEN: &[(&str, &str)] = &[("200", "OK"), ("201", "Created")];
const CREATED: &[(&str, &str)] = &[("200", "OK"), ("201", "Created"), ("202", "Accepted")];
const DELETED: &[(&str, &str)] = &[("200", "OK"), ("202", "Accepted")];

const COLLECTION: &[Verb] = &[Verb::List, Verb::Create, Verb::DeleteCollection];
const OBJECT: &[Verb] = &[Verb::Get, Verb::Update, Verb::Patch, Verb::Delete];
const SUBRESOURCE: &[Verb] = &[Verb::Get, Verb::Update, Verb::Patch, Verb::Create];

/// The path of a group's document below `/openapi/v3/`: `api/v1` or `apis/GROUP/VERSION`.
#[must_use]
pub fn document_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The list of a group's resources, as a path.
pub(super) fn of_group(group: &str, version: &str, form: Form) -> (String, Value) {
    let (title, tag) = titles(group, version);
    let list = definition::of_type("meta.v1.APIResourceList");
    let operation = Operation {
        method: "get",
        id: format!("get{title}APIResources"),
        tag: &tag,
        action: "",
        kind: ("", "", ""),
        parameters: &[],
        body: None,
        answers: OK,
        answer: form.reference(&list),
        produces: vec![JSON],
    };
    (format!("/{}/", document_path(group, version)), json!({"get": operation.shown(form)}))
}

/// The paths of a row.
pub(super) fn of_row(row: &Resource, form: Form) -> Vec<(String, Value)> {
    let root = format!("/{}", document_path(&row.group, &row.version));
    let (scope, scoped) =
        if row.namespaced() { ("/namespaces/{namespace}", true) } else { ("", false) };
    let collection = format!("{root}{scope}/{}", row.plural);
    let object = format!("{collection}/{{name}}");
    let writer = Writer::new(row, form);
    let mut paths = vec![
        (collection, writer.item(row.verbs, COLLECTION, false, |verb| writer.on_row(verb, true))),
        (object.clone(), writer.item(row.verbs, OBJECT, true, |verb| writer.on_row(verb, true))),
    ];
    if scoped && row.allows(Verb::List) {
        let all = writer.item(row.verbs, &[Verb::List], false, |verb| writer.on_row(verb, false));
        paths.push((format!("{root}/{}", row.plural), without_namespace(all)));
    }
    for sub in &row.subresources {
        let item = writer.item(sub.verbs, SUBRESOURCE, true, |verb| writer.on_sub(sub, verb));
        paths.push((format!("{object}/{}", sub.name), item));
    }
    paths.retain(|(_, item)| item.as_object().is_some_and(|item| item.len() > 1));
    paths
}

/// A list of all namespaces has none in its path.
fn without_namespace(mut item: Value) -> Value {
    if let Some(parameters) = item["parameters"].as_array_mut() {
        parameters.retain(|parameter| parameter["name"] != "namespace");
    }
    item
}

struct Writer<'a> {
    row: &'a Resource,
    form: Form,
    title: String,
    tag: String,
}

impl<'a> Writer<'a> {
    fn new(row: &'a Resource, form: Form) -> Writer<'a> {
        let (title, tag) = titles(&row.group, &row.version);
        Writer { row, form, title, tag }
    }

    /// A path's parameters and those operations that exist of the ones that belong `here`.
    fn item<'b>(
        &self,
        verbs: &[Verb],
        here: &[Verb],
        named: bool,
        operation: impl Fn(Verb) -> Operation<'b>,
    ) -> Value {
        let mut parameters = Vec::new();
        if named {
            parameters.push(Parameter::path("name").shown(self.form));
        }
        if self.row.namespaced() {
            parameters.push(Parameter::path("namespace").shown(self.form));
        }
        parameters.push(PRETTY.shown(self.form));
        let mut item = json!({"parameters": parameters});
        for verb in here.iter().filter(|verb| verbs.contains(verb)) {
            let operation = operation(*verb);
            item[operation.method] = operation.shown(self.form);
        }
        item
    }

    /// An operation on the objects themselves, in one namespace or in all.
    fn on_row(&self, verb: Verb, one_namespace: bool) -> Operation<'_> {
        let row = self.row;
        let kind = (&*row.group, &*row.version, &*row.kind);
        let name = definition::of_row(row);
        let object = self.form.reference(&name);
        let mut operation = self.operation(verb, kind, object);
        let (before, after) = match (row.namespaced(), one_namespace) {
            (true, true) => ("Namespaced", ""),
            (true, false) => ("", "ForAllNamespaces"),
            (false, _) => ("", ""),
        };
        let group = if verb == Verb::DeleteCollection { "Collection" } else { "" };
        operation.id =
            format!("{}{}{group}{before}{}{after}", verb_word(verb), self.title, row.kind);
        if verb == Verb::List {
            operation.answer = self.form.reference(&format!("{name}List"));
            operation.produces.push("application/json;stream=watch");
            if self.has_protobuf() {
                operation.produces.push("application/vnd.kubernetes.protobuf;stream=watch");
            }
        }
        operation
    }

    /// An operation on a subresource.
    fn on_sub<'s>(&'s self, sub: &'s Subresource, verb: Verb) -> Operation<'s> {
        let kind = definition::kind_of(self.row, sub);
        let object = match definition::type_of(kind) {
            Some(name) => self.form.reference(&definition::of_type(name)),
            None if kind.2 == self.row.kind => self.form.reference(&definition::of_row(self.row)),
            None => json!({"type": "string"}),
        };
        let mut operation = self.operation(verb, kind, object);
        let scope = if self.row.namespaced() { "Namespaced" } else { "" };
        let suffix = capitalized(&sub.name);
        operation.id = format!("{}{}{scope}{}{suffix}", verb_word(verb), self.title, self.row.kind);
        if sub.name == "log" {
            operation.parameters = parameter::LOG;
            operation.answer = json!({"type": "string"});
            operation.produces = vec!["text/plain", JSON];
        } else if let Some(parameters) = connection(&sub.name) {
            // What answers is not this server but what it connects to.
            operation.action = "connect";
            operation.id = format!(
                "connect{}{}{scope}{}{suffix}",
                self.title,
                capitalized(operation.method),
                self.row.kind
            );
            operation.parameters = parameters;
            operation.body = None;
            operation.answers = OK;
            operation.answer = json!({"type": "string"});
            operation.produces = vec!["*/*"];
        }
        operation
    }

    fn operation<'s>(
        &'s self,
        verb: Verb,
        kind: (&'s str, &'s str, &'s str),
        object: Value,
    ) -> Operation<'s> {
        let status = self.form.reference(&definition::of_type("meta.v1.Status"));
        let (method, action, parameters, answers): (_, _, &[Parameter], _) = match verb {
            Verb::List | Verb::Watch => ("get", "list", parameter::LIST, OK),
            Verb::Get => ("get", "get", &[], OK),
            Verb::Create => ("post", "post", parameter::WRITE, CREATED),
            Verb::Update => ("put", "put", parameter::WRITE, WRITTEN),
            Verb::Patch => ("patch", "patch", parameter::PATCH, WRITTEN),
            Verb::Delete => ("delete", "delete", parameter::DELETE, DELETED),
            Verb::DeleteCollection => {
                ("delete", "deletecollection", parameter::DELETE_COLLECTION, OK)
            }
        };
        let answer = match verb {
            Verb::Delete if self.row.shows_deleted() => object.clone(),
            Verb::Delete | Verb::DeleteCollection => status,
            _ => object.clone(),
        };
        let mut produces = vec![JSON];
        if self.has_protobuf() {
            produces.push(PROTOBUF);
        }
        Operation {
            method,
            id: String::new(),
            tag: &self.tag,
            action,
            kind,
            parameters,
            body: self.body(verb, object),
            answers,
            answer,
            produces,
        }
    }

    fn body(&self, verb: Verb, object: Value) -> Option<Body> {
        let named = |name| self.form.reference(&definition::of_type(name));
        let mut objects = vec![JSON, "application/yaml"];
        let mut patches = vec!["application/json-patch+json", "application/merge-patch+json"];
        if self.has_protobuf() {
            objects.push(PROTOBUF);
            patches.push("application/strategic-merge-patch+json");
        }
        patches.push("application/apply-patch+yaml");
        let (schema, consumes) = match verb {
            Verb::Create | Verb::Update => (object, objects),
            Verb::Patch => (named("meta.v1.Patch"), patches),
            Verb::Delete | Verb::DeleteCollection => (named("meta.v1.DeleteOptions"), objects),
            Verb::Get | Verb::List | Verb::Watch => return None,
        };
        let required = matches!(verb, Verb::Create | Verb::Update | Verb::Patch);
        Some(Body { schema, consumes, required })
    }

    fn has_protobuf(&self) -> bool {
        !self.row.schema_type.is_empty()
    }
}

/// The parameters of a subresource that leads elsewhere.
fn connection(name: &str) -> Option<&'static [Parameter]> {
    match name {
        "attach" => Some(parameter::ATTACH),
        "exec" => Some(parameter::EXEC),
        "portforward" => Some(parameter::PORT_FORWARD),
        "proxy" => Some(parameter::PROXY),
        _ => None,
    }
}

fn verb_word(verb: Verb) -> &'static str {
    match verb {
        Verb::List | Verb::Watch => "list",
        Verb::Get => "read",
        Verb::Create => "create",
        Verb::Update => "replace",
        Verb::Patch => "patch",
        Verb::Delete | Verb::DeleteCollection => "delete",
    }
}

/// How operations and tags name a group and version: `AppsV1` and `apps_v1`, `RbacAuthorizationV1`
/// and `rbacAuthorization_v1`.
fn titles(group: &str, version: &str) -> (String, String) {
    let group = if group.is_empty() { "core" } else { group.trim_end_matches(".k8s.io") };
    let words = group.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let title: String = words.map(capitalized).collect();
    let mut tag = title.clone();
    tag[..1].make_ascii_lowercase();
    (title + &capitalized(version), format!("{tag}_{version}"))
}

fn capitalized(word: &str) -> String {
    let mut word = word.to_owned();
    if let Some(first) = word.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::by_path;

    #[test]
    fn operations_have_the_names_generators_know() {
        let id = |group: &str, version: &str, plural: &str, path: &str, method: &str| {
            let row = by_path(group, version, plural).expect("served");
            let paths = of_row(row, Form::V3);
            let (_, item) = paths.iter().find(|(at, _)| at.ends_with(path)).expect("a path");
            item[method]["operationId"].as_str().expect("an operation").to_owned()
        };
        for (place, path, method, want) in [
            (("", "v1", "pods"), "}/pods", "get", "listCoreV1NamespacedPod"),
            (("", "v1", "pods"), "v1/pods", "get", "listCoreV1PodForAllNamespaces"),
            (("", "v1", "pods"), "}/pods", "delete", "deleteCoreV1CollectionNamespacedPod"),
            (("", "v1", "pods"), "/log", "get", "readCoreV1NamespacedPodLog"),
            (("", "v1", "pods"), "/eviction", "post", "createCoreV1NamespacedPodEviction"),
            (("", "v1", "nodes"), "{name}", "patch", "patchCoreV1Node"),
            (("", "v1", "bindings"), "/bindings", "post", "createCoreV1NamespacedBinding"),
            (
                ("apps", "v1", "deployments"),
                "/scale",
                "put",
                "replaceAppsV1NamespacedDeploymentScale",
            ),
            (
                ("rbac.authorization.k8s.io", "v1", "clusterroles"),
                "{name}",
                "get",
                "readRbacAuthorizationV1ClusterRole",
            ),
        ] {
            assert_eq!(id(place.0, place.1, place.2, path, method), want);
        }
        assert_eq!(titles("rbac.authorization.k8s.io", "v1").1, "rbacAuthorization_v1");
        assert_eq!(titles("stable.example.com", "v1beta1").0, "StableExampleComV1beta1");
    }

    #[test]
    fn subresources_speak_their_own_kinds() {
        let pods = by_path("", "v1", "pods").expect("served");
        let paths = of_row(pods, Form::V3);
        let item = |end: &str| {
            paths.iter().find(|(path, _)| path.ends_with(end)).map(|(_, item)| item).expect("there")
        };
        let eviction = &item("/eviction")["post"];
        assert_eq!(
            eviction["x-kubernetes-group-version-kind"],
            json!({"group": "policy", "version": "v1", "kind": "Eviction"})
        );
        assert_eq!(
            eviction["requestBody"]["content"][JSON]["schema"]["$ref"],
            "#/components/schemas/io.k8s.api.policy.v1.Eviction"
        );
        let log = &item("/log")["get"]["responses"]["200"]["content"];
        assert_eq!(log["text/plain"]["schema"]["type"], "string");
        let patch = &item("/pods/{name}")["patch"];
        let types = patch["requestBody"]["content"].as_object().expect("types");
        assert!(types.contains_key("application/strategic-merge-patch+json"));
        let names: Vec<&Value> =
            patch["parameters"].as_array().expect("list").iter().map(|p| &p["name"]).collect();
        assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
        let deleted = |plural: &str| {
            let paths = of_row(by_path("", "v1", plural).expect("served"), Form::V3);
            let item = &paths.iter().find(|(path, _)| path.ends_with("{name}")).expect("there").1;
            let answer = &item["delete"]["responses"]["200"]["content"][JSON]["schema"]["$ref"];
            answer.as_str().and_then(|name| name.rsplit('.').next()).map(str::to_owned)
        };
        assert_eq!(deleted("pods").as_deref(), Some("Pod"));
        assert_eq!(deleted("configmaps").as_deref(), Some("Status"));
        let all = paths.iter().find(|(path, _)| path == "/api/v1/pods").expect("there");
        assert_eq!(all.1["parameters"].as_array().map(Vec::len), Some(1));
    }
}

//! `wctl apply` and `wctl create`.
//!
//! apply keeps what was applied in the annotation `kubectl.kubernetes.io/last-applied-configuration`,
//! as kubectl's client-side apply does, so the two can be used on the same objects.

use anyhow::{Context, Result, bail};
use api::patch::PatchType::{Merge, Strategic};
use serde_json::{Value, json};

use crate::cli::{Files, Format, Global};
use crate::cluster::Cluster;
use crate::commands::manifest::{self, Manifest};
use crate::output::{self, line};
use crate::request::{self, with_query};
use crate::resource::{Resource, Resources};

mod three_way;

/// Where client-side apply remembers what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const STRATEGIC_MERGE: &str = "application/strategic-merge-patch+json";
const MERGE: &str = "application/merge-patch+json";

/// Runs `wctl apply`.
pub(crate) async fn run(global: &Global, arguments: &Files) -> Result<()> {
    each(global, arguments, async |one| one.apply().await).await
}

/// Runs `wctl create`.
pub(crate) async fn create(global: &Global, arguments: &Files) -> Result<()> {
    each(global, arguments, async |one| one.create(one.manifest.object.clone()).await).await
}

/// What happened to an object, in kubectl's word, and the object as it is now.
type Outcome = (&'static str, Value);

/// Treats the objects in order; goes on after a failure, then fails with all of them.
async fn each(
    global: &Global,
    arguments: &Files,
    treat: impl AsyncFn(&One<'_>) -> Result<Outcome>,
) -> Result<()> {
    let manifests = manifest::read(&arguments.filename)?;
    if manifests.is_empty() {
        bail!("no objects in {:?}", arguments.filename);
    }
    let cluster = Cluster::connect(global).await?;
    let resources = Resources::discover(&cluster.client).await?;
    let dry_run = arguments.dry_run == "server";
    let mut failures = Vec::new();
    for manifest in &manifests {
        let one = One::new(global, &cluster, &resources, manifest, dry_run)?;
        match treat(&one).await {
            Ok((word, object)) => one.report(arguments.output, word, &object)?,
            Err(error) => {
                failures.push(format!("{}: {error:#}", one.resource.display(&manifest.name)))
            }
        }
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n       ")) }
}

/// One object on its way to the server.
struct One<'a> {
    cluster: &'a Cluster,
    resource: &'a Resource,
    manifest: &'a Manifest,
    namespace: &'a str,
    dry_run: bool,
}

impl<'a> One<'a> {
    fn new(
        global: &'a Global,
        cluster: &'a Cluster,
        resources: &'a Resources,
        manifest: &'a Manifest,
        dry_run: bool,
    ) -> Result<Self> {
        let resource = resources.of_kind(&manifest.api_version, &manifest.kind)?;
        let namespace = manifest.namespace.as_deref().unwrap_or(&cluster.namespace);
        if let Some(wanted) = global.namespace.as_deref()
            && resource.namespaced
            && wanted != namespace
        {
            bail!(
                "the namespace from the object \"{namespace}\" does not match the namespace \"{wanted}\"; \
                 pass '--namespace={namespace}' to perform this operation"
            );
        }
        Ok(Self { cluster, resource, manifest, namespace, dry_run })
    }

    async fn create(&self, mut object: Value) -> Result<Outcome> {
        // A manifest that was once read from a server has one, and no new object does.
        api::meta::remove(&mut object["metadata"], "resourceVersion");
        let path = self.resource.collection(Some(self.namespace));
        let path = self.query(&path, "kubectl-create");
        Ok(("created", request::post(&self.cluster.client, &path, &object).await?))
    }

    async fn apply(&self) -> Result<Outcome> {
        if self.manifest.name.is_empty() {
            bail!("apply needs metadata.name; use `wctl create` with generateName");
        }
        let wanted = with_last_applied(&self.manifest.object)?;
        let path = self.resource.object(self.namespace, &self.manifest.name);
        let live = match request::get(&self.cluster.client, &path).await {
            Ok(live) => live,
            Err(error) if request::is_not_found(&error) => return self.create(wanted).await,
            Err(error) => return Err(error),
        };
        let last = live["metadata"]["annotations"][LAST_APPLIED].as_str();
        let last = last.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null);
        let built_in = api::resources::by_kind(&self.manifest.api_version, &self.manifest.kind);
        let (kind, patch) = match built_in {
            Some(resource) => (Strategic, three_way::strategic(resource, &last, &wanted)),
            None => (Merge, three_way::merge(&last, &wanted)),
        };
        // The server is asked only where there is something to change: what others write meanwhile,
        // a status for one, is no change of ours.
        let schema = built_in.map_or("", |resource| &resource.schema_type);
        let patched = api::patch::apply_as(schema, kind, &live, patch.to_string().as_bytes())?;
        if patched == live {
            return Ok(("unchanged", live));
        }
        let path = self.query(&path, "kubectl-client-side-apply");
        let content_type = if kind == Merge { MERGE } else { STRATEGIC_MERGE };
        let now = request::patch(&self.cluster.client, &path, content_type, &patch).await?;
        // A value written in another way, such as 1000m for 1, is known to be the same only now.
        // A dry run changes no resourceVersion, so the whole object is compared.
        let same = now == live;
        Ok((if same { "unchanged" } else { "configured" }, now))
    }

    fn query(&self, path: &str, manager: &str) -> String {
        let path = with_query(path, &[("fieldManager", manager), ("fieldValidation", "Strict")]);
        if self.dry_run { with_query(&path, &[("dryRun", "All")]) } else { path }
    }

    fn report(&self, format: Option<Format>, word: &str, object: &Value) -> Result<()> {
        let name = object["metadata"]["name"].as_str().unwrap_or(&self.manifest.name);
        match format {
            Some(Format::Json | Format::Yaml) => {
                output::print_object(format.unwrap_or(Format::Json), object)
            }
            Some(Format::Name) => line(self.resource.display(name)),
            _ => {
                let suffix = if self.dry_run { " (server dry run)" } else { "" };
                line(format!("{} {word}{suffix}", self.resource.display(name)))
            }
        }
    }
}

/// The object with itself in the annotation.
fn with_last_applied(object: &Value) -> Result<Value> {
    let mut plain = object.clone();
    if let Some(annotations) = plain["metadata"]["annotations"].as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    let mut text = serde_json::to_string(&plain)?;
    text.push('\n');
    let metadata = plain["metadata"].as_object_mut().context("metadata is not an object")?;
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if annotations.is_null() {
        *annotations = json!({});
    }
    annotations[LAST_APPLIED] = json!(text);
    Ok(plain)
}

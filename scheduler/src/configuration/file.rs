//! A `KubeSchedulerConfiguration` in YAML or JSON.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tracing::info;

use super::fields::Field;
use super::{Arguments, Enabled, PluginSet, Plugins, Point, Problem, Profile};

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";
/// Fields for what the process around the scheduler decides here.
const WITHOUT_EFFECT: [&str; 6] = [
    "clientConnection",
    "delayCacheUntilActive",
    "enableContentionProfiling",
    "enableProfiling",
    "leaderElection",
    "parallelism",
];

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("scheduler configuration {} cannot be read", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no YAML.
    #[error("scheduler configuration {} is not valid YAML", file.display())]
    Syntax {
        /// Which.
        file: PathBuf,
        /// Where and why.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// A field makes no sense.
    #[error("scheduler configuration {}: {problem}", file.display())]
    Field {
        /// Which.
        file: PathBuf,
        /// Which field, why, and what is allowed.
        problem: Problem,
    },
}

/// What a file says.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) profiles: Vec<Profile>,
    pub(crate) percentage_of_nodes_to_score: u8,
    pub(crate) first_backoff: Duration,
    pub(crate) longest_backoff: Duration,
}

/// Reads a file.
pub(crate) fn read(file: &Path) -> Result<Read, FileError> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| FileError::Unreadable { file: file.to_owned(), source })?;
    let document: Value = serde_saphyr::from_str(&text)
        .map_err(|source| FileError::Syntax { file: file.to_owned(), source: Box::new(source) })?;
    parse(&document).map_err(|problem| FileError::Field { file: file.to_owned(), problem })
}

/// Reads a document.
pub(super) fn parse(document: &Value) -> Result<Read, Problem> {
    let root = Field::root(document);
    let known: Vec<&str> = [
        "apiVersion",
        "kind",
        "percentageOfNodesToScore",
        "podInitialBackoffSeconds",
        "podMaxBackoffSeconds",
        "profiles",
    ]
    .into_iter()
    .chain(WITHOUT_EFFECT)
    .collect();
    if let Some(extenders) = root.get("extenders") {
        let problem = "extenders are not supported: enable plugins instead, or run a scheduler of \
                       your own under another schedulerName";
        return Err(extenders.problem(problem));
    }
    root.object(&known)?;
    root.required("apiVersion")?.one_of(&[API_VERSION])?;
    root.required("kind")?.one_of(&[KIND])?;
    for field in WITHOUT_EFFECT.iter().filter(|field| root.get(field).is_some()) {
        info!(field, "a field of the scheduler configuration has no effect here");
    }
    let seconds = |name: &str, default: i64, least: i64| {
        let field = root.get(name);
        field.map_or(Ok(default), |field| field.integer(least, i64::from(i32::MAX)))
    };
    let first = seconds("podInitialBackoffSeconds", 1, 1)?;
    let longest = seconds("podMaxBackoffSeconds", 10.max(first), first)?;
    let mut profiles = Vec::new();
    match root.get("profiles") {
        None => profiles.push(Profile::default()),
        Some(list) => {
            let list = list.list()?;
            let alone = list.len() == 1;
            for entry in list {
                profiles.push(profile(&entry, alone)?);
            }
        }
    }
    if profiles.is_empty() {
        profiles.push(Profile::default());
    }
    Ok(Read {
        profiles,
        percentage_of_nodes_to_score: percentage(&root)?.unwrap_or(0),
        first_backoff: Duration::from_secs(u64::try_from(first).unwrap_or(1)),
        longest_backoff: Duration::from_secs(u64::try_from(longest).unwrap_or(10)),
    })
}

fn percentage(of: &Field<'_>) -> Result<Option<u8>, Problem> {
    let Some(field) = of.get("percentageOfNodesToScore") else { return Ok(None) };
    Ok(u8::try_from(field.integer(0, 100)?).ok())
}

/// Reads a profile. Only one that is alone needs no name.
fn profile(entry: &Field<'_>, alone: bool) -> Result<Profile, Problem> {
    entry.object(&["schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"])?;
    let mut read = Profile::default();
    match entry.get("schedulerName") {
        Some(name) => read.scheduler_name = name.text()?.to_owned(),
        None if alone => {}
        None => drop(entry.required("schedulerName")?),
    }
    read.percentage_of_nodes_to_score = percentage(entry)?;
    if let Some(list) = entry.get("pluginConfig") {
        read.arguments = Arguments::read(&list)?;
    }
    if let Some(field) = entry.get("plugins") {
        let allowed: Vec<&str> =
            std::iter::once("multiPoint").chain(Point::ALL.iter().map(|p| p.field())).collect();
        field.object(&allowed)?;
        let mut points = BTreeMap::new();
        for point in Point::ALL {
            if let Some(set) = field.get(point.field()) {
                points.insert(point, plugin_set(&set)?);
            }
        }
        let multi_point =
            field.get("multiPoint").map_or(Ok(PluginSet::default()), |set| plugin_set(&set))?;
        read.plugins = Plugins::default().with(multi_point, points);
    }
    Ok(read)
}

fn plugin_set(set: &Field<'_>) -> Result<PluginSet, Problem> {
    set.object(&["enabled", "disabled"])?;
    let mut read = PluginSet::default();
    let entries = |name: &str| set.get(name).map_or(Ok(Vec::new()), |list| list.list());
    for entry in entries("enabled")? {
        entry.object(&["name", "weight"])?;
        let name = entry.required("name")?.text()?.to_owned();
        let weight = entry.get("weight").map(|weight| weight.integer(0, i64::from(i32::MAX)));
        // As in Kubernetes, 0 is no weight but none given.
        let weight = weight.transpose()?.filter(|weight| *weight > 0);
        read.enabled.push(Enabled { name, weight });
    }
    for entry in entries("disabled")? {
        entry.object(&["name", "weight"])?;
        read.disabled.push(entry.required("name")?.text()?.to_owned());
    }
    Ok(read)
}

//! The arguments of plugins (`pluginConfig`), read and with their defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{NodeAffinity, NodeSelector, PreferredSchedulingTerm};
use serde_json::Value;

use super::Problem;
use super::fields::Field;
use crate::spread::Constraint;

type Outcome<T> = Result<T, Problem>;

/// The arguments of all plugins of a profile.
#[derive(Debug, Clone, Default)]
pub struct Arguments {
    /// `NodeResourcesFit`.
    pub fit: FitArguments,
    /// `NodeResourcesBalancedAllocation`: names of the resources. Default: `cpu` and `memory`.
    pub balanced: Option<Vec<String>>,
    /// `NodeAffinity`.
    pub node_affinity: NodeAffinityArguments,
    /// `PodTopologySpread`.
    pub spread: SpreadDefaults,
    /// `InterPodAffinity`.
    pub pod_affinity: PodAffinityArguments,
    /// `DefaultPreemption`.
    pub preemption: PreemptionArguments,
    /// `VolumeBinding`.
    pub volume_binding: VolumeBindingArguments,
    /// Plugins that are not Kubernetes' own: what stands in the file, by plugin.
    pub other: BTreeMap<String, Value>,
}

/// A resource and what it counts against the others, 1 to 100.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: i64,
}

/// A point of a curve from utilization to score; between points it is straight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapePoint {
    /// In percent.
    pub utilization: i64,
    /// 0 to 10.
    pub score: i64,
}

/// What makes a node better.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ScoringStrategy {
    /// More is free on it.
    #[default]
    LeastAllocated,
    /// Less is free on it: nodes are filled one after the other.
    MostAllocated,
    /// What the curve says of its utilization. Points in increasing order, at least one.
    RequestedToCapacityRatio(Vec<ShapePoint>),
}

/// Arguments of `NodeResourcesFit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FitArguments {
    /// Extended resources that need not fit.
    pub ignored_resources: Vec<String>,
    /// The same by what stands before the slash.
    pub ignored_resource_groups: Vec<String>,
    /// How nodes are scored. Default: least allocated.
    pub strategy: ScoringStrategy,
    /// By which resources. Default: `cpu` and `memory`, 1 each.
    pub resources: Vec<Weighed>,
}

impl Default for FitArguments {
    fn default() -> Self {
        let resource = |name: &str| Weighed { name: name.to_owned(), weight: 1 };
        Self {
            ignored_resources: Vec::new(),
            ignored_resource_groups: Vec::new(),
            strategy: ScoringStrategy::default(),
            resources: vec![resource("cpu"), resource("memory")],
        }
    }
}

/// Arguments of `NodeAffinity`: affinity that every pod of the profile gets in addition.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodeAffinityArguments {
    /// Nodes must match it.
    pub required: Option<NodeSelector>,
    /// Nodes that match it are better.
    pub preferred: Vec<PreferredSchedulingTerm>,
}

/// How pods without topology spread constraints are spread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SpreadDefaults {
    /// Over hosts (`maxSkew` 3) and zones (`maxSkew` 5), as a preference.
    #[default]
    System,
    /// By these; their selectors are those of the pod's own group.
    List(Vec<Constraint>),
}

/// Arguments of `InterPodAffinity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodAffinityArguments {
    /// What a required affinity of a pod that is there adds to the score of its group, 0 to 100.
    /// Default: 1.
    pub hard_weight: i32,
    /// Preferred terms of pods that are there do not count for pods without any.
    pub ignore_preferred_of_existing: bool,
}

impl Default for PodAffinityArguments {
    fn default() -> Self {
        Self { hard_weight: 1, ignore_preferred_of_existing: false }
    }
}

/// Arguments of `DefaultPreemption`: how many nodes are tried before the best of them is taken, the
/// larger of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreemptionArguments {
    /// Of all nodes, in percent. Default: 10.
    pub percentage: usize,
    /// Default: 100.
    pub absolute: usize,
}

impl Default for PreemptionArguments {
    fn default() -> Self {
        Self { percentage: 10, absolute: 100 }
    }
}

/// Arguments of `VolumeBinding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeBindingArguments {
    /// How long a pod may wait for its volumes to be made and bound. Default: 10 minutes.
    pub bind_timeout: Duration,
}

impl Default for VolumeBindingArguments {
    fn default() -> Self {
        Self { bind_timeout: Duration::from_secs(600) }
    }
}

impl Arguments {
    /// Reads `pluginConfig`.
    pub(super) fn read(list: &Field<'_>) -> Outcome<Self> {
        let mut all = Self::default();
        let mut seen = Vec::new();
        for entry in list.list()? {
            entry.object(&["name", "args"])?;
            let name = entry.required("name")?;
            let plugin = name.text()?;
            if seen.contains(&plugin) {
                return Err(name.problem(format!("{plugin:?} is configured already")));
            }
            seen.push(plugin);
            let Some(args) = entry.get("args") else { continue };
            all.read_one(plugin, &args)?;
        }
        Ok(all)
    }

    fn read_one(&mut self, plugin: &str, args: &Field<'_>) -> Outcome<()> {
        match plugin {
            "NodeResourcesFit" => self.fit = fit(args)?,
            "NodeResourcesBalancedAllocation" => {
                object(args, &["resources"])?;
                if let Some(list) = args.get("resources") {
                    let names = resources(&list, 1)?.into_iter().map(|r| r.name).collect();
                    self.balanced = Some(names);
                }
            }
            "NodeAffinity" => {
                object(args, &["addedAffinity"])?;
                if let Some(added) = args.get("addedAffinity") {
                    self.node_affinity = node_affinity(&added)?;
                }
            }
            "PodTopologySpread" => self.spread = spread(args)?,
            "InterPodAffinity" => {
                const IGNORE: &str = "ignorePreferredTermsOfExistingPods";
                object(args, &["hardPodAffinityWeight", IGNORE])?;
                if let Some(weight) = args.get("hardPodAffinityWeight") {
                    let weight = weight.integer(0, 100)?;
                    self.pod_affinity.hard_weight = i32::try_from(weight).unwrap_or(1);
                }
                if let Some(ignore) = args.get(IGNORE) {
                    self.pod_affinity.ignore_preferred_of_existing = ignore.boolean()?;
                }
            }
            "DefaultPreemption" => self.preemption = preemption(args)?,
            "VolumeBinding" => {
                object(args, &["bindTimeoutSeconds"])?;
                if let Some(seconds) = args.get("bindTimeoutSeconds") {
                    let seconds = seconds.integer(0, i64::from(i32::MAX))?;
                    self.volume_binding.bind_timeout =
                        Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
                }
            }
            other => drop(self.other.insert(other.to_owned(), args.value().clone())),
        }
        Ok(())
    }
}

/// Arguments may say what they are.
fn object(args: &Field<'_>, allowed: &[&str]) -> Outcome<()> {
    let all: Vec<&str> = ["apiVersion", "kind"].iter().chain(allowed).copied().collect();
    args.object(&all).map(drop)
}

fn names(list: &Field<'_>) -> Outcome<Vec<String>> {
    list.list()?.iter().map(|name| Ok(name.text()?.to_owned())).collect()
}

fn fit(args: &Field<'_>) -> Outcome<FitArguments> {
    object(args, &["ignoredResources", "ignoredResourceGroups", "scoringStrategy"])?;
    let mut fit = FitArguments::default();
    if let Some(list) = args.get("ignoredResources") {
        fit.ignored_resources = names(&list)?;
    }
    if let Some(list) = args.get("ignoredResourceGroups") {
        fit.ignored_resource_groups = names(&list)?;
        for group in list.list()? {
            if group.text()?.contains('/') {
                return Err(group.problem("must be what stands before the slash, without it"));
            }
        }
    }
    let Some(strategy) = args.get("scoringStrategy") else { return Ok(fit) };
    strategy.object(&["type", "resources", "requestedToCapacityRatio"])?;
    if let Some(list) = strategy.get("resources") {
        fit.resources = resources(&list, 100)?;
    }
    const RATIO: &str = "RequestedToCapacityRatio";
    let kind = strategy.required("type")?;
    let kind = kind.one_of(&["LeastAllocated", "MostAllocated", RATIO])?;
    match (kind, strategy.get("requestedToCapacityRatio")) {
        (RATIO, _) => {
            let ratio = strategy.required("requestedToCapacityRatio")?;
            ratio.object(&["shape"])?;
            let shape = shape(&ratio.required("shape")?)?;
            fit.strategy = ScoringStrategy::RequestedToCapacityRatio(shape);
        }
        (_, Some(ratio)) => {
            return Err(ratio.problem(format!("is allowed only when type is {RATIO}")));
        }
        ("MostAllocated", None) => fit.strategy = ScoringStrategy::MostAllocated,
        _ => {}
    }
    Ok(fit)
}

fn shape(list: &Field<'_>) -> Outcome<Vec<ShapePoint>> {
    let mut points: Vec<ShapePoint> = Vec::new();
    for entry in list.list()? {
        entry.object(&["utilization", "score"])?;
        let utilization = entry.required("utilization")?;
        let point = ShapePoint {
            utilization: utilization.integer(0, 100)?,
            score: entry.required("score")?.integer(0, 10)?,
        };
        if points.last().is_some_and(|last| last.utilization >= point.utilization) {
            return Err(utilization.problem("must be more than that of the point before"));
        }
        points.push(point);
    }
    if points.is_empty() { Err(list.problem("must have at least one point")) } else { Ok(points) }
}

fn resources(list: &Field<'_>, most: i64) -> Outcome<Vec<Weighed>> {
    let mut all: Vec<Weighed> = Vec::new();
    for entry in list.list()? {
        entry.object(&["name", "weight"])?;
        let field = entry.required("name")?;
        let name = field.text()?.to_owned();
        if all.iter().any(|other| other.name == name) {
            return Err(field.problem(format!("{name:?} is there already")));
        }
        let weight = entry.get("weight").map_or(Ok(1), |weight| weight.integer(1, most))?;
        all.push(Weighed { name, weight });
    }
    Ok(all)
}

fn node_affinity(added: &Field<'_>) -> Outcome<NodeAffinityArguments> {
    let (required, preferred) = (
        "requiredDuringSchedulingIgnoredDuringExecution",
        "preferredDuringSchedulingIgnoredDuringExecution",
    );
    added.object(&[required, preferred])?;
    let affinity: NodeAffinity = added.typed()?;
    Ok(NodeAffinityArguments {
        required: affinity.required_during_scheduling_ignored_during_execution,
        preferred: affinity
            .preferred_during_scheduling_ignored_during_execution
            .unwrap_or_default(),
    })
}

fn spread(args: &Field<'_>) -> Outcome<SpreadDefaults> {
    object(args, &["defaultConstraints", "defaultingType"])?;
    let list = args.get("defaultConstraints");
    let constraints = list.as_ref().map_or(Ok(Vec::new()), constraints)?;
    let kind = args.get("defaultingType");
    let named = kind.as_ref().map_or(Ok("System"), |kind| kind.one_of(&["System", "List"]))?;
    if named == "List" {
        return Ok(SpreadDefaults::List(constraints));
    }
    match list.filter(|_| !constraints.is_empty()) {
        Some(list) => Err(list.problem("is allowed only when defaultingType is List")),
        None => Ok(SpreadDefaults::System),
    }
}

fn constraints(list: &Field<'_>) -> Outcome<Vec<Constraint>> {
    let mut all: Vec<Constraint> = Vec::new();
    for entry in list.list()? {
        entry.object(&[
            "maxSkew",
            "topologyKey",
            "whenUnsatisfiable",
            "minDomains",
            "nodeAffinityPolicy",
            "nodeTaintsPolicy",
        ])?;
        entry.required("maxSkew")?.integer(1, i64::from(i32::MAX))?;
        let key = entry.required("topologyKey")?;
        if key.text()?.is_empty() {
            return Err(key.problem("must not be empty"));
        }
        entry.required("whenUnsatisfiable")?.one_of(&["DoNotSchedule", "ScheduleAnyway"])?;
        let read = Constraint::without_selector(&entry.typed()?);
        let same = |o: &Constraint| o.topology_key == read.topology_key && o.hard == read.hard;
        if all.iter().any(same) {
            return Err(entry.problem("has the topologyKey and whenUnsatisfiable of another"));
        }
        all.push(read);
    }
    Ok(all)
}

fn preemption(args: &Field<'_>) -> Outcome<PreemptionArguments> {
    object(args, &["minCandidateNodesPercentage", "minCandidateNodesAbsolute"])?;
    let mut read = PreemptionArguments::default();
    if let Some(percentage) = args.get("minCandidateNodesPercentage") {
        read.percentage = usize::try_from(percentage.integer(0, 100)?).unwrap_or(0);
    }
    if let Some(absolute) = args.get("minCandidateNodesAbsolute") {
        read.absolute = usize::try_from(absolute.integer(0, i64::from(i32::MAX))?).unwrap_or(0);
    }
    if read.percentage == 0 && read.absolute == 0 {
        let problem =
            "minCandidateNodesPercentage and minCandidateNodesAbsolute must not both be 0";
        return Err(args.problem(problem));
    }
    Ok(read)
}

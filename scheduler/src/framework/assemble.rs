//! From a profile to its plugins: what is enabled where, in which order, with which weight. Pure.
//!
//! Source: k8s.io/kubernetes/pkg/scheduler/framework/runtime (NewFramework, expandMultiPointPlugins).

use std::collections::BTreeMap;

use super::registry::{Parts, Registry};
use super::{FilterSet, Framework};
use crate::configuration::{Enabled, Point, Problem, Profile};

/// The plugins that a profile names, made.
type Made = BTreeMap<String, Parts>;

impl Framework {
    /// Puts the plugins of a profile together.
    ///
    /// # Errors
    /// The field of the profile that makes no sense: a plugin that does not exist or does nothing at
    /// its point, no binder, several queue sorts.
    pub fn new(profile: &Profile, registry: &Registry) -> Result<Self, Problem> {
        if profile.scheduler_name.is_empty() {
            return Err(Problem::new("schedulerName", "must not be empty"));
        }
        let made = make(profile, registry)?;
        let at = |point| expand(profile, &made, point);
        gathered(profile, Point::PreFilter, Point::Filter, &at(Point::Filter)?)?;
        gathered(profile, Point::PreScore, Point::Score, &at(Point::Score)?)?;
        macro_rules! plugins {
            ($point:expr, $field:ident) => {
                at($point)?.iter().filter_map(|(name, _)| made[name].$field.clone()).collect()
            };
        }
        let sorts: Vec<_> = plugins!(Point::QueueSort, queue_sort);
        let [queue_sort] = sorts.as_slice() else {
            let problem = format!("exactly one plugin must sort the queue, not {}", sorts.len());
            return Err(Problem::new("plugins.queueSort", problem));
        };
        let filters: Vec<_> = plugins!(Point::Filter, filter);
        if filters.len() > FilterSet::SIZE {
            let problem = format!("at most {} plugins can be enabled", FilterSet::SIZE);
            return Err(Problem::new("plugins.filter", problem));
        }
        let binds: Vec<_> = plugins!(Point::Bind, bind);
        if binds.is_empty() {
            return Err(Problem::new("plugins.bind", "at least one plugin must be enabled"));
        }
        let scores = at(Point::Score)?;
        let weighed =
            scores.iter().filter_map(|(name, weight)| Some((made[name].score.clone()?, *weight)));
        Ok(Self {
            scheduler_name: profile.scheduler_name.clone(),
            percentage_of_nodes_to_score: profile.percentage_of_nodes_to_score.unwrap_or(0),
            pre_enqueues: plugins!(Point::PreEnqueue, pre_enqueue),
            queue_sort: queue_sort.clone(),
            node_affinity: filters.iter().position(|filter| filter.name() == "NodeAffinity"),
            filters,
            post_filters: plugins!(Point::PostFilter, post_filter),
            scores: weighed.collect(),
            reserves: plugins!(Point::Reserve, reserve),
            permits: plugins!(Point::Permit, permit),
            pre_binds: plugins!(Point::PreBind, pre_bind),
            binds,
            post_binds: plugins!(Point::PostBind, post_bind),
        })
    }
}

/// Makes every plugin that the profile enables anywhere.
fn make(profile: &Profile, registry: &Registry) -> Result<Made, Problem> {
    let mut made = Made::new();
    for (field, enabled) in profile.plugins.enabled() {
        if made.contains_key(&enabled.name) {
            continue;
        }
        let Some(maker) = registry.get(&enabled.name) else {
            let known: Vec<&str> = registry.names().collect();
            let problem =
                format!("there is no plugin {:?}; there are {}", enabled.name, known.join(", "));
            return Err(Problem::new(field, problem));
        };
        let parts = maker(&profile.arguments).map_err(|problem| {
            Problem::new("pluginConfig", format!("arguments of {}: {problem}", enabled.name))
        })?;
        made.insert(enabled.name.clone(), parts);
    }
    Ok(made)
}

/// The plugins in use at a point with their weights. Those enabled for all points come in the order
/// of that list, but behind those of them that the point names itself; the rest comes last.
fn expand(profile: &Profile, made: &Made, point: Point) -> Result<Vec<(String, i64)>, Problem> {
    let own = profile.plugins.at(point);
    let weight = |plugin: &Enabled| (plugin.name.clone(), plugin.weight.unwrap_or(1).max(1));
    for (at, plugin) in own.enabled.iter().enumerate() {
        let field = format!("plugins.{point}.enabled[{at}]");
        if !made[&plugin.name].plays(point) {
            let can: Vec<&str> =
                made.iter().filter(|(_, p)| p.plays(point)).map(|(name, _)| &**name).collect();
            let problem = format!(
                "{} does nothing at {point}; of the enabled plugins these do: {}",
                plugin.name,
                can.join(", ")
            );
            return Err(Problem::new(field, problem));
        }
        if own.enabled[..at].iter().any(|other| other.name == plugin.name) {
            return Err(Problem::new(field, format!("{} is enabled already", plugin.name)));
        }
    }
    if own.disables("*") {
        return Ok(own.enabled.iter().map(weight).collect());
    }
    let everywhere: Vec<&Enabled> = profile
        .plugins
        .multi_point
        .enabled
        .iter()
        .filter(|plugin| made[&plugin.name].plays(point) && !own.disables(&plugin.name))
        .collect();
    let is_everywhere = |name: &str| everywhere.iter().any(|plugin| plugin.name == name);
    let is_own = |name: &str| own.enabled.iter().any(|plugin| plugin.name == name);
    let (overriding, more): (Vec<&Enabled>, Vec<&Enabled>) =
        own.enabled.iter().partition(|plugin| is_everywhere(&plugin.name));
    let rest = everywhere.iter().copied().filter(|plugin| !is_own(&plugin.name));
    Ok(overriding.into_iter().chain(rest).chain(more).map(weight).collect())
}

/// What a plugin judges by, it gathers itself: nobody may forbid the one and want the other.
fn gathered(
    profile: &Profile,
    gathers: Point,
    judges: Point,
    judging: &[(String, i64)],
) -> Result<(), Problem> {
    let own = profile.plugins.at(gathers);
    let forbidden = |name: &str| {
        (own.disables(name) || own.disables("*"))
            && !own.enabled.iter().any(|plugin| plugin.name == name)
    };
    let lonely = judging.iter().find(|(name, _)| forbidden(name));
    lonely.map_or(Ok(()), |(name, _)| {
        let problem = format!("{name} is enabled at {judges}; disable it there, too");
        Err(Problem::new(format!("plugins.{gathers}.disabled"), problem))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{PluginSet, Plugins};

    fn set(enabled: &[&str], disabled: &[&str]) -> PluginSet {
        let enable = |entry: &&str| {
            let (name, weight) = entry.split_once('*').unwrap_or((entry, ""));
            Enabled { name: name.to_owned(), weight: weight.parse().ok() }
        };
        PluginSet {
            enabled: enabled.iter().map(enable).collect(),
            disabled: disabled.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn profile(points: &[(Point, PluginSet)]) -> Profile {
        let points = points.iter().cloned().collect();
        Profile {
            plugins: Plugins::default().with(PluginSet::default(), points),
            ..Profile::default()
        }
    }

    fn scores(points: &[(Point, PluginSet)]) -> Vec<(&'static str, i64)> {
        let framework = Framework::new(&profile(points), &Registry::default()).unwrap();
        framework.scores.iter().map(|(score, weight)| (score.name(), *weight)).collect()
    }

    #[test]
    fn the_default_profile_is_that_of_kubernetes() {
        let framework = Framework::default();
        let names: Vec<&str> = framework.filters.iter().map(|filter| filter.name()).collect();
        assert_eq!(
            names,
            [
                "NodeUnschedulable",
                "NodeName",
                "TaintToleration",
                "NodeAffinity",
                "NodePorts",
                "NodeResourcesFit",
                "VolumeRestrictions",
                "NodeVolumeLimits",
                "VolumeBinding",
                "VolumeZone",
                "PodTopologySpread",
                "InterPodAffinity",
                "DynamicResources",
            ]
        );
        assert_eq!(
            scores(&[]),
            [
                ("TaintToleration", 3),
                ("NodeAffinity", 2),
                ("NodeResourcesFit", 1),
                ("PodTopologySpread", 2),
                ("InterPodAffinity", 2),
                ("NodeResourcesBalancedAllocation", 1),
                ("ImageLocality", 1),
            ]
        );
        assert_eq!(framework.queue_sort.name(), "PrioritySort");
        // An idle claim is given back rather than a pod taken away.
        let makers_of_room: Vec<&str> =
            framework.post_filters.iter().map(|plugin| plugin.name()).collect();
        assert_eq!(makers_of_room, ["DynamicResources", "DefaultPreemption"]);
        assert_eq!((framework.binds.len(), framework.reserves.len()), (1, 2));
        assert_eq!(framework.node_affinity, Some(3));
    }

    #[test]
    fn a_point_overrides_what_is_enabled_everywhere() {
        let score =
            |enabled: &[&str], disabled: &[&str]| scores(&[(Point::Score, set(enabled, disabled))]);
        let only = score(&["ImageLocality*5", "NodeResourcesFit"], &["*"]);
        assert_eq!(only, [("ImageLocality", 5), ("NodeResourcesFit", 1)]);
        let all = score(&["ImageLocality*7"], &["TaintToleration", "NodeAffinity"]);
        assert_eq!(all[0], ("ImageLocality", 7), "what the point names comes first");
        assert_eq!(all.len(), 5);
        assert!(!all.iter().any(|(name, _)| name.starts_with("Taint")));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (point, set, field, part) in [
            (Point::Score, set(&["Typo"], &[]), "plugins.score.enabled[0]", "there is no plugin"),
            (
                Point::Score,
                set(&["NodePorts"], &[]),
                "plugins.score.enabled[0]",
                "does nothing at score",
            ),
            (Point::Bind, set(&[], &["*"]), "plugins.bind", "at least one"),
            (Point::QueueSort, set(&[], &["*"]), "plugins.queueSort", "exactly one"),
            (
                Point::Filter,
                set(&["NodePorts", "NodePorts"], &[]),
                "plugins.filter.enabled[1]",
                "already",
            ),
            (
                Point::PreFilter,
                set(&[], &["NodePorts"]),
                "plugins.preFilter.disabled",
                "NodePorts is enabled at filter",
            ),
        ] {
            let problem = Framework::new(&profile(&[(point, set)]), &Registry::default());
            let problem = problem.unwrap_err();
            assert_eq!(problem.field, field);
            assert!(problem.problem.contains(part), "{problem}");
        }
    }
}

//! Which plugins a profile enables and disables, point by point.

use std::collections::BTreeMap;
use std::fmt;

/// The plugins that are enabled everywhere unless a profile says otherwise, with their weights.
const DEFAULTS: [(&str, i64); 19] = [
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeUnschedulable", 0),
    ("NodeName", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DynamicResources", 0),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
];

/// An extension point. Prints as the field of the configuration is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the points are described in crate::framework")]
pub enum Point {
    PreEnqueue,
    QueueSort,
    PreFilter,
    Filter,
    PostFilter,
    PreScore,
    Score,
    Reserve,
    Permit,
    PreBind,
    Bind,
    PostBind,
}

impl Point {
    /// All points, in the order a pod passes them.
    pub const ALL: [Self; 12] = [
        Self::PreEnqueue,
        Self::QueueSort,
        Self::PreFilter,
        Self::Filter,
        Self::PostFilter,
        Self::PreScore,
        Self::Score,
        Self::Reserve,
        Self::Permit,
        Self::PreBind,
        Self::Bind,
        Self::PostBind,
    ];

    /// The field of the configuration.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::PreEnqueue => "preEnqueue",
            Self::QueueSort => "queueSort",
            Self::PreFilter => "preFilter",
            Self::Filter => "filter",
            Self::PostFilter => "postFilter",
            Self::PreScore => "preScore",
            Self::Score => "score",
            Self::Reserve => "reserve",
            Self::Permit => "permit",
            Self::PreBind => "preBind",
            Self::Bind => "bind",
            Self::PostBind => "postBind",
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field())
    }
}

/// A plugin that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enabled {
    /// Its name.
    pub name: String,
    /// What its score counts against the others. Default: 1.
    pub weight: Option<i64>,
}

/// What is wanted at a point, and what is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluginSet {
    /// In the order to be asked.
    pub enabled: Vec<Enabled>,
    /// Names; `*` is everything that is enabled by default.
    pub disabled: Vec<String>,
}

impl PluginSet {
    /// Whether `name` stands among the disabled.
    #[must_use]
    pub fn disables(&self, name: &str) -> bool {
        self.disabled.iter().any(|disabled| disabled == name)
    }
}

/// The plugins of a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugins {
    /// Enabled at every point where they do something.
    pub multi_point: PluginSet,
    /// Exceptions by point.
    pub points: BTreeMap<Point, PluginSet>,
}

impl Default for Plugins {
    fn default() -> Self {
        let enabled = DEFAULTS.iter().map(|(name, weight)| Enabled {
            name: (*name).to_owned(),
            weight: Some(*weight).filter(|weight| *weight > 0),
        });
        let multi_point = PluginSet { enabled: enabled.collect(), disabled: Vec::new() };
        Self { multi_point, points: BTreeMap::new() }
    }
}

impl Plugins {
    /// These plugins with a profile's own wishes: one that is enabled again takes the old one's
    /// place, what is new comes last.
    #[must_use]
    pub fn with(self, multi_point: PluginSet, points: BTreeMap<Point, PluginSet>) -> Self {
        let mut enabled = Vec::new();
        let mut more = multi_point.enabled;
        if !multi_point.disabled.iter().any(|name| name == "*") {
            for plugin in self.multi_point.enabled {
                if multi_point.disabled.contains(&plugin.name) {
                    continue;
                }
                match more.iter().position(|other| other.name == plugin.name) {
                    Some(at) => enabled.push(more.remove(at)),
                    None => enabled.push(plugin),
                }
            }
        }
        enabled.append(&mut more);
        let multi_point = PluginSet { enabled, disabled: multi_point.disabled };
        Self { multi_point, points }
    }

    /// What is said about one point.
    #[must_use]
    pub fn at(&self, point: Point) -> &PluginSet {
        static NOTHING: PluginSet = PluginSet { enabled: Vec::new(), disabled: Vec::new() };
        self.points.get(&point).unwrap_or(&NOTHING)
    }

    /// Every plugin that is enabled anywhere, with the field that says so.
    pub(crate) fn enabled(&self) -> impl Iterator<Item = (String, &Enabled)> {
        let everywhere = ("multiPoint", &self.multi_point);
        let points = self.points.iter().map(|(point, set)| (point.field(), set));
        std::iter::once(everywhere).chain(points).flat_map(|(field, set)| {
            let named = set.enabled.iter().enumerate();
            named.map(move |(at, plugin)| (format!("plugins.{field}.enabled[{at}]"), plugin))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_for_all_points_change_the_usual_list() {
        let wanted = |name: &str, weight| Enabled { name: name.to_owned(), weight };
        let with = |enabled: Vec<Enabled>, disabled: &[&str]| {
            let disabled = disabled.iter().map(|name| (*name).to_owned()).collect();
            let set = PluginSet { enabled, disabled };
            Plugins::default().with(set, BTreeMap::new()).multi_point.enabled
        };
        assert_eq!(with(Vec::new(), &[]), Plugins::default().multi_point.enabled);
        let all = with(vec![wanted("Mine", None), wanted("NodeAffinity", Some(9))], &["NodePorts"]);
        assert_eq!(all.len(), DEFAULTS.len());
        assert_eq!(all[5], wanted("NodeAffinity", Some(9)), "in the place of the usual one");
        assert_eq!(all.last(), Some(&wanted("Mine", None)));
        assert!(!all.iter().any(|plugin| plugin.name == "NodePorts"));
        let only = vec![wanted("PrioritySort", None), wanted("DefaultBinder", None)];
        assert_eq!(with(only.clone(), &["*"]), only);
    }
}

//! The plugins there are, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::points::{
    Bind, Filter, Permit, PostBind, PostFilter, PreBind, PreEnqueue, QueueSort, Reserve, Score,
};
use crate::configuration::{Arguments, Point};
use crate::plugins;

/// What a plugin does at which point.
#[derive(Clone, Default)]
#[allow(missing_docs, reason = "each field is the point of its name")]
pub struct Parts {
    pub pre_enqueue: Option<Arc<dyn PreEnqueue>>,
    pub queue_sort: Option<Arc<dyn QueueSort>>,
    pub filter: Option<Arc<dyn Filter>>,
    pub post_filter: Option<Arc<dyn PostFilter>>,
    pub score: Option<Arc<dyn Score>>,
    pub reserve: Option<Arc<dyn Reserve>>,
    pub permit: Option<Arc<dyn Permit>>,
    pub pre_bind: Option<Arc<dyn PreBind>>,
    pub bind: Option<Arc<dyn Bind>>,
    pub post_bind: Option<Arc<dyn PostBind>>,
}

impl Parts {
    /// A plugin that filters.
    #[must_use]
    pub fn filter(filter: impl Filter + 'static) -> Self {
        Self { filter: Some(Arc::new(filter)), ..Self::default() }
    }

    /// A plugin that scores.
    #[must_use]
    pub fn score(score: impl Score + 'static) -> Self {
        Self { score: Some(Arc::new(score)), ..Self::default() }
    }

    /// A plugin that filters and scores.
    #[must_use]
    pub fn both(plugin: impl Filter + Score + 'static) -> Self {
        let plugin = Arc::new(plugin);
        Self { filter: Some(plugin.clone()), score: Some(plugin), ..Self::default() }
    }

    /// Whether the plugin does anything at a point. What is gathered for filters and scores belongs to
    /// them.
    #[must_use]
    pub fn plays(&self, point: Point) -> bool {
        match point {
            Point::PreEnqueue => self.pre_enqueue.is_some(),
            Point::QueueSort => self.queue_sort.is_some(),
            Point::PreFilter | Point::Filter => self.filter.is_some(),
            Point::PostFilter => self.post_filter.is_some(),
            Point::PreScore | Point::Score => self.score.is_some(),
            Point::Reserve => self.reserve.is_some(),
            Point::Permit => self.permit.is_some(),
            Point::PreBind => self.pre_bind.is_some(),
            Point::Bind => self.bind.is_some(),
            Point::PostBind => self.post_bind.is_some(),
        }
    }
}

/// Makes a plugin from the arguments of a profile. The error says what is wrong with them.
pub type Maker = Arc<dyn Fn(&Arguments) -> Result<Parts, String> + Send + Sync>;

/// The plugins that profiles can name. The default has Kubernetes' own; [`Registry::add`] adds more.
#[derive(Clone)]
pub struct Registry(BTreeMap<String, Maker>);

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Registry {
    /// Adds a plugin, or puts it in the place of the one of its name. Profiles have to enable it.
    pub fn add(
        &mut self,
        name: &str,
        make: impl Fn(&Arguments) -> Result<Parts, String> + Send + Sync + 'static,
    ) {
        self.0.insert(name.to_owned(), Arc::new(make));
    }

    /// How a plugin is made, if there is one of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Maker> {
        self.0.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Default for Registry {
    /// Kubernetes' plugins.
    fn default() -> Self {
        let mut all = Self(BTreeMap::new());
        let mut add = |name: &str, make: fn(&Arguments) -> Parts| {
            all.0.insert(name.to_owned(), Arc::new(move |arguments| Ok(make(arguments))));
        };
        add("SchedulingGates", |_| Parts {
            pre_enqueue: Some(Arc::new(plugins::SchedulingGates)),
            ..Parts::default()
        });
        add("PrioritySort", |_| Parts {
            queue_sort: Some(Arc::new(plugins::PrioritySort)),
            ..Parts::default()
        });
        add("NodeUnschedulable", |_| Parts::filter(plugins::NodeUnschedulable));
        add("NodeName", |_| Parts::filter(plugins::NodeName));
        add("TaintToleration", |_| Parts::both(plugins::TaintToleration));
        add("NodeAffinity", |with| Parts::both(plugins::NodeAffinity::new(&with.node_affinity)));
        add("NodePorts", |_| Parts::filter(plugins::NodePorts));
        add("NodeResourcesFit", |with| Parts::both(plugins::NodeResourcesFit::new(&with.fit)));
        add("VolumeRestrictions", |_| Parts::filter(plugins::VolumeRestrictions));
        add("NodeVolumeLimits", |_| Parts::filter(plugins::NodeVolumeLimits));
        add("VolumeBinding", |with| {
            let plugin = Arc::new(plugins::VolumeBinding::new(&with.volume_binding));
            Parts {
                filter: Some(plugin.clone()),
                reserve: Some(plugin.clone()),
                pre_bind: Some(plugin),
                ..Parts::default()
            }
        });
        add("VolumeZone", |_| Parts::filter(plugins::VolumeZone));
        add("PodTopologySpread", |with| Parts::both(plugins::TopologySpread::new(&with.spread)));
        add("InterPodAffinity", |with| {
            Parts::both(plugins::InterPodAffinity::new(&with.pod_affinity))
        });
        add("DynamicResources", |_| {
            let plugin = Arc::new(plugins::DynamicResources::default());
            Parts {
                pre_enqueue: Some(plugin.clone()),
                filter: Some(plugin.clone()),
                post_filter: Some(plugin.clone()),
                reserve: Some(plugin.clone()),
                pre_bind: Some(plugin),
                ..Parts::default()
            }
        });
        add("DefaultPreemption", |with| Parts {
            post_filter: Some(Arc::new(plugins::DefaultPreemption::new(&with.preemption))),
            ..Parts::default()
        });
        add("NodeResourcesBalancedAllocation", |with| {
            Parts::score(plugins::BalancedAllocation::new(&with.balanced))
        });
        add("ImageLocality", |_| Parts::score(plugins::ImageLocality));
        add("DefaultBinder", |_| Parts {
            bind: Some(Arc::new(plugins::DefaultBinder)),
            ..Parts::default()
        });
        all
    }
}

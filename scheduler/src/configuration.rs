//! What can be set about schedulers: profiles, their plugins, and the arguments of plugins.
//!
//! [`file`] reads it from a `KubeSchedulerConfiguration` of `kubescheduler.config.k8s.io/v1`; the
//! defaults here are those of Kubernetes. Which plugins a profile has in the end is decided by
//! [`crate::framework::Framework::new`].
//!
//! Source: <https://kubernetes.io/docs/reference/config-api/kube-scheduler-config.v1/>.

mod arguments;
mod fields;
mod file;
mod plugins;
#[cfg(test)]
mod tests;

use std::fmt;

pub use arguments::{
    Arguments, FitArguments, NodeAffinityArguments, PodAffinityArguments, PreemptionArguments,
    ScoringStrategy, ShapePoint, SpreadDefaults, VolumeBindingArguments, Weighed,
};
pub use file::FileError;
pub(crate) use file::read;
pub use plugins::{Enabled, PluginSet, Plugins, Point};

/// One scheduler of this process: whose pods, and by which plugins.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Pods whose `spec.schedulerName` is this are scheduled by the profile. Default:
    /// `default-scheduler`.
    pub scheduler_name: String,
    /// How many percent of the nodes that can run a pod are enough to choose from; 0 falls with the
    /// size of the cluster. Default: what [`crate::Config`] says.
    pub percentage_of_nodes_to_score: Option<u8>,
    /// What is enabled.
    pub plugins: Plugins,
    /// Arguments of plugins.
    pub arguments: Arguments,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            scheduler_name: "default-scheduler".to_owned(),
            percentage_of_nodes_to_score: None,
            plugins: Plugins::default(),
            arguments: Arguments::default(),
        }
    }
}

/// A field of a configuration that makes no sense. Prints as `field: problem`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Problem {
    /// Which, as `profiles[0].plugins.score.enabled[1].weight`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

impl Problem {
    pub(crate) fn new(field: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self { field: field.to_string(), problem: problem.into() }
    }

    /// The same, seen from outside.
    pub(crate) fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), problem: self.problem }
    }
}

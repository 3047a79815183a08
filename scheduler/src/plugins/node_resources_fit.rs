//! Does the pod fit into what is left, and how much would be left after it.

use crate::configuration::{FitArguments, ScoringStrategy, ShapePoint};
use crate::framework::{Change, Filter, MAX_SCORE, Rejection, Score};
use crate::node::{NodeInfo, Offer};
use crate::pod::PodInfo;
use crate::resources::{ResourceName, Resources};

/// Filter: every requested amount, and the number of pods, must fit.
/// Score: by what would be taken of each resource, as the profile's strategy says.
#[derive(Debug)]
pub struct NodeResourcesFit {
    arguments: FitArguments,
    /// The resources that are scored, and their weights.
    scored: Vec<(ResourceName, i64)>,
}

impl Default for NodeResourcesFit {
    fn default() -> Self {
        Self::new(&FitArguments::default())
    }
}

impl NodeResourcesFit {
    /// With a profile's arguments.
    #[must_use]
    pub fn new(arguments: &FitArguments) -> Self {
        let scored = arguments.resources.iter().map(|it| (it.name.as_str().into(), it.weight));
        Self { arguments: arguments.clone(), scored: scored.collect() }
    }

    /// Whether an extended resource need not fit.
    fn ignores(&self, name: &str) -> bool {
        let group = name.split_once('/').map(|(group, _)| group);
        self.arguments.ignored_resources.iter().any(|ignored| ignored == name)
            || group.is_some_and(|group| {
                self.arguments.ignored_resource_groups.iter().any(|ignored| ignored == group)
            })
    }
}

impl Filter for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn filter(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> Result<(), Rejection> {
        let mut reasons = Vec::new();
        let mut resolvable = true;
        if node.pods + 1 > offer.allowed_pods {
            reasons.push("Too many pods".to_owned());
        }
        let (want, taken, have) = (&pod.demands.requests, &node.requested, &offer.allocatable);
        let mut check = |name: &str, want: i64, taken: i64, have: i64| {
            if want > 0 && want > have - taken {
                reasons.push(format!("Insufficient {name}"));
                // More than the whole node: no pod that leaves can help.
                resolvable &= want <= have;
            }
        };
        check("cpu", want.milli_cpu, taken.milli_cpu, have.milli_cpu);
        check("memory", want.memory, taken.memory, have.memory);
        check(
            "ephemeral-storage",
            want.ephemeral_storage,
            taken.ephemeral_storage,
            have.ephemeral_storage,
        );
        for (name, amount) in want.extended.iter().filter(|(name, _)| !self.ignores(name)) {
            let of = |map: &Resources| map.extended.get(name).copied().unwrap_or(0);
            check(name, *amount, of(taken), of(have));
        }
        if reasons.is_empty() { Ok(()) } else { Err(Rejection { reasons, resolvable }) }
    }

    fn helped_by(&self, change: Change) -> bool {
        matches!(change, Change::NodeAdded | Change::NodeGrew | Change::PodRemoved)
    }

    fn opens(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> bool {
        self.filter(pod, node, offer).is_ok()
    }
}

impl Score for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn score(&self, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> i64 {
        let (mut sum, mut weights) = (0, 0);
        let ratio = matches!(self.arguments.strategy, ScoringStrategy::RequestedToCapacityRatio(_));
        for (resource, weight) in &self.scored {
            let (want, taken, have) = amounts(resource, pod, node, offer);
            let is_extended = matches!(resource, ResourceName::Extended(_));
            if have <= 0 || (want == 0 && is_extended) {
                continue;
            }
            let score = self.arguments.strategy.score(taken.saturating_add(want), have);
            // Of a curve only what scores at all counts.
            if !ratio || score > 0 {
                sum += score * weight;
                weights += weight;
            }
        }
        match weights {
            0 => 0,
            weights if ratio => (2 * sum + weights) / (2 * weights),
            weights => sum / weights,
        }
    }
}

/// What the pod wants, what is taken and what there is. CPU and memory with the defaults of containers
/// that say nothing.
fn amounts(of: &ResourceName, pod: &PodInfo, node: &NodeInfo, offer: &Offer) -> (i64, i64, i64) {
    let (want, taken) = match of {
        ResourceName::Cpu | ResourceName::Memory => (&pod.demands.scored, &node.scored),
        _ => (&pod.demands.requests, &node.requested),
    };
    (want.amount(of), taken.amount(of), offer.allocatable.amount(of))
}

impl ScoringStrategy {
    /// The score of a resource of which `used` of `have` would be taken.
    fn score(&self, used: i64, have: i64) -> i64 {
        // i128: bytes times 100 may not fit.
        let share = |part: i64| {
            i64::try_from(i128::from(part) * i128::from(MAX_SCORE) / i128::from(have)).unwrap_or(0)
        };
        match self {
            Self::LeastAllocated if used > have => 0,
            Self::LeastAllocated => share(have - used),
            Self::MostAllocated => share(used.min(have)),
            Self::RequestedToCapacityRatio(shape) => on_curve(shape, share(used.min(have))),
        }
    }
}

/// The score at a utilization in percent; straight between two points, flat beyond the outer ones.
fn on_curve(shape: &[ShapePoint], utilization: i64) -> i64 {
    const SCALE: i64 = MAX_SCORE / 10;
    let Some(after) = shape.iter().position(|point| utilization <= point.utilization) else {
        return shape.last().map_or(0, |last| last.score * SCALE);
    };
    let to = shape[after];
    let Some(from) = after.checked_sub(1).map(|before| shape[before]) else {
        return to.score * SCALE;
    };
    let way = (to.score - from.score) * SCALE * (utilization - from.utilization);
    from.score * SCALE + way / (to.utilization - from.utilization)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Weighed;
    use crate::plugins::fixtures::{node, pod};
    use serde_json::{Value, json};

    fn asking(requests: Value) -> PodInfo {
        pod(json!({"containers": [{"name": "c", "resources": {"requests": requests}}]}))
    }

    #[test]
    fn fit_table() {
        let mut n = node(
            "n",
            json!({"status": {"allocatable":
            {"cpu": "2", "memory": "1Gi", "pods": "2", "example.com/gpu": "1"}}}),
        );
        n.add(&asking(json!({"cpu": "1", "memory": "512Mi"})).into());
        let offer = n.offer.clone().unwrap();
        for (requests, reasons, resolvable) in [
            (json!({}), vec![], true),
            (json!({"cpu": "1", "memory": "512Mi"}), vec![], true),
            (json!({"cpu": "1001m"}), vec!["Insufficient cpu"], true),
            (
                json!({"cpu": "3", "memory": "513Mi"}),
                vec!["Insufficient cpu", "Insufficient memory"],
                false,
            ),
            (json!({"memory": "64Gi"}), vec!["Insufficient memory"], false),
            (json!({"ephemeral-storage": "1"}), vec!["Insufficient ephemeral-storage"], false),
            (json!({"example.com/gpu": "1"}), vec![], true),
            (json!({"example.com/fpga": "1"}), vec!["Insufficient example.com/fpga"], false),
        ] {
            let verdict = NodeResourcesFit::default().filter(&asking(requests.clone()), &n, &offer);
            let expected = if reasons.is_empty() {
                Ok(())
            } else {
                let reasons = reasons.iter().map(|r| (*r).to_owned()).collect();
                Err(Rejection { reasons, resolvable })
            };
            assert_eq!(verdict, expected, "{requests}");
        }
        n.add(&asking(json!({})).into());
        let full = NodeResourcesFit::default().filter(&asking(json!({})), &n, &offer).unwrap_err();
        assert_eq!(full.reasons, ["Too many pods"]);
    }

    #[test]
    fn emptier_nodes_score_higher() {
        let (mut busy, idle) = (node("busy", json!({})), node("idle", json!({})));
        busy.add(&asking(json!({"cpu": "2", "memory": "4Gi"})).into());
        let p = asking(json!({"cpu": "1", "memory": "2Gi"}));
        let score =
            |n: &NodeInfo| NodeResourcesFit::default().score(&p, n, n.offer.as_ref().unwrap());
        assert_eq!(score(&idle), 75);
        assert_eq!(score(&busy), 25);
    }

    #[test]
    fn ignored_resources_need_not_fit() {
        let n = node("n", json!({}));
        let offer = n.offer.clone().unwrap();
        let plugin = NodeResourcesFit::new(&FitArguments {
            ignored_resources: vec!["other.org/a".to_owned()],
            ignored_resource_groups: vec!["example.com".to_owned()],
            ..FitArguments::default()
        });
        for (resource, fits) in
            [("example.com/gpu", true), ("other.org/a", true), ("other.org/b", false)]
        {
            let verdict = plugin.filter(&asking(json!({resource: "1"})), &n, &offer);
            assert_eq!(verdict.is_ok(), fits, "{resource}");
        }
    }

    #[test]
    fn a_profile_says_which_nodes_are_better() {
        let shape = |points: &[(i64, i64)]| {
            let point = |(utilization, score): &(i64, i64)| ShapePoint {
                utilization: *utilization,
                score: *score,
            };
            ScoringStrategy::RequestedToCapacityRatio(points.iter().map(point).collect())
        };
        let mut n = node(
            "n",
            json!({"status": {"allocatable":
            {"cpu": "4", "memory": "8Gi", "pods": "9", "example.com/gpu": "4"}}}),
        );
        n.add(&asking(json!({"cpu": "1", "memory": "2Gi", "example.com/gpu": "1"})).into());
        let offer = n.offer.clone().unwrap();
        let p = asking(json!({"cpu": "2", "memory": "2Gi", "example.com/gpu": "1"}));
        let by = |names: &[(&str, i64)]| {
            let weighed = |(name, weight): &(&str, i64)| Weighed {
                name: (*name).to_owned(),
                weight: *weight,
            };
            names.iter().map(weighed).collect::<Vec<_>>()
        };
        // Taken afterwards: 75 % of the CPU, 50 % of memory and devices.
        for (strategy, resources, expected) in [
            (ScoringStrategy::LeastAllocated, by(&[("cpu", 1), ("memory", 1)]), 37),
            (ScoringStrategy::MostAllocated, by(&[("cpu", 1), ("memory", 1)]), 62),
            (ScoringStrategy::MostAllocated, by(&[("cpu", 3), ("memory", 1)]), 68),
            (ScoringStrategy::MostAllocated, by(&[("example.com/gpu", 1)]), 50),
            (ScoringStrategy::MostAllocated, by(&[("example.com/fpga", 1)]), 0),
            (shape(&[(0, 0), (100, 10)]), by(&[("cpu", 1)]), 75),
            (shape(&[(0, 10), (50, 10), (100, 0)]), by(&[("cpu", 1)]), 50),
            (shape(&[(80, 3)]), by(&[("cpu", 1)]), 30),
            (shape(&[(10, 3)]), by(&[("cpu", 1)]), 30),
        ] {
            let what = format!("{strategy:?} {resources:?}");
            let arguments = FitArguments { strategy, resources, ..FitArguments::default() };
            let plugin = NodeResourcesFit::new(&arguments);
            assert_eq!(Score::score(&plugin, &p, &n, &offer), expected, "{what}");
        }
    }
}

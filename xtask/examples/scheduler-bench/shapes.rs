//! The shapes of Kubernetes' scheduler benchmarks.

/// What a pod asks for, as JSON fields of its spec besides containers, its labels, and its requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    labels: &'static str,
    spec: &'static str,
    cpu: &'static str,
}

/// A benchmark.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Its name here.
    pub(crate) name: &'static str,
    /// Pods that are there before, in the namespace `before`.
    pub(crate) before: Kind,
    /// Pods whose placing is measured, in the namespace `measured`.
    pub(crate) measured: Kind,
    /// How many there are of each at 5,000 nodes.
    counts: (usize, usize),
    /// What else goes on meanwhile.
    pub(crate) beside: Beside,
    /// Zones of the nodes.
    pub(crate) zones: u32,
    /// Wanted pods per second at 5,000 nodes.
    pub(crate) bar: u32,
    /// What Kubernetes wants of itself at 5,000 nodes, on a larger machine.
    pub(crate) gate: Option<u32>,
}

/// What goes on beside the pods that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// Nothing.
    Nothing,
    /// Once a second a node, a Service and a pod that fits nowhere come and go, as in Kubernetes'
    /// SchedulingWithMixedChurn.
    Mixed,
    /// Five times a second a pod comes that takes the place of others, as in Kubernetes'
    /// PreemptionAsync.
    Preemptors,
}

const PLAIN: Kind = Kind { labels: "", spec: "", cpu: "100m" };
const AFFINE: Kind = Kind {
    labels: r#""color":"blue""#,
    spec: r#""affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"color":"blue"}},"topologyKey":"topology.kubernetes.io/zone","namespaces":["before","measured"]}]}},"#,
    cpu: "100m",
};
const APART: Kind = Kind {
    labels: r#""color":"green""#,
    spec: r#""affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"color":"green"}},"topologyKey":"kubernetes.io/hostname","namespaces":["before","measured"]}]}},"#,
    cpu: "100m",
};
const ZONED: Kind = Kind {
    labels: "",
    spec: r#""affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"topology.kubernetes.io/zone","operator":"In","values":["zone1","zone2"]}]}]}}},"#,
    cpu: "100m",
};
const SPREAD: Kind = Kind {
    labels: r#""color":"blue""#,
    spec: r#""topologySpreadConstraints":[{"maxSkew":5,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"color":"blue"}}}],"#,
    cpu: "100m",
};
const LOW: Kind = Kind { labels: "", spec: r#""terminationGracePeriodSeconds":0,"#, cpu: "900m" };
const HIGH: Kind = Kind { labels: "", spec: r#""priorityClassName":"high","#, cpu: "3" };

/// All of them.
pub(crate) const SHAPES: [Shape; 8] = [
    shape("basic", PLAIN, PLAIN, (1_000, 10_000), 2_000, 270),
    Shape { zones: 1, ..shape("node-affinity", ZONED, ZONED, (5_000, 10_000), 1_500, 220) },
    shape("anti-affinity", APART, APART, (1_000, 2_000), 500, 60),
    Shape { zones: 1, ..shape("pod-affinity", AFFINE, AFFINE, (5_000, 5_000), 300, 35) },
    shape("spread", PLAIN, SPREAD, (5_000, 5_000), 500, 85),
    // Kubernetes measures this one (PreemptionBasic) up to 1,000 nodes and has no gate for it.
    Shape { gate: None, ..shape("preemption", LOW, HIGH, (20_000, 5_000), 800, 0) },
    Shape {
        beside: Beside::Preemptors,
        ..shape("preemption-async", LOW, PLAIN, (20_000, 5_000), 1_500, 570)
    },
    Shape { beside: Beside::Mixed, ..shape("churn", PLAIN, PLAIN, (0, 10_000), 1_500, 265) },
];

const fn shape(
    name: &'static str,
    before: Kind,
    measured: Kind,
    counts: (usize, usize),
    bar: u32,
    gate: u32,
) -> Shape {
    let (beside, gate) = (Beside::Nothing, Some(gate));
    Shape { name, before, measured, counts, beside, zones: 3, bar, gate }
}

impl Shape {
    /// How many pods there are before and how many are measured with so many nodes. A small cluster is
    /// measured with up to 20 pods a node where one node may have more than one.
    pub(crate) fn pods(&self, nodes: u32) -> (usize, usize) {
        let share = |count: usize| (count * nodes as usize).div_ceil(5_000);
        let (before, measured) = self.counts;
        let limited = ["anti-affinity", "preemption", "preemption-async"];
        if limited.contains(&self.name) {
            return (share(before), share(measured));
        }
        (share(before), measured.min(20 * nodes as usize))
    }
}

/// A pod of a kind.
pub(crate) fn pod(kind: Kind, name: &str) -> String {
    let Kind { labels, spec, cpu } = kind;
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{{labels}}}}},"spec":{{{spec}"containers":[{{"name":"pause","image":"bench/pause:v1","ports":[{{"containerPort":80}}],"resources":{{"requests":{{"cpu":"{cpu}","memory":"500Mi"}}}}}}]}}}}"#
    )
}

/// The pod that takes the place of three that matter less.
pub(crate) fn preemptor(name: &str) -> String {
    pod(HIGH, name)
}

/// The pod that no node can run and that matters most.
pub(crate) fn too_large(name: &str) -> String {
    pod(Kind { cpu: "9", ..HIGH }, name)
}

/// The kind of the pods that run in the large cluster.
pub(crate) fn plain() -> Kind {
    PLAIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_json_and_fit() {
        for shape in &SHAPES {
            for kind in [shape.before, shape.measured] {
                let text = pod(kind, "p");
                serde_json::from_str::<serde_json::Value>(&text).expect(&text);
            }
            for nodes in [100, 1_000, 5_000] {
                let (before, measured) = shape.pods(nodes);
                // 4 CPUs of 100m are 40 pods a node; a high pod takes the place of low ones.
                assert!(before + measured <= 40 * nodes as usize, "{} {nodes}", shape.name);
            }
        }
        let find = |name: &str| SHAPES.iter().find(|shape| shape.name == name).unwrap();
        assert_eq!(find("preemption").pods(100), (400, 100));
        assert_eq!(find("anti-affinity").pods(1_000), (200, 400));
        assert_eq!(find("basic").pods(100), (20, 2_000));
    }
}

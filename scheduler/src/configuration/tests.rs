use serde_json::{Value, json};

use super::file::parse;
use super::*;
use crate::framework::{Frameworks, Registry};

fn document(more: Value) -> Value {
    let mut document = json!({"apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration"});
    for (field, value) in more.as_object().unwrap() {
        document[field] = value.clone();
    }
    document
}

fn profile(value: Value) -> Value {
    document(json!({"profiles": [value]}))
}

/// The whole way: read, then put together.
fn problem(document: &Value) -> Option<Problem> {
    match parse(document) {
        Err(problem) => Some(problem),
        Ok(read) => Frameworks::new(&read.profiles, &Registry::default()).err(),
    }
}

#[test]
fn what_is_not_said_is_as_in_kubernetes() {
    let read = parse(&document(json!({}))).unwrap();
    assert_eq!(read.profiles.len(), 1);
    assert_eq!(read.profiles[0].scheduler_name, "default-scheduler");
    assert_eq!((read.first_backoff.as_secs(), read.longest_backoff.as_secs()), (1, 10));
    assert_eq!(read.percentage_of_nodes_to_score, 0);
    assert_eq!(read.profiles[0].arguments.fit, FitArguments::default());
}

#[test]
fn a_whole_configuration() {
    let all = document(json!({
        "parallelism": 16, "leaderElection": {"leaderElect": false},
        "percentageOfNodesToScore": 40, "podInitialBackoffSeconds": 2, "podMaxBackoffSeconds": 30,
        "profiles": [
            {"schedulerName": "default-scheduler"},
            {"schedulerName": "packing", "percentageOfNodesToScore": 100,
             "plugins": {
                "multiPoint": {"disabled": [{"name": "ImageLocality"}]},
                "score": {"enabled": [{"name": "NodeResourcesFit", "weight": 7}],
                          "disabled": [{"name": "NodeResourcesBalancedAllocation"}]}},
             "pluginConfig": [
                {"name": "NodeResourcesFit", "args": {"apiVersion": "kubescheduler.config.k8s.io/v1",
                    "kind": "NodeResourcesFitArgs", "ignoredResourceGroups": ["example.com"],
                    "scoringStrategy": {"type": "RequestedToCapacityRatio",
                        "resources": [{"name": "example.com/gpu", "weight": 3}],
                        "requestedToCapacityRatio": {"shape": [
                            {"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]}}}},
                {"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 5}},
                {"name": "PodTopologySpread", "args": {"defaultingType": "List", "defaultConstraints": [
                    {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]}},
                {"name": "NodeAffinity", "args": {"addedAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "pool", "operator": "Exists"}]}]}}}},
                {"name": "DefaultPreemption", "args": {"minCandidateNodesAbsolute": 7}},
                {"name": "VolumeBinding", "args": {"bindTimeoutSeconds": 60}},
                {"name": "Mine", "args": {"any": "thing"}}]}]}));
    let read = parse(&all).unwrap();
    assert_eq!((read.first_backoff.as_secs(), read.longest_backoff.as_secs()), (2, 30));
    assert_eq!(read.percentage_of_nodes_to_score, 40);
    let packing = &read.profiles[1];
    assert_eq!(packing.percentage_of_nodes_to_score, Some(100));
    let given = &packing.arguments;
    assert_eq!(given.fit.ignored_resource_groups, ["example.com"]);
    assert_eq!(given.fit.resources, [Weighed { name: "example.com/gpu".into(), weight: 3 }]);
    let shape = [(0, 0), (100, 10)].map(|(utilization, score)| ShapePoint { utilization, score });
    assert_eq!(given.fit.strategy, ScoringStrategy::RequestedToCapacityRatio(shape.to_vec()));
    assert_eq!(given.pod_affinity.hard_weight, 5);
    assert!(matches!(&given.spread, SpreadDefaults::List(list) if list[0].max_skew == 2));
    assert!(given.node_affinity.required.is_some());
    assert_eq!(given.preemption, PreemptionArguments { percentage: 10, absolute: 7 });
    assert_eq!(given.volume_binding.bind_timeout.as_secs(), 60);
    assert_eq!(given.other["Mine"], json!({"any": "thing"}));

    let all = Frameworks::new(&read.profiles, &Registry::default()).unwrap();
    assert_eq!(all.names().collect::<Vec<_>>(), ["default-scheduler", "packing"]);
    assert_eq!(all.of("default-scheduler").unwrap().scores.len(), 7);
    let scores = &all.of("packing").unwrap().scores;
    let scores: Vec<_> = scores.iter().map(|(score, weight)| (score.name(), *weight)).collect();
    assert_eq!(scores[0], ("NodeResourcesFit", 7));
    assert_eq!(scores.len(), 5);
    assert!(all.of("another").is_none());
}

#[test]
fn what_is_wrong_is_named_with_what_is_allowed() {
    let args =
        |name: &str, args: Value| profile(json!({"pluginConfig": [{"name": name, "args": args}]}));
    let strategy = |strategy: Value| args("NodeResourcesFit", json!({"scoringStrategy": strategy}));
    let spread = |constraint: Value| {
        let list = json!({"defaultingType": "List", "defaultConstraints": [constraint]});
        args("PodTopologySpread", list)
    };
    const ARGS: &str = "profiles[0].pluginConfig[0].args";
    for (document, field, part) in [
        (json!([]), "the document", "must be an object, not a list"),
        (json!({"kind": "KubeSchedulerConfiguration"}), "apiVersion", "must be given"),
        (
            json!({"apiVersion": "kubescheduler.config.k8s.io/v1beta3", "kind": "x"}),
            "apiVersion",
            "must be one of kubescheduler.config.k8s.io/v1",
        ),
        (document(json!({"profile": []})), "profile", "unknown field; allowed are apiVersion"),
        (document(json!({"extenders": [{}]})), "extenders", "not supported"),
        (
            document(json!({"percentageOfNodesToScore": 101})),
            "percentageOfNodesToScore",
            "101 must be a whole number from 0 to 100",
        ),
        (
            document(json!({"podInitialBackoffSeconds": 5, "podMaxBackoffSeconds": 4})),
            "podMaxBackoffSeconds",
            "from 5 to",
        ),
        (
            document(json!({"profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]})),
            "profiles[1].schedulerName",
            "has a profile already",
        ),
        (
            document(json!({"profiles": [{"schedulerName": "a"}, {}]})),
            "profiles[1].schedulerName",
            "must be given",
        ),
        (profile(json!({"schedulerName": ""})), "profiles[0].schedulerName", "must not be empty"),
        (
            profile(json!({"plugins": {"scores": {}}})),
            "profiles[0].plugins.scores",
            "unknown field; allowed are multiPoint, preEnqueue",
        ),
        (
            profile(json!({"plugins": {"score": {"enabled": [{"name": "Typo"}]}}})),
            "profiles[0].plugins.score.enabled[0]",
            "there is no plugin \"Typo\"; there are DefaultBinder",
        ),
        (
            profile(
                json!({"plugins": {"score": {"enabled": [{"name": "ImageLocality", "weight": -1}]}}}),
            ),
            "profiles[0].plugins.score.enabled[0].weight",
            "-1 must be a whole number",
        ),
        (
            strategy(json!({"type": "Fullest"})),
            &format!("{ARGS}.scoringStrategy.type"),
            "must be one of LeastAllocated, MostAllocated, RequestedToCapacityRatio",
        ),
        (
            strategy(json!({"type": "RequestedToCapacityRatio"})),
            &format!("{ARGS}.scoringStrategy.requestedToCapacityRatio"),
            "must be given",
        ),
        (
            strategy(
                json!({"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 101}]}),
            ),
            &format!("{ARGS}.scoringStrategy.resources[0].weight"),
            "from 1 to 100",
        ),
        (
            args("InterPodAffinity", json!({"hardPodAffinityWeight": "5"})),
            &format!("{ARGS}.hardPodAffinityWeight"),
            "\"5\" must be a whole number from 0 to 100",
        ),
        (
            spread(json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "Maybe"})),
            &format!("{ARGS}.defaultConstraints[0].whenUnsatisfiable"),
            "must be one of DoNotSchedule, ScheduleAnyway",
        ),
        (
            spread(json!({"maxSkew": 1, "topologyKey": "zone", "labelSelector": {},
                "whenUnsatisfiable": "DoNotSchedule"})),
            &format!("{ARGS}.defaultConstraints[0].labelSelector"),
            "unknown field",
        ),
        (
            args(
                "DefaultPreemption",
                json!({"minCandidateNodesPercentage": 0,
                "minCandidateNodesAbsolute": 0}),
            ),
            ARGS,
            "must not both be 0",
        ),
    ] {
        let problem = problem(&document).unwrap_or_else(|| panic!("accepted: {document}"));
        assert_eq!(problem.field, field, "{problem}");
        assert!(problem.problem.contains(part), "{problem}");
    }
}

#[test]
fn files_say_which_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scheduler.yaml");
    let missing = read(&path).unwrap_err().to_string();
    assert!(missing.contains("scheduler.yaml cannot be read"), "{missing}");
    std::fs::write(&path, "a: [").unwrap();
    let syntax = read(&path).unwrap_err().to_string();
    assert!(syntax.contains("scheduler.yaml is not valid YAML"), "{syntax}");
    std::fs::write(&path, "apiVersion: kubescheduler.config.k8s.io/v1\nkind: Pod\n").unwrap();
    let field = read(&path).unwrap_err().to_string();
    let wanted = "scheduler.yaml: kind: \"Pod\" must be one of KubeSchedulerConfiguration";
    assert!(field.ends_with(wanted), "{field}");
}

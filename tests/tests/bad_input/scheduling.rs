//! Pods that no node can take.

use tests::cluster::Cluster;

use super::witness::Witness;

#[test]
fn a_pod_that_fits_nowhere() {
    let cluster = Cluster::start().unwrap();
    let witness = Witness::start(&cluster);
    let huge = |name: &str, rest: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n  - {{name: c, image: test/web:v1, {rest}}}\n---\n"
        )
    };
    let mut manifest = huge("memory", "resources: {requests: {memory: 100Ti}}");
    manifest.push_str(&huge("cpu", "resources: {limits: {cpu: 5k}}"));
    manifest.push_str(&huge("both", "resources: {requests: {memory: 100Ti, cpu: 5k}}"));
    manifest.push_str(
        &huge("elsewhere", "resources: {}")
            .replace("spec:\n", "spec:\n  nodeSelector: {disk: ssd}\n"),
    );
    cluster.apply(&manifest).unwrap();
    // None of these would fit an empty node, so that evicting others is of no use.
    let preemption = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not \
         helpful for scheduling.";
    for (name, why) in [
        ("memory", "1 Insufficient memory."),
        ("cpu", "1 Insufficient cpu."),
        ("both", "1 Insufficient cpu, 1 Insufficient memory."),
        ("elsewhere", "1 node(s) didn't match Pod's node affinity/selector."),
    ] {
        let text = format!("0/1 nodes are available: {why}");
        let pod = cluster.until(&["pod", name], |pod| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|condition| {
                condition["type"] == "PodScheduled"
                    && condition["status"] == "False"
                    && condition["reason"] == "Unschedulable"
                    && condition["message"]
                        .as_str()
                        .is_some_and(|message| message.starts_with(&text))
            })
        });
        assert_eq!(pod["status"]["phase"], "Pending");
        let of_pod = format!("involvedObject.name={name},reason=FailedScheduling");
        let events = cluster.until(&["events", "--field-selector", &of_pod], |list| {
            list["items"].as_array().is_some_and(|events| !events.is_empty())
        });
        let message = events["items"][0]["message"].as_str().unwrap();
        assert!(message.starts_with(&text), "{message}");
        assert_eq!(message, format!("{text} {preemption}"));
        let described = cluster.wctl(&["describe", "pod", name]).unwrap();
        assert!(described.contains("FailedScheduling") && described.contains(&text), "{described}");
    }
    witness.is_undisturbed(&cluster);
}

//! Volumes that outlive pods: claims of the default class, their folders, and what becomes of both.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::os::unix::fs::MetadataExt as _;

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE};
use tests::images::Layout;
use tests::wait;

fn cluster() -> Cluster {
    let cluster = Cluster::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    let path = layout.path();
    let arguments = ["image", "load", path.to_str().unwrap(), "--name", "test/busybox:v1"];
    cluster.wctl(&arguments).unwrap();
    cluster
}

/// A pod that runs one script to its end, with the claim at /data.
fn script(name: &str, claim: &str, mount: &str, script: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: test/busybox:v1
    command: [sh, -c, '{script}']
    volumeMounts: [{{name: data, mountPath: /data{mount}}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: {claim}}}}}]
"
    )
}

const CLAIM: &str = "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
";

fn succeeded(pod: &Value) -> bool {
    assert_ne!(pod["status"]["phase"], "Failed", "{pod}");
    pod["status"]["phase"] == "Succeeded"
}

fn none(list: &Value) -> bool {
    list["items"].as_array().is_some_and(Vec::is_empty)
}

/// The folders of volumes that there are.
fn folders(cluster: &Cluster) -> Vec<String> {
    let entries = std::fs::read_dir(cluster.data_dir().join("volumes"));
    let names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

/// Waits for an event of a pod whose message has this in it.
fn told(cluster: &Cluster, pod: &str, reason: &str, part: &str) {
    let about = format!("involvedObject.name={pod},reason={reason}");
    cluster.until(&["events", "--field-selector", &about], |list| {
        let events = list["items"].as_array().map_or(&[][..], Vec::as_slice);
        events.iter().any(|event| event["message"].as_str().is_some_and(|text| text.contains(part)))
    });
}

/// Everything is removed, and nothing of it is left on the disk.
fn nothing_is_left(cluster: &Cluster) {
    cluster.until(&["persistentvolumeclaims"], none);
    cluster.until(&["persistentvolumes"], none);
    wait::eventually("the folders are gone", PATIENCE, || {
        let left = folders(cluster);
        if left.is_empty() { Ok(()) } else { Err(left.join(" ")) }
    });
}

#[test]
fn a_claim_keeps_what_a_pod_wrote_for_the_next() {
    let cluster = cluster();
    // The pod comes before its claim, and waits for it.
    let write = "echo kept > /data/file && mkdir /data/part && echo part > /data/part/file";
    cluster.apply(&script("writer", "kept", "", write)).unwrap();
    told(&cluster, "writer", "FailedScheduling", "persistentvolumeclaim \"kept\" not found.");
    cluster.apply(CLAIM).unwrap();
    cluster.until(&["pod", "writer"], succeeded);
    let claim = cluster.get(&["persistentvolumeclaim", "kept"]).unwrap();
    assert_eq!(claim["spec"]["storageClassName"], "local-path");
    assert_eq!(claim["status"]["phase"], "Bound");
    let selected = &claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"];
    let pod = cluster.get(&["pod", "writer"]).unwrap();
    assert_eq!(*selected, pod["spec"]["nodeName"]);
    assert_eq!(folders(&cluster).len(), 1);
    cluster.wctl(&["delete", "pod", "writer"]).unwrap();
    cluster.until(&["pods"], none);

    let refused = "cat /data/file; touch /data/new || echo read-only";
    cluster.apply(&script("reader", "kept", ", readOnly: true", refused)).unwrap();
    cluster.apply(&script("part", "kept", ", subPath: part", "cat /data/file")).unwrap();
    for (pod, wanted) in [("reader", vec!["kept", "read-only"]), ("part", vec!["part"])] {
        cluster.until(&["pod", pod], succeeded);
        let log = cluster.wctl(&["logs", pod]).unwrap();
        let said: Vec<&str> = log.lines().filter(|line| !line.starts_with("touch")).collect();
        assert_eq!(said, wanted, "{log}");
    }
    cluster.wctl(&["delete", "pod", "reader", "part"]).unwrap();
    cluster.wctl(&["delete", "persistentvolumeclaim", "kept"]).unwrap();
    nothing_is_left(&cluster);
}

const SET: &str = "apiVersion: v1
kind: Service
metadata: {name: set}
spec: {clusterIP: None, selector: {app: set}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: set}
spec:
  serviceName: set
  selector: {matchLabels: {app: set}}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}
  template:
    metadata: {labels: {app: set}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: test/busybox:v1
        command: [sh, -c, 'echo $HOSTNAME >> /data/starts; cat /data/starts; exec sleep 100000']
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
";

#[test]
fn a_stateful_set_keeps_its_data_when_its_pod_goes() {
    let cluster = cluster();
    cluster.apply(SET).unwrap();
    let started = |times: usize| {
        wait::eventually(&format!("start {times} of set-0"), PATIENCE, || {
            let log = cluster.wctl(&["logs", "set-0"]).map_err(|error| format!("{error:#}"))?;
            if log == "set-0\n".repeat(times) { Ok(()) } else { Err(log) }
        });
    };
    started(1);
    cluster.wctl(&["delete", "pod", "set-0"]).unwrap();
    started(2);
    assert_eq!(folders(&cluster).len(), 1);
    cluster.wctl(&["delete", "statefulset", "set"]).unwrap();
    nothing_is_left(&cluster);
}

#[test]
fn an_ephemeral_volume_goes_with_its_pod() {
    let cluster = cluster();
    let pod = script("scratch", "none", "", "echo x > /data/file").replace(
        "persistentVolumeClaim: {claimName: none}",
        "ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], \
         resources: {requests: {storage: 1Mi}}}}}",
    );
    cluster.apply(&pod).unwrap();
    cluster.until(&["pod", "scratch"], succeeded);
    let claim = cluster.get(&["persistentvolumeclaim", "scratch-data"]).unwrap();
    assert_eq!(claim["metadata"]["ownerReferences"][0]["kind"], "Pod");
    cluster.wctl(&["delete", "pod", "scratch"]).unwrap();
    nothing_is_left(&cluster);
}

#[test]
fn a_pod_that_nobody_schedules_waits_on_its_node_for_a_bound_claim() {
    let cluster = cluster();
    let nodes = cluster.get(&["nodes"]).unwrap();
    let node = nodes["items"][0]["metadata"]["name"].as_str().unwrap();
    let named = format!("spec:\n  nodeName: {node}\n");
    let pod = script("fixed", "mine", "", "echo here > /data/file").replace("spec:\n", &named);
    cluster.apply(&pod).unwrap();
    let missing = "error processing PVC default/mine: failed to fetch PVC from API server: \
                   persistentvolumeclaims \"mine\" not found";
    told(&cluster, "fixed", "FailedMount", missing);

    let folder = cluster.data_dir().join("by-hand");
    let volume = format!(
        "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: mine}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: '', resources: {{requests: {{storage: 1Mi}}}}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: by-hand}}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {{storage: 1Mi}}
  hostPath: {{path: {}, type: DirectoryOrCreate}}
",
        folder.display()
    );
    cluster.apply(&volume).unwrap();
    cluster.until(&["pod", "fixed"], succeeded);
    assert_eq!(std::fs::read_to_string(folder.join("file")).unwrap(), "here\n");
    cluster.wctl(&["delete", "pod", "fixed"]).unwrap();
    cluster.wctl(&["delete", "persistentvolumeclaim", "mine"]).unwrap();
    cluster.until(&["persistentvolumes"], |list| list["items"][0]["status"]["phase"] == "Released");
    assert!(folder.join("file").exists(), "a volume that is retained keeps its data");
}

#[test]
fn a_volume_made_by_hand_is_found_for_its_first_pod() {
    let cluster = cluster();
    let nodes = cluster.get(&["nodes"]).unwrap();
    let host = nodes["items"][0]["metadata"]["labels"]["kubernetes.io/hostname"].as_str().unwrap();
    let folder = cluster.data_dir().join("disk");
    std::fs::create_dir(&folder).unwrap();
    let volume = |name: &str, path: &str, host: &str| {
        format!(
            "apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}}}
spec:
  accessModes: [ReadWriteOnce]
  capacity: {{storage: 1Mi}}
  storageClassName: disks
  local: {{path: {path}}}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{host}]}}]
---
"
        )
    };
    let class = "apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: disks}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
---
";
    let claim = CLAIM.replace("spec: {", "spec: {storageClassName: disks, ").replace("1Gi", "1Mi");
    let pod = script("grouped", "kept", "", "echo x > /data/file").replace(
        "spec:\n",
        "spec:\n  securityContext: {fsGroup: 4242, runAsUser: 1000, runAsGroup: 1000}\n",
    );
    let elsewhere = volume("elsewhere", "/nowhere", "another");
    cluster.apply(&format!("{class}{elsewhere}{claim}---\n{pod}")).unwrap();
    let none = "node(s) didn't find available persistent volumes to bind.";
    told(&cluster, "grouped", "FailedScheduling", none);
    cluster.apply(&volume("here", folder.to_str().unwrap(), host)).unwrap();
    cluster.until(&["pod", "grouped"], succeeded);
    let claim = cluster.get(&["persistentvolumeclaim", "kept"]).unwrap();
    assert_eq!(claim["spec"]["volumeName"], "here");
    let made = std::fs::metadata(folder.join("file")).unwrap();
    assert_eq!((made.uid(), made.gid()), (1000, 4242), "the folder is the group's");
}

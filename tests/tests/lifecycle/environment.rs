//! What a container finds around it: environment, volumes, names.

use tests::cluster::Cluster;

use super::pods::{cluster, finished, ready, status, until_log, value};

const CONFIGURATION: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {colour: blue, size: '7', 'not.a.name': fine, file.txt: \"line one\\n\"}
binaryData: {raw: AAEC}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {password: 'hunter 2', user: admin}
";

const PODS: &str = "apiVersion: v1
kind: Pod
metadata:
  name: surroundings
  labels: {app: around, tier: back}
  annotations: {note: a \"quoted\" note}
spec:
  restartPolicy: Never
  hostname: chosen
  hostAliases:
  - {ip: 192.0.2.7, hostnames: [seven.example, seven]}
  dnsPolicy: None
  dnsConfig: {nameservers: [192.0.2.53], searches: [one.example, two.example], options: [{name: ndots, value: '3'}]}
  volumes:
  - {name: shared, emptyDir: {}}
  - {name: settings, configMap: {name: settings, items: [{key: colour, path: deep/colour}, {key: raw, path: raw}]}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0400}}
  - {name: maybe, configMap: {name: does-not-exist, optional: true}}
  - {name: host, hostPath: {path: HOST_FOLDER}}
  - name: about
    downwardAPI:
      items:
      - {path: labels, fieldRef: {fieldPath: metadata.labels}}
      - {path: note, fieldRef: {fieldPath: \"metadata.annotations['note']\"}}
      - {path: memory, resourceFieldRef: {containerName: native, resource: limits.memory, divisor: 1Mi}}
  initContainers:
  - name: write
    image: test/vol:v1
    args: [write, /data/from-wasm, 'written by Wasm']
    volumeMounts: [{name: shared, mountPath: /data}]
  containers:
  - name: native
    image: test/busybox:v1
    workingDir: /tmp
    resources: {limits: {memory: 64Mi, cpu: 250m}, requests: {cpu: 100m}}
    env:
    - {name: PLAIN, value: a plain value}
    - {name: COMPOSED, value: 'and $(PLAIN), not $$(PLAIN)'}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: TIER, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['tier']\"}}}
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
    - {name: MISSING, valueFrom: {configMapKeyRef: {name: settings, key: nothing, optional: true}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: password}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    envFrom:
    - {configMapRef: {name: settings}}
    - {prefix: KEY_, secretRef: {name: keys}}
    command: [sh, -c]
    args:
    - |
      env
      echo PWD_IS=$(pwd)
      echo HOSTNAME_IS=$(hostname)
      echo FROM_WASM=$(cat /data/from-wasm)
      echo DEEP=$(cat /settings/deep/colour)
      echo RAW=$(hexdump -v -e '1/1 \"%02x\"' /settings/raw)
      echo SETTINGS=$(ls /settings)
      echo KEY=$(cat /keys/password)
      echo KEY_MODE=$(stat -L -c %a /keys/password)
      echo MAYBE=$(ls /maybe)
      echo HOST=$(cat /host/file)
      echo LABELS=$(cat /about/labels)
      echo NOTE=$(cat /about/note)
      echo MEMORY=$(cat /about/memory)
      echo SETTINGS_WRITABLE=$(touch /settings/x 2>/dev/null && echo yes || echo no)
      echo written by the container > /host/answer
      cat /etc/hosts
      cat /etc/resolv.conf
      echo the end
    volumeMounts:
    - {name: shared, mountPath: /data, readOnly: true}
    - {name: settings, mountPath: /settings}
    - {name: keys, mountPath: /keys}
    - {name: maybe, mountPath: /maybe}
    - {name: host, mountPath: /host}
    - {name: about, mountPath: /about}
  - name: wasm
    image: test/hello:v1
    args: ['arg of $(COLOUR)', '$(NOT_DEFINED)']
    env:
    - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
    envFrom:
    - {secretRef: {name: keys}}
  - name: wasm-reads
    image: test/vol:v1
    args: [cat, /s/password]
    volumeMounts: [{name: keys, mountPath: /s}]
  - name: wasm-writes
    image: test/vol:v1
    args: [write, /s/password, mine]
    volumeMounts: [{name: shared, mountPath: /s, readOnly: true}]
";

#[test]
fn a_container_finds_what_its_pod_says() {
    let cluster = cluster();
    cluster.load_fixture("hello.wasm", "test/hello:v1").unwrap();
    cluster.load_fixture("vol.wasm", "test/vol:v1").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "of the host").unwrap();
    cluster.apply(CONFIGURATION).unwrap();
    let pods = PODS.replace("HOST_FOLDER", folder.path().to_str().unwrap());
    cluster.apply(&pods).unwrap();

    let pod = finished(&cluster, "surroundings");
    let log = until_log(&cluster, &["surroundings", "-c", "native"], |log| log.contains("the end"));
    let node = cluster.get(&["nodes"]).unwrap()["items"][0]["metadata"]["name"].clone();
    let ip = pod["status"]["podIP"].as_str().unwrap();
    for (key, expected) in [
        ("PLAIN", "a plain value"),
        ("COMPOSED", "and a plain value, not $(PLAIN)"),
        ("NAME", "surroundings"),
        ("IP", ip),
        ("NODE", node.as_str().unwrap()),
        ("TIER", "back"),
        ("COLOUR", "blue"),
        ("PASSWORD", "hunter 2"),
        ("CPU", "250"),
        ("size", "7"),
        ("colour", "blue"),
        ("KEY_user", "admin"),
        ("PWD_IS", "/tmp"),
        ("HOSTNAME_IS", "chosen"),
        ("HOSTNAME", "chosen"),
        ("KUBERNETES_SERVICE_PORT", "443"),
        ("FROM_WASM", "written by Wasm"),
        ("DEEP", "blue"),
        ("RAW", "000102"),
        ("SETTINGS", "deep raw"),
        ("KEY", "hunter 2"),
        ("KEY_MODE", "400"),
        ("MAYBE", ""),
        ("HOST", "of the host"),
        ("LABELS", "app=\"around\" tier=\"back\""),
        ("NOTE", "a \"quoted\" note"),
        ("MEMORY", "64"),
        ("SETTINGS_WRITABLE", "no"),
    ] {
        assert_eq!(value(&log, key), expected, "{key} in:\n{log}");
    }
    assert!(!log.contains("\nMISSING="), "{log}");
    assert!(log.contains(&format!("{ip}\tchosen\n")), "{log}");
    assert!(log.contains("192.0.2.7\tseven.example\tseven\n"), "{log}");
    assert!(
        log.contains("search one.example two.example\nnameserver 192.0.2.53\noptions ndots:3\n"),
        "{log}"
    );
    let answer = std::fs::read_to_string(folder.path().join("answer")).unwrap();
    assert_eq!(answer, "written by the container\n");

    let wasm = cluster.wctl(&["logs", "surroundings", "-c", "wasm"]).unwrap();
    assert!(wasm.contains("]=arg of blue\n"), "{wasm}");
    assert!(wasm.contains("]=$(NOT_DEFINED)\n"), "{wasm}");
    assert!(
        wasm.contains("env COLOUR=blue\n") && wasm.contains("env password=hunter 2\n"),
        "{wasm}"
    );
    assert!(!wasm.contains("PLAIN"), "the neighbour's environment: {wasm}");
    let read = cluster.wctl(&["logs", "surroundings", "-c", "wasm-reads"]).unwrap();
    assert_eq!(read.trim_end(), "hunter 2");
    let wrote = cluster.wctl(&["logs", "surroundings", "-c", "wasm-writes"]).unwrap();
    assert!(wrote.starts_with("error /s/password"), "{wrote}");

    what_is_missing_is_waited_for(&cluster);
    a_changed_configuration_reaches_the_volume(&cluster);
}

/// A reference to nothing keeps a container waiting, with a reason; as soon as it exists, it starts.
fn what_is_missing_is_waited_for(cluster: &Cluster) {
    cluster
        .apply(
            "apiVersion: v1
kind: Pod
metadata: {name: early}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: test/hello:v1
    env:
    - {name: LATE, valueFrom: {configMapKeyRef: {name: later, key: key}}}
",
        )
        .unwrap();
    let pod = cluster.until(&["pod", "early"], |pod| {
        status(pod, "c")["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    });
    let message = status(&pod, "c")["state"]["waiting"]["message"].as_str().unwrap();
    assert_eq!(message, "configmap \"later\" not found");
    cluster
        .apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: later}\ndata: {key: here}\n")
        .unwrap();
    finished(cluster, "early");
    let log = cluster.wctl(&["logs", "early"]).unwrap();
    assert!(log.contains("env LATE=here\n"), "{log}");
}

/// A running container sees the new contents of a mounted ConfigMap.
fn a_changed_configuration_reaches_the_volume(cluster: &Cluster) {
    cluster
        .apply(
            "apiVersion: v1
kind: Pod
metadata: {name: watches}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {name: settings, configMap: {name: settings}}
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c, 'until grep -q green /settings/colour; do sleep 0.1; done; echo it is green; sleep 100000']
    volumeMounts: [{name: settings, mountPath: /settings}]
",
        )
        .unwrap();
    ready(cluster, "watches");
    cluster.apply(&CONFIGURATION.replace("blue", "green")).unwrap();
    until_log(cluster, &["watches"], |log| log == "it is green\n");
}

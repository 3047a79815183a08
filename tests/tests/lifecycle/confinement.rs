//! `securityContext` and limits, as the kernel sees them.

use super::pods::{cgroup_files, cluster, ready, status, until_log, value};

const REPORT: &str = "
      echo ID=$(id -u):$(id -g):$(id -G)
      for name in CapEff CapPrm CapBnd NoNewPrivs Seccomp; do echo $name=$(sed -n \"s/^$name:\\s*//p\" /proc/self/status); done
      echo ROOT_WRITABLE=$(touch /x 2>/dev/null && echo yes || echo no)
      echo TMP_WRITABLE=$(touch /tmp/x 2>/dev/null && echo yes || echo no)
      echo PROC_WRITABLE=$(echo 0 2>/dev/null > /proc/sys/kernel/panic && echo yes || echo no)
      echo KCORE=$(head -c 1 /proc/kcore 2>/dev/null | wc -c)
      echo DEVICES=$(ls /dev | tr '\\n' ' ')
      echo PID=$$$$
      echo MOUNT=$(mount -t tmpfs none /mnt 2>/dev/null && echo yes || echo no)
      sleep 100000
";

const PODS: &str = "apiVersion: v1
kind: Pod
metadata: {name: plain}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    resources: {requests: {cpu: 500m, memory: 16Mi}, limits: {cpu: 750m, memory: 48Mi}}
    command: [sh, -c]
    args:
    - |REPORT
---
apiVersion: v1
kind: Pod
metadata: {name: confined}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: 1000, runAsGroup: 3000, supplementalGroups: [4000], fsGroup: 5000}
  volumes:
  - {name: tmp, emptyDir: {}}
  containers:
  - name: c
    image: test/busybox:v1
    securityContext:
      runAsNonRoot: true
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL]}
    volumeMounts: [{name: tmp, mountPath: /tmp}]
    command: [sh, -c]
    args:
    - |REPORT
---
apiVersion: v1
kind: Pod
metadata: {name: one-capability}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    securityContext: {capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}
    command: [sh, -c]
    args:
    - |REPORT
---
apiVersion: v1
kind: Pod
metadata: {name: privileged}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    securityContext: {privileged: true}
    command: [sh, -c]
    args:
    - |REPORT
---
apiVersion: v1
kind: Pod
metadata: {name: must-not-be-root}
spec:
  containers:
  - {name: c, image: test/busybox:v1, securityContext: {runAsNonRoot: true}, command: ['true']}
---
apiVersion: v1
kind: Pod
metadata: {name: wasm}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: c, image: test/spin:v1, args: [sleep, '100000'], resources: {limits: {cpu: 500m, memory: 96Mi}}}
";

#[test]
fn the_kernel_holds_containers_to_their_security_context_and_limits() {
    let cluster = cluster();
    cluster.load_fixture("spin.wasm", "test/spin:v1").unwrap();
    cluster.apply(&PODS.replace("REPORT", REPORT)).unwrap();
    let report = |pod: &str| until_log(&cluster, &[pod], |log| log.contains("MOUNT="));

    let plain = report("plain");
    assert_eq!(value(&plain, "ID"), "0:0:0");
    // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw,
    // sys_chroot, mknod, audit_write, setfcap: the set that all runtimes give.
    assert_eq!(value(&plain, "CapEff"), "00000000a80425fb");
    assert_eq!(value(&plain, "CapBnd"), "00000000a80425fb");
    assert_eq!((value(&plain, "NoNewPrivs"), value(&plain, "Seccomp")), ("0", "2"));
    assert_eq!(value(&plain, "ROOT_WRITABLE"), "yes");
    assert_eq!(value(&plain, "PROC_WRITABLE"), "no");
    assert_eq!(value(&plain, "KCORE"), "0", "masked");
    assert_eq!(value(&plain, "PID"), "1");
    assert_eq!(value(&plain, "MOUNT"), "no");
    let devices = value(&plain, "DEVICES");
    for device in ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "shm", "stdout"] {
        assert!(devices.split(' ').any(|name| name == device), "{device} in {devices}");
    }
    assert!(
        !devices.contains("mem") && !devices.contains("sda") && !devices.contains("vda"),
        "{devices}"
    );

    let confined = report("confined");
    let id = value(&confined, "ID");
    assert!(id.starts_with("1000:3000:3000 "), "{id}");
    assert!(id.contains(" 4000") && id.contains(" 5000"), "{id}");
    assert_eq!(value(&confined, "CapEff"), "0000000000000000");
    assert_eq!(value(&confined, "CapPrm"), "0000000000000000");
    assert_eq!(value(&confined, "CapBnd"), "0000000000000000");
    assert_eq!((value(&confined, "NoNewPrivs"), value(&confined, "Seccomp")), ("1", "2"));
    assert_eq!(
        (value(&confined, "ROOT_WRITABLE"), value(&confined, "TMP_WRITABLE")),
        ("no", "yes")
    );

    let one = report("one-capability");
    assert_eq!(value(&one, "CapEff"), "0000000000000400");

    let privileged = report("privileged");
    assert_eq!((value(&privileged, "Seccomp"), value(&privileged, "NoNewPrivs")), ("0", "0"));
    assert_ne!(value(&privileged, "CapEff"), "00000000a80425fb");

    let pod = cluster.until(&["pod", "must-not-be-root"], |pod| {
        status(pod, "c")["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    });
    let message = status(&pod, "c")["state"]["waiting"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("container has runAsNonRoot and image will run as root"),
        "{message}"
    );

    let uid = ready(&cluster, "plain")["metadata"]["uid"].as_str().unwrap().to_owned();
    limits(&uid, 48 << 20, 75_000);
    let uid = ready(&cluster, "wasm")["metadata"]["uid"].as_str().unwrap().to_owned();
    limits(&uid, 96 << 20, 50_000);
}

/// What the cgroup of container `c` says, on v1 and v2 hosts; `quota` is in microseconds per 100 ms.
fn limits(uid: &str, memory: u64, quota: u64) {
    let found = cgroup_files(uid, "c", &["memory.max", "memory.limit_in_bytes"]);
    assert_eq!(found, [memory.to_string()]);
    let found = cgroup_files(uid, "c", &["cpu.max", "cpu.cfs_quota_us"]);
    assert_eq!(found[0].split(' ').next().unwrap(), quota.to_string());
    // The number of tasks is limited for the pod as a whole.
    assert_eq!(cgroup_files(uid, "", &["pids.max"]), ["4096"]);
}

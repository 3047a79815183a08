//! `wctl` as people and scripts meet it: what it prints, how it ends, what it says when it cannot.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tests::cluster::{self, Cluster};
use tests::images::Layout;
use tests::process::Guard;
use tests::program;

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().expect("ended by itself"), text(stdout), text(stderr))
}

#[test]
fn running_programs() {
    let cluster = Cluster::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    let path = layout.path();
    cluster.wctl(&["image", "load", path.to_str().unwrap(), "--name", "test/busybox:v1"]).unwrap();
    let hello = program::repository().join("fixtures/wasm/hello.wasm");
    let hello = hello.to_str().unwrap();
    let pods = || cluster.wctl(&["get", "pods", "-o", "name"]).unwrap();

    // A .wasm file: output, arguments, environment and exit code are the program's.
    let arguments = ["run", "--rm", "-e", "A=1", "--env", "B=x=y", hello, "one", "--exit", "7"];
    let (code, out, err) = run(cluster.command().args(arguments));
    assert_eq!((code, err.as_str()), (7, ""), "{out}");
    assert!(
        out.starts_with("hello argc=4\narg[0]=hello.wasm\narg[1]=one\narg[2]=--exit\narg[3]=7\n"),
        "{out}"
    );
    assert!(out.contains("\nenv A=1\n") && out.contains("\nenv B=x=y\n"), "{out}");
    // The file's own name is used although the same content has another name already.
    cluster.load_fixture("hello.wasm", "other/name:v9").unwrap();
    let loaded = cluster.wctl(&["image", "load", hello]).unwrap();
    assert!(loaded.starts_with("loaded docker.io/library/hello:latest (wasip1/wasm, "), "{loaded}");
    // A native image; standard error comes, too; a signal is 128 more.
    let (code, out, _) = run(cluster.command().args([
        "run",
        "--rm",
        "test/busybox:v1",
        "sh",
        "-c",
        "echo out; echo err >&2; sleep 1000 & kill -9 $!; wait $!",
    ]));
    assert_eq!(code, 137);
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.iter().filter(|line| ["err", "out"].contains(line)).count(), 2, "{out}");
    // A trap says what happened.
    let (code, _, err) = run(cluster.command().args(["run", "--rm", hello, "--abort"]));
    assert_eq!(code, 134, "{err}");
    assert!(err.starts_with("WasmTrap: ") && err.contains("unreachable"), "{err}");
    cluster.until(&["pods"], |list| list["items"].as_array().is_some_and(Vec::is_empty));

    // Without --rm the pod stays; detached, only its name comes.
    let (code, _, _) = run(cluster.command().args(["run", "--name", "kept", hello, "--exit", "3"]));
    assert_eq!((code, pods()), (3, "pod/kept\n".to_owned()));
    let told = cluster
        .wctl(&["run", "-d", "--name", "behind", "test/busybox:v1", "sleep", "1000000"])
        .unwrap();
    assert_eq!(told, "pod/behind\n");
    assert_eq!(
        cluster.wctl(&["wait", "--for=condition=Ready", "pod/behind", "--timeout=90s"]).unwrap(),
        "pod/behind condition met\n"
    );
    let ps = cluster.wctl(&["ps"]).unwrap();
    assert!(ps.starts_with("CONTAINER ID") && ps.lines().count() == 2, "{ps}");
    assert!(ps.contains(" Up ") && ps.contains("behind") && !ps.contains("kept"), "{ps}");
    let ps = cluster.wctl(&["ps", "-a"]).unwrap();
    assert!(ps.lines().any(|line| line.contains("Exited (3)") && line.contains("kept")), "{ps}");
    cluster.wctl(&["delete", "pod", "behind", "kept", "--grace-period=1"]).unwrap();
    assert_eq!(pods(), "");

    // What cannot run is said, and leaves no pod.
    let (code, _, err) = run(cluster.command().args(["run", "./nothing.wasm"]));
    assert_eq!((code, err.as_str()), (1, "error: ./nothing.wasm: no such file\n"));
    let (code, _, err) = run(cluster.command().args(["run", "127.0.0.1:9/nothing:v1"]));
    assert_eq!(code, 1);
    assert!(
        err.starts_with("error: ErrImagePull: ") && err.contains("127.0.0.1:9/nothing:v1"),
        "{err}"
    );
    let (code, _, err) = run(cluster.command().args(["run", "--env", "novalue", hello]));
    assert_eq!((code, err.as_str()), (1, "error: --env novalue: expected KEY=VALUE\n"));
    cluster.until(&["pods"], |list| list["items"].as_array().is_some_and(Vec::is_empty));
}

/// A pod that no node takes is waited for, and it is said why; an interrupted `--rm` leaves no pod.
#[test]
fn running_what_cannot_be_scheduled() {
    let cluster = Cluster::start().unwrap();
    let hello = program::repository().join("fixtures/wasm/hello.wasm").display().to_string();
    let node = cluster.get(&["nodes"]).unwrap()["items"][0]["metadata"]["name"].clone();
    let cordon = |cordoned: bool| {
        let spec = format!("spec: {{unschedulable: {cordoned}}}");
        cluster
            .apply(&format!("apiVersion: v1\nkind: Node\nmetadata: {{name: {node}}}\n{spec}\n"))
            .unwrap();
    };
    let start = |name: &str| {
        let mut command = cluster.command();
        command.args(["run", "--rm", "--name", name, &hello]);
        Guard::spawn(command.stdout(Stdio::null()).stderr(Stdio::piped())).unwrap()
    };
    let why = "cannot be scheduled: 0/1 nodes are available: 1 node(s) were unschedulable";
    cordon(true);
    let mut waits = start("waits");
    let mut errors = BufReader::new(waits.child().stderr.take().unwrap()).lines();
    let said = errors.next().unwrap().unwrap();
    assert!(said.starts_with(&format!("waiting: pod/waits {why}")), "{said}");

    let mut interrupted = start("interrupted");
    let mut words = BufReader::new(interrupted.child().stderr.take().unwrap()).lines();
    let first = words.next().unwrap().unwrap();
    assert!(first.starts_with(&format!("waiting: pod/interrupted {why}")), "{first}");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(interrupted.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(interrupted.child().wait().unwrap().code(), Some(130));
    assert_eq!(words.count(), 0);
    let left = cluster.wctl(&["get", "pods", "-o", "name"]).unwrap();
    assert_eq!(left, "pod/waits\n");

    cordon(false);
    assert_eq!(waits.child().wait().unwrap().code(), Some(0));
    // Until the node is free of the cordon's taint there may be another reason, but none is said twice.
    assert!(errors.map(Result::unwrap).all(|line| line.starts_with("waiting: ") && line != said));
    cluster.until(&["pods"], |list| list["items"].as_array().is_some_and(Vec::is_empty));
}

const OBJECTS: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: settings, labels: {tier: front}}
data: {color: green, size: big}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: web, labels: {tier: front}}
spec:
  replicas: 1
  selector: {app: web}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: test/web:v1}]
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {tier: front}}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
";

#[test]
fn looking_at_and_changing_objects() {
    let cluster = Cluster::start().unwrap();
    cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
    let ok = |arguments: &str| cluster.wctl(&arguments.split(' ').collect::<Vec<_>>()).unwrap();
    let refused =
        |arguments: &str| cluster.wctl_fails(&arguments.split(' ').collect::<Vec<_>>()).unwrap();
    let each = |word: &str| {
        format!("configmap/settings {word}\nreplicationcontroller/web {word}\nservice/web {word}\n")
    };

    // apply: created, unchanged, configured; what the file no longer says goes.
    assert_eq!(cluster.apply(OBJECTS).unwrap(), each("created"));
    assert_eq!(cluster.apply(OBJECTS).unwrap(), each("unchanged"));
    let (head, tail) = OBJECTS.split_once(", size: big").unwrap();
    let changed = cluster.apply(&format!("{head}{tail}")).unwrap();
    assert_eq!(changed, each("unchanged").replacen("unchanged", "configured", 1));
    assert_eq!(
        cluster.get(&["cm", "settings"]).unwrap()["data"].to_string(),
        r#"{"color":"green"}"#
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("objects.yaml");
    std::fs::write(&file, OBJECTS).unwrap();
    let file = file.display().to_string();
    assert_eq!(
        ok(&format!("apply -f {file} --dry-run=server")).lines().next(),
        Some("configmap/settings configured (server dry run)")
    );
    assert!(cluster.get(&["cm", "settings"]).unwrap()["data"]["size"].is_null());
    assert!(refused(&format!("create -f {file}")).contains("(AlreadyExists)"));

    // get: every form.
    cluster.until(&["rc", "web"], |rc| rc["status"]["readyReplicas"] == 1);
    let table = ok("get rc,svc -l tier=front");
    assert!(
        table.starts_with("NAME")
            && table.contains("replicationcontroller/web")
            && table.contains("\n\nNAME"),
        "{table}"
    );
    assert!(table.contains("service/web"), "{table}");
    assert_eq!(ok("get svc/web cm/settings -o name"), "service/web\nconfigmap/settings\n");
    assert!(ok("get pods -o wide").contains("NOMINATED NODE"));
    assert!(ok("get pods --show-labels --no-headers").contains("app=web"));
    assert!(ok("get all").contains("service/kubernetes"));
    assert!(ok("get pods -A").starts_with("NAMESPACE"));
    assert_eq!(
        ok("get pods --field-selector status.phase=Failed"),
        "No resources found in default namespace.\n"
    );
    assert!(ok("get cm settings -o yaml").contains("\n  color: green\n"));
    let list: Value = serde_json::from_str(&ok("get cm,svc -o json")).unwrap();
    assert_eq!(
        (&list["kind"], &list["items"][0]["kind"]),
        (&Value::from("List"), &Value::from("ConfigMap"))
    );
    assert_eq!(ok(&format!("get -f {file} -o name")).lines().count(), 3);
    for word in ["pods", "services", "replicationcontrollers", "endpointslices"] {
        assert!(ok("api-resources").lines().any(|line| line.starts_with(word)), "{word}");
    }

    // describe: the object, and what happened to it.
    let pod = ok("get pods -o name").trim().to_owned();
    let described = ok(&format!("describe {pod}"));
    for words in ["Name:", "test/web:v1", "Events:", "Scheduled", "Started"] {
        assert!(described.contains(words), "{words} in {described}");
    }
    assert!(ok("describe svc web").contains("Selector:"));
    assert!(ok("describe rc web").contains("SuccessfulCreate"));
    let node = ok("get nodes -o name").trim().to_owned();
    assert!(ok(&format!("describe {node}")).contains("Allocatable"));

    // scale and delete.
    assert_eq!(ok("scale rc web --replicas=2"), "replicationcontroller/web scaled\n");
    assert_eq!(
        ok("wait --for=jsonpath={.status.readyReplicas}=2 rc/web --timeout=90s"),
        "replicationcontroller/web condition met\n"
    );
    assert!(
        refused("scale rc web --replicas=-1").contains("must not be negative")
            || refused("scale rc web --replicas=-1").contains("error:")
    );
    assert!(refused("delete cm").contains("no name was specified"));
    assert_eq!(ok("delete cm nothing --ignore-not-found"), "");
    assert_eq!(
        ok("delete svc,cm -l tier=front"),
        "service \"web\" deleted\nconfigmap \"settings\" deleted\n"
    );
    // The next object's turn comes whatever became of the one before, and every failure is said.
    let (code, out, err) = run(cluster.command().args(["delete", "-f", &file]));
    assert_eq!((code, out.as_str()), (1, "replicationcontroller \"web\" deleted\n"));
    let failed = [
        "error: 2 deletions failed:",
        "  the server says (NotFound): configmaps \"settings\" not found",
        "  the server says (NotFound): services \"web\" not found",
    ];
    assert_eq!(err.lines().collect::<Vec<_>>(), failed);
    assert_eq!(ok(&format!("delete -f {file} --ignore-not-found")), "");
    cluster.until(&["pods"], |list| list["items"].as_array().is_some_and(Vec::is_empty));

    // What cannot be done, in words that help.
    for (arguments, words) in [
        ("get pod nothing", "pods \"nothing\" not found"),
        (
            "get widgets",
            "the server doesn't have a resource type \"widgets\"; `wctl api-resources` lists them",
        ),
        ("describe svc nothing", "services \"nothing\" not found"),
        ("apply -f /nowhere/file.yaml", "/nowhere/file.yaml"),
        ("logs nothing", "pods \"nothing\" not found"),
        ("scale rc nothing --replicas=1", "replicationcontrollers \"nothing\" not found"),
        ("wait --for=condition=Ready pod/nothing", "pods \"nothing\" not found"),
        ("wait --for=ready pod/nothing", "use condition=NAME"),
        ("get pods -l a==b=c", "unable to parse"),
        ("-n nowhere delete pod nothing", "not found"),
    ] {
        let error = refused(arguments);
        assert!(error.starts_with("error: ") && error.contains(words), "{arguments}: {error}");
        assert_eq!(error.lines().count(), 1, "{arguments}: {error}");
    }
}

/// Nothing but text leaves a command that does not write to a terminal.
#[test]
fn plain_text_into_pipes() {
    let mut cluster = Cluster::start().unwrap();
    cluster.load_fixture("hello.wasm", "test/hello:v1").unwrap();
    cluster.expect_log("image");
    let hello = program::repository().join("fixtures/wasm/hello.wasm").display().to_string();
    for arguments in [
        vec!["doctor"],
        vec!["images"],
        vec!["get", "all", "-A"],
        vec!["ps", "-a"],
        vec!["version"],
        vec!["image", "load", &hello],
        vec!["run", "--rm", &hello],
        vec!["pull", "127.0.0.1:9/nothing:v1"],
        vec!["get", "pod", "nothing"],
        vec!["describe", "nodes"],
        vec!["--help"],
        vec!["no-such-command"],
    ] {
        // A terminal's name in the environment makes no terminal.
        let command = &mut cluster.command();
        let (_, out, err) =
            run(command.args(&arguments).env("TERM", "xterm-256color").env_remove("NO_COLOR"));
        assert!(!out.is_empty() || !err.is_empty(), "{arguments:?} said nothing");
        for text in [out, err] {
            assert!(!text.contains(['\x1b', '\r', '\x08']), "{arguments:?}: {text:?}");
        }
    }
    assert!(!cluster.log().contains('\x1b'), "{}", cluster.log());

    let version = cluster.wctl(&["version"]).unwrap();
    assert!(
        version.contains("Client Version: v") && version.contains("Server Version: v1."),
        "{version}"
    );
    let client = cluster.wctl(&["version", "--client"]).unwrap();
    assert_eq!(client.lines().count(), 1, "{client}");
    let doctor = cluster.wctl(&["doctor"]).unwrap();
    assert!(
        doctor.contains("Native containers run here.") && doctor.contains("yes overlayfs"),
        "{doctor}"
    );
    let facts: Value =
        serde_json::from_str(&cluster.wctl(&["doctor", "-o", "json"]).unwrap()).unwrap();
    assert_eq!(facts["nativeContainers"]["available"], true, "{facts}");
    assert!(
        facts["abilities"]
            .as_array()
            .is_some_and(|all| all.iter().any(|one| one["name"] == "overlayfs"))
    );

    // A reader that goes away early is no failure.
    let mut child =
        cluster.command().args(["get", "pods", "-A", "-w"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    cluster.wctl(&["run", "--rm", "--name", "seen", &hello]).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn without_a_cluster() {
    let home = tempfile::tempdir().unwrap();
    let wctl = |arguments: &[&str]| {
        let mut command = Command::new(cluster::wctl().unwrap());
        command
            .args(arguments)
            .env("HOME", home.path())
            .env_remove("KUBECONFIG")
            .stdin(Stdio::null());
        command
    };
    let nowhere = home.path().join("kubeconfig").display().to_string();
    let (code, out, err) = run(&mut wctl(&["--kubeconfig", &nowhere, "get", "pods"]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with(&format!("error: read kubeconfig {nowhere}: ")), "{err}");
    let (code, _, err) = run(wctl(&["get", "pods"]).env("KUBECONFIG", &nowhere));
    assert_eq!(code, 1);
    assert!(err.contains("no file of $KUBECONFIG exists"), "{err}");
    // A cluster that has ended.
    let gone = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n\
                users: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n";
    std::fs::write(&nowhere, gone).unwrap();
    for arguments in [&["get", "pods"][..], &["run", "test/hello:v1"], &["version"]] {
        let (code, out, err) = run(wctl(arguments).env("KUBECONFIG", &nowhere));
        assert_eq!(code, 1, "{arguments:?}: {out}");
        assert!(err.starts_with("error: "), "{err}");
        assert!(err.contains("cannot be reached; is `wctl dev` running?"), "{arguments:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
    // What needs no cluster works without one.
    let data = home.path().join("data").display().to_string();
    let (code, out, err) = run(&mut wctl(&["--data-dir", &data, "images"]));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let (code, out, _) = run(&mut wctl(&["--data-dir", &data, "doctor"]));
    assert!(code == 0 && out.contains("Wasm containers run here."), "{out}");
    let (code, out, _) = run(&mut wctl(&["version", "--client"]));
    assert!(code == 0 && out.starts_with("Client Version: v"), "{out}");
    // Wrong usage ends with 2 and says what is right.
    let (code, _, err) = run(&mut wctl(&["get"]));
    assert!(code == 2 && err.contains("Usage: wctl get"), "{err}");
    let (code, _, err) = run(&mut wctl(&["gett", "pods"]));
    assert!(code == 2 && err.contains("'get'"), "{err}");
}

#[test]
fn a_watch_prints_a_row_for_each_change() {
    let cluster = Cluster::start().unwrap();
    let wctl = cluster.command();
    // `timeout` ends a watch that prints nothing, and with it this test.
    let mut command = Command::new("timeout");
    command.arg("90").arg(wctl.get_program()).args(wctl.get_args());
    command.args(["get", "configmaps", "--watch", "--no-headers"]).stdout(Stdio::piped());
    let mut watch = Guard::spawn(&mut command).unwrap();
    let mut lines = BufReader::new(watch.child().stdout.take().unwrap()).lines();
    for (data, count) in [("{a: '1'}", "1"), ("{a: '1', b: '2'}", "2"), ("{c: '3'}", "1")] {
        let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: watched}\ndata: ";
        cluster.apply(&format!("{manifest}{data}\n")).unwrap();
        let row =
            lines.find(|line| line.as_ref().unwrap().starts_with("watched ")).unwrap().unwrap();
        assert_eq!(row.split_whitespace().nth(1), Some(count), "{row}");
    }
}

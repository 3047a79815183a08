//! Talking with pods: exec, attach, cp, port-forward and proxy, through the kubectl of the host, by WebSocket
//! and by SPDY; exec probes and hooks. Where there is no kubectl these tests say so and end.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use anyhow::anyhow;
use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE, succeed};
use tests::images::Layout;
use tests::process::Guard;
use tests::{clients, http, program, wait};

struct Kubectl {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

/// What makes kubectl use SPDY as versions before 1.31 did.
const OLD: [&str; 2] = ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"];

const PODS: &str = "apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    env: [{name: COLOUR, value: blue}]
    ports: [{containerPort: 8000}]
    command: [sh, -c, 'mkdir -p /www/cgi-bin; echo from the pod > /www/index.html; exec httpd -f -p 8000 -h /www']
    readinessProbe: {exec: {command: [sh, -c, 'test \"$COLOUR\" = $(COLOUR) && test -e /www/index.html']}, periodSeconds: 1}
  - name: inner
    image: test/busybox:v1
    command: [sh, -c, 'mkdir -p /www; echo only inside > /www/index.html; exec httpd -f -p 127.0.0.1:8001 -h /www']
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8000}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
";

impl Kubectl {
    /// A cluster with the pod `web`, and a Wasm image.
    fn start() -> Option<Self> {
        let cluster = Cluster::start().unwrap();
        if cluster.kubectl().is_none() {
            clients::absent("kubectl", &anyhow!("there is none on this machine"));
            return None;
        }
        let layout = Layout::new().unwrap();
        layout.busybox("v1").unwrap();
        let path = layout.path();
        let load = ["image", "load", path.to_str().unwrap(), "--name", "test/busybox:v1"];
        cluster.wctl(&load).unwrap();
        cluster.load_fixture("spin.wasm", "test/spin:v1").unwrap();
        cluster.apply(PODS).unwrap();
        let kubectl = Self { cluster, folder: tempfile::tempdir().unwrap() };
        kubectl.ok("wait --for=condition=Ready pod/web --timeout=90s");
        Some(kubectl)
    }

    fn command(&self, line: &str, old: bool) -> Command {
        let mut command = self.cluster.kubectl().expect("there was one at the start");
        command.args(line.split(' ')).current_dir(self.folder.path());
        if old {
            command.envs(OLD.map(|name| (name, "false")));
        }
        command
    }

    /// Runs kubectl with words split at spaces; it must succeed.
    #[track_caller]
    fn ok(&self, line: &str) -> String {
        succeed(&mut self.command(line, false)).unwrap()
    }

    /// Runs kubectl with something to read, and as its last word a script: exit code, output, complaints.
    #[track_caller]
    fn run(
        &self,
        line: &str,
        script: Option<&str>,
        input: &[u8],
        old: bool,
    ) -> (i32, String, String) {
        let mut command = self.command(line, old);
        command.args(script);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // A command that does not read all of it is no failure.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }
}

/// `kubectl ARGUMENTS` on a terminal of its own, by `script`.
struct OnTerminal {
    child: Guard,
    seen: std::sync::mpsc::Receiver<String>,
    said: String,
}

impl OnTerminal {
    fn start(kubectl: &Kubectl, line: &str, old: bool) -> Self {
        let inner = kubectl.command(line, old);
        let program = inner.get_program().to_str().unwrap().to_owned();
        let mut command = Command::new(program::find("script").unwrap());
        let shell = format!("stty rows 33 cols 99; exec {program} {line}");
        command.args(["-q", "-e", "-c", &shell, "/dev/null"]);
        command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = Guard::spawn(&mut command).unwrap();
        let mut output = child.child().stdout.take().unwrap();
        let (send, seen) = std::sync::mpsc::sync_channel(1024);
        std::thread::spawn(move || {
            let mut chunk = [0; 1024];
            while let Ok(length @ 1..) = output.read(&mut chunk) {
                if send.send(String::from_utf8_lossy(&chunk[..length]).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { child, seen, said: String::new() }
    }

    fn until(&mut self, what: &str) {
        let (seen, said) = (&self.seen, &mut self.said);
        wait::eventually(&format!("the terminal shows {what:?}"), PATIENCE, || {
            said.extend(seen.try_iter());
            if said.contains(what) { Ok(()) } else { Err(said.clone()) }
        });
    }

    fn say(&mut self, text: &str) {
        let child: &mut Child = self.child.child();
        child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn ended(mut self) -> i32 {
        self.child.child().wait().unwrap().code().unwrap_or(-1)
    }
}

const SHELL: &str = "exec web -c c -- sh -c";

#[test]
fn commands_are_executed_in_containers() {
    let Some(kubectl) = Kubectl::start() else { return };
    let much = "0123456789abcdef".repeat(40_000);
    let sum = "e20d86ce3ab9bb37f089f64cacf66cd6  -\n";
    for old in [false, true] {
        let script = "echo $COLOUR; echo wrong >&2; exit 7";
        let (code, out, err) = kubectl.run(SHELL, Some(script), b"", old);
        assert_eq!((code, out.as_str()), (7, "blue\n"), "{err}");
        assert_eq!(err, "wrong\ncommand terminated with exit code 7\n");
        // Much, both ways, to its end.
        let line = "exec -i web -c c -- md5sum";
        let (code, out, err) = kubectl.run(line, None, much.as_bytes(), old);
        assert_eq!((code, out.as_str()), (0, sum), "{err}");
        let line = "exec -i web -c c -- cat";
        let (code, out, err) = kubectl.run(line, None, much.as_bytes(), old);
        assert!((code, out == much) == (0, true), "{code}: {} bytes, {err}", out.len());
        let (code, _, err) = kubectl.run("exec web -c c -- nonesuch", None, b"", old);
        assert_ne!(code, 0);
        let words = "exec: \"nonesuch\": executable file not found in $PATH";
        assert!(err.contains(words), "{err}");
        let (code, _, err) = kubectl.run("exec web -c nobody -- true", None, b"", old);
        assert_eq!(code, 1);
        assert!(err.contains("container nobody is not valid for pod web"), "{err}");
        // On a terminal.
        let mut terminal = OnTerminal::start(&kubectl, "exec -it web -c c -- sh", old);
        terminal.until("# ");
        terminal.say("stty size; tty; echo $TERM\n");
        terminal.until("33 99");
        terminal.until("/dev/pts/");
        terminal.until("xterm");
        terminal.say("exit 5\n");
        assert_eq!(terminal.ended(), 5);
    }
    // Files.
    std::fs::write(kubectl.folder.path().join("up"), &much).unwrap();
    kubectl.ok("cp up web:/tmp/copied -c c");
    assert_eq!(
        kubectl.ok("exec web -c c -- md5sum /tmp/copied"),
        format!("{}  /tmp/copied\n", &sum[..32])
    );
    kubectl.ok("cp web:/tmp/copied down -c c");
    assert_eq!(std::fs::read_to_string(kubectl.folder.path().join("down")).unwrap(), much);
    // What was begun ends with whoever began it.
    let mut begun = kubectl.command("exec web -c c -- sleep 98765", false);
    let begun = Guard::spawn(begun.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let runs = || kubectl.run(SHELL, Some("ps | grep -c '[s]leep 98765'"), b"", false).1;
    wait::eventually("the command runs", PATIENCE, || {
        let count = runs();
        if count == "1\n" { Ok(()) } else { Err(count) }
    });
    drop(begun);
    wait::eventually("the command is gone", PATIENCE, || {
        let count = runs();
        if count == "0\n" { Ok(()) } else { Err(count) }
    });
    // A component has no shell.
    kubectl.ok("run spin --image=test/spin:v1 --restart=Never -- tick 50 100000");
    kubectl.ok("wait --for=condition=Ready pod/spin --timeout=90s");
    let (code, _, err) = kubectl.run("exec spin -- sh", None, b"", false);
    assert_eq!(code, 1);
    assert!(err.contains("is a WebAssembly component"), "{err}");
    kubectl.ok("delete pod spin --grace-period=1");
}

const TALKER: &str = "apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    stdin: true
    stdinOnce: true
    command: [sh, -c, 'while read line; do echo got $line; done; echo over']
---
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: test/busybox:v1, stdin: true, tty: true, command: [sh]}]
";

#[test]
fn first_processes_are_talked_with() {
    let Some(kubectl) = Kubectl::start() else { return };
    kubectl.cluster.apply(TALKER).unwrap();
    kubectl.ok("wait --for=condition=Ready pod/talker pod/shell --timeout=90s");
    let (code, out, err) = kubectl.run("attach -i talker", None, b"one\ntwo\n", false);
    assert_eq!((code, out.as_str()), (0, "got one\ngot two\nover\n"), "{err}");
    kubectl.ok("wait --for=jsonpath={.status.phase}=Succeeded pod/talker --timeout=90s");
    assert_eq!(kubectl.ok("logs talker"), "got one\ngot two\nover\n");
    for old in [true, false] {
        let mut terminal = OnTerminal::start(&kubectl, "attach -it shell", old);
        terminal.say("\n");
        terminal.until("# ");
        terminal.say("stty size; echo su''re\n");
        terminal.until("33 99");
        terminal.until("sure");
        // Who hangs up leaves the program alone.
    }
    let mut terminal = OnTerminal::start(&kubectl, "attach -it shell", false);
    terminal.say("exit 0\n");
    kubectl.ok("wait --for=jsonpath={.status.phase}=Succeeded pod/shell --timeout=90s");
    terminal.until("exit 0");
    drop(terminal);
    // A pod for one question.
    let line = "run ask --rm -i --quiet --restart=Never --image=test/busybox:v1 -- sh -c";
    let (code, out, err) = kubectl.run(line, Some("read name; echo hello $name"), b"you\n", false);
    assert_eq!((code, out.as_str()), (0, "hello you\n"), "{err}");
    let mut terminal = OnTerminal::start(
        &kubectl,
        "run shell2 --rm -it --restart=Never --image=test/busybox:v1 -- sh",
        false,
    );
    // The prompt may have come before anybody was attached.
    terminal.until("try pressing enter");
    terminal.say("echo he''re\n");
    terminal.until("here");
    terminal.say("exit 0\n");
    terminal.until("deleted");
    assert_eq!(terminal.ended(), 0);
}

#[test]
fn ports_of_pods_are_forwarded() {
    let Some(kubectl) = Kubectl::start() else { return };
    for old in [false, true] {
        let mut command = kubectl.command("port-forward pod/web :8000 :8001 :8002", old);
        let mut guard =
            Guard::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped())).unwrap();
        let mut lines = BufReader::new(guard.child().stdout.take().unwrap()).lines();
        let mut address = |port: &str| {
            let line = lines.find(|line| line.as_ref().is_ok_and(|l| l.contains("127.0.0.1")));
            let line = line.unwrap().unwrap();
            assert!(line.ends_with(&format!("-> {port}")), "{line}");
            line.split(' ').nth(2).unwrap().to_owned()
        };
        let (outer, inner, nobody) = (address("8000"), address("8001"), address("8002"));
        // Each request is a connection of its own.
        for _ in 0..5 {
            assert_eq!(http::get(&outer, "/").unwrap().body, "from the pod\n");
            assert_eq!(http::get(&inner, "/").unwrap().body, "only inside\n");
        }
        // Nobody listens there: the connection ends, and kubectl says why.
        assert!(http::get(&nobody, "/").is_err());
        let mut complaints = BufReader::new(guard.child().stderr.take().unwrap()).lines();
        let said = complaints.find(|line| line.as_ref().is_ok_and(|l| l.contains("8002 to pod")));
        let said = said.unwrap().unwrap();
        assert!(said.contains("connection refused"), "{said}");
    }
}

#[test]
fn requests_are_passed_on_by_the_proxy() {
    let Some(kubectl) = Kubectl::start() else { return };
    let raw = |path: &str| kubectl.run(&format!("get --raw {path}"), None, b"", false);
    let base = "/api/v1/namespaces/default";
    for path in [
        "pods/web",
        "pods/web:8000",
        "pods/http:web:8000",
        "services/web:80",
        "services/http:web:http",
    ] {
        let (code, out, err) = raw(&format!("{base}/{path}/proxy/index.html?x=1"));
        assert_eq!((code, out.as_str()), (0, "from the pod\n"), "{path}: {err}");
    }
    let (_, _, err) = raw(&format!("{base}/services/empty/proxy/"));
    assert!(err.contains("no endpoints available for service \"empty\""), "{err}");
    let (_, _, err) = raw(&format!("{base}/services/web:81/proxy/"));
    assert!(err.contains("no service port 81 found for service \"web\""), "{err}");
    let (_, _, err) = raw(&format!("{base}/pods/web:9/proxy/"));
    assert!(err.contains("error trying to reach service: dial tcp "), "{err}");
    assert!(err.contains("connection refused"), "{err}");
    let (_, _, err) = raw(&format!("{base}/pods/nobody/proxy/"));
    assert!(err.contains("pods \"nobody\" not found"), "{err}");
    let node = kubectl.ok("get nodes -o jsonpath={.items[0].metadata.name}");
    let (code, out, err) = raw(&format!("/api/v1/nodes/{node}/proxy/pods"));
    assert_eq!(code, 0, "{err}");
    let pods: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(pods["items"][0]["metadata"]["name"], "web");
    assert_eq!(raw(&format!("/api/v1/nodes/{node}/proxy/healthz")).1, "ok");
}

/// `SEEN` is a folder of the host.
const HOOKED: &str = "apiVersion: v1
kind: Pod
metadata: {name: hooked}
spec:
  terminationGracePeriodSeconds: 60
  volumes: [{name: seen, hostPath: {path: SEEN}}]
  containers:
  - name: c
    image: test/busybox:v1
    command: [sh, -c, 'trap \"exit 0\" TERM; while :; do sleep 1 & wait $!; done']
    volumeMounts: [{name: seen, mountPath: /seen}]
    lifecycle:
      postStart: {exec: {command: [sh, -c, 'echo started > /seen/start']}}
      preStop: {exec: {command: [sh, -c, 'echo stopping > /seen/stop']}}
    readinessProbe: {exec: {command: [sh, -c, 'cat /seen/ready']}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: refused}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    command: [sleep, '100000']
    lifecycle: {postStart: {exec: {command: [sh, -c, 'echo no; exit 3']}}}
---
apiVersion: v1
kind: Pod
metadata: {name: sick}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: c
    image: test/busybox:v1
    command: [sleep, '100000']
    livenessProbe: {exec: {command: [sleep, '1000']}, periodSeconds: 1, failureThreshold: 1}
";

#[test]
fn probes_and_hooks_execute_commands() {
    let Some(kubectl) = Kubectl::start() else { return };
    let seen = tempfile::tempdir().unwrap();
    let file = |name: &str| std::fs::read_to_string(seen.path().join(name));
    kubectl.cluster.apply(&HOOKED.replace("SEEN", seen.path().to_str().unwrap())).unwrap();
    let event = |pod: &str, words: &str| {
        let selector = format!(
            "get events --field-selector involvedObject.name={pod} -o jsonpath={{.items[*].message}}"
        );
        wait::eventually(&format!("an event of {pod}: {words}"), PATIENCE, || {
            let said = kubectl.ok(&selector);
            if said.contains(words) { Ok(()) } else { Err(said) }
        });
    };
    event(
        "hooked",
        "Readiness probe failed: cat: can't open '/seen/ready': No such file or directory",
    );
    assert_eq!(file("start").unwrap(), "started\n");
    std::fs::write(seen.path().join("ready"), "").unwrap();
    kubectl.ok("wait --for=condition=Ready pod/hooked --timeout=90s");
    kubectl.ok("delete pod hooked --timeout=90s");
    assert_eq!(file("stop").unwrap(), "stopping\n");
    event("refused", "command 'sh -c echo no; exit 3' exited with 3, message: \"no\\n\"");
    kubectl.ok("wait --for=jsonpath={.status.phase}=Failed pod/refused --timeout=90s");
    event("sick", "Liveness probe failed: command timed out: \"sleep 1000\" timed out after 1s");
    kubectl.cluster.until(&["pod", "sick"], |pod| {
        pod["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(0)
    });
    kubectl.ok("delete pods --all --timeout=90s");
}

//! Everything that can be wrong with what people hand to a cluster: each gives a clear word in the
//! pod's status, in an event or in the answer, and the neighbours do not notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::cluster::{Cluster, PATIENCE, succeed};
use tests::images::Layout;
use tests::registry::Registry;
use tests::{http, wait};

/// A pod that must not notice anything.
struct Witness {
    address: String,
    uid: Value,
}

impl Witness {
    fn start(cluster: &Cluster) -> Self {
        cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
        cluster
            .apply("apiVersion: v1\nkind: Pod\nmetadata: {name: witness}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: c, image: test/web:v1, livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}}\n")
            .unwrap();
        let pod = cluster.until(&["pod", "witness"], |pod| pod["status"]["phase"] == "Running");
        let address = format!("{}:8080", pod["status"]["podIP"].as_str().unwrap());
        let witness = Self { address, uid: pod["metadata"]["uid"].clone() };
        wait::eventually("the witness answers", PATIENCE, || {
            http::get(&witness.address, "/").map_err(|error| format!("{error:#}"))
        });
        witness
    }

    fn is_undisturbed(&self, cluster: &Cluster) {
        assert_eq!(http::get(&self.address, "/status/202").unwrap().status, 202);
        let pod = cluster.get(&["pod", "witness"]).unwrap();
        assert_eq!(pod["metadata"]["uid"], self.uid);
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
        assert_eq!(pod["status"]["containerStatuses"][0]["ready"], true);
    }
}

fn pod(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - {{name: c, image: '{image}'}}\n---\n"
    )
}

fn waiting(pod: &Value) -> (&str, &str) {
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    (
        waiting["reason"].as_str().unwrap_or_default(),
        waiting["message"].as_str().unwrap_or_default(),
    )
}

/// Waits until the pod's container says that it cannot have its image, because of `words`; the event says it too.
fn cannot_have_its_image(cluster: &Cluster, name: &str, words: &[&str]) {
    let said = |text: &str| words.iter().all(|word| text.contains(word));
    cluster.until(&["pod", name], |pod| {
        assert_ne!(pod["status"]["phase"], "Running", "{name} runs");
        assert_ne!(pod["status"]["phase"], "Succeeded", "{name} ran");
        let (reason, message) = waiting(pod);
        matches!(reason, "ErrImagePull" | "ImagePullBackOff") && said(message)
    });
    let of_pod = format!("involvedObject.name={name},reason=Failed");
    cluster.until(&["events", "--field-selector", &of_pod], |list| {
        let events = list["items"].as_array().into_iter().flatten();
        events
            .into_iter()
            .any(|event| event["type"] == "Warning" && event["message"].as_str().is_some_and(said))
    });
}

/// `tag`: busybox with its one layer replaced by what `change` makes of it.
fn relayered(layout: &Layout, tag: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    layout.busybox(tag).unwrap();
    let mut manifest = layout.manifest(tag).unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let bytes = change(layout.blob(digest).unwrap());
    let media = manifest["layers"][0]["mediaType"].as_str().unwrap().to_owned();
    manifest["layers"][0] = layout.put(&media, &bytes).unwrap();
    layout.put_manifest(tag, &manifest).unwrap();
}

/// A tar with a file of this name, `..` and all, and perhaps a symbolic link before it.
fn evil_tar(folder: &Path, name: &str, link: Option<&Path>) -> std::path::PathBuf {
    let inside = folder.join("inside");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(inside.join("evil"), "evil").unwrap();
    let tar = folder.join("evil.tar");
    let mut command = Command::new("tar");
    command.arg("-C").arg(&inside).arg("-cPf").arg(&tar);
    command.arg(format!("--transform=s,^evil$,{name},"));
    if let Some(target) = link {
        symlink(target, inside.join("out")).unwrap();
        command.arg("--transform=flags=rh;s,^out$,out,").arg("out");
    }
    succeed(command.arg("evil")).unwrap();
    tar
}

/// A module that imports a function nobody provides.
fn with_import(module: &str, name: &str) -> Vec<u8> {
    let mut import = vec![1, u8::try_from(module.len()).unwrap()];
    import.extend(module.bytes());
    import.push(u8::try_from(name.len()).unwrap());
    import.extend(name.bytes());
    import.extend([0, 0]);
    let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02".to_vec();
    bytes.push(u8::try_from(import.len()).unwrap());
    bytes.extend(import);
    bytes.extend(b"\x03\x02\x01\0\x07\x0a\x01\x06_start\0\x01\x0a\x04\x01\x02\0\x0b");
    bytes
}

#[test]
fn images_that_cannot_be_had() {
    let mut cluster = Cluster::start().unwrap();
    cluster.expect_log("image");
    let registry = Registry::start().unwrap();
    let host = registry.host();
    let witness = Witness::start(&cluster);
    let layout = Layout::new().unwrap();
    let reference = |tag: &str| format!("{host}/bad:{tag}");
    let push = |tag: &str| layout.push(tag, &host, "bad", tag).unwrap();
    let layer = |tag: &str| {
        layout.manifest(tag).unwrap()["layers"][0]["digest"].as_str().unwrap().to_owned()
    };

    // A layer whose bytes are not what its digest says, one that is shorter, one cut before it was signed for.
    layout.build("damaged", |root| Ok(std::fs::write(root.join("a"), "damaged")?)).unwrap();
    push("damaged");
    let damaged = registry.blob(&layer("damaged"));
    let mut bytes = std::fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&damaged, bytes).unwrap();
    layout.build("shortened", |root| Ok(std::fs::write(root.join("a"), "shortened")?)).unwrap();
    push("shortened");
    let shortened = registry.blob(&layer("shortened"));
    let bytes = std::fs::read(&shortened).unwrap();
    std::fs::write(&shortened, &bytes[..bytes.len() / 2]).unwrap();
    relayered(&layout, "cut", |mut bytes| {
        bytes.truncate(bytes.len() / 2);
        bytes
    });
    push("cut");
    // A manifest that is another than its digest says.
    layout.build("swapped", |root| Ok(std::fs::write(root.join("a"), "swapped")?)).unwrap();
    push("swapped");
    let swapped = layout.digest("swapped").unwrap();
    let other = layout.blob(&layout.digest("cut").unwrap()).unwrap();
    std::fs::write(registry.blob(&swapped), other).unwrap();
    // Names that climb out.
    let temp = tempfile::tempdir().unwrap();
    layout.busybox("dotdot").unwrap();
    layout.add_tar("dotdot", &evil_tar(temp.path(), "../../escaped", None)).unwrap();
    push("dotdot");
    // No Wasm, Wasm with an import that nobody provides, an image of another machine.
    let config = ("application/vnd.wasm.config.v0+json", &b"{}"[..]);
    layout.artifact("page", config, &[("application/wasm", b"<html>404</html>")]).unwrap();
    push("page");
    layout
        .artifact("import", config, &[("application/wasm", &with_import("env", "make_coffee"))])
        .unwrap();
    push("import");
    layout.busybox("foreign").unwrap();
    layout.configure("foreign", &["--architecture", "s390x"]).unwrap();
    layout.index("mainframe", &[("foreign", "linux/s390x")]).unwrap();
    push("mainframe");

    let by_digest = format!("{host}/bad@{swapped}");
    let nowhere = format!("{host}/bad@sha256:{}", "0".repeat(64));
    let mut manifest = pod("unknown", &reference("nowhere"));
    for tag in ["damaged", "shortened", "cut", "dotdot", "page", "mainframe", "import"] {
        manifest.push_str(&pod(tag, &reference(tag)));
    }
    manifest.push_str(&pod("swapped", &by_digest));
    manifest.push_str(&pod("unknown-digest", &nowhere));
    manifest.push_str(&pod("no-registry", "127.0.0.1:9/nothing:v1"));
    cluster.apply(&manifest).unwrap();
    for (name, words) in [
        ("unknown", vec![reference("nowhere"), "has no manifest bad:nowhere".into()]),
        ("unknown-digest", vec![nowhere, "has no manifest bad@sha256:0000".into()]),
        ("no-registry", vec!["127.0.0.1:9/nothing:v1".into(), "refused".into()]),
        (
            "damaged",
            vec![reference("damaged"), "expected a blob with digest".into(), layer("damaged")],
        ),
        ("shortened", vec![reference("shortened"), layer("shortened"), "ended early".into()]),
        ("cut", vec![reference("cut"), "truncated or corrupt".into(), layer("cut")]),
        ("swapped", vec![swapped]),
        ("dotdot", vec![reference("dotdot"), "../../escaped".into()]),
        ("page", vec![reference("page"), "is not WebAssembly: it is an HTML page".into()]),
        ("mainframe", vec![reference("mainframe"), "built for linux/s390x".into()]),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        cannot_have_its_image(&cluster, name, &words);
    }
    // The module itself is well-formed: it is the container that cannot start.
    let import = cluster.until(&["pod", "import"], |pod| pod["status"]["phase"] == "Failed");
    let terminated = &import["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(terminated["reason"], "WasmLinkError", "{terminated}");
    assert_eq!(terminated["message"], "imports env#make_coffee, which is not provided");
    cluster.apply(&pod("no-name", "Not An Image")).unwrap();
    cluster.until(&["pod", "no-name"], |pod| waiting(pod).0 == "InvalidImageName");
    witness.is_undisturbed(&cluster);

    // An absolute link is no way out either: inside the container it leads to a place inside.
    let victim = tempfile::tempdir().unwrap();
    let temp = tempfile::tempdir().unwrap();
    layout.busybox("link").unwrap();
    layout.add_tar("link", &evil_tar(temp.path(), "out/escaped", Some(victim.path()))).unwrap();
    layout.configure("link", &["--config.cmd", "cat", "--config.cmd", "/out/escaped"]).unwrap();
    push("link");
    cluster.apply(&pod("link", &reference("link"))).unwrap();
    cluster.until(&["pod", "link"], |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(cluster.wctl(&["logs", "link"]).unwrap(), "evil");
    assert_eq!(std::fs::read_dir(victim.path()).unwrap().count(), 0, "written outside");

    // The same words from the command line.
    let page = temp.path().join("page.wasm");
    std::fs::write(&page, "<!doctype html><title>login</title>").unwrap();
    for command in [vec!["image", "load"], vec!["run"]] {
        let mut arguments = command;
        arguments.push(page.to_str().unwrap());
        let error = cluster.wctl_fails(&arguments).unwrap();
        assert!(error.contains("is not WebAssembly: it is an HTML page"), "{error}");
    }
    let import = temp.path().join("import.wasm");
    std::fs::write(&import, with_import("env", "make_coffee")).unwrap();
    let error = cluster.wctl_fails(&["run", "--rm", import.to_str().unwrap()]).unwrap();
    assert!(error.contains("make_coffee"), "{error}");
    let error = cluster.wctl_fails(&["run", "--rm", &reference("page")]).unwrap();
    assert!(error.contains("is not WebAssembly: it is an HTML page"), "{error}");
    witness.is_undisturbed(&cluster);
}

/// Stands before a registry and answers 500 while `failures` lasts.
fn stumbling(registry: &Registry, failures: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    let behind = registry.host();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let left =
                failures.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_ok() {
                refuse(client);
            } else if let Ok(server) = TcpStream::connect(&behind) {
                carry(&client, &server);
                carry(&server, &client);
            }
        }
    });
    host
}

fn refuse(mut client: TcpStream) {
    let _ = client.read(&mut [0; 4096]);
    let _ = client.write_all(
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}

fn carry(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

#[test]
fn a_registry_that_answers_500_then_200() {
    let mut cluster = Cluster::start().unwrap();
    cluster.expect_log("image");
    let witness = Witness::start(&cluster);
    let registry = Registry::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    layout.configure("v1", &["--config.cmd", "echo", "--config.cmd", "arrived"]).unwrap();
    layout.push("v1", &registry.host(), "app", "v1").unwrap();

    // A short trouble is bridged; a long one is said, and ends without anybody's help.
    let failures = Arc::new(AtomicUsize::new(1));
    let host = stumbling(&registry, failures.clone());
    cluster.apply(&pod("short", &format!("{host}/app:v1"))).unwrap();
    cluster.until(&["pod", "short"], |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(failures.load(Ordering::SeqCst), 0);

    // Another front: connections to the first one may still be open, and lead to the registry.
    let failures = Arc::new(AtomicUsize::new(usize::MAX));
    let host = stumbling(&registry, failures.clone());
    cluster.apply(&pod("long", &format!("{host}/app:v1"))).unwrap();
    cannot_have_its_image(&cluster, "long", &[&format!("{host}/app:v1"), "500"]);
    witness.is_undisturbed(&cluster);
    failures.store(0, Ordering::SeqCst);
    cluster.until(&["pod", "long"], |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(cluster.wctl(&["logs", "long"]).unwrap(), "arrived\n");
}

#[test]
fn a_full_disk_while_pulling() {
    // Room for the cluster and busybox, not for 32 MiB more.
    let mut cluster = Cluster::start_on_disk("24m").unwrap();
    // While the disk is full, nothing can be written; that is said, and tried again.
    cluster.expect_log("");
    let registry = Registry::start().unwrap();
    let host = registry.host();
    let witness = Witness::start(&cluster);
    let layout = Layout::new().unwrap();
    layout
        .build("fat", |root| {
            let mut random = std::fs::File::open("/dev/urandom")?.take(32 << 20);
            std::io::copy(&mut random, &mut std::fs::File::create(root.join("fat"))?)?;
            Ok(())
        })
        .unwrap();
    layout.configure("fat", &["--config.cmd", "/fat"]).unwrap();
    layout.push("fat", &host, "app", "fat").unwrap();
    layout.busybox("slim").unwrap();
    layout.configure("slim", &["--config.cmd", "echo", "--config.cmd", "fits"]).unwrap();
    layout.push("slim", &host, "app", "slim").unwrap();

    let fat = format!("{host}/app:fat");
    cluster.apply(&pod("fat", &fat)).unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        // The disk is filled again and again while the API is written to.
        let pulling = cluster
            .command()
            .args(["pull", &fat])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        for number in 0..5 {
            let name = format!("kept-{round}-{number}");
            if cluster
                .apply(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"))
                .is_ok()
            {
                acknowledged.push(name);
            }
        }
        let output = pulling.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains(&format!("the disk is full while pulling \"{fat}\"")), "{words}");
    }
    cannot_have_its_image(&cluster, "fat", &[&format!("the disk is full while pulling \"{fat}\"")]);
    witness.is_undisturbed(&cluster);
    cluster.wctl(&["delete", "pod", "fat"]).unwrap();

    // What was left by the failed pulls is gone: a smaller image fits, and nothing acknowledged is lost.
    cluster.apply(&pod("slim", &format!("{host}/app:slim"))).unwrap();
    cluster.until(&["pod", "slim"], |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(cluster.wctl(&["logs", "slim"]).unwrap(), "fits\n");
    assert!(!acknowledged.is_empty());
    cluster.kill();
    cluster.launch().unwrap();
    for name in &acknowledged {
        cluster.get(&["configmap", name]).unwrap();
    }
    witness.is_undisturbed(&cluster);
}

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
    let preemption =
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
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

/// A request as it is, with the administrator's certificate: the status, the headers and the body.
fn post(cluster: &Cluster, path: &str, body: Vec<u8>) -> (u16, Vec<String>, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let file = kube::config::Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(file, &Default::default()).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let request = ::http::Request::post(path).header("content-type", "application/json");
        let answer = client.send(request.body(body.into()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        let warnings = head.headers.get_all("warning").iter();
        let warnings = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
        let body = body.collect_bytes().await.unwrap();
        (head.status.as_u16(), warnings, serde_json::from_slice(&body).unwrap_or(Value::Null))
    })
}

#[test]
fn manifests_with_too_much_in_them() {
    let mut cluster = Cluster::start().unwrap();
    cluster.expect_log("request body");
    let witness = Witness::start(&cluster);
    let maps = "/api/v1/namespaces/default/configmaps";
    let pods = "/api/v1/namespaces/default/pods";

    // Unknown and duplicate fields: refused, warned about or let through, as the client asks.
    let twice = |name: &str| {
        format!(
            r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"nope":1,"data":{{"a":"1","a":"2"}}}}"#
        )
    };
    let (code, _, status) =
        post(&cluster, &format!("{maps}?fieldValidation=Strict"), twice("strict").into());
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")), "{status}");
    let message = status["message"].as_str().unwrap();
    for words in ["strict decoding error", r#"unknown field "nope""#, r#"duplicate field "data.a""#]
    {
        assert!(message.contains(words), "{message}");
    }
    for (query, name) in [("?fieldValidation=Warn", "warn"), ("", "unsaid")] {
        let (code, warnings, object) =
            post(&cluster, &format!("{maps}{query}"), twice(name).into());
        assert_eq!((code, &object["data"]["a"]), (201, &json!("2")), "{object}");
        let warnings = warnings.join("\n");
        assert!(warnings.contains(r#"unknown field \"nope\""#), "{warnings}");
        assert!(warnings.contains(r#"duplicate field \"data.a\""#), "{warnings}");
    }
    let (code, warnings, object) =
        post(&cluster, &format!("{maps}?fieldValidation=Ignore"), twice("ignore").into());
    assert_eq!((code, warnings.len()), (201, 0), "{object}");
    assert!(object["nope"].is_null());

    // What is no object, and what no pod may be: the path of the field is said.
    let (code, _, status) = post(&cluster, pods, b"{\"apiVersion\":".to_vec());
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")), "{status}");
    let invalid = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "Bad_Name"},
        "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 70000}]}, {"name": "c", "image": "j"}]}});
    let (code, _, status) = post(&cluster, pods, invalid.to_string().into());
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")), "{status}");
    let fields: Vec<&str> = status["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| cause["field"].as_str().unwrap())
        .collect();
    for field in
        ["metadata.name", "spec.containers[0].ports[0].containerPort", "spec.containers[1].name"]
    {
        assert!(fields.contains(&field), "{field} in {fields:?}");
    }
    let typo =
        cluster.apply("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {container: []}\n");
    let error = format!("{:#}", typo.unwrap_err());
    assert!(error.contains(r#"unknown field "spec.container""#), "{error}");

    // 4 MiB are more than Kubernetes takes.
    let large = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": {"a": "x".repeat(4 << 20)}});
    let (code, _, status) = post(&cluster, maps, large.to_string().into());
    assert_eq!((code, &status["reason"]), (413, &json!("RequestEntityTooLarge")), "{status}");
    let error = cluster.apply(&large.to_string()).unwrap_err();
    assert!(format!("{error:#}").contains("RequestEntityTooLarge"), "{error:#}");
    // And what fits the request but not the object has its own words.
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map"}, "data": {"a": "x".repeat(2 << 20)}});
    let (code, _, status) = post(&cluster, maps, map.to_string().into());
    assert_eq!(code, 422, "{status}");
    assert!(status["message"].as_str().unwrap().contains("1048576"), "{status}");

    let left = cluster.wctl(&["get", "configmaps", "-o", "name"]).unwrap();
    let mut left: Vec<&str> =
        left.lines().filter(|name| *name != "configmap/kube-root-ca.crt").collect();
    left.sort_unstable();
    assert_eq!(left, ["configmap/ignore", "configmap/unsaid", "configmap/warn"]);
    witness.is_undisturbed(&cluster);
}

//! Images on their way from a real registry, or a file, to a running pod.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use serde_json::Value;
use tests::cluster::Cluster;
use tests::images::{Compression, Layout, OCI_CONFIG, debian};
use tests::program;
use tests::registry::Registry;
use tests::thirdparty::{WASMER_WASI, npm};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(program::repository().join("fixtures/wasm").join(name)).unwrap()
}

/// A pod of one container that runs to its end; `container` is the rest of the container.
fn job(name: &str, image: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  \
         containers:\n  - {{name: c, image: '{image}', {container}}}\n---\n"
    )
}

/// Applies a [`job`], waits until it has succeeded; the pod and its log.
fn run(cluster: &Cluster, name: &str, image: &str, container: &str) -> (Value, String) {
    cluster.apply(&job(name, image, container)).unwrap();
    let pod = cluster.until(&["pod", name], |pod| pod["status"]["phase"] == "Succeeded");
    (pod, cluster.wctl(&["logs", name]).unwrap())
}

fn waiting(pod: &Value) -> (&str, &str) {
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    (
        waiting["reason"].as_str().unwrap_or_default(),
        waiting["message"].as_str().unwrap_or_default(),
    )
}

#[test]
fn native_images_by_tag_and_digest() {
    let mut cluster = Cluster::start().unwrap();
    cluster.expect_log("image is not there");
    let registry = Registry::start().unwrap();
    let host = registry.host();
    let layout = Layout::new().unwrap();
    layout.everything("gzip").unwrap();
    layout.recompress("gzip", "zstd", &[Compression::Zstd]).unwrap();
    layout
        .recompress("gzip", "mixed", &[Compression::Zstd, Compression::None, Compression::Gzip])
        .unwrap();
    for tag in ["gzip", "zstd", "mixed"] {
        layout.push(tag, &host, "everything", tag).unwrap();
    }
    // What the layers say: whiteouts, an opaque directory, a hard link, modes, the user and the environment.
    let look = "command: [sh, -c, 'id -un; echo $GREETING; ls /data /data/opaque /data/replaced; \
                stat -c \"%a %h\" /data/setuid /data/first; cat /home/app/mine']";
    let digest = format!("{host}/everything@{}", layout.digest("zstd").unwrap());
    let images = ["gzip", "zstd", "mixed"].map(|tag| (tag, format!("{host}/everything:{tag}")));
    let mut said = Vec::new();
    for (name, image) in images.into_iter().chain([("digest", digest.clone())]) {
        let (pod, log) = run(&cluster, name, &image, look);
        said.push(log);
        if name == "digest" {
            let status = &pod["status"]["containerStatuses"][0];
            assert_eq!(status["imageID"], digest.as_str(), "{status}");
            assert_eq!(status["image"], digest.as_str(), "{status}");
        }
    }
    assert!(said[0].starts_with("app\nhello\n"), "{}", said[0]);
    for part in ["\n4755 1\n", "\n644 2\n", "\nnew\n", "\nmine"] {
        assert!(said[0].contains(part), "{part:?} in {}", said[0]);
    }
    for gone in ["removed", "gone", "old"] {
        assert!(!said[0].lines().any(|line| line == gone), "{gone} in {}", said[0]);
    }
    assert!(said.iter().all(|log| *log == said[0]), "{said:#?}");

    // An index: this host's entry, and no other's.
    layout
        .index(
            "many",
            &[
                ("gzip", "linux/s390x"),
                ("zstd", if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" }),
            ],
        )
        .unwrap();
    layout.push("many", &host, "everything", "many").unwrap();
    let (pod, log) = run(&cluster, "index", &format!("{host}/everything:many"), look);
    assert_eq!(log, said[0]);
    assert!(
        pod["status"]["containerStatuses"][0]["imageID"].as_str().unwrap().contains("@sha256:")
    );

    // Docker's own format, as skopeo writes it.
    let docker = format!("docker://{host}/docker:v2s2");
    layout.copy("gzip", &docker, &["--format", "v2s2"]).unwrap();
    let (_, log) = run(&cluster, "docker", &format!("{host}/docker:v2s2"), look);
    assert_eq!(log, said[0]);

    // A real distribution: dynamic linking, its own shell and tools.
    layout.build("debian", debian::rootfs).unwrap();
    layout.configure("debian", &["--config.cmd", "/bin/sh"]).unwrap();
    layout.push("debian", &host, "debian", "v1").unwrap();
    let script =
        "command: [/bin/sh, -c, '. /etc/os-release; echo $ID; /bin/ls --version | head -1']";
    let (_, log) = run(&cluster, "debian", &format!("{host}/debian:v1"), script);
    assert!(log.starts_with("debian\nls (GNU coreutils)"), "{log}");

    policies(&mut cluster, &layout, registry);
}

/// `imagePullPolicy`, with a registry that moves a tag and then goes away.
fn policies(cluster: &mut Cluster, layout: &Layout, registry: Registry) {
    let host = registry.host();
    let image = format!("{host}/moving:v1");
    let print = |what: &str| {
        layout.busybox(what).unwrap();
        layout.configure(what, &["--config.cmd", "echo", "--config.cmd", what]).unwrap();
        layout.push(what, &host, "moving", "v1").unwrap();
    };
    let job_with = |name: &str, policy: &str| {
        run(cluster, name, &image, &format!("imagePullPolicy: {policy}")).1
    };
    print("one");
    cluster.apply(&job("never", &image, "imagePullPolicy: Never")).unwrap();
    let pod = cluster.until(&["pod", "never"], |pod| waiting(pod).0 == "ErrImageNeverPull");
    assert_eq!(
        waiting(&pod).1,
        format!("Container image \"{image}\" is not present with pull policy of Never")
    );
    assert_eq!(job_with("first", "IfNotPresent"), "one\n");
    print("two");
    assert_eq!(job_with("present", "IfNotPresent"), "one\n");
    assert_eq!(job_with("moved", "Always"), "two\n");
    drop(registry);
    assert_eq!(job_with("offline", "IfNotPresent"), "two\n");
    assert_eq!(job_with("offline-never", "Never"), "two\n");
    cluster.apply(&job("offline-always", &image, "imagePullPolicy: Always")).unwrap();
    let pod = cluster.until(&["pod", "offline-always"], |pod| waiting(pod).0 == "ImagePullBackOff");
    assert!(waiting(&pod).1.contains(&host), "{pod}");
}

#[test]
fn wasm_images_in_the_packagings_in_use() {
    // Fetched before the test leaves the host's network.
    let stranger = npm(WASMER_WASI, "tests/envvar.wasm").unwrap();
    let cluster = Cluster::start().unwrap();
    let registry = Registry::start().unwrap();
    let host = registry.host();
    let layout = Layout::new().unwrap();
    let (hello, component) = (fixture("hello.wasm"), fixture("hello-p2.wasm"));
    let config = br#"{"architecture":"wasm","os":"wasip1"}"#;
    layout
        .artifact(
            "cncf",
            ("application/vnd.wasm.config.v0+json", config),
            &[("application/wasm", &hello)],
        )
        .unwrap();
    let config = br#"{"architecture":"wasm","os":"wasip2","config":{"Entrypoint":["/app.wasm"],"Env":["A=1"]},"rootfs":{"type":"layers","diff_ids":[]}}"#;
    let media = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";
    layout.artifact("runwasi", (OCI_CONFIG, config), &[(media, &component)]).unwrap();
    layout
        .artifact(
            "legacy",
            ("application/vnd.wasm.config.v1+json", b"{}"),
            &[("application/vnd.wasm.content.layer.v1+wasm", &hello)],
        )
        .unwrap();
    let compat = |tag: &str, os: &str, architecture: &str| {
        layout.build(tag, |root| Ok(std::fs::write(root.join("app.wasm"), &hello)?)).unwrap();
        let flags =
            ["--os", os, "--architecture", architecture, "--config.entrypoint", "/app.wasm"];
        layout.configure(tag, &flags).unwrap();
    };
    compat("compat", "wasi", "wasm");
    compat("mislabelled", "linux", "amd64");
    for (tag, name) in [
        ("cncf", "wasm.wasm"),
        ("runwasi", "/app.wasm"),
        ("legacy", "wasm.wasm"),
        ("compat", "/app.wasm"),
        ("mislabelled", "/app.wasm"),
    ] {
        layout.push(tag, &host, "wasm", tag).unwrap();
        let (_, log) = run(
            &cluster,
            tag,
            &format!("{host}/wasm:{tag}"),
            "args: [x, 'y z'], env: [{name: B, value: '2'}]",
        );
        let want = format!("hello argc=3\narg[0]={name}\narg[1]=x\narg[2]=y z\n");
        assert!(log.starts_with(&want), "{tag}: {log}");
        assert!(log.lines().any(|line| line == "env B=2"), "{tag}: {log}");
        assert_eq!(log.lines().any(|line| line == "env A=1"), tag == "runwasi", "{tag}: {log}");
    }
    // What `wctl push` writes, a pod pulls.
    let file = program::repository().join("fixtures/wasm/http-c.wasm");
    let reference = format!("{host}/pushed/web:v1");
    let pushed = cluster.wctl(&["push", file.to_str().unwrap(), &reference]).unwrap();
    let digest =
        pushed.trim().strip_prefix(&format!("pushed {reference}@")).expect("the digest").to_owned();
    cluster.apply(&format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: pushed}}\nspec:\n  terminationGracePeriodSeconds: 1\n  \
        containers:\n  - {{name: c, image: '{reference}', readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}}}\n")).unwrap();
    let pod = cluster
        .until(&["pod", "pushed"], |pod| pod["status"]["containerStatuses"][0]["ready"] == true);
    let id = pod["status"]["containerStatuses"][0]["imageID"].as_str().unwrap();
    assert!(id.ends_with(&digest), "{id} {digest}");
    let address = format!("{}:8080", pod["status"]["podIP"].as_str().unwrap());
    let answer = tests::http::get(&address, "/status/418").unwrap();
    assert_eq!(answer.status, 418, "{answer:?}");

    // A program that nobody here wrote.
    cluster.wctl(&["push", stranger.to_str().unwrap(), &format!("{host}/stranger:v1")]).unwrap();
    let (_, log) = run(
        &cluster,
        "stranger",
        &format!("{host}/stranger:v1"),
        "env: [{name: DOG, value: X}, {name: TEST, value: VALUE}]",
    );
    let mut lines = log.lines();
    assert_eq!(lines.next(), Some("Env vars:"), "{log}");
    for want in [
        "DOG=X",
        "TEST=VALUE",
        "DOG Ok(\"X\")",
        "DOG_TYPE Err(NotPresent)",
        "SET VAR Ok(\"HELLO\")",
    ] {
        assert!(log.lines().any(|line| line == want), "{want}: {log}");
    }
}

#[test]
fn the_image_commands() {
    let cluster = Cluster::start().unwrap();
    let registry = Registry::start().unwrap();
    let host = registry.host();
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    layout.push("v1", &host, "busybox", "v1").unwrap();
    let digest = layout.digest("v1").unwrap();
    let names = || {
        let list = cluster.wctl(&["images", "-o", "json"]).unwrap();
        let list: Value = serde_json::from_str(&list).unwrap();
        let mut names: Vec<String> = list
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|image| image["names"].as_array().unwrap().iter())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        cluster.wctl(&["images"]).unwrap().lines().count(),
        1,
        "a new cluster has no images"
    );
    let tagged = format!("{host}/busybox:v1");
    assert_eq!(cluster.wctl(&["pull", &tagged]).unwrap(), format!("{tagged}@{digest}\n"));
    let table = cluster.wctl(&["images"]).unwrap();
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..3], [tagged.as_str(), "native", &digest["sha256:".len()..][..12]], "{table}");

    // The forms of `image load`: a layout, a tar of it, docker's archive, a .wasm file.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let load =
        |file: &str, name: &str| cluster.wctl(&["image", "load", file, "--name", name]).unwrap();
    let said = load(&layout.path().display().to_string(), "from/layout:v1");
    assert!(said.starts_with("loaded docker.io/from/layout:v1 (linux/"), "{said}");
    let tar = path("layout.tar");
    let mut command = std::process::Command::new("tar");
    tests::cluster::succeed(command.args([
        "-C",
        layout.path().to_str().unwrap(),
        "-cf",
        &tar,
        ".",
    ]))
    .unwrap();
    load(&tar, "from/tar:v1");
    let docker = path("docker.tar");
    layout.copy("v1", &format!("docker-archive:{docker}:from/docker:v1"), &[]).unwrap();
    let said = cluster.wctl(&["image", "load", &docker]).unwrap();
    assert!(said.contains("docker.io/from/docker:v1"), "{said}");
    cluster.load_fixture("hello.wasm", "from/wasm:v1").unwrap();
    let all = ["from/docker:v1", "from/layout:v1", "from/tar:v1", "from/wasm:v1"];
    let mut want: Vec<String> = all.iter().map(|name| format!("docker.io/{name}")).collect();
    want.push(tagged.clone());
    want.sort();
    assert_eq!(names(), want);
    for name in ["from/docker:v1", "from/layout:v1", "from/tar:v1"] {
        let said = cluster.wctl(&["run", "--rm", name, "--", "echo", "loaded"]).unwrap();
        assert_eq!(said, "loaded\n", "{name}");
    }
    let error = cluster.wctl_fails(&["image", "load", &path("nothing")]).unwrap();
    assert!(error.contains("nothing"), "{error}");
    let text = path("text");
    std::fs::write(&text, "just text").unwrap();
    let error = cluster.wctl_fails(&["image", "load", &text]).unwrap();
    assert!(error.contains("holds no image"), "{error}");

    // A name goes; what a pod runs from stays, and pruning takes only what nobody uses.
    cluster.apply("apiVersion: v1\nkind: Pod\nmetadata: {name: user}\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - {name: c, image: 'from/docker:v1', command: [sleep, '1000000']}\n").unwrap();
    cluster.until(&["pod", "user"], |pod| pod["status"]["phase"] == "Running");
    let said = cluster.wctl(&["image", "rm", "from/wasm:v1"]).unwrap();
    assert!(
        said.contains("removed docker.io/from/wasm:v1") && said.contains("deleted sha256:"),
        "{said}"
    );
    cluster.wctl(&["image", "prune", "--all"]).unwrap();
    assert!(names().contains(&"docker.io/from/docker:v1".to_owned()), "{:?}", names());
    assert!(!names().contains(&"docker.io/from/wasm:v1".to_owned()), "{:?}", names());
    cluster.wctl(&["delete", "pod", "user"]).unwrap();
    cluster.wctl(&["image", "prune", "--all"]).unwrap();
    assert_eq!(names(), [] as [String; 0]);
    let error = cluster.wctl_fails(&["image", "rm", "from/docker:v1"]).unwrap();
    assert!(error.contains("no image \"from/docker:v1\" on this node"), "{error}");
}

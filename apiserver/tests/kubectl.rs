//! The real kubectl, 1.32, against a server on SQLite.
//!
//! kubectl comes with the machine (`cargo xtask test` cannot fetch it); where it is missing these
//! tests say so and end.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use apiserver::{Config, Server, pki};
use tests::process::Guard;
use tests::wait::eventually;
use tokio_util::sync::CancellationToken;

const KUBECTL: &str = "/usr/bin/kubectl";
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - {name: c, image: 'nginx:1'}
";

const CONTROLLER: &str = "
apiVersion: v1
kind: ReplicationController
metadata: {name: rc}
spec:
  replicas: 1
  selector: {app: rc}
  template:
    metadata: {labels: {app: rc}}
    spec: {containers: [{name: c, image: 'nginx:1'}]}
";

/// A server, and a directory with kubectl's configuration and caches.
struct Cluster {
    dir: tempfile::TempDir,
    shutdown: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
    running: Option<tokio::task::JoinHandle<Result<(), apiserver::RunError>>>,
}

impl Cluster {
    /// None, with a word on the output, where there is no kubectl.
    #[expect(clippy::print_stdout, reason = "a test that cannot run says so in its output")]
    fn start() -> Option<Cluster> {
        if !Path::new(KUBECTL).exists() {
            println!("not tested: there is no {KUBECTL} on this machine");
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let authority = Arc::new(pki::Authority::open(&dir.path().join("pki")).expect("a CA"));
        let url = format!("sqlite://{}", dir.path().join("state.db").display());
        let server = runtime.block_on(async {
            let store = store::Store::open(&url, store::Options::default()).await.expect("a store");
            Server::bind(Config::new(store, authority.clone())).await.expect("a server")
        });
        let admin = authority.client(pki::ADMIN_USER, Some(pki::MASTERS_GROUP)).expect("a client");
        let address = format!("https://{}", server.local_addr());
        let text = pki::kubeconfig("wharf", &address, authority.ca_pem(), &admin);
        std::fs::write(dir.path().join("kubeconfig"), text).expect("a kubeconfig");
        let shutdown = CancellationToken::new();
        let tracker = tokio_util::task::TaskTracker::new();
        let running = tracker.spawn_on(server.run(shutdown.clone()), runtime.handle());
        Some(Cluster { dir, shutdown, runtime: Some(runtime), running: Some(running) })
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(KUBECTL);
        command
            .args(arguments.split_whitespace())
            .env("KUBECONFIG", self.dir.path().join("kubeconfig"))
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path());
        command
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().expect("kubectl runs")
    }

    /// Runs kubectl, which must succeed, and returns what it printed.
    #[track_caller]
    fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs kubectl, which must fail, and returns what it complained about.
    #[track_caller]
    fn refused(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "kubectl {arguments} succeeded");
        String::from_utf8(output.stderr).expect("text")
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let (Some(runtime), Some(running)) = (self.runtime.take(), self.running.take()) {
            // Whatever the test found is reported; a dirty stop only adds to it.
            let stopped = runtime.block_on(running);
            if !std::thread::panicking() {
                stopped.expect("no panic").expect("a clean stop");
            }
        }
    }
}

#[test]
fn looking_around() {
    let Some(cluster) = Cluster::start() else { return };
    assert!(cluster.ok("version").contains("Server Version: v1.36.0"));
    let resources = cluster.ok("api-resources --no-headers");
    for row in api::resources::table() {
        assert!(
            resources.lines().any(|line| line.starts_with(&*row.plural)),
            "{}\n{resources}",
            row.plural
        );
    }
    assert!(cluster.ok("api-versions").lines().any(|line| line == "coordination.k8s.io/v1"));
    let namespaces = cluster.ok("get namespaces -o name");
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        assert!(namespaces.contains(&format!("namespace/{name}")), "{namespaces}");
    }
    assert!(cluster.ok("get svc kubernetes").contains("10.96.0.1"));
    assert!(cluster.ok("get all -A").contains("service/kubernetes"));
    assert!(cluster.ok("get --raw /readyz?verbose").contains("readyz check passed"));
    assert!(cluster.ok("get --raw /metrics").contains("apiserver_request_total{"));
    assert!(cluster.ok("describe service kubernetes").contains("443/TCP"));
    let error = cluster.refused("get pod none");
    assert!(error.contains("pods \"none\" not found"), "{error}");
    let error = cluster.refused("get widgets");
    assert!(error.contains("the server doesn't have a resource type \"widgets\""), "{error}");
}

#[test]
fn a_pods_life() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.file("pod.yaml", POD);
    assert_eq!(cluster.ok("create -f pod.yaml").trim(), "pod/web created");
    assert!(cluster.refused("create -f pod.yaml").contains("AlreadyExists"));
    let wide = cluster.ok("get pods -o wide");
    assert!(wide.starts_with("NAME") && wide.contains("NOMINATED NODE"), "{wide}");
    assert!(cluster.ok("get pods -l app=web -o name").contains("pod/web"));
    assert!(cluster.ok("get pods --field-selector=metadata.name=other -o name").is_empty());
    assert!(cluster.ok("get pods --chunk-size=1 --sort-by=.metadata.name").contains("web"));
    assert!(cluster.ok("get pod web -o yaml").contains("serviceAccountName: default"));
    assert!(cluster.ok("describe pod web").contains("nginx:1"));
    cluster.ok("label pod web tier=front");
    cluster.ok("annotate pod web note=x");
    assert_eq!(cluster.ok("get pod web -o jsonpath={.metadata.labels.tier}"), "front");
    cluster.ok("label pod web tier-");
    cluster.ok(r#"patch pod web -p {"spec":{"containers":[{"name":"c","image":"nginx:2"}]}}"#);
    cluster.ok(r#"patch pod web --type=merge -p {"metadata":{"labels":{"m":"1"}}}"#);
    cluster.ok(r#"patch pod web --type=json -p [{"op":"replace","path":"/metadata/labels/m","value":"2"}]"#);
    assert_eq!(cluster.ok("get pod web -o jsonpath={.spec.containers[0].image}"), "nginx:2");
    assert_eq!(cluster.ok("get pod web -o jsonpath={.metadata.labels.m}"), "2");
    cluster
        .ok(r#"patch pod web --subresource=status --type=merge -p {"status":{"phase":"Running"}}"#);
    cluster.ok("wait --for=jsonpath={.status.phase}=Running pod/web --timeout=20s");
    assert_eq!(cluster.ok("delete pod web").trim(), "pod \"web\" deleted");
    cluster.ok("wait --for=delete pod/web --timeout=20s");
    cluster.ok("delete pod web --ignore-not-found");
}

#[test]
fn applying_and_editing() {
    let Some(cluster) = Cluster::start() else { return };
    let map = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: '{value}', keep: x}}\n"
        )
    };
    cluster.file("m.yaml", &map("1"));
    assert_eq!(cluster.ok("apply -f m.yaml").trim(), "configmap/m created");
    assert_eq!(cluster.ok("apply -f m.yaml").trim(), "configmap/m unchanged");
    cluster
        .file("m.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: '2'}\n");
    let tried = cluster.ok("apply -f m.yaml --dry-run=server");
    assert_eq!(tried.trim(), "configmap/m configured (server dry run)");
    assert_eq!(cluster.ok("get cm m -o jsonpath={.data.a}"), "1");
    assert_eq!(cluster.ok("apply -f m.yaml").trim(), "configmap/m configured");
    assert_eq!(cluster.ok("get cm m -o jsonpath={.data}"), "{\"a\":\"2\"}");
    let editor = cluster.file("editor", "#!/bin/sh\nsed -i 's/a: \"2\"/a: \"3\"/' \"$1\"\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&editor, mode).expect("an executable editor");
    let mut edit = cluster.command("edit cm m");
    let output = edit.env("EDITOR", &editor).output().expect("kubectl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(cluster.ok("get cm m -o jsonpath={.data.a}"), "3");
    cluster.file("m.yaml", &map("4"));
    assert_eq!(cluster.ok("replace -f m.yaml").trim(), "configmap/m replaced");
    cluster.file("pod.yaml", POD);
    cluster.file("rc.yaml", CONTROLLER);
    cluster.ok("apply -f pod.yaml -f rc.yaml");
    cluster.file("pod.yaml", &POD.replace("nginx:1", "nginx:3"));
    assert_eq!(cluster.ok("apply -f pod.yaml").trim(), "pod/web configured");
    cluster.ok("scale rc rc --replicas=3");
    assert_eq!(cluster.ok("get rc rc -o jsonpath={.spec.replicas}"), "3");
    cluster.ok("scale rc rc --replicas=2 --current-replicas=3");
    cluster.ok("expose rc rc --port=80");
    assert!(cluster.ok("get svc rc").contains("80/TCP"));
    cluster.ok("delete rc rc --cascade=background");
    cluster.ok("delete -f m.yaml -f pod.yaml");
}

#[test]
fn applying_on_the_server_side() {
    let Some(cluster) = Cluster::start() else { return };
    let map = |data: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{{data}}}\n")
    };
    cluster.file("m.yaml", &map("a: '1', b: '1'"));
    let applied = cluster.ok("apply --server-side -f m.yaml");
    assert_eq!(applied.trim(), "configmap/m serverside-applied");
    let version = cluster.ok("get cm m -o jsonpath={.metadata.resourceVersion}");
    cluster.ok("apply --server-side -f m.yaml");
    assert_eq!(cluster.ok("get cm m -o jsonpath={.metadata.resourceVersion}"), version);
    assert!(!cluster.ok("get cm m -o yaml").contains("managedFields"));
    let shown = cluster.ok("get cm m -o yaml --show-managed-fields");
    assert!(shown.contains("manager: kubectl") && shown.contains("f:a: {}"), "{shown}");
    cluster.file("other.yaml", &map("a: '2'"));
    let error = cluster.refused("apply --server-side --field-manager=other -f other.yaml");
    assert!(
        error.contains("Apply failed with 1 conflict: conflict with \"kubectl\": .data.a"),
        "{error}"
    );
    cluster.ok("apply --server-side --field-manager=other --force-conflicts -f other.yaml");
    cluster.file("m.yaml", &map("b: '1'"));
    cluster.ok("apply --server-side -f m.yaml");
    assert_eq!(cluster.ok("get cm m -o jsonpath={.data}"), r#"{"a":"2","b":"1"}"#);
    // From client-side apply to server-side apply, with a field that goes away on the way.
    cluster.file("n.yaml", &map("a: '1', b: '1'").replace("name: m", "name: second"));
    cluster.ok("apply -f n.yaml");
    cluster.file("n.yaml", &map("a: '2'").replace("name: m", "name: second"));
    cluster.ok("apply --server-side -f n.yaml");
    assert_eq!(cluster.ok("get cm second -o jsonpath={.data}"), r#"{"a":"2"}"#);
    // And back.
    cluster.file("n.yaml", &map("c: '1'").replace("name: m", "name: second"));
    cluster.ok("apply -f n.yaml");
    assert_eq!(cluster.ok("get cm second -o jsonpath={.data}"), r#"{"c":"1"}"#);
    // A difference is an exit code of 1.
    cluster.file("n.yaml", &map("c: '2'").replace("name: m", "name: second"));
    let diff = cluster.run("diff --server-side --force-conflicts -f n.yaml");
    assert_eq!(diff.status.code(), Some(1), "{}", String::from_utf8_lossy(&diff.stderr));
}

#[test]
fn bad_manifests() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.file("unknown.yaml", &POD.replace("spec:", "spec:\n  nope: 1"));
    let error = cluster.refused("apply -f unknown.yaml");
    assert!(error.contains("unknown field \"spec.nope\""), "{error}");
    let warned = cluster.run("apply -f unknown.yaml --validate=warn --dry-run=server");
    assert!(warned.status.success());
    let warning = String::from_utf8_lossy(&warned.stderr);
    assert!(warning.contains("Warning: unknown field \"spec.nope\""), "{warning}");
    // kubectl drops duplicate keys when it reads a manifest, so this one is posted as it is.
    cluster.file(
        "twice.json",
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"d"},"data":{"a":"1","a":"2"}}"#,
    );
    let path = "/api/v1/namespaces/default/configmaps?fieldValidation=Strict";
    let error = cluster.refused(&format!("create --raw {path} -f twice.json"));
    assert!(error.contains("duplicate field \"data.a\""), "{error}");
    cluster.file("invalid.yaml", &POD.replace("name: c", "name: Not_Valid"));
    let error = cluster.refused("create -f invalid.yaml");
    assert!(error.contains("spec.containers[0].name: Invalid value: \"Not_Valid\""), "{error}");
    cluster.file(
        "wrong.yaml",
        &POD.replace("  containers:\n  - {name: c, image: 'nginx:1'}", "  containers: text"),
    );
    let error = cluster.refused("create -f wrong.yaml");
    assert!(error.contains("BadRequest") || error.contains("cannot unmarshal"), "{error}");
    let error = cluster.refused("apply --server-side -f invalid.yaml");
    assert!(error.contains("spec.containers[0].name: Invalid value: \"Not_Valid\""), "{error}");
    let error = cluster.refused("apply --server-side -f unknown.yaml");
    assert!(error.contains(".spec.nope: field not declared in schema"), "{error}");
    assert!(cluster.ok("get pods -o name").is_empty());
}

#[test]
fn watching() {
    use std::io::{BufRead as _, BufReader};
    let Some(cluster) = Cluster::start() else { return };
    let mut watch = Guard::spawn(
        cluster
            .command("get configmaps -w --no-headers")
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    )
    .expect("kubectl runs");
    let (send, lines) = std::sync::mpsc::sync_channel(64);
    let output = watch.child().stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = send.send(line);
        }
    });
    cluster.file("m.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: seen}\n");
    cluster.ok("create -f m.yaml");
    let line = eventually("kubectl get -w prints the new object", PATIENCE, || {
        lines.try_recv().map_err(|error| error.to_string())
    });
    assert!(line.starts_with("seen"), "{line}");
    drop(watch);
    reader.join().expect("the reader ends");
}

/// These commands send protobuf, and prefer it in answers.
#[test]
fn objects_made_by_flags() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.file("bytes", "plain\n");
    for (arguments, want) in [
        ("create namespace demo", "namespace/demo created"),
        ("create configmap m --from-literal=a=1 --from-file=bytes", "configmap/m created"),
        ("create secret generic s --from-literal=password=x", "secret/s created"),
        ("create serviceaccount robot", "serviceaccount/robot created"),
        ("create service clusterip backend --tcp=80:8080", "service/backend created"),
        ("create deployment web --image=nginx --replicas=0", "deployment.apps/web created"),
        ("create job once --image=busybox", "job.batch/once created"),
        ("create cronjob often --image=busybox --schedule=@hourly", "cronjob.batch/often created"),
        (
            "create role reader --verb=get --resource=pods",
            "role.rbac.authorization.k8s.io/reader created",
        ),
        (
            "create rolebinding readers --role=reader --user=jane",
            "rolebinding.rbac.authorization.k8s.io/readers created",
        ),
        (
            "create ingress edge --rule=example.com/*=web:80",
            "ingress.networking.k8s.io/edge created",
        ),
        (
            "create pdb safe --selector=app=web --min-available=1",
            "poddisruptionbudget.policy/safe created",
        ),
        ("create priorityclass high --value=7", "priorityclass.scheduling.k8s.io/high created"),
        (
            "autoscale deployment web --max=3 --cpu-percent=80",
            "horizontalpodautoscaler.autoscaling/web autoscaled",
        ),
    ] {
        assert_eq!(cluster.ok(arguments).trim(), want);
    }
    let twice = cluster.refused("create configmap m");
    assert!(twice.contains("configmaps \"m\" already exists"), "{twice}");
    assert_eq!(cluster.ok("get configmap m -o jsonpath={.data}"), r#"{"a":"1","bytes":"plain\n"}"#);
    assert_eq!(cluster.ok("get secret s -o jsonpath={.data.password}"), "eA==");
    // A number that is there although it is 0.
    assert_eq!(cluster.ok("get deployment web -o jsonpath={.spec.replicas}"), "0");
    assert!(cluster.ok("describe deployment web").contains("0 desired"));
    assert!(cluster.ok("describe configmap m").contains("plain"));
    assert!(cluster.ok("describe namespace demo").contains("Active"));
    assert!(cluster.ok("describe role reader").contains("pods"));
}

/// What kubectl knows about kinds it learns from the OpenAPI documents.
#[test]
fn explaining() {
    let Some(cluster) = Cluster::start() else { return };
    let pods = cluster.ok("explain pods --recursive");
    assert!(pods.starts_with("KIND:       Pod\nVERSION:    v1\n"), "{pods}");
    for line in [
        "\n  spec\t<PodSpec>\n",
        "\n    containers\t<[]Container> -required-\n",
        "\n        containerPort\t<integer> -required-\n",
        "\n    nodeSelector\t<map[string]string>\n",
        "\n  metadata\t<ObjectMeta>\n",
    ] {
        assert!(pods.contains(line), "{line:?} in {pods}");
    }
    let strategy = cluster.ok("explain deployment.spec.strategy");
    assert!(strategy.starts_with("GROUP:      apps\nKIND:       Deployment\n"), "{strategy}");
    assert!(strategy.contains("FIELD: strategy <DeploymentStrategy>"), "{strategy}");
    assert!(strategy.contains("rollingUpdate\t<RollingUpdateDeployment>"), "{strategy}");
    // The field and its type, and the type's fields.
    for sentence in [
        "How old pods are replaced by new ones.",
        "How a Deployment replaces old pods.",
        "How many at a time; with RollingUpdate.",
    ] {
        assert!(strategy.contains(sentence), "{sentence:?} in {strategy}");
    }
    let error = cluster.refused("explain deployment.spec.nope");
    assert!(error.contains("field \"nope\" does not exist"), "{error}");
    let old = cluster.ok("explain pods.spec.containers --output plaintext-openapiv2");
    assert!(old.contains("KIND:     Pod\n") && old.contains("livenessProbe\t<Object>"), "{old}");
    assert!(old.contains("Containers that run side by side; at least one."), "{old}");
    for row in api::resources::table().iter().filter(|row| row.group == "storage.k8s.io") {
        let explained = cluster.ok(&format!("explain {}.{}", row.plural, row.group));
        assert!(explained.contains(&format!("KIND:       {}", row.kind)), "{explained}");
    }
}

/// Patches that kubectl makes with the merge keys of the OpenAPI documents.
#[test]
fn applying_merges_lists_by_their_keys() {
    let Some(cluster) = Cluster::start() else { return };
    let two = POD
        .replace("spec:", "spec:\n  activeDeadlineSeconds: 60")
        .replace("'nginx:1'}", "'nginx:1'}\n  - {name: d, image: 'redis:1'}");
    cluster.file("pod.yaml", &two);
    cluster.ok("apply -f pod.yaml --validate=strict");
    cluster.file("pod.yaml", &two.replace("redis:1", "redis:2"));
    let applied = cluster.run("apply -f pod.yaml --validate=strict");
    assert_eq!(String::from_utf8_lossy(&applied.stdout).trim(), "pod/web configured");
    // A document that kubectl cannot patch by earns a warning here, and built-in rules are used.
    assert_eq!(String::from_utf8_lossy(&applied.stderr), "");
    let images = "get pod web -o jsonpath={.spec.containers[*].image}";
    assert_eq!(cluster.ok(images), "nginx:1 redis:2");
    let run = cluster.run("diff -f pod.yaml");
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stdout));
    cluster.file("bad.yaml", &two.replace("image: 'redis:1'", "image: 'redis:1', colour: red"));
    let error = cluster.refused("apply -f bad.yaml --validate=strict");
    assert!(error.contains("unknown field \"spec.containers[1].colour\""), "{error}");
}

/// Custom resources are in the documents from the moment they are established.
#[test]
fn explaining_custom_resources() {
    let Some(cluster) = Cluster::start() else { return };
    cluster.file(
        "crd.yaml",
        "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [cron]
            properties:
              cron: {type: string, description: When it runs.}
              replicas: {type: integer, nullable: true}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
",
    );
    let unknown = cluster.refused("explain crontabs");
    assert!(unknown.contains("crontabs"), "{unknown}");
    cluster.ok("apply -f crd.yaml");
    cluster.ok("wait --for=condition=Established crd/crontabs.stable.example.com --timeout=60s");
    let explained = cluster.ok("explain crontabs.spec");
    assert!(explained.starts_with("GROUP:      stable.example.com\nKIND:       CronTab\n"));
    assert!(explained.contains("cron\t<string> -required-\n    When it runs."), "{explained}");
    let old = cluster.ok("explain crontabs.spec --output plaintext-openapiv2");
    assert!(old.contains("When it runs.") && old.contains("free\t<"), "{old}");
    let object = "apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {name: c}\n";
    for cron in ["@daily", "@hourly"] {
        cluster.file("c.yaml", &format!("{object}spec: {{cron: '{cron}', free: {{any: 1}}}}\n"));
        cluster.ok("apply -f c.yaml");
    }
    assert_eq!(cluster.ok("get crontab c -o jsonpath={.spec.cron}"), "@hourly");
    cluster.file("bad.yaml", &format!("{object}spec: {{cron: x, colour: red}}\n"));
    let error = cluster.refused("apply -f bad.yaml");
    assert!(error.contains("unknown field \"spec.colour\""), "{error}");
    // Another field, another document.
    cluster.ok(
        r#"patch crd crontabs.stable.example.com --type=json -p [{"op":"add","path":"/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/colour","value":{"type":"string"}}]"#,
    );
    eventually("kubectl explains the new field", PATIENCE, || {
        let explained = cluster.run("explain crontabs.spec.colour");
        let error = String::from_utf8_lossy(&explained.stderr).into_owned();
        explained.status.success().then_some(()).ok_or(error)
    });
    cluster.ok("delete -f crd.yaml --timeout=60s");
    eventually("the documents forget the kind", PATIENCE, || {
        let index = cluster.ok("get --raw /openapi/v3");
        if index.contains("stable.example.com") { Err(index) } else { Ok(()) }
    });
}

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: foos.gold.io}
spec:
  group: gold.io
  scope: Namespaced
  names: {kind: Foo, plural: foos, shortNames: [fo]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, minimum: 1, default: 3}
              color: {type: string}
          status:
            type: object
            properties:
              size: {type: integer}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}
    additionalPrinterColumns:
    - {name: Count, type: integer, jsonPath: .spec.size}
";

#[test]
fn custom_resources() {
    let Some(cluster) = Cluster::start() else { return };
    let definition = cluster.file("definition.yaml", DEFINITION);
    let definition = definition.display();
    assert_eq!(
        cluster.ok(&format!("apply -f {definition}")).trim(),
        "customresourcedefinition.apiextensions.k8s.io/foos.gold.io created"
    );
    cluster.ok("wait --for=condition=Established crd/foos.gold.io --timeout=60s");
    let foo = |spec: &str| {
        format!("apiVersion: gold.io/v1\nkind: Foo\nmetadata: {{name: a}}\nspec: {spec}\n")
    };
    let file = cluster.file("foo.yaml", &foo("{color: red}"));
    let file = file.display();
    assert_eq!(cluster.ok(&format!("apply -f {file}")).trim(), "foo.gold.io/a created");
    cluster.file("foo.yaml", &foo("{color: blue}"));
    assert_eq!(cluster.ok(&format!("apply -f {file}")).trim(), "foo.gold.io/a configured");
    assert_eq!(cluster.ok(&format!("apply -f {file}")).trim(), "foo.gold.io/a unchanged");
    let table = cluster.ok("get fo a");
    let cells: Vec<Vec<&str>> = table.lines().map(|l| l.split_whitespace().collect()).collect();
    assert_eq!(cells, [["NAME", "COUNT"], ["a", "3"]], "{table}");
    assert_eq!(cluster.ok("get foo a -o jsonpath={.spec}"), r#"{"color":"blue","size":3}"#);
    let wrong = cluster.file("wrong.yaml", &foo("{size: 0}").replace("name: a", "name: b"));
    let refused = cluster.refused(&format!("create -f {}", wrong.display()));
    let want =
        "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1";
    assert!(refused.contains(want), "{refused}");
    let odd = cluster.file("odd.yaml", &foo("{zzz: 1}").replace("name: a", "name: b"));
    let refused = cluster.refused(&format!("create -f {}", odd.display()));
    assert!(refused.contains("unknown field \"spec.zzz\""), "{refused}");
    cluster.ok("scale foo a --replicas=5");
    cluster.ok("patch foo a --subresource=status --type=merge -p {\"status\":{\"size\":5}}");
    assert_eq!(cluster.ok("get foo a -o jsonpath={.spec.size}{.status.size}"), "55");
    cluster.ok("label foo a x=y");
    assert_eq!(cluster.ok("get foos -l x=y -o name").trim(), "foo.gold.io/a");
    cluster.ok("apply --server-side --field-manager=me --force-conflicts -f foo.yaml");
    let other = cluster.file("other.yaml", &foo("{color: green}"));
    let conflict = cluster
        .refused(&format!("apply --server-side --field-manager=other -f {}", other.display()));
    assert!(conflict.contains("conflict") && conflict.contains(".spec.color"), "{conflict}");
    let deleted = cluster.ok(&format!("delete -f {definition}"));
    assert!(deleted.contains("foos.gold.io\" deleted"), "{deleted}");
    let gone = cluster.refused("get foos");
    assert!(gone.contains("foos"), "{gone}");
}

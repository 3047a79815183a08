//! Services as their users see them: from the host, from pods, while endpoints come and go.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE, enter_network_namespace, succeed};
use tests::images::Layout;
use tests::{http, program, wait};

use super::web::items;

/// A pod whose Wasm server is ready while the file `ready` exists in `state`.
fn web(name: &str, port: u16, state: &Path) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web}}}}
spec:
  terminationGracePeriodSeconds: 1
  volumes:
  - {{name: state, hostPath: {{path: {state}}}}}
  containers:
  - name: web
    image: test/web:v1
    ports: [{{name: http, containerPort: {port}}}]
    env: [{{name: POD_NAME, value: {name}}}]
    volumeMounts: [{{name: state, mountPath: /state}}]
    readinessProbe: {{httpGet: {{path: '/file?/state/ready', port: http}}, periodSeconds: 1, failureThreshold: 1}}
---
",
        state = state.display()
    )
}

fn service(name: &str, spec: &str) -> String {
    format!("apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n")
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

fn cluster_ip(cluster: &Cluster, service: &str) -> String {
    let service = cluster.get(&["service", service]).unwrap();
    service["spec"]["clusterIP"].as_str().unwrap().to_owned()
}

/// Which pod answered how many of `count` requests.
fn ask(address: &str, count: usize) -> Result<BTreeMap<String, usize>, String> {
    let mut answers = BTreeMap::new();
    for _ in 0..count {
        let answer = http::get(address, "/").map_err(|error| format!("{error:#}"))?;
        let pod = answer.body.lines().find_map(|line| line.strip_prefix("env POD_NAME="));
        *answers
            .entry(pod.ok_or_else(|| format!("no POD_NAME in {answer:?}"))?.to_owned())
            .or_default() += 1;
    }
    Ok(answers)
}

/// Waits until exactly these pods answer, and each its share: the policy is round robin.
fn answered_by(address: &str, pods: &[&str]) {
    wait::eventually(&format!("{address} is answered by {pods:?}"), PATIENCE, || {
        let answers = ask(address, pods.len() * 4)?;
        let want: BTreeMap<String, usize> = pods.iter().map(|pod| ((*pod).to_owned(), 4)).collect();
        if answers == want { Ok(()) } else { Err(format!("{answers:?}")) }
    });
}

/// Waits until a connection is refused, and not merely left waiting.
fn refused(address: &str) {
    wait::eventually(&format!("{address} is refused"), PATIENCE, || {
        match TcpStream::connect(address) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            // A listener may take a connection to say in the next moment that nobody is there.
            Ok(mut stream) => match stream
                .write_all(b"GET / HTTP/1.0\r\n\r\n")
                .and_then(|()| stream.read(&mut [0]))
            {
                Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
                other => Err(format!("{other:?}")),
            },
            Err(error) => Err(error.to_string()),
        }
    });
}

fn load_busybox(cluster: &Cluster) {
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    let path = layout.path();
    cluster.wctl(&["image", "load", path.to_str().unwrap(), "--name", "test/busybox:v1"]).unwrap();
}

/// Runs a shell script in a native pod to its end; what it printed.
fn shell(cluster: &Cluster, name: &str, script: &str) -> String {
    let arguments = ["run", "--rm", "--name", name, "test/busybox:v1", "--", "sh", "-c", script];
    cluster.wctl(&arguments).unwrap()
}

#[test]
fn only_ready_pods_get_traffic_in_turn() {
    let cluster = Cluster::start().unwrap();
    cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
    load_busybox(&cluster);
    let state = tempfile::tempdir().unwrap();
    let mut manifest =
        service("web", "{selector: {app: web}, ports: [{port: 80, targetPort: http}]}");
    // Every pod has another number for the port of the same name.
    for (name, port) in [("a", 8080), ("b", 8081), ("c", 9000)] {
        let folder = state.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("ready"), "").unwrap();
        manifest.push_str(&web(name, port, &folder));
    }
    cluster.apply(&manifest).unwrap();
    let ip = cluster_ip(&cluster, "web");
    let address = format!("{ip}:80");
    answered_by(&address, &["a", "b", "c"]);

    // From a native pod, by the variables that every pod gets of the Services before it.
    let script = "for i in 1 2 3 4 5 6; do wget -qO- http://$WEB_SERVICE_HOST:$WEB_SERVICE_PORT/ | grep POD_NAME; done | sort | uniq -c";
    let said = shell(&cluster, "client", script);
    let said: Vec<&str> = said.lines().map(str::trim).collect();
    assert_eq!(said, ["2 env POD_NAME=a", "2 env POD_NAME=b", "2 env POD_NAME=c"]);

    // A pod that is not ready is left alone, but stays known.
    let ready = state.path().join("b/ready");
    std::fs::remove_file(&ready).unwrap();
    cluster.until(&["pod", "b"], |pod| !is_ready(pod));
    answered_by(&address, &["a", "c"]);
    let endpoints = cluster.until(&["endpoints", "web"], |object| {
        object["subsets"].to_string().contains("notReadyAddresses")
    });
    let waiting: Vec<&Value> = items_of(&endpoints["subsets"], "notReadyAddresses");
    assert_eq!(waiting.len(), 1, "{endpoints}");
    assert_eq!(waiting[0]["targetRef"]["name"], "b");
    assert_eq!(items_of(&endpoints["subsets"], "addresses").len(), 2, "{endpoints}");
    std::fs::write(&ready, "").unwrap();
    answered_by(&address, &["a", "b", "c"]);

    // A pod without the label is out; with it, in again.
    let pod = web("c", 9000, &state.path().join("c"));
    cluster.apply(&pod.replace("labels: {app: web}", "labels: {app: other}")).unwrap();
    answered_by(&address, &["a", "b"]);
    cluster.apply(&pod).unwrap();
    answered_by(&address, &["a", "b", "c"]);

    // Nobody is ready: refused at once, not left waiting.
    for name in ["a", "b", "c"] {
        std::fs::remove_file(state.path().join(name).join("ready")).unwrap();
    }
    refused(&address);
    std::fs::write(state.path().join("a/ready"), "").unwrap();
    answered_by(&address, &["a"]);

    // A Service that is gone listens no more; one made again does.
    cluster.wctl(&["delete", "service", "web"]).unwrap();
    refused(&address);
    let listeners = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
    let octets: Vec<u8> = ip.split('.').map(|part| part.parse().unwrap()).collect();
    let hex = format!("{:02X}{:02X}{:02X}{:02X}:0050", octets[3], octets[2], octets[1], octets[0]);
    assert!(
        !listeners.lines().any(|line| line.contains(&hex) && line.contains(" 0A ")),
        "{listeners}"
    );
    cluster
        .apply(&service("web", "{selector: {app: web}, ports: [{port: 81, targetPort: http}]}"))
        .unwrap();
    answered_by(&format!("{}:81", cluster_ip(&cluster, "web")), &["a"]);
}

fn items_of<'a>(subsets: &'a Value, field: &str) -> Vec<&'a Value> {
    let subsets = subsets.as_array().into_iter().flatten();
    subsets.flat_map(|subset| subset[field].as_array().into_iter().flatten()).collect()
}

const PAIR: &str = "apiVersion: v1
kind: Pod
metadata: {name: pair, labels: {app: pair}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: test/web:v1
    ports: [{name: http, containerPort: 8080}]
    env: [{name: POD_NAME, value: pair}]
    readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
  - name: echo
    image: test/echo:v1
    args: ['7000']
    ports: [{name: echo, containerPort: 7000}]
---
";

/// Sends a line to an echo server and reads it back.
fn echoes(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes())?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back)?;
    assert_eq!(String::from_utf8_lossy(&back), text);
    Ok(())
}

/// A connection through `address` that has echoed once.
fn connected(address: &str) -> TcpStream {
    wait::eventually(&format!("{address} echoes"), PATIENCE, || {
        let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        echoes(&mut stream, "first").map_err(|error| error.to_string())?;
        Ok(stream)
    })
}

#[test]
fn many_services_and_long_connections() {
    let cluster = Cluster::start().unwrap();
    cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
    cluster.load_fixture("tcp-echo.wasm", "test/echo:v1").unwrap();
    let both = "{selector: {app: pair}, ports: [{name: web, port: 80, targetPort: http}, {name: echo, port: 7, targetPort: 7000}]}";
    let manifest = [
        PAIR.to_owned(),
        service("by-name", "{selector: {app: pair}, ports: [{port: 8000, targetPort: http}]}"),
        service("by-number", "{selector: {app: pair}, ports: [{port: 9000, targetPort: 7000}]}"),
        service("both", both),
        service("nobody", "{selector: {app: nobody}, ports: [{port: 80}]}"),
        service(
            "headless",
            "{clusterIP: None, selector: {app: pair}, ports: [{port: 80, targetPort: http}]}",
        ),
    ];
    cluster.apply(&manifest.concat()).unwrap();
    let pod = cluster.until(&["pod", "pair"], is_ready);

    // Two Services, and one with two ports, lead to two containers of one pod.
    answered_by(&format!("{}:8000", cluster_ip(&cluster, "by-name")), &["pair"]);
    drop(connected(&format!("{}:9000", cluster_ip(&cluster, "by-number"))));
    let both = cluster_ip(&cluster, "both");
    answered_by(&format!("{both}:80"), &["pair"]);
    let echo = format!("{both}:7");
    refused(&format!("{}:80", cluster_ip(&cluster, "nobody")));

    // A headless Service has no address, only endpoints.
    assert_eq!(cluster_ip(&cluster, "headless"), "None");
    let slices = cluster
        .until(&["endpointslices", "-l", "kubernetes.io/service-name=headless"], |list| {
            items(list).iter().any(|slice| slice["endpoints"][0]["addresses"][0].is_string())
        });
    assert_eq!(items(&slices)[0]["endpoints"][0]["addresses"][0], pod["status"]["podIP"]);
    assert_eq!(items(&slices)[0]["ports"][0]["port"], 8080);

    // An open connection does not notice that other endpoints come and go.
    let mut stream = connected(&echo);
    let others = "apiVersion: v1
kind: ReplicationController
metadata: {name: others}
spec:
  replicas: 2
  selector: {role: other}
  template:
    metadata: {labels: {app: pair, role: other}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: echo, image: test/echo:v1, args: ['7000'], ports: [{name: http, containerPort: 7000}]}
";
    cluster.apply(others).unwrap();
    let addresses = |count: usize| {
        cluster.until(&["endpoints", "both"], |object| {
            let found = items_of(&object["subsets"], "addresses");
            let mut names: Vec<&str> =
                found.iter().filter_map(|a| a["targetRef"]["name"].as_str()).collect();
            names.sort_unstable();
            names.dedup();
            names.len() == count
        })
    };
    addresses(3);
    echoes(&mut stream, "two more").unwrap();
    cluster.wctl(&["scale", "rc", "others", "--replicas=0"]).unwrap();
    cluster.until(&["pods", "-l", "role=other"], |list| items(list).is_empty());
    addresses(1);
    echoes(&mut stream, "alone again").unwrap();

    // Even the Service may go; only the pod's own end ends it.
    cluster.wctl(&["delete", "service", "by-name", "by-number"]).unwrap();
    echoes(&mut stream, "quit").unwrap();
}

const CONTROLLER: &str = "apiVersion: v1
kind: ReplicationController
metadata: {name: OWNER}
spec:
  replicas: 2
  selector: {app: OWNER}
  template:
    metadata: {labels: {app: OWNER}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: test/web:v1, ports: [{containerPort: 8080}], env: [{name: POD_NAME, value: any}]}]
---
";

#[test]
fn what_owns_and_what_contains_takes_its_own_with_it() {
    let cluster = Cluster::start().unwrap();
    cluster.load_fixture("http-c.wasm", "test/web:v1").unwrap();
    let two_run = |label: &str, namespace: &str| {
        cluster.until(&["pods", "-n", namespace, "-l", label], |list| {
            items(list).len() == 2 && items(list).iter().all(is_ready)
        })
    };

    // Owner references.
    let controllers =
        ["background", "foreground", "orphan"].map(|name| CONTROLLER.replace("OWNER", name));
    cluster.apply(&controllers.concat()).unwrap();
    for policy in ["background", "foreground", "orphan"] {
        let label = format!("app={policy}");
        two_run(&label, "default");
        cluster.wctl(&["delete", "rc", policy, &format!("--cascade={policy}")]).unwrap();
        if policy != "orphan" {
            cluster.until(&["pods", "-l", &label], |list| items(list).is_empty());
        }
    }
    let orphans = two_run("app=orphan", "default");
    for pod in items(&orphans) {
        assert!(pod["metadata"]["ownerReferences"].is_null(), "{}", pod["metadata"]);
        assert!(pod["metadata"]["deletionTimestamp"].is_null(), "{}", pod["metadata"]);
    }
    // A controller made again takes them as they are.
    cluster.apply(&CONTROLLER.replace("OWNER", "orphan")).unwrap();
    let adopted = cluster.until(&["pods", "-l", "app=orphan"], |list| {
        items(list).iter().all(|pod| pod["metadata"]["ownerReferences"].is_array())
    });
    let uids = |list: &Value| {
        let mut uids: Vec<String> =
            items(list).iter().map(|pod| pod["metadata"]["uid"].to_string()).collect();
        uids.sort_unstable();
        uids
    };
    assert_eq!(uids(&orphans), uids(&adopted));

    // A namespace.
    let mut manifest = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n".to_owned();
    for object in [
        CONTROLLER.replace("OWNER", "web"),
        service("web", "{selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: b}\n---\n"
            .to_owned(),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: hush}\nstringData: {a: b}\n---\n"
            .to_owned(),
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: clerk}\n---\n".to_owned(),
    ] {
        manifest.push_str(&object.replacen("metadata: {", "metadata: {namespace: shop, ", 1));
    }
    cluster.apply(&manifest).unwrap();
    two_run("app=web", "shop");
    let shop = cluster.get(&["service", "web", "-n", "shop"]).unwrap();
    let address = format!("{}:80", shop["spec"]["clusterIP"].as_str().unwrap());
    answered_by(&address, &["any"]);
    // delete waits until the namespace is gone, which is after everything in it.
    cluster.wctl(&["delete", "namespace", "shop"]).unwrap();
    refused(&address);
    let left = cluster.wctl_fails(&["get", "namespace", "shop"]).unwrap();
    assert!(left.contains("namespaces \"shop\" not found"), "{left}");
    let everything =
        "pods,services,rc,configmaps,secrets,serviceaccounts,endpoints,endpointslices,events";
    let left =
        cluster.get(&[everything, "-A", "--field-selector=metadata.namespace=shop"]).unwrap();
    assert_eq!(items(&left), &[] as &[Value]);
    let refusal = cluster.apply(&service("late", "{ports: [{port: 80}]}").replacen(
        "metadata: {",
        "metadata: {namespace: shop, ",
        1,
    ));
    let refusal = format!("{:#}", refusal.unwrap_err());
    assert!(refusal.contains("namespaces \"shop\" not found"), "{refusal}");
    // The name may be used again.
    cluster.apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n").unwrap();
    cluster.until(&["serviceaccounts", "-n", "shop"], |list| items(list).len() == 1);
}

/// More than the tests that run at the same time, each of which holds a slot of the host's.
const TAKEN_SLOTS: u8 = 16;

#[test]
fn networks_of_the_host_are_passed_over() {
    enter_network_namespace().unwrap();
    for slot in 0..TAKEN_SLOTS {
        // By turns a pod's and a Service's address.
        let address = if slot % 2 == 0 {
            format!("10.244.{slot}.7/32")
        } else {
            format!("10.{}.3.7/32", 96 + slot)
        };
        let ip = program::find("ip").unwrap();
        succeed(Command::new(ip).args(["address", "add", &address, "dev", "lo"])).unwrap();
    }
    let cluster = Cluster::start_here(&[]).unwrap();
    let kubernetes = cluster_ip(&cluster, "kubernetes");
    let second: u8 = kubernetes.split('.').nth(1).unwrap().parse().unwrap();
    assert!(second >= 96 + TAKEN_SLOTS, "{kubernetes}");
    cluster.load_fixture("hello.wasm", "test/hello:v1").unwrap();
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {restartPolicy: Never, containers: [{name: c, image: test/hello:v1}]}\n";
    cluster.apply(pod).unwrap();
    let pod = cluster.until(&["pod", "p"], |pod| pod["status"]["podIP"].is_string());
    let address = pod["status"]["podIP"].as_str().unwrap();
    assert!(address.starts_with(&format!("10.244.{}.", second - 96)), "{address}");
}

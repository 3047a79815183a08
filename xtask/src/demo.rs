//! `cargo xtask demo`: the whole path once, on this machine, in seconds.
//!
//! build → `wctl dev` → load images → apply fixtures/demo.yaml → wait → 30 requests through the Service →
//! logs → kill a pod and see it replaced → tear down.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::step;

pub(crate) mod cluster;
mod http;
pub(crate) mod image;
mod wasm_only;

use cluster::Cluster;

/// How many requests go through the Service.
const REQUESTS: usize = 30;
/// How long the pods may take before the demo gives up.
const PODS_LIMIT: Duration = Duration::from_secs(120);

/// The native image of fixtures/demo.yaml.
const NEIGHBOUR: &str = "demo/neighbour:v1";

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave the cluster running and say how to use it
    #[arg(long)]
    keep: bool,
}

/// The time each phase took, printed at the end.
struct Phases(Vec<(&'static str, Duration)>);

impl Phases {
    fn time<T>(&mut self, name: &'static str, phase: impl FnOnce() -> Result<T>) -> Result<T> {
        let begin = Instant::now();
        let value = phase().with_context(|| format!("while: {name}"))?;
        self.0.push((name, begin.elapsed()));
        Ok(value)
    }

    fn print(&self) {
        println!("\nTime of each phase");
        for (name, took) in &self.0 {
            println!("  {name:<36} {:>9.1} ms", took.as_secs_f64() * 1000.0);
        }
    }
}

/// Runs the demo.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let wctl = step::build_wctl()?;
    let folder = tempfile::Builder::new().prefix("wharf-demo-").tempdir()?;
    let neighbour = image::build_neighbour(folder.path(), NEIGHBOUR)?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;

    let mut phases = Phases(Vec::new());
    let cluster = phases.time("start the cluster until ready", || Cluster::start(&wctl, &data))?;
    println!("==> cluster is ready");
    let native = native_containers_work(&cluster)?;
    phases.time("load two images", || load_images(&cluster, &neighbour))?;
    phases.time("apply fixtures/demo.yaml", || apply(&cluster, native))?;
    let pods = phases.time("until 3 pods are Ready", || wait_for_pods(&cluster, 3, &[]))?;
    let address = service_address(&cluster)?;
    phases.time("30 requests through the Service", || send_requests(&cluster, &address))?;
    show_logs(&cluster, &pods[0], native)?;
    let victim = &pods[0];
    phases.time("kill a pod until it is replaced", || replace(&cluster, victim))?;

    if arguments.keep {
        phases.print();
        print_usage(&wctl, &cluster, &address);
        cluster.keep();
        let _kept = folder.keep();
        return Ok(());
    }
    phases.time("tear everything down", || cluster.stop())?;
    phases.print();
    println!(
        "\nThat was Wharf: Wasm and native containers in the same pods, one binary, no daemon left behind."
    );
    Ok(())
}

/// `cargo xtask image`: builds the native image and says where it is.
pub(crate) fn build_image() -> Result<()> {
    let folder = step::root().join("target");
    std::fs::create_dir_all(&folder)?;
    println!("{}", image::build_neighbour(&folder, NEIGHBOUR)?.display());
    Ok(())
}

/// Whether `wctl doctor` says that native containers can run here; if not, says why.
fn native_containers_work(cluster: &Cluster) -> Result<bool> {
    let facts: Value = serde_json::from_str(&cluster.wctl(&["doctor", "-o", "json"])?)?;
    let native = &facts["nativeContainers"];
    if native["available"] == true {
        return Ok(true);
    }
    println!(
        "==> this host does not permit native containers ({}): running the Wasm part",
        native["reason"].as_str().unwrap_or("no reason given")
    );
    Ok(false)
}

fn load_images(cluster: &Cluster, neighbour: &Path) -> Result<()> {
    let web = step::root().join("fixtures/wasm/http-c.wasm");
    for (path, name) in [(web.as_path(), "demo/web:v1"), (neighbour, NEIGHBOUR)] {
        let path = path.to_str().context("a path that is not UTF-8")?;
        print!("    {}", cluster.wctl(&["image", "load", path, "--name", name])?);
    }
    Ok(())
}

fn apply(cluster: &Cluster, native: bool) -> Result<()> {
    let manifest = std::fs::read_to_string(step::root().join("fixtures/demo.yaml"))?;
    let manifest = if native { manifest } else { wasm_only::without_native(&manifest) };
    let file = cluster.data().join("demo.yaml");
    std::fs::write(&file, manifest)?;
    let file = file.to_str().context("a path that is not UTF-8")?;
    for line in cluster.wctl(&["apply", "-f", file])?.lines() {
        println!("    {line}");
    }
    Ok(())
}

/// Waits until `count` pods other than `gone` are Ready; shows the progress.
fn wait_for_pods(cluster: &Cluster, count: usize, gone: &[&str]) -> Result<Vec<String>> {
    let begin = Instant::now();
    let mut progress = Progress::new();
    loop {
        let list = cluster.get(&["pods", "-l", "app=hello"])?;
        let pods: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
        let ready: Vec<String> = pods
            .iter()
            .filter(|pod| is_ready(pod) && pod["metadata"]["deletionTimestamp"].is_null())
            .filter_map(|pod| pod["metadata"]["name"].as_str())
            .filter(|name| !gone.contains(name))
            .map(str::to_owned)
            .collect();
        progress.show(&format!("{} of {count} pods Ready", ready.len()));
        if ready.len() >= count {
            progress.end();
            return Ok(ready);
        }
        if begin.elapsed() > PODS_LIMIT {
            progress.end();
            bail!(
                "pods are not Ready after {PODS_LIMIT:?}:\n{}",
                cluster.wctl(&["describe", "pods"])?
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn service_address(cluster: &Cluster) -> Result<String> {
    let service = cluster.get(&["service", "hello"])?;
    let ip = service["spec"]["clusterIP"].as_str().context("the Service has no clusterIP")?;
    Ok(format!("{ip}:80"))
}

fn send_requests(cluster: &Cluster, address: &str) -> Result<()> {
    // Ready in the API and known to the proxy are two moments: the first answer marks the second.
    let begin = Instant::now();
    while http::get(address, "/first").is_err() {
        ensure!(
            begin.elapsed() < Duration::from_secs(10),
            "the Service at {address} does not answer:\n{}",
            cluster.wctl(&["get", "endpoints", "hello"])?
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..REQUESTS {
        let body = http::get(address, &format!("/request/{number}"))?;
        let pod = body.lines().find_map(|line| line.strip_prefix("env POD_NAME="));
        *answers.entry(pod.context("an answer does not name its pod")?.to_owned()).or_default() +=
            1;
    }
    println!("==> {REQUESTS} requests to the Service at http://{address}/");
    for (pod, count) in &answers {
        println!("    {pod} answered {count:>2}  {}", "▇".repeat(*count));
    }
    ensure!(answers.len() > 1, "only one pod answered: the Service does not balance");
    Ok(())
}

fn show_logs(cluster: &Cluster, pod: &str, native: bool) -> Result<()> {
    println!("==> logs of {pod}");
    let containers: &[&str] = if native { &["web", "neighbour"] } else { &["web"] };
    for container in containers {
        let log = cluster.wctl(&["logs", pod, "-c", container, "--tail", "1"])?;
        let line =
            log.lines().next().with_context(|| format!("container {container} logged nothing"))?;
        println!("    {container:>9} | {line}");
    }
    Ok(())
}

fn replace(cluster: &Cluster, victim: &str) -> Result<()> {
    println!("==> killing {victim}");
    cluster.wctl(&["delete", "pod", victim, "--wait=false"])?;
    let pods = wait_for_pods(cluster, 3, &[victim])?;
    println!("    replaced; now Ready: {}", pods.join(", "));
    Ok(())
}

fn print_usage(wctl: &Path, cluster: &Cluster, address: &str) {
    let kubeconfig = cluster.data().join("kubeconfig");
    println!("\nThe cluster keeps running. Try:");
    println!("  export KUBECONFIG={}", kubeconfig.display());
    println!("  {} get pods -o wide", wctl.display());
    println!("  kubectl get all      # kubectl works too");
    println!("  curl http://{address}/");
    if let Some(pid) = cluster.pid() {
        println!("Stop it with:\n  kill {pid}");
    }
    println!("Its files are in {}", cluster.data().display());
}

/// One line that is rewritten on a terminal and printed when it changes elsewhere.
struct Progress {
    last: String,
}

impl Progress {
    fn new() -> Self {
        Self { last: String::new() }
    }

    fn show(&mut self, text: &str) {
        if text == self.last {
            return;
        }
        self.last = text.to_owned();
        if std::io::stdout().is_terminal() {
            print!("\r    {text}\x1b[K");
            // A progress line that cannot be shown is no reason to fail.
            let _ = std::io::stdout().flush();
        } else {
            println!("    {text}");
        }
    }

    fn end(&self) {
        if std::io::stdout().is_terminal() {
            println!();
        }
    }
}

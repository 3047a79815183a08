//! How long a native container takes from the call to its program running, and what an idle shim weighs.
//!
//! `cargo run --release -p runtime --example start -- LAYOUT` with an OCI layout of busybox, as root.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use runtime::spec::*;
use runtime::{Runtime, RuntimeConfig};

const ROUNDS: u32 = 40;

fn main() -> ExitCode {
    if let Some(code) = runtime::entry::dispatch() {
        return code;
    }
    let Some(layout) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return ExitCode::from(64);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(measure(layout));
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "this is its output")]
async fn measure(layout: PathBuf) {
    let root = std::env::temp_dir().join(format!("wharf-start-{}", std::process::id()));
    let config = RuntimeConfig {
        cgroup_root: format!("wharf-start-{}", std::process::id()),
        ..RuntimeConfig::new(&root)
    };
    let node = Runtime::open(config.clone()).await.expect("root");
    node.images().load(&layout, Some("busybox:start")).await.expect("a layout");
    let mut times = Vec::new();
    let mut sandboxes = Vec::new();
    let mut weight = String::new();
    for round in 0..ROUNDS {
        let id = format!("s{round}");
        let began = Instant::now();
        node.create_sandbox(sandbox(&id, &root)).await.expect("a sandbox");
        sandboxes.push(began.elapsed());
        let began = Instant::now();
        let status = node.start_container(&id, container()).await.expect("a container");
        times.push(began.elapsed());
        assert!(matches!(status.state, ContainerState::Running { .. }), "{status:?}");
        let pid = fs::read_to_string(root.join("sandboxes").join(&id).join("shim.pid"));
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", pid.expect("a pid")));
        weight = rollup.expect("a shim");
        node.remove_sandbox(&id).await.expect("removed");
    }
    println!("sandbox   {}", summary(sandboxes));
    println!("container {}", summary(times));
    for line in weight.lines().filter(|l| {
        ["Rss:", "Pss:", "Private_Dirty:", "Private_Clean:"].iter().any(|name| l.starts_with(name))
    }) {
        println!("shim {line}");
    }
    let layout = runtime::cgroup::Layout::detect();
    let _ = runtime::cgroup::remove(&runtime::cgroup::root_plan(&layout, &config.cgroup_root));
    let _ = fs::remove_dir_all(&root);
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    format!(
        "min {:?} median {:?} max {:?}",
        times[0],
        times[times.len() / 2],
        times[times.len() - 1]
    )
}

fn sandbox(id: &str, root: &std::path::Path) -> SandboxSpec {
    SandboxSpec {
        id: id.to_owned(),
        labels: Default::default(),
        hostname: id.to_owned(),
        network: Network::Host,
        namespaces: Default::default(),
        sysctls: Default::default(),
        hosts: String::new(),
        resolv_conf: String::new(),
        resources: Resources::default(),
        log_dir: root.join("logs"),
    }
}

fn container() -> ContainerSpec {
    ContainerSpec {
        name: "c".into(),
        attempt: 0,
        image: "busybox:start".into(),
        command: vec!["/bin/sleep".into(), "1000".into()],
        args: vec![],
        env: vec![],
        working_dir: None,
        user: UserSpec::default(),
        mounts: vec![],
        resources: Resources {
            memory_limit_bytes: Some(64 << 20),
            cpu_limit_millis: Some(500),
            ..Resources::default()
        },
        security: Security::default(),
        http_port: None,
        stdio: Default::default(),
        pid_of: None,
        labels: Default::default(),
    }
}

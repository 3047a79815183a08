//! The agent comes and goes; containers stay.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::Runtime;
use runtime::spec::*;

use super::node::*;

#[test]
fn a_new_agent_adopts_what_the_old_one_left() {
    on_a_node(async |node| {
        node.sandbox("s").await;
        let ticker = shell("ticker", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done");
        let ticker = node.runtime.start_container("s", ticker).await.unwrap();
        let mut failed = shell("failed", "exit 5");
        failed.labels = [("a".to_owned(), "b".to_owned())].into();
        node.runtime.start_container("s", failed).await.unwrap();
        node.exited("s", "failed", 0).await;
        log_until(&ticker.log_path, |text| text.lines().count() > 5).await;

        // What kill -9 leaves of an agent is nothing; a second one beside it sees what a successor would.
        let second = Runtime::open(node.config.clone()).await.unwrap();
        let sandboxes = second.sandboxes().await;
        assert_eq!(sandboxes, node.runtime.sandboxes().await);
        assert!(sandboxes[0].alive);
        assert_eq!(sandboxes[0].spec.labels["who"], "test");
        let states: Vec<_> =
            sandboxes[0].containers.iter().map(|c| (&*c.spec.name, &c.state)).collect();
        assert!(matches!(states[0], ("ticker", ContainerState::Running { .. })), "{states:?}");
        assert!(matches!(states[1], ("failed", ContainerState::Exited(Exit { code: 5, .. }))));

        // Both hear of the end, and the log has every line once.
        let mut events = second.events();
        second.stop_container("s", "ticker", Duration::from_millis(10)).await.unwrap();
        let event = events.recv().await.unwrap();
        assert_eq!((&*event.sandbox, &*event.container, event.attempt), ("s", "ticker", 0));
        node.exited("s", "ticker", 0).await;
        let text = log(&ticker.log_path).await;
        let count = text.lines().count();
        let expected: String = (0..count).map(|n| format!("{n}\n")).collect();
        assert_eq!(text, expected);
    });
}

#[test]
fn a_killed_agent_process_takes_nothing_with_it() {
    tests::cluster::enter_network_namespace().unwrap();
    // This same test binary is the agent that gets killed: run again, it starts a container and waits.
    if let Some(marker) = std::env::var_os("WHARF_TEST_AGENT") {
        in_a_runtime(async {
            let node = Node::open().await;
            node.sandbox("s").await;
            let script = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done";
            node.runtime.start_container("s", shell("ticker", script)).await.unwrap();
            let found = format!("{}\n{}", node.config.root.display(), node.config.cgroup_root);
            std::fs::write(&marker, found).unwrap();
            std::future::pending::<()>().await;
        });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("marker");
    let mut agent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "restart::a_killed_agent_process_takes_nothing_with_it", "--nocapture"])
        .env("WHARF_TEST_AGENT", &marker)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let found = tests::wait::eventually("the agent's container", LIMIT, || {
        match std::fs::read_to_string(&marker) {
            Ok(text) if text.contains('\n') => Ok(text),
            other => Err(format!("{other:?}, {:?}", agent.try_wait())),
        }
    });
    agent.kill().unwrap();
    agent.wait().unwrap();
    let (root, cgroup_root) = found.split_once('\n').unwrap();
    let config = runtime::RuntimeConfig {
        cgroup_root: cgroup_root.to_owned(),
        executable: env!("CARGO_BIN_EXE_wharf-runtime").into(),
        ..runtime::RuntimeConfig::new(root)
    };
    in_a_runtime(async {
        let runtime = Runtime::open(config.clone()).await.unwrap();
        let sandbox = runtime.sandboxes().await.remove(0);
        let ticker = &sandbox.containers[0];
        assert!(matches!(ticker.state, ContainerState::Running { .. }), "{ticker:?}");
        let lines = log(&ticker.log_path).await.lines().count();
        let text = log_until(&ticker.log_path, |text| text.lines().count() > lines + 5).await;
        let expected: String = (0..text.lines().count()).map(|n| format!("{n}\n")).collect();
        assert_eq!(text, expected);
        // The shim must not hold on to anything of the agent's.
        let pid = std::fs::read_to_string(config.root.join("sandboxes/s/shim.pid")).unwrap();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
            let target = std::fs::read_link(entry.path()).unwrap_or_default();
            let target = target.to_string_lossy().into_owned();
            let known = ["socket:", "pipe:", "anon_inode:", "/dev/null", ".log"];
            assert!(known.iter().any(|k| target.contains(k)), "descriptor on {target}");
        }
        runtime.remove_sandbox("s").await.unwrap();
    });
    let layout = runtime::cgroup::Layout::detect();
    runtime::cgroup::remove(&runtime::cgroup::root_plan(&layout, cgroup_root)).unwrap();
    std::fs::remove_dir_all(std::path::Path::new(root).parent().unwrap()).unwrap();
}

#[test]
fn a_killed_shim_takes_its_containers_along() {
    on_a_node(async |node| {
        node.sandbox("s").await;
        let status = node.runtime.start_container("s", shell("c", "sleep 1000")).await.unwrap();
        let ContainerState::Running { pid, .. } = status.state else { panic!("{status:?}") };
        let mut events = node.runtime.events();
        kill(Pid::from_raw(node.shim_pid("s")), Signal::SIGKILL).unwrap();
        let exit = node.exited("s", "c", 0).await;
        assert_eq!((exit.code, exit.reason), (137, ExitReason::ContainerStatusUnknown));
        while !events.recv().await.unwrap().container.is_empty() {}
        assert!(!node.runtime.sandboxes().await[0].alive);
        tests::wait::eventually("the container's process to be gone", LIMIT, || {
            match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
                Ok(stat) if !stat.contains(") Z ") => Err(stat),
                _ => Ok(()),
            }
        });
        let error = node.runtime.start_container("s", shell("d", "")).await.expect_err("dead");
        assert!(matches!(error, runtime::StartError::SandboxDead { .. }), "{error}");
        // The next agent finds the same.
        let second = Runtime::open(node.config.clone()).await.unwrap();
        assert_eq!(second.sandboxes().await, node.runtime.sandboxes().await);
    });
}

#[test]
fn attempts_count_up_and_old_ones_go() {
    on_a_node(async |node| {
        node.sandbox("s").await;
        for attempt in 0..4 {
            let mut spec =
                shell("c", &format!("echo attempt {attempt} > /left; cat /left; exit {attempt}"));
            spec.attempt = attempt;
            node.runtime.start_container("s", spec).await.unwrap();
            node.exited("s", "c", attempt).await;
        }
        let containers = node.runtime.sandboxes().await.remove(0).containers;
        let kept: Vec<u32> = containers.iter().map(|c| c.spec.attempt).collect();
        assert_eq!(kept, [2, 3], "the last one and the one before it");
        assert_eq!(log(&containers[0].log_path).await, "attempt 2\n", "for logs --previous");
        assert!(!containers[0].log_path.with_file_name("1.log").exists());
        // Nor does the shim keep them: its memory and its greeting would grow with every restart.
        let second = Runtime::open(node.config.clone()).await.unwrap();
        assert_eq!(second.sandboxes().await, node.runtime.sandboxes().await);
    });
}

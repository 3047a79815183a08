//! Starts, exits, signals, output, removal.

use std::time::Duration;

use runtime::sandbox::images_in_use;
use runtime::spec::*;
use runtime::{ImageStore, StartError};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::node::*;

#[test]
fn exits_are_reported_as_they_were() {
    on_a_node(async |node| {
        let (exit, output) = node.run("echo out; echo err >&2; printf unfinished").await;
        assert_eq!((exit.code, exit.signal, exit.reason), (0, None, ExitReason::Completed));
        let mut lines: Vec<&str> = output.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["err", "out", "unfinished"]);
        assert!(exit.finished_at >= exit.started_at);

        let (exit, _) = node.run("exit 7").await;
        assert_eq!((exit.code, exit.signal, exit.reason), (7, None, ExitReason::Error));

        // The first process of a pid namespace does not die of a signal it sends itself; its parent's kill
        // arrives as a signal, its own child's death as 128 + n.
        let (exit, _) = node.run("sh -c 'kill -SEGV $$'; exit $?").await;
        assert_eq!((exit.code, exit.reason), (139, ExitReason::Error));
    });
}

#[test]
fn a_start_that_fails_says_why_in_the_words_of_runc() {
    on_a_node(async |node| {
        let table: [(&[&str], &str); 5] = [
            (&["nonesuch"], "exec: \"nonesuch\": executable file not found in $PATH"),
            (&["/no/such"], "exec: \"/no/such\": stat /no/such: no such file or directory"),
            (&["/etc/passwd"], "exec: \"/etc/passwd\": permission denied"),
            (&["/etc"], "exec: \"/etc\": is a directory"),
            (&["/tmp/text"], "exec: \"/tmp/text\": exec format error"),
        ];
        let text = node.config.root.join("text");
        std::fs::write(&text, "neither a script nor a program").unwrap();
        std::fs::set_permissions(&text, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        for (command, message) in table {
            let (exit, _) = node
                .run_with("", |spec| {
                    spec.command = command.iter().map(|&word| word.to_owned()).collect();
                    spec.mounts = vec![Mount {
                        source: text.clone(),
                        target: "/tmp/text".into(),
                        read_only: true,
                    }];
                })
                .await;
            assert_eq!((exit.code, exit.reason), (128, ExitReason::StartError), "{command:?}");
            assert_eq!(exit.message, message);
        }
        let (exit, _) = node
            .run_with("", |spec| {
                spec.mounts = vec![Mount {
                    source: "/no/such/volume".into(),
                    target: "/data".into(),
                    read_only: false,
                }];
            })
            .await;
        assert_eq!(exit.reason, ExitReason::StartError);
        assert!(exit.message.contains("/no/such/volume on /data"), "{}", exit.message);
    });
}

#[test]
fn what_cannot_be_handed_to_a_shim_is_an_error() {
    on_a_node(async |node| {
        node.sandbox("s").await;
        let start = async |sandbox: &str, spec: ContainerSpec| {
            node.runtime.start_container(sandbox, spec).await.expect_err("refused")
        };
        assert!(matches!(start("nope", shell("c", "")).await, StartError::NoSandbox { .. }));
        let mut spec = shell("c", "");
        spec.image = "absent:1".into();
        assert!(matches!(start("s", spec).await, StartError::NoImage { .. }));
        assert!(matches!(start("s", shell("../x", "")).await, StartError::Name { .. }));
        let mut spec = shell("c", "");
        spec.security.add_capabilities = vec!["FLY".into()];
        assert!(matches!(start("s", spec).await, StartError::Config { .. }));

        let first = node.runtime.start_container("s", shell("c", "sleep 1000")).await.unwrap();
        let again = node.runtime.start_container("s", shell("c", "sleep 1000")).await.unwrap();
        assert_eq!(first, again, "the same attempt is not started twice");
        let mut spec = shell("c", "");
        spec.attempt = 1;
        assert!(matches!(start("s", spec).await, StartError::StillRunning { attempt: 0, .. }));
    });
}

#[test]
fn a_stop_asks_first_and_kills_at_the_deadline() {
    on_a_node(async |node| {
        node.sandbox("s").await;
        let polite = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done";
        let status = node.runtime.start_container("s", shell("polite", polite)).await.unwrap();
        log_until(&status.log_path, |text| text.contains("up")).await;
        node.runtime.stop_container("s", "polite", LIMIT).await.unwrap();
        let exit = node.exited("s", "polite", 0).await;
        assert_eq!(exit.code, 3);
        assert_eq!(log(&status.log_path).await, "up\nbye\n");

        let deaf = "trap '' TERM; echo up; sleep 1000 & wait; sleep 1000";
        let status = node.runtime.start_container("s", shell("deaf", deaf)).await.unwrap();
        log_until(&status.log_path, |text| text.contains("up")).await;
        node.runtime.stop_container("s", "deaf", Duration::from_millis(50)).await.unwrap();
        let exit = node.exited("s", "deaf", 0).await;
        assert_eq!((exit.code, exit.signal, exit.reason), (137, Some(9), ExitReason::Error));

        // A second stop shortens the first one's grace.
        let status = node
            .runtime
            .start_container("s", shell("late", "trap '' TERM; echo up; while :; do sleep 1; done"))
            .await
            .unwrap();
        log_until(&status.log_path, |text| text.contains("up")).await;
        let (slow, fast) = tokio::join!(
            node.runtime.stop_container("s", "late", Duration::from_secs(3600)),
            node.runtime.stop_container("s", "late", Duration::from_millis(50)),
        );
        slow.unwrap();
        fast.unwrap();
        node.runtime.stop_container("s", "late", LIMIT).await.expect("it does not run: fine");
        node.runtime.stop_container("s", "never", LIMIT).await.expect("it never was: fine");
    });
}

/// A container is put together from layers that a tool beside the agent would remove if it could.
#[test]
fn an_image_is_not_pruned_while_a_container_is_started_from_it() {
    on_a_node(async |node| {
        let store = ImageStore::open(node.config.root.join("images")).await.unwrap();
        let image = store.get(IMAGE).expect("the image");
        let lease = node.config.root.join("images/leases").join(image.digest.hex());
        let being_started = || {
            std::fs::File::open(&lease).is_ok_and(|file| {
                let alone = FlockOperation::NonBlockingLockExclusive;
                rustix::fs::flock(&file, alone) == Err(Errno::WOULDBLOCK)
            })
        };
        let prune = async || {
            let root = node.config.root.clone();
            store.prune(true, move || images_in_use(&root)).await.unwrap().deleted
        };
        for _ in 0..5 {
            node.sandbox("s").await;
            let over = std::cell::Cell::new(false);
            let meanwhile = async {
                while !over.get() {
                    match being_started() {
                        true => assert_eq!(prune().await, []),
                        false => tokio::task::yield_now().await,
                    }
                }
            };
            let start = async {
                let spec = shell("c", "cat /etc/passwd");
                let started = node.runtime.start_container("s", spec).await;
                over.set(true);
                started.unwrap();
            };
            tokio::join!(meanwhile, start);
            assert_eq!(node.exited("s", "c", 0).await.code, 0);
            assert_eq!(prune().await, [], "it has run, and its files are still there");
            node.runtime.remove_sandbox("s").await.unwrap();
        }
        assert_eq!(prune().await, [image.digest]);
    });
}

#[test]
fn orphans_die_with_their_container() {
    on_a_node(async |node| {
        let marker = format!("31{}", std::process::id());
        let (exit, _) = node.run(&format!("setsid sleep {marker} & exit 0")).await;
        assert_eq!(exit.code, 0);
        let alive = std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            line == format!("sleep\0{marker}\0").as_bytes()
        });
        assert!(!alive);
    });
}

#[test]
fn much_output_arrives_whole_and_in_order() {
    on_a_node(async |node| {
        let (exit, output) = node.run("seq 1 200000").await;
        assert_eq!(exit.code, 0);
        let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
        assert!(output == expected, "{} bytes of {}", output.len(), expected.len());
    });
}

/// In a process of its own, because other tests open descriptors of theirs in this one.
#[test]
fn nothing_stays_behind() {
    if std::env::var_os("WHARF_TEST_ALONE").is_none() {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lifecycle::nothing_stays_behind", "--nocapture"])
            .env("WHARF_TEST_ALONE", "1")
            .output()
            .unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    on_a_node(async |node| {
        let bridge = super::network::bridge(node).await;
        // The first round makes what is made once: the bridge's tables, the cgroup root, threads.
        cycle(node, &bridge).await;
        let before = Belongings::look(&node.config.cgroup_root);
        for _ in 0..20 {
            cycle(node, &bridge).await;
        }
        let after = Belongings::look(&node.config.cgroup_root);
        assert_eq!(before, after);
        assert!(!node.sandbox_dir("cycle").exists());
    });
}

async fn cycle(node: &Node, bridge: &BridgeSpec) {
    let network = super::network::pod(bridge, 9);
    node.runtime.create_sandbox(node.sandbox_spec("cycle", network)).await.unwrap();
    node.runtime.start_container("cycle", shell("a", "echo x > /y; exit 1")).await.unwrap();
    node.runtime.start_container("cycle", shell("b", "sleep 1000 & sleep 1000")).await.unwrap();
    node.exited("cycle", "a", 0).await;
    node.runtime.remove_sandbox("cycle").await.unwrap();
    node.runtime.remove_sandbox("cycle").await.expect("removing twice is fine");
}

/// What a leak would show up in.
#[derive(Debug, PartialEq, Eq)]
struct Belongings {
    mounts: usize,
    cgroups: Vec<String>,
    links: Vec<String>,
    shims: usize,
    descriptors: usize,
}

impl Belongings {
    fn look(cgroup_root: &str) -> Self {
        let layout = runtime::cgroup::Layout::detect();
        let plan = runtime::cgroup::root_plan(&layout, cgroup_root);
        let mut cgroups: Vec<String> = plan
            .directories
            .iter()
            .flat_map(|root| std::fs::read_dir(root).into_iter().flatten().flatten())
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.path().display().to_string())
            .collect();
        cgroups.sort();
        let links = host("ip", &["-o", "link"]);
        let mut links: Vec<String> =
            links.lines().filter_map(|l| l.split(": ").nth(1)).map(str::to_owned).collect();
        links.sort();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = env!("CARGO_BIN_EXE_wharf-runtime");
        let shims = std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|entry| {
                std::fs::read_link(entry.path().join("exe"))
                    .is_ok_and(|exe| exe == std::path::Path::new(root))
            })
            .filter(|entry| {
                let line =
                    std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
                line.contains("/cycle")
            })
            .count();
        Self {
            mounts: mounts.lines().filter(|line| line.contains("/sandboxes/cycle/")).count(),
            cgroups,
            links,
            shims,
            descriptors: own_descriptors(),
        }
    }
}

/// Sockets to shims, pidfds, directories: everything this process has open.
fn own_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

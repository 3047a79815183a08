//! Wasm containers through the same shim: beside native ones, isolated the same, and without root.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;

use runtime::spec::*;
use runtime::{Runtime, RuntimeConfig};

use super::network::{bridge, pod};
use super::node::*;

/// Debian's `nobody`.
const NOBODY: u32 = 65534;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/wasm").join(name)
}

fn wasm(name: &str, image: &str, args: &[&str]) -> ContainerSpec {
    ContainerSpec {
        image: image.to_owned(),
        command: Vec::new(),
        args: args.iter().map(|&word| word.to_owned()).collect(),
        ..shell(name, "")
    }
}

#[test]
fn a_command_runs_and_its_end_is_told() {
    on_a_node(async |node| {
        node.runtime.images().load(&fixture("hello.wasm"), Some("hello")).await.unwrap();
        node.sandbox("s").await;
        let mut spec = wasm("hello", "hello", &["one", "--exit", "7"]);
        spec.env = vec![("EXTRA".into(), "yes".into())];
        let status = node.runtime.start_container("s", spec).await.unwrap();
        let exit = node.exited("s", "hello", 0).await;
        let output = log(&status.log_path).await;
        assert_eq!((exit.code, exit.reason), (7, ExitReason::Error), "{exit:?} {output}");
        assert!(output.contains("one") && output.contains("EXTRA=yes"), "{output}");

        let spec = wasm("abort", "hello", &["--abort"]);
        node.runtime.start_container("s", spec).await.unwrap();
        let exit = node.exited("s", "abort", 0).await;
        assert_eq!((exit.code, exit.reason), (134, ExitReason::WasmTrap), "{exit:?}");
        assert!(!exit.message.is_empty());
    });
}

#[test]
fn a_server_answers_on_the_pods_address_beside_a_native_container() {
    on_a_node(async |node| {
        node.runtime.images().load(&fixture("http-c.wasm"), Some("web")).await.unwrap();
        let bridge = bridge(node).await;
        node.runtime.create_sandbox(node.sandbox_spec("s", pod(&bridge, 7))).await.unwrap();
        let mut spec = wasm("web", "web", &[]);
        spec.http_port = Some(8080);
        spec.resources.memory_limit_bytes = Some(128 << 20);
        let status = node.runtime.start_container("s", spec).await.unwrap();
        let ContainerState::Running { pid, .. } = status.state else { panic!("{status:?}") };
        // From the node, and over loopback from a native container of the same pod.
        let answer = tokio::task::spawn_blocking(|| {
            let mut stream = std::net::TcpStream::connect("10.88.0.7:8080").unwrap();
            stream.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        assert!(answer.await.unwrap().starts_with("HTTP/1.1 200"));
        let (_, output) = node.run("wget -q -O - http://127.0.0.1:8080/y && echo fetched").await;
        assert!(output.contains("fetched"), "{output}");
        // It has no more rights than it needs.
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for line in [
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(status.contains(line), "{line} in {status}");
        }
        let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
        let mut targets: Vec<&str> = mounts.lines().filter_map(|l| l.split(' ').nth(4)).collect();
        targets.sort_unstable();
        assert_eq!(
            targets,
            ["/", "/etc/hostname", "/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf"]
        );
        node.runtime.stop_container("s", "web", LIMIT).await.unwrap();
        assert_eq!(node.exited("s", "web", 0).await.code, 0);
    });
}

/// Without root: Wasm runs, native containers are refused with the host's reason.
#[test]
fn an_unprivileged_host_runs_wasm() {
    if let Some(root) = std::env::var_os("WHARF_TEST_UNPRIVILEGED") {
        return in_a_runtime(unprivileged(Path::new(&root)));
    }
    // Where nobody may not look (a build folder below /root), the two programs are linked to a place
    // where it may.
    let folder = tempfile::Builder::new().prefix("wharf-nobody-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let own = std::env::current_exe().unwrap();
    for (from, name) in
        [(Path::new(env!("CARGO_BIN_EXE_wharf-runtime")), "wharf-runtime"), (&own, "test")]
    {
        let to = folder.path().join(name);
        std::fs::hard_link(from, &to).or_else(|_| std::fs::copy(from, &to).map(drop)).unwrap();
    }
    std::fs::copy(fixture("hello.wasm"), folder.path().join("hello.wasm")).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
    let output = std::process::Command::new(folder.path().join("test"))
        .args(["--exact", "wasm::an_unprivileged_host_runs_wasm", "--nocapture"])
        .env("WHARF_TEST_UNPRIVILEGED", folder.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    // Only a test that failed leaves a shim; it must not outlive its folder.
    if let Ok(pid) = std::fs::read_to_string(data.join("r/sandboxes/s/shim.pid")) {
        let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

async fn unprivileged(folder: &Path) {
    let data = folder.join("data");
    let config = RuntimeConfig {
        executable: folder.join("wharf-runtime"),
        ..RuntimeConfig::new(data.join("r"))
    };
    let runtime = Runtime::open(config).await.unwrap();
    let why_not = runtime.host().native_why_not().expect("no root, no native containers");
    assert!(why_not.contains("uid 65534"), "{why_not}");
    runtime.images().load(&folder.join("hello.wasm"), Some("hello")).await.unwrap();
    let address = "127.9.8.7".parse().unwrap();
    let spec = SandboxSpec {
        id: "s".into(),
        labels: Default::default(),
        hostname: "s".into(),
        network: Network::Loopback { address },
        namespaces: Default::default(),
        sysctls: Default::default(),
        hosts: String::new(),
        resolv_conf: String::new(),
        resources: Resources::default(),
        log_dir: data.join("logs"),
    };
    runtime.create_sandbox(spec.clone()).await.unwrap();
    let mut events = runtime.events();
    let status = runtime.start_container("s", wasm("c", "hello", &["hi"])).await.unwrap();
    loop {
        let state = runtime.sandboxes().await.remove(0).containers.remove(0).state;
        if let ContainerState::Exited(exit) = state {
            assert_eq!(exit.code, 0, "{exit:?}");
            break;
        }
        events.recv().await.unwrap();
    }
    assert!(log(&status.log_path).await.contains("hi"));
    let bridged = SandboxSpec {
        id: "t".into(),
        network: Network::Pod {
            address: "10.0.0.2/24".parse().unwrap(),
            gateway: "10.0.0.1".parse().unwrap(),
            bridge: "wharf0".into(),
        },
        ..spec
    };
    let error = runtime.create_sandbox(bridged).await.expect_err("no pod network without root");
    assert!(error.to_string().contains("uid 65534"), "{error}");
    runtime.remove_sandbox("s").await.unwrap();
}

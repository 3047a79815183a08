//! Process ids and IPC: a container's own, its sandbox's, the host's.

use std::time::Duration;

use runtime::spec::*;

use super::node::*;

async fn sandbox(node: &Node, namespaces: Namespaces) {
    let spec = SandboxSpec { namespaces, ..node.sandbox_spec("s", Network::Host) };
    node.runtime.create_sandbox(spec).await.unwrap();
}

fn pids(pid: PidNamespace) -> Namespaces {
    Namespaces { pid, ..Namespaces::default() }
}

/// Ends with 0 once no process has `argument` among its arguments.
fn until_gone(argument: &str) -> String {
    // `[` keeps the pattern from finding the process that looks for it.
    let (first, rest) = argument.split_at(1);
    format!("while grep -q '[{first}]{rest}' /proc/[0-9]*/cmdline 2>/dev/null; do sleep 0.05; done")
}

#[test]
fn containers_of_a_sandbox_see_each_others_processes() {
    on_a_node(async |node| {
        sandbox(node, pids(PidNamespace::Sandbox)).await;
        // A container that ends takes what it has started along, not the others.
        let script = "sleep 81726354 & echo $$; exec sleep 1000";
        let other = node.runtime.start_container("s", shell("other", script)).await.unwrap();
        let pid = log_until(&other.log_path, |text| text.ends_with('\n')).await;
        let script = format!("cat /proc/1/comm; test $$ != 1 && kill {pid}");
        let (exit, output) = node.run(&script).await;
        assert_eq!((exit.code, output.as_str()), (0, "wharf-pause\n"));
        let exit = node.exited("s", "other", 0).await;
        assert_eq!(
            (exit.code, exit.signal),
            (143, Some(15)),
            "its own process is not the first one"
        );
        let (exit, _) = node.run(&until_gone("81726354")).await;
        assert_eq!(exit.code, 0);
        // Nobody in the sandbox can end the namespace.
        let (exit, output) = node.run("kill -9 1; cat /proc/1/comm").await;
        assert_eq!((exit.code, output.as_str()), (0, "wharf-pause\n"));
        // Orphans are reaped: none stays a zombie.
        let script = format!("t=0.17; (sleep ${{t}}26354 &); {}", until_gone("0.1726354"));
        let (exit, _) = node.run(&script).await;
        assert_eq!(exit.code, 0);
        let zombies =
            "while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do sleep 0.05; done";
        let (exit, output) = node.run(zombies).await;
        assert_eq!(exit.code, 0, "{output}");
        node.runtime.remove_sandbox("s").await.unwrap();
    });
}

#[test]
fn the_hosts_processes_are_seen_only_when_asked_for() {
    on_a_node(async |node| {
        let look = format!("cat /proc/{}/comm 2>/dev/null || echo $$", std::process::id());
        let own = std::fs::read_to_string("/proc/self/comm").unwrap();
        let (_, output) = node.run(&look).await;
        assert_eq!(output, "1\n");
        node.runtime.remove_sandbox("s").await.unwrap();

        sandbox(node, pids(PidNamespace::Host)).await;
        let (exit, output) = node.run(&look).await;
        assert_eq!((exit.code, output), (0, own));
        // No namespace ends with the container; its cgroup does.
        let (exit, _) = node.run("sleep 71625348 & exit 3").await;
        assert_eq!(exit.code, 3);
        let (exit, _) = node.run(&until_gone("71625348")).await;
        assert_eq!(exit.code, 0);
        node.runtime.remove_sandbox("s").await.unwrap();
    });
}

#[test]
fn the_hosts_ipc_is_shared_only_when_asked_for() {
    on_a_node(async |node| {
        let shared = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        let look = format!("readlink /proc/self/ns/ipc; test -e {}", shared.path().display());
        let own = std::fs::read_link("/proc/self/ns/ipc").unwrap();
        let (exit, output) = node.run(&look).await;
        assert_eq!(exit.code, 1);
        assert_ne!(output.trim_end(), own.to_string_lossy());
        node.runtime.remove_sandbox("s").await.unwrap();

        sandbox(node, Namespaces { host_ipc: true, ..Namespaces::default() }).await;
        let (exit, output) = node.run(&look).await;
        assert_eq!((exit.code, output.trim_end()), (0, &*own.to_string_lossy()));
        node.runtime.remove_sandbox("s").await.unwrap();
        assert!(shared.path().exists(), "nothing of the host's is removed");
    });
}

#[test]
fn a_container_is_born_among_the_processes_of_its_target() {
    on_a_node(async |node| {
        node.sandbox("s").await;
        let script = "sleep 63547281 & echo up; exec sleep 1000";
        let target = node.runtime.start_container("s", shell("target", script)).await.unwrap();
        log_until(&target.log_path, |text| text == "up\n").await;
        let of_target = |spec: &mut ContainerSpec| spec.pid_of = Some("target".to_owned());
        let look = "test $$ != 1; echo $?; tr '\\0' ' ' < /proc/1/cmdline; \
                    grep -l '[6]3547281' /proc/[0-9]*/cmdline | wc -l; ls /proc/1/root/bin/sh";
        let (exit, output) = node.run_with(look, of_target).await;
        assert_eq!((exit.code, output.as_str()), (0, "0\nsleep 1000 1\n/proc/1/root/bin/sh\n"));
        // Whoever comes after it is alone again.
        let (_, output) = node.run("echo $$").await;
        assert_eq!(output, "1\n");
        // Further processes of it are where it is.
        let mut looker = shell("looker", "exec sleep 2000");
        of_target(&mut looker);
        node.runtime.start_container("s", looker).await.unwrap();
        let words = ["/bin/sh", "-c", "grep -q '[6]3547281' /proc/[0-9]*/cmdline"];
        let spec = runtime::ExecSpec {
            command: words.map(str::to_owned).to_vec(),
            ..runtime::ExecSpec::default()
        };
        let mut exec = node.runtime.exec("s", "looker", spec).await.unwrap();
        assert_eq!(exec.wait().await.unwrap(), 0);
        // It ends with its target, and a target that is gone is none.
        node.runtime.stop_container("s", "target", Duration::ZERO).await.unwrap();
        let exit = node.exited("s", "looker", 0).await;
        assert_eq!((exit.code, exit.signal), (137, Some(9)));
        let mut late = shell("late", "true");
        of_target(&mut late);
        let refused = node.runtime.start_container("s", late).await.unwrap_err();
        assert!(refused.to_string().contains("target container target does not run"), "{refused}");
    });
}

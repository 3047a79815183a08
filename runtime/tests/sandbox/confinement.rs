//! What a container sees and may do.

use runtime::spec::*;

use super::node::*;

#[test]
fn identity_names_and_environment() {
    on_a_node(async |node| {
        let script = "hostname; cat /etc/hostname; cat /etc/hosts | tail -1; cat /etc/resolv.conf; \
                      echo $HOSTNAME $HOME $EXTRA; echo $$; pwd; umask; id; ls /proc | grep -c '^[0-9]'";
        let (exit, output) = node
            .run_with(script, |spec| {
                spec.env = vec![("EXTRA".into(), "yes".into())];
                spec.working_dir = Some("/made/here".into());
            })
            .await;
        assert_eq!(exit.code, 0, "{output}");
        let expected = "host-s\nhost-s\n10.1.2.3 friend\nnameserver 10.96.0.10\n\
                        host-s /root yes\n1\n/made/here\n0022\nuid=0(root) gid=0(root) groups=0(root)\n";
        assert!(output.starts_with(expected), "{output}");
    });
}

#[test]
fn users_come_from_the_image_or_the_specification() {
    on_a_node(async |node| {
        let (_, output) = node
            .run_with("id; echo $HOME; touch /root/x 2>&1", |spec| {
                spec.user = UserSpec {
                    uid: Some(1000),
                    gid: Some(3000),
                    supplementary_gids: vec![4000],
                    must_be_non_root: true,
                    ..UserSpec::default()
                };
            })
            .await;
        assert!(
            output.starts_with("uid=1000(app) gid=3000 groups=2000(extra),3000,4000\n/home/app\n"),
            "{output}"
        );
        assert!(output.contains("Permission denied"));
        let strict = |spec: &mut ContainerSpec| {
            spec.user.uid = Some(1000);
            spec.user.strict_groups = true;
        };
        let (_, output) = node.run_with("id", strict).await;
        assert_eq!(output, "uid=1000(app) gid=1000(app) groups=1000(app)\n");
        let (exit, _) = node.run_with("id", |spec| spec.user.must_be_non_root = true).await;
        assert_eq!(exit.reason, ExitReason::StartError);
        assert!(exit.message.contains("runAsNonRoot"), "{}", exit.message);
    });
}

#[test]
fn capabilities_seccomp_and_limits() {
    on_a_node(async |node| {
        let script = "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; ulimit -n";
        let (_, output) = node.run(script).await;
        // Docker's default set; the exec of root's shell gives it all of its bounding set.
        let mask = "00000000a80425fb";
        for line in [
            "CapInh:\t0000000000000000".to_owned(),
            format!("CapPrm:\t{mask}"),
            format!("CapEff:\t{mask}"),
            format!("CapBnd:\t{mask}"),
            "CapAmb:\t0000000000000000".to_owned(),
            "NoNewPrivs:\t0".to_owned(),
            "Seccomp:\t2".to_owned(),
        ] {
            assert!(output.contains(&line), "{line} in {output}");
        }
        let (_, output) = node
            .run_with(script, |spec| {
                spec.security.drop_capabilities = vec!["ALL".into()];
                spec.security.add_capabilities = vec!["NET_BIND_SERVICE".into()];
                spec.security.no_new_privs = true;
                spec.security.seccomp = SeccompProfile::Unconfined;
            })
            .await;
        for line in ["CapBnd:\t0000000000000400", "NoNewPrivs:\t1", "Seccomp:\t0"] {
            assert!(output.contains(line), "{line} in {output}");
        }
        let (_, output) = node
            .run_with(script, |spec| {
                spec.user.uid = Some(1000);
                spec.security.add_capabilities = vec!["SYS_ADMIN".into()];
            })
            .await;
        assert!(output.contains("CapEff:\t0000000000000000"), "{output}");
        assert!(output.contains("CapBnd:\t00000000a82425fb"), "{output}");
    });
}

#[test]
fn forbidden_system_calls_are_refused() {
    on_a_node(async |node| {
        let script = "exec 2>&1; unshare -U true; mount -t tmpfs x /tmp 2>&1; \
                      mknod /tmp/disk b 8 0 2>&1; cat /tmp/disk 2>&1; \
                      mknod /dev/mem2 c 1 1 && cat /dev/mem2 2>&1; echo fine > /dev/null && echo null";
        let (_, output) = node.run(script).await;
        let lines: Vec<&str> = output.lines().collect();
        assert!(
            lines[0].contains("unshare") && lines[0].contains("Operation not permitted"),
            "{output}"
        );
        assert!(lines[1].contains("mount") && lines[1].contains("ermi"), "{output}");
        assert!(
            lines[2].contains("/tmp/disk") && lines[2].contains("ermission denied"),
            "{output}"
        );
        assert!(
            lines[3].contains("/dev/mem2") && lines[3].contains("ermission denied"),
            "{output}"
        );
        assert_eq!(lines[4], "null");
    });
}

#[test]
fn an_added_capability_permits_its_system_calls() {
    on_a_node(async |node| {
        let script = "grep CapEff /proc/self/status; dmesg >/dev/null 2>&1 && echo read";
        let (_, output) = node.run(script).await;
        assert!(!output.contains("read"), "{output}");
        let (_, output) = node
            .run_with(script, |spec| spec.security.add_capabilities = vec!["SYSLOG".into()])
            .await;
        assert!(output.contains("CapEff:\t00000004a80425fb\nread\n"), "{output}");
    });
}

#[test]
fn the_mount_table_is_the_containers_own() {
    on_a_node(async |node| {
        let data = node.config.root.join("data");
        std::fs::create_dir_all(data.join("sub")).unwrap();
        std::fs::write(data.join("file"), "from the host\n").unwrap();
        let script = "exec 2>&1; cat /data/file; echo x > /data/new; echo y > /rw/new; \
                      for p in /proc/sys/kernel/hostname /sys/kernel/mm/ksm/run; do echo z > $p; done 2>&1; \
                      wc -c < /proc/kcore; ls /sys/firmware | wc -l; \
                      touch /dev/shm/x /root/written && echo wrote; ls -la /dev/null /dev/fd /dev/ptmx; \
                      ls /sys/fs/cgroup; touch /sys/fs/cgroup/x 2>&1; echo; cat /proc/self/mountinfo";
        let (exit, output) = node
            .run_with(script, |spec| {
                let mount = |target: &str, read_only| Mount {
                    source: data.clone(),
                    target: target.to_owned(),
                    read_only,
                };
                spec.mounts = vec![mount("/data", true), mount("/rw", false)];
            })
            .await;
        assert_eq!(exit.code, 0, "{output}");
        for expected in [
            "from the host",
            "/data/new: Read-only file system",
            "/proc/sys/kernel/hostname: Read-only file system",
            "wrote",
            "crw-rw-rw-",
        ] {
            assert!(output.contains(expected), "{expected:?} in {output}");
        }
        assert_eq!(std::fs::read_to_string(data.join("new")).unwrap(), "y\n");
        let (_, table) = output.split_once("\n\n").expect("a mount table");
        let root = node.config.root.display().to_string();
        for line in table.lines() {
            let target = line.split(' ').nth(4).unwrap();
            assert!(!target.starts_with(&root), "a mount of the host: {line}");
            let device = target.starts_with("/dev/") && target.split('/').count() == 3;
            let exempt = device
                || target == "/dev/pts"
                || target == "/proc/kcore"
                || target.starts_with("/proc/");
            assert!(exempt || line.split(' ').nth(5).unwrap().contains("nodev"), "{line}");
        }
    });
}

#[test]
fn a_read_only_root_leaves_volumes_writable() {
    on_a_node(async |node| {
        let data = node.config.root.join("data");
        std::fs::create_dir_all(&data).unwrap();
        let (_, output) = node
            .run_with(
                "touch /x 2>&1; touch /data/y && echo ok; touch /dev/shm/z && echo shm",
                |spec| {
                    spec.security.read_only_root = true;
                    let source = data.clone();
                    spec.mounts = vec![Mount { source, target: "/data".into(), read_only: false }];
                },
            )
            .await;
        assert!(output.contains("/x: Read-only file system"), "{output}");
        assert!(output.ends_with("ok\nshm\n"), "{output}");
    });
}

#[test]
fn containers_of_a_sandbox_share_memory_and_host_name_but_not_processes() {
    on_a_node(async |node| {
        node.sandbox("s").await;
        let writer = shell("writer", "echo shared > /dev/shm/x; echo done; sleep 1000");
        let writer = node.runtime.start_container("s", writer).await.unwrap();
        log_until(&writer.log_path, |text| text.contains("done")).await;
        let (_, output) =
            node.run("cat /dev/shm/x; ps | grep -c 'sleep 1000$'; ls /root/x 2>&1").await;
        assert!(output.starts_with("shared\n0\n"), "{output}");
    });
}

#[test]
fn privileged_means_everything() {
    on_a_node(async |node| {
        let script = "grep Seccomp: /proc/self/status; ls /dev/vda /dev/mem 2>/dev/null | wc -l; \
                      mount -t tmpfs x /mnt 2>&1 || mkdir /mnt && mount -t tmpfs x /mnt && echo mounted; \
                      test -w /proc/sys/kernel/domainname && echo writable";
        let (_, output) = node.run_with(script, |spec| spec.security.privileged = true).await;
        assert!(
            output.contains("Seccomp:\t0")
                && output.contains("mounted")
                && output.contains("writable"),
            "{output}"
        );
    });
}

#[test]
fn cgroup_limits_hold() {
    on_a_node(async |node| {
        let resources = Resources {
            cpu_request_millis: Some(250),
            cpu_limit_millis: Some(500),
            memory_limit_bytes: Some(32 << 20),
            pids_limit: Some(20),
            oom_score_adj: Some(500),
        };
        let script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max \
                      /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max \
                      /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null; \
                      cat /proc/self/oom_score_adj; cat /proc/self/cgroup";
        let limits = resources.clone();
        let (_, output) = node.run_with(script, |spec| spec.resources = limits).await;
        for expected in ["33554432\n", "20\n", "50000", "500\n"] {
            assert!(output.contains(expected), "{expected:?} in {output}");
        }
        let limits = resources.clone();
        let (exit, _) = node
            .run_with("x=a; while :; do x=$x$x$x$x; done", |spec| spec.resources = limits)
            .await;
        assert_eq!((exit.code, exit.reason), (137, ExitReason::OOMKilled), "{exit:?}");

        let (exit, output) = node
            .run_with(
                "i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done 2>&1; echo survived",
                |spec| {
                    spec.resources = resources;
                },
            )
            .await;
        assert!(output.contains("can't fork") || exit.code != 0, "{exit:?} {output}");
    });
}

#[test]
fn limits_change_under_a_running_container() {
    on_a_node(async |node| {
        let of = |cpu: u64, memory: u64| Resources {
            cpu_limit_millis: Some(cpu),
            memory_limit_bytes: Some(memory << 20),
            ..Resources::default()
        };
        let resources = of(500, 64);
        let sandbox = SandboxSpec { resources, ..node.sandbox_spec("s", Network::Host) };
        node.runtime.create_sandbox(sandbox).await.unwrap();
        let see = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max \
                   /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null | \
                   sed 's/ 100000//' | tr '\\n' ' '";
        let script = format!(
            "last=; while :; do now=$({see}); [ \"$now\" = \"$last\" ] || echo $now; last=$now; sleep 0.05; done"
        );
        let mut spec = shell("c", &script);
        spec.resources = Resources { oom_score_adj: Some(7), ..of(500, 64) };
        let status = node.runtime.start_container("s", spec).await.unwrap();
        let says = |cpu: u64, memory: u64| format!("{} {}\n", memory << 20, cpu * 100);
        log_until(&status.log_path, |log| log == says(500, 64)).await;
        let labels = || [("new".to_owned(), "yes".to_owned())].into();
        // Up: the sandbox first; down: it last. The kernel refuses what would not fit.
        node.runtime.update_sandbox("s", &of(900, 128)).await.unwrap();
        node.runtime.update_container("s", "c", of(900, 128), labels()).await.unwrap();
        log_until(&status.log_path, |log| log.ends_with(&says(900, 128))).await;
        node.runtime.update_container("s", "c", of(200, 32), labels()).await.unwrap();
        node.runtime.update_sandbox("s", &of(200, 32)).await.unwrap();
        log_until(&status.log_path, |log| log.ends_with(&says(200, 32))).await;
        let told = node.status("s", "c", 0).await.unwrap().spec;
        assert_eq!(told.resources, Resources { oom_score_adj: Some(7), ..of(200, 32) });
        assert_eq!(told.labels["new"], "yes");

        let bytes = Resources { memory_limit_bytes: Some(4096), ..Resources::default() };
        let error = node.runtime.update_container("s", "c", bytes, labels()).await.unwrap_err();
        assert!(matches!(error, runtime::UpdateError::BelowUsage { limit: 4096, .. }), "{error}");
        node.runtime.stop_container("s", "c", std::time::Duration::ZERO).await.unwrap();
        let error = node.runtime.update_container("s", "c", of(1, 1), labels()).await.unwrap_err();
        assert!(matches!(error, runtime::UpdateError::NotRunning { .. }), "{error}");
    });
}

#[test]
fn usage_is_counted() {
    on_a_node(async |node| {
        node.sandbox("s").await;
        let busy = shell(
            "busy",
            "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; sleep 1000",
        );
        let busy = node.runtime.start_container("s", busy).await.unwrap();
        log_until(&busy.log_path, |text| text.contains("done")).await;
        let all = node.runtime.usage().await;
        let [sandbox] = &all[..] else { panic!("{all:?}") };
        let [container] = &sandbox.containers[..] else { panic!("{all:?}") };
        assert_eq!((sandbox.id.as_str(), container.name.as_str()), ("s", "busy"));
        assert!(container.started_at >= sandbox.created_at, "{all:?}");
        assert!(container.usage.cpu > Some(std::time::Duration::ZERO), "{all:?}");
        assert!(container.usage.memory_working_set > Some(0), "{all:?}");
        // The sandbox is read after its containers, and counts them.
        assert!(sandbox.at >= container.at && sandbox.usage.cpu >= container.usage.cpu, "{all:?}");
    });
}

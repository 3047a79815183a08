//! Images and containers that try to reach the host, or to wear out those who look after them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use runtime::spec::*;
use rustix::fs::{CWD, FileType, Mode};
use tests::images::Layout;

use super::node::*;

/// Loads busybox, changed by `change`, as `evil:test`.
async fn load(node: &Node, change: impl FnOnce(&Path)) {
    let layout = Layout::new().unwrap();
    let fill = |root: &Path| {
        tests::busybox::rootfs(root)?;
        change(root);
        Ok(())
    };
    layout.build("test", fill).unwrap();
    node.runtime.images().load(&layout.path(), Some("evil:test")).await.unwrap();
}

fn evil(spec: &mut ContainerSpec) {
    spec.image = "evil:test".to_owned();
}

/// runc's CVE-2024-21626: a directory of the host that is still open when the program is looked up.
#[test]
fn no_descriptor_leads_to_the_hosts_files() {
    on_a_node(async |node| {
        let program = node.config.root.join("sh");
        fs::copy("/bin/busybox", &program).unwrap();
        for number in 3..24 {
            let up = "/..".repeat(16);
            let path = format!("/proc/self/fd/{number}{up}{}", program.display());
            let command = vec![path.clone(), "-c".to_owned(), "echo escaped".to_owned()];
            let (exit, output) = node.run_with("", |spec| spec.command = command).await;
            assert_eq!(exit.reason, ExitReason::StartError, "{path}: {exit:?} {output}");
        }
    });
}

/// A mount on a link that names the root would leave the whole of it at `/..`, unmasked and writable.
#[test]
fn kernel_file_systems_are_not_mounted_through_links() {
    on_a_node(async |node| {
        for (name, link) in [("proc", "."), ("sys", "/"), ("dev", "/tmp")] {
            load(node, |root| {
                fs::remove_dir(root.join(name)).unwrap();
                symlink(link, root.join(name)).unwrap();
            })
            .await;
            let script = "ls /..; test -w /../sys/kernel/core_pattern && echo escaped";
            let (exit, output) = node.run_with(script, evil).await;
            assert_eq!(exit.reason, ExitReason::StartError, "{name}: {exit:?} {output}");
            assert!(exit.message.contains(&format!("/{name}")), "{}", exit.message);
        }
    });
}

#[test]
fn a_user_file_without_end_is_refused() {
    on_a_node(async |node| {
        load(node, |root| {
            fs::remove_file(root.join("etc/passwd")).unwrap();
            let path = root.join("etc/passwd");
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
        })
        .await;
        let (exit, _) = node.run_with("echo started", evil).await;
        assert_eq!(exit.reason, ExitReason::StartError, "{exit:?}");
        assert!(exit.message.contains("/etc/passwd"), "{}", exit.message);
        load(node, |root| {
            fs::remove_file(root.join("etc/group")).unwrap();
            symlink("/dev/zero", root.join("etc/group")).unwrap();
        })
        .await;
        let (exit, _) = node.run_with("echo started", evil).await;
        assert_eq!(exit.reason, ExitReason::StartError, "{exit:?}");
    });
}

/// What a container could overwrite through `/proc/<pid>/exe` (CVE-2019-5736) is on a read-only mount.
#[test]
fn the_shims_executable_cannot_be_written() {
    on_a_node(async |node| {
        node.sandbox("s").await;
        let executable = format!("/proc/{}/exe", node.shim_pid("s"));
        let flags = rustix::fs::statvfs(&executable).unwrap().f_flag;
        assert!(flags.contains(rustix::fs::StatVfsMountFlags::RDONLY), "{flags:?}");
    });
}

#[test]
fn a_full_disk_takes_no_shim_down() {
    on_a_node(async |node| {
        // The shim's own log is on the full disk too.
        let directory = node.sandbox_dir("s");
        fs::create_dir_all(&directory).unwrap();
        symlink("/dev/full", directory.join("shim.log")).unwrap();
        node.sandbox("s").await;
        let stays = node.runtime.start_container("s", shell("stays", "sleep 1000")).await.unwrap();
        let ends = shell("ends", "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done");
        let ends = node.runtime.start_container("s", ends).await.unwrap();
        log_until(&ends.log_path, |text| text.contains("up")).await;
        // Where the record would be written before it is renamed into place.
        fs::create_dir(directory.join("containers/ends/0/record.json.next")).unwrap();
        node.runtime.stop_container("s", "ends", Duration::from_secs(20)).await.unwrap();
        assert_eq!(node.exited("s", "ends", 0).await.code, 3);
        let stays = node.status("s", "stays", stays.spec.attempt).await.unwrap();
        assert!(matches!(stays.state, ContainerState::Running { .. }), "{stays:?}");
        assert!(node.runtime.sandboxes().await[0].alive);
    });
}

#[test]
fn directories_on_the_way_to_a_mount_are_open_to_every_user() {
    on_a_node(async |node| {
        let data = node.config.root.join("data");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("file"), "readable\n").unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
        let (_, output) = node
            .run_with("exec 2>&1; cat /made/deep/data/file; cd /made && pwd", |spec| {
                spec.user.uid = Some(1000);
                let (source, target) = (data.clone(), "/made/deep/data".to_owned());
                spec.mounts = vec![Mount { source, target, read_only: true }];
            })
            .await;
        assert_eq!(output, "readable\n/made\n");
    });
}

#[test]
fn a_realtime_stop_signal_arrives() {
    on_a_node(async |node| {
        let layout = Layout::new().unwrap();
        layout.busybox("test").unwrap();
        layout.configure("test", &["--config.stopsignal", "SIGRTMIN+3"]).unwrap();
        node.runtime.images().load(&layout.path(), Some("evil:test")).await.unwrap();
        node.sandbox("s").await;
        let mut spec = shell("c", "trap 'exit 9' 37; echo up; while :; do sleep 0.05; done");
        evil(&mut spec);
        let status = node.runtime.start_container("s", spec).await.unwrap();
        log_until(&status.log_path, |text| text.contains("up")).await;
        node.runtime.stop_container("s", "c", Duration::from_secs(20)).await.unwrap();
        assert_eq!(node.exited("s", "c", 0).await.code, 9);
    });
}

/// Mount options keep devices away from those who cannot mount; the cgroup from the others.
#[test]
fn a_container_that_can_mount_cannot_open_the_hosts_devices() {
    on_a_node(async |node| {
        assert!(node.runtime.host().device_access.works(), "{:?}", node.runtime.host());
        // 7:0 is the first loop device, 1:11 the kernel's log: on every machine.
        let script = "exec 2>&1; mount -o remount,bind,dev / || exit 1; mount -o remount,bind,dev /dev || exit 2; \
                      mknod /disk b 7 0 && mknod /dev/log c 1 11 && echo made; \
                      true < /disk && echo opened; true > /disk && echo opened; true < /dev/log && echo opened; \
                      mount -t tmpfs t /mnt && mknod /mnt/log c 1 11; true < /mnt/log && echo opened; \
                      ls -d /sys/fs/cgroup/devices; \
                      for d in null zero full random urandom ptmx; do true < /dev/$d && echo $d; done; \
                      echo x > /dev/null && rm /disk && echo well";
        let (exit, output) = node
            .run_with(&format!("mkdir -p /mnt; {script}"), |spec| {
                spec.security.add_capabilities = vec!["SYS_ADMIN".into()];
            })
            .await;
        assert_eq!(exit.code, 0, "{output}");
        assert!(output.starts_with("made\n"), "{output}");
        assert_eq!(output.matches("not permitted").count(), 4, "{output}");
        assert!(!output.contains("opened"), "{output}");
        assert!(output.contains("/sys/fs/cgroup/devices: No such file"), "{output}");
        assert!(output.ends_with("null\nzero\nfull\nrandom\nurandom\nptmx\nwell\n"), "{output}");

        let script =
            "mknod /disk b 7 0; true < /disk && echo opened; true < /dev/kmsg && echo read";
        let privileged = |spec: &mut ContainerSpec| spec.security.privileged = true;
        let (_, output) = node.run_with(script, privileged).await;
        assert!(output.ends_with("read\n") && !output.contains("not permitted"), "{output}");
    });
}

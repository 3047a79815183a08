//! No space left on the device.

use std::io::Read;

use tests::cluster::Cluster;
use tests::images::Layout;
use tests::registry::Registry;

use super::witness::{Witness, cannot_have_its_image, pod};

#[test]
fn a_full_disk_while_pulling() {
    // Room for the cluster and busybox, not for 32 MiB more.
    let mut cluster = Cluster::start_on_disk("24m").unwrap();
    // While the disk is full, nothing can be written; that is said, and tried again.
    cluster.expect_log("");
    let registry = Registry::start().unwrap();
    let host = registry.host();
    let witness = Witness::start(&cluster);
    let layout = Layout::new().unwrap();
    layout
        .build("fat", |root| {
            let mut random = std::fs::File::open("/dev/urandom")?.take(32 << 20);
            std::io::copy(&mut random, &mut std::fs::File::create(root.join("fat"))?)?;
            Ok(())
        })
        .unwrap();
    layout.configure("fat", &["--config.cmd", "/fat"]).unwrap();
    layout.push("fat", &host, "app", "fat").unwrap();
    layout.busybox("slim").unwrap();
    layout.configure("slim", &["--config.cmd", "echo", "--config.cmd", "fits"]).unwrap();
    layout.push("slim", &host, "app", "slim").unwrap();

    let fat = format!("{host}/app:fat");
    cluster.apply(&pod("fat", &fat)).unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        // The disk is filled again and again while the API is written to.
        let pulling = cluster
            .command()
            .args(["pull", &fat])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        for number in 0..5 {
            let name = format!("kept-{round}-{number}");
            if cluster
                .apply(&format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"))
                .is_ok()
            {
                acknowledged.push(name);
            }
        }
        let output = pulling.wait_with_output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(words.contains(&format!("the disk is full while pulling \"{fat}\"")), "{words}");
    }
    cannot_have_its_image(&cluster, "fat", &[&format!("the disk is full while pulling \"{fat}\"")]);
    witness.is_undisturbed(&cluster);
    cluster.wctl(&["delete", "pod", "fat"]).unwrap();

    // What was left by the failed pulls is gone: a smaller image fits, and nothing acknowledged is lost.
    cluster.apply(&pod("slim", &format!("{host}/app:slim"))).unwrap();
    cluster.until(&["pod", "slim"], |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(cluster.wctl(&["logs", "slim"]).unwrap(), "fits\n");
    assert!(!acknowledged.is_empty());
    cluster.kill();
    cluster.launch().unwrap();
    for name in &acknowledged {
        cluster.get(&["configmap", name]).unwrap();
    }
    witness.is_undisturbed(&cluster);
}

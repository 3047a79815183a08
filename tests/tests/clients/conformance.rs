//! The behaviours that Kubernetes' conformance tests name and that a control plane shows by itself.
//!
//! tests/conformance has a test for each, in Python; docs/CONFORMANCE.md counts them.

use std::process::{Command, Stdio};

use tests::cluster::{Cluster, succeed};
use tests::{clients, program};

#[test]
fn the_behaviours_of_a_control_plane() {
    if let Err(why) = program::find("kubectl") {
        clients::absent("conformance behaviours of sig-cli", &why);
    }
    behaviours(&["-m", "unittest", "discover", "--verbose"]);
}

#[test]
fn the_behaviours_that_wait_for_a_clock() {
    behaviours(&["slow.py"]);
}

/// Runs Python in the folder of the behaviours, against a cluster.
fn behaviours(arguments: &[&str]) {
    // Before the cluster is started: its network leads nowhere.
    let packages = match clients::python() {
        Ok(packages) => packages,
        Err(why) => return clients::absent("conformance behaviours", &why),
    };
    let mut cluster = Cluster::start_with(&["--loopback"]).unwrap();
    // Pods that a quota refuses are asked for again.
    cluster.expect_log("reconcile keeps failing");
    // The nodes of the suite live as long as its process.
    cluster.expect_log("node is not heard from");
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program::find("python3").unwrap());
    command.args(arguments).current_dir(program::repository().join("tests/conformance"));
    command.stdin(Stdio::null()).env("KUBECONFIG", cluster.kubeconfig());
    command.env("HOME", home.path()).env("TMPDIR", home.path());
    // It would leave its compiled scripts in the repository.
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    succeed(&mut command).unwrap_or_else(|error| panic!("{error:#}"));
}

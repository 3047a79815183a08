//! Clients that nobody here wrote, against `wctl dev`: what they can do with Kubernetes, they can do here.
//!
//! The scripts in tests/clients/ use the official Python and JavaScript clients; what is here starts them
//! and shows what they say. A client that cannot be had is named, and the suite names it again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

mod conformance;
mod javascript;
mod kubectl;
mod python;
mod rust;

use std::path::Path;
use std::process::{Command, Stdio};

use tests::cluster::{Cluster, succeed};
use tests::images::Layout;
use tests::program;

/// A cluster with the programs that the clients run in pods: a Wasm component, and a busybox.
fn cluster() -> Cluster {
    let cluster = Cluster::start().unwrap();
    cluster.load_fixture("spin.wasm", "test/spin:v1").unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    let path = layout.path();
    let load = ["image", "load", path.to_str().unwrap(), "--name", "test/busybox:v1"];
    cluster.wctl(&load).unwrap();
    cluster
}

/// Runs a client's scripts in the cluster's network; they must succeed.
fn drive(program: &str, arguments: &[&str], environment: &[(&str, &Path)]) -> String {
    let cluster = cluster();
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(program::find(program).unwrap());
    command.args(arguments).stdin(Stdio::null());
    command.env("KUBECONFIG", cluster.kubeconfig());
    command.env("HOME", home.path()).env("TMPDIR", home.path());
    command.envs(environment.iter().copied());
    succeed(&mut command).unwrap_or_else(|error| panic!("{error:#}"))
}

//! The web server of the fixtures as a workload, and the real kubectl that is told what to do with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]
#![allow(clippy::print_stdout, reason = "says when the host has no kubectl")]

use std::process::Command;

use serde_json::Value;
use tests::cluster::{Cluster, succeed};

/// The objects of a list.
pub(crate) fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

/// A cluster with the web server under these names.
pub(crate) fn with_web(images: &[&str]) -> Cluster {
    let cluster = Cluster::start().unwrap();
    for name in images {
        cluster.load_fixture("http-c.wasm", name).unwrap();
    }
    cluster
}

pub(crate) struct Kubectl(pub(crate) Cluster);

impl Kubectl {
    /// None, with a word on the output, where there is no kubectl.
    pub(crate) fn start(images: &[&str]) -> Option<Self> {
        let cluster = with_web(images);
        if cluster.kubectl().is_none() {
            println!("not tested: there is no kubectl on this machine");
            return None;
        }
        Some(Self(cluster))
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = self.0.kubectl().expect("there was one at the start");
        command.args(line.split(' '));
        command
    }

    /// Runs kubectl with words split at spaces; it must succeed and say this.
    #[track_caller]
    pub(crate) fn says(&self, line: &str, what: &str) {
        let said = succeed(&mut self.command(line)).unwrap();
        assert!(said.contains(what), "kubectl {line}: {what:?} not in {said:?}");
    }
}

/// A workload of a kind, with two pods where it counts them.
pub(crate) fn workload(kind: &str, name: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  {more}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: test/web:v1
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /, port: http}}, periodSeconds: 1}}
---
"
    )
}

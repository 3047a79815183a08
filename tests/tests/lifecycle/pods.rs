//! What every theme needs: images, and a look into a pod's status.

use std::path::Path;

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE};
use tests::images::Layout;
use tests::wait;

/// A cluster with `test/busybox:v1` (native, whose programs are busybox').
pub(crate) fn cluster() -> Cluster {
    let cluster = Cluster::start().unwrap();
    let layout = Layout::new().unwrap();
    layout.busybox("v1").unwrap();
    let path = layout.path();
    let load = ["image", "load", path.to_str().unwrap(), "--name", "test/busybox:v1"];
    cluster.wctl(&load).unwrap();
    cluster
}

/// Loads a module given as WebAssembly text.
pub(crate) fn load_wat(cluster: &Cluster, name: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("module.wasm");
    std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
    cluster.wctl(&["image", "load", path.to_str().unwrap(), "--name", name]).unwrap();
}

/// Status of one container, initial or main.
pub(crate) fn status<'p>(pod: &'p Value, container: &str) -> &'p Value {
    let lists = ["initContainerStatuses", "containerStatuses"];
    let mut all =
        lists.iter().flat_map(|list| pod["status"][list].as_array().into_iter().flatten());
    all.find(|status| status["name"] == container).unwrap_or(&Value::Null)
}

/// `state.terminated` of the only container `c`.
pub(crate) fn terminated(pod: &Value) -> &Value {
    &status(pod, "c")["state"]["terminated"]
}

/// How often the container was started again.
pub(crate) fn restarts(pod: &Value, container: &str) -> u64 {
    status(pod, container)["restartCount"].as_u64().unwrap_or(0)
}

/// Whether the pod's Ready condition holds.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

/// Waits until the pod has come to its end, and gives it.
pub(crate) fn finished(cluster: &Cluster, name: &str) -> Value {
    cluster.until(&["pod", name], |pod| {
        pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed"
    })
}

/// Waits until the pod is Ready, and gives it.
pub(crate) fn ready(cluster: &Cluster, name: &str) -> Value {
    cluster.until(&["pod", name], is_ready)
}

/// Waits until the log that `wctl logs ARGUMENTS` prints is liked, and gives it.
pub(crate) fn until_log(
    cluster: &Cluster,
    arguments: &[&str],
    probe: impl Fn(&str) -> bool,
) -> String {
    let mut all = vec!["logs"];
    all.extend(arguments);
    wait::eventually(&format!("wctl {}", all.join(" ")), PATIENCE, || {
        let log = cluster.wctl(&all).map_err(|error| format!("{error:#}"))?;
        if probe(&log) { Ok(log) } else { Err(log) }
    })
}

/// Contents of those of the files that the host has in the pod's cgroup, or in the one `below` it.
///
/// Cgroups of other pods come and go meanwhile: nothing but the path in question is looked at.
pub(crate) fn cgroup_files(uid: &str, below: &str, names: &[&str]) -> Vec<String> {
    let mount = Path::new("/sys/fs/cgroup");
    let entries = std::fs::read_dir(mount).unwrap().flatten().map(|entry| entry.path());
    let hierarchies = std::iter::once(mount.to_owned()).chain(entries);
    let files = hierarchies.flat_map(|hierarchy| {
        let folder = hierarchy.join("wharf").join(uid).join(below);
        names.iter().map(move |name| folder.join(name))
    });
    files.filter_map(|file| Some(std::fs::read_to_string(file).ok()?.trim().to_owned())).collect()
}

/// The value of the line `KEY=VALUE` in a container's output.
pub(crate) fn value<'l>(log: &'l str, key: &str) -> &'l str {
    let line = log.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {key}= in:\n{log}"))
}

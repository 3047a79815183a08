//! How other commands find the dev cluster that runs on this host: a small file that names it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::output::line;

/// A dev cluster that runs (or ran: [`find`] checks).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Running {
    /// Process id of `wctl dev`.
    pub(crate) pid: u32,
    /// Its data folder.
    pub(crate) data_dir: PathBuf,
}

impl Running {
    /// The file with the credentials.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("kubeconfig")
    }
}

/// Whether `folder` is a dev cluster's data folder.
pub(crate) fn is_data_dir(folder: &Path) -> bool {
    folder.join("pki").is_dir() && folder.join("runtime").is_dir()
}

/// The dev cluster that runs on this host for this user.
pub(crate) fn find() -> Option<Running> {
    find_at(&file()?)
}

fn find_at(file: &Path) -> Option<Running> {
    let text = std::fs::read(file).ok()?;
    let running: Running = serde_json::from_slice(&text).ok()?;
    Path::new("/proc").join(running.pid.to_string()).exists().then_some(running)
}

/// Says that this process is the dev cluster on `data_dir`. The file goes when the value is dropped.
fn announce(data_dir: &Path) -> Result<Announcement> {
    match file() {
        Some(path) => announce_at(path, data_dir),
        None => Ok(Announcement { file: None, other: None }),
    }
}

fn announce_at(path: PathBuf, data_dir: &Path) -> Result<Announcement> {
    if let Some(other) = find_at(&path) {
        // The first cluster keeps the name; the second is reached by --kubeconfig.
        return Ok(Announcement { file: None, other: Some(other.data_dir) });
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    let running = Running { pid: std::process::id(), data_dir: data_dir.to_owned() };
    std::fs::write(&path, serde_json::to_vec(&running)?)
        .with_context(|| format!("write {}", path.display()))?;
    Ok(Announcement { file: Some(path), other: None })
}

/// Removes the file when the cluster ends.
pub(crate) struct Announcement {
    file: Option<PathBuf>,
    other: Option<PathBuf>,
}

impl Announcement {
    /// The data folder of the cluster that commands find instead of this one.
    fn other(&self) -> Option<&Path> {
        self.other.as_deref()
    }
}

/// Says where the cluster of `data_dir` is and that it is ready. Other commands find it as long as the
/// answer is kept.
pub(crate) fn say_ready(
    data_dir: &Path,
    url: &str,
    kubeconfig: &Path,
    more: &[String],
) -> Result<Announcement> {
    let announcement = announce(data_dir)?;
    line(format!("API server  {url}"))?;
    line(format!("kubeconfig  {}", kubeconfig.display()))?;
    if let Some(other) = announcement.other() {
        line(two_clusters(other, kubeconfig))?;
    }
    more.iter().try_for_each(line)?;
    line("ready")?;
    Ok(announcement)
}

/// What to tell of two clusters on one host, so that nobody talks to the wrong one.
fn two_clusters(other: &Path, kubeconfig: &Path) -> String {
    format!(
        "wctl speaks to the cluster in {}, which was first; to this one with\n\
         export KUBECONFIG={}",
        other.display(),
        kubeconfig.display()
    )
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Some(path) = &self.file {
            // A stale file is recognised by its process id.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn file() -> Option<PathBuf> {
    let folder = if rustix::process::geteuid().is_root() {
        PathBuf::from("/run/wharf")
    } else {
        PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?).join("wharf")
    };
    Some(folder.join("dev.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cluster_keeps_the_name_and_the_second_knows() {
        let file = std::env::temp_dir().join(format!("wharf-dev-{}.json", std::process::id()));
        let announce = |data_dir: &str| announce_at(file.clone(), Path::new(data_dir)).unwrap();
        let first = announce("/one");
        assert_eq!(first.other(), None);
        let second = announce("/two");
        assert_eq!(second.other(), Some(Path::new("/one")));
        let text = two_clusters(Path::new("/one"), Path::new("/two/kubeconfig"));
        assert!(text.contains("/one,") && text.ends_with("export KUBECONFIG=/two/kubeconfig"));
        drop(second);
        assert_eq!(find_at(&file).unwrap().data_dir, Path::new("/one"));
        drop(first);
        assert!(find_at(&file).is_none());
        assert_eq!(announce("/two").other(), None);
    }
}

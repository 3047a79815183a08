//! From mounts to preopens: a program is given directories, but Kubernetes also mounts single files.
//!
//! In a root of its own a file's folder holds nothing but mounts, so the folder is given in its place; in
//! the host's root it would hold the host's files, so there a mounted file is refused.

use std::path::{Path, PathBuf};

use super::config::{HostConfig, Preopen};
use crate::launch::Step;

/// The directories to preopen for `config`, each once.
///
/// # Errors
/// A text that names the volume, if it is not there or cannot be given.
pub(super) fn resolve(config: &HostConfig) -> Result<Vec<Preopen>, String> {
    let plan = config.isolation.as_ref();
    let own_root = plan.is_some_and(|plan| plan.steps.contains(&Step::PivotRoot));
    let mut resolved: Vec<Preopen> = Vec::new();
    for volume in &config.preopens {
        let failed = |problem: &dyn std::fmt::Display| {
            format!("cannot open the volume at {}: {problem}", volume.guest)
        };
        let meta = std::fs::metadata(&volume.host).map_err(|error| failed(&error))?;
        let directory = match (meta.is_dir(), own_root) {
            (true, _) => volume.clone(),
            (false, true) => folder(volume).ok_or_else(|| failed(&"it has no parent folder"))?,
            (false, false) => {
                return Err(failed(
                    &"it is a single file, which a program can only be given with its folder, and this \
                      host permits no root of its own for the container, where that would hold nothing else",
                ));
            }
        };
        match resolved.iter_mut().find(|other| other.guest == directory.guest) {
            // The mounts themselves still refuse what is read-only: this only stops refusing too early.
            Some(other) => other.read_only &= directory.read_only,
            None => resolved.push(directory),
        }
    }
    Ok(resolved)
}

/// The folder of a mounted file.
fn folder(file: &Preopen) -> Option<Preopen> {
    let guest = Path::new(&file.guest).parent()?.to_str()?.to_owned();
    let host: PathBuf = file.host.parent()?.to_owned();
    Some(Preopen { host, guest, read_only: file.read_only })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::IsolationPlan;
    use crate::wasm::World;

    fn config(steps: Vec<Step>, preopens: &[(&Path, &str, bool)]) -> HostConfig {
        HostConfig {
            world: World::WasiP1Command,
            code: PathBuf::new(),
            args: Vec::new(),
            env: Vec::new(),
            preopens: preopens
                .iter()
                .map(|(host, guest, read_only)| Preopen {
                    host: host.to_path_buf(),
                    guest: (*guest).to_owned(),
                    read_only: *read_only,
                })
                .collect(),
            http: None,
            sockets: Default::default(),
            memory_limit_bytes: None,
            cpu_limit_millis: None,
            isolation: Some(IsolationPlan { steps }),
        }
    }

    #[test]
    fn a_file_is_given_with_its_folder_only_in_a_root_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        std::fs::write(&one, "").unwrap();
        std::fs::write(&two, "").unwrap();
        let volumes = [
            (root.path(), "/data", true),
            (one.as_path(), "/etc/app/one", true),
            (two.as_path(), "/etc/app/two", false),
        ];
        let resolved = resolve(&config(vec![Step::PivotRoot], &volumes)).unwrap();
        let seen: Vec<_> = resolved.iter().map(|to| (to.guest.as_str(), to.read_only)).collect();
        assert_eq!(seen, [("/data", true), ("/etc/app", false)]);
        assert_eq!(resolved[1].host, root.path());

        let refused = resolve(&config(vec![Step::NoNewPrivs], &volumes)).unwrap_err();
        assert!(refused.contains("/etc/app/one") && refused.contains("single file"), "{refused}");
        let missing = [(Path::new("/nonexistent"), "/gone", true)];
        assert!(resolve(&config(Vec::new(), &missing)).unwrap_err().contains("/gone"));
    }
}

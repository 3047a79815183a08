//! Which images containers run from, read from the records on disk: for tools beside the agent.

use std::fs;
use std::path::Path;

use crate::shim::record::SandboxDir;

/// Manifest digests (`sha256:…`) of the images of every container attempt below the runtime's `root`,
/// each once. Touches no shim, so it is right beside a running agent and without one.
pub fn images_in_use(root: &Path) -> Vec<String> {
    let sandboxes = fs::read_dir(root.join("sandboxes")).into_iter().flatten().flatten();
    let mut digests: Vec<String> = sandboxes
        .flat_map(|sandbox| SandboxDir::new(sandbox.path()).container_records())
        .map(|record| record.status.image_digest)
        .collect();
    digests.sort();
    digests.dedup();
    digests
}

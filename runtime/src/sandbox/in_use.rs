//! Which images containers run from, read from the records on disk: for tools beside the agent.

use std::fs;
use std::path::Path;

use crate::shim::record::SandboxDir;

/// Manifest digests (`sha256:…`) of the images of every container attempt below the runtime's `root`, the
/// ones that are just being started included, each once. Touches no shim, so it is right beside a running agent and without one.
pub fn images_in_use(root: &Path) -> Vec<String> {
    let sandboxes = fs::read_dir(root.join("sandboxes")).into_iter().flatten().flatten();
    let mut digests = Vec::new();
    for sandbox in sandboxes {
        let directory = SandboxDir::new(sandbox.path());
        digests.extend(directory.images());
        let records = directory.container_records().into_iter();
        digests.extend(records.map(|record| record.status.image_digest));
    }
    digests.sort();
    digests.dedup();
    digests
}

//! A directory tree as text, so that two of them can be compared and the difference read.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::program;

/// One line per path below `root`: type and mode, owner, device, hard link partner, link target or
/// content, extended attributes.
pub fn tree(root: &Path) -> Result<BTreeMap<String, String>> {
    let mut lines = BTreeMap::new();
    let mut notes = attributes(root)?;
    for (name, digest) in digests(root)? {
        notes.entry(name).or_default().push_str(&format!(" content={digest}"));
    }
    walk(root, root, &notes, &mut lines)?;
    // Inode numbers differ between trees; who shares one does not.
    let mut first: HashMap<u64, String> = HashMap::new();
    for (path, (line, inode)) in &mut lines {
        if let Some(inode) = inode {
            let partner = first.entry(*inode).or_insert_with(|| path.clone());
            line.push_str(&format!(" same-as={partner}"));
        }
    }
    Ok(lines.into_iter().map(|(path, (line, _))| (path, line)).collect())
}

type Lines = BTreeMap<String, (String, Option<u64>)>;

fn walk(
    root: &Path,
    path: &Path,
    notes: &HashMap<String, String>,
    lines: &mut Lines,
) -> Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let kind = metadata.file_type();
    let mut line = format!(
        "mode={:o} owner={}:{} device={}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.rdev()
    );
    if kind.is_symlink() {
        line.push_str(&format!(" to={}", fs::read_link(path)?.display()));
    } else if kind.is_file() {
        line.push_str(&format!(" mtime={}", metadata.mtime()));
    }
    let shared = (kind.is_file() && metadata.nlink() > 1).then(|| metadata.ino());
    let name = path.strip_prefix(root).context("walked outside")?.display().to_string();
    line.push_str(notes.get(&name).map_or("", String::as_str));
    lines.insert(name, (line, shared));
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            walk(root, &entry?.path(), notes, lines)?;
        }
    }
    Ok(())
}

/// Extended attributes by path, of everything that has some.
fn attributes(root: &Path) -> Result<HashMap<String, String>> {
    let output = Command::new(program::find("getfattr")?)
        .args(["--recursive", "--physical", "--no-dereference", "--dump", "--match=-", "."])
        .arg("--encoding=hex")
        .current_dir(root)
        .output()?;
    ensure!(output.status.success(), "getfattr: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let mut found = HashMap::new();
    for section in text.split("\n\n") {
        let mut lines: Vec<&str> = section.lines().collect();
        let Some(name) = lines.first().and_then(|line| line.strip_prefix("# file: ")) else {
            continue;
        };
        let name = name.to_owned();
        lines.remove(0);
        lines.sort_unstable();
        found.insert(name, format!(" {}", lines.join(" ")));
    }
    Ok(found)
}

/// SHA-256 of every regular file, by path.
fn digests(root: &Path) -> Result<HashMap<String, String>> {
    let output = Command::new("sh")
        .args(["-c", "find . -type f -print0 | xargs -0r sha256sum"])
        .current_dir(root)
        .output()?;
    ensure!(output.status.success(), "sha256sum: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let pairs = text.lines().filter_map(|line| line.split_once("  ./"));
    Ok(pairs.map(|(digest, name)| (name.to_owned(), digest.to_owned())).collect())
}

//! Objects in files: YAML (several documents) or JSON, folders, standard input, `kind: List`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// An object that someone wrote down.
#[derive(Debug, Clone)]
pub(crate) struct Manifest {
    /// `apiVersion`.
    pub(crate) api_version: String,
    /// `kind`.
    pub(crate) kind: String,
    /// `metadata.name`; empty with generateName.
    pub(crate) name: String,
    /// `metadata.namespace`.
    pub(crate) namespace: Option<String>,
    /// All of it.
    pub(crate) object: Value,
}

/// Reads every object of every path, in order.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Manifest>> {
    let mut found = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("read standard input")?;
            found.extend(parse(&text).context("standard input")?);
        } else if path.is_dir() {
            for file in files_of(path)? {
                found.extend(read_file(&file)?);
            }
        } else {
            found.extend(read_file(path)?);
        }
    }
    Ok(found)
}

fn read_file(path: &Path) -> Result<Vec<Manifest>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| {
        matches!(file.extension().and_then(|e| e.to_str()), Some("yaml" | "yml" | "json"))
    });
    files.sort();
    Ok(files)
}

/// Splits a text into objects.
pub(crate) fn parse(text: &str) -> Result<Vec<Manifest>> {
    // `0644` is octal to kubectl, and manifests rely on it.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let mut found = Vec::new();
    let documents = serde_saphyr::from_multiple_with_options::<Option<Value>>(text, options)?;
    for document in documents.into_iter().flatten() {
        if document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"))
            && document["items"].is_array()
        {
            for item in document["items"].as_array().into_iter().flatten() {
                found.push(manifest(item.clone())?);
            }
        } else {
            found.push(manifest(document)?);
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    name: String,
    namespace: Option<String>,
}

fn manifest(object: Value) -> Result<Manifest> {
    let head = Head::deserialize(&object).context("not a Kubernetes object")?;
    if head.api_version.is_empty() || head.kind.is_empty() {
        bail!("an object without apiVersion and kind");
    }
    Ok(Manifest {
        api_version: head.api_version,
        kind: head.kind,
        name: head.metadata.name,
        namespace: head.metadata.namespace,
        object,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_become_objects() {
        let found = parse(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\n---\n# nothing\n---\n\
             apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: b}}\n",
        )
        .unwrap();
        let shown: Vec<_> = found.iter().map(|m| (m.kind.as_str(), m.name.as_str())).collect();
        assert_eq!(shown, [("Pod", "a"), ("Secret", "b")]);
        assert_eq!(found[0].namespace.as_deref(), Some("x"));
    }

    #[test]
    fn octal_modes_are_read_like_kubectl_does() {
        let found = parse("apiVersion: v1\nkind: Pod\nmode: 0644\n").unwrap();
        assert_eq!(found[0].object["mode"], 420);
    }

    #[test]
    fn what_is_no_object_is_refused() {
        assert!(parse("just text").is_err());
        assert!(parse("kind: Pod").is_err());
    }
}

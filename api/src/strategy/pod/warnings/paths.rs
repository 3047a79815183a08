//! Files of one volume that are written twice, or that stand where a folder has to be.

use serde_json::Value;

use super::{COMPARED, MOST, items, text};
use crate::field::go_quote;

/// A file in a volume.
struct File<'a> {
    path: &'a str,
    /// What its content is taken from, in a volume that has several sources.
    source: Option<Source<'a>>,
}

#[derive(Clone, Copy)]
struct Source<'a> {
    kind: &'static str,
    /// `None` for a source that has no name.
    name: Option<&'a str>,
}

impl Source<'_> {
    fn shown(self) -> String {
        match self.name {
            Some(name) => format!("{} {}", self.kind, go_quote(name)),
            None => self.kind.to_owned(),
        }
    }
}

impl File<'_> {
    fn shown(&self) -> String {
        match self.source {
            Some(source) => format!("{} ({})", go_quote(self.path), source.shown()),
            None => go_quote(self.path),
        }
    }
}

/// About the volumes of a spec whose files are given by name.
pub(super) fn of_volumes(spec: &Value) -> Vec<String> {
    let mut told = Vec::new();
    for volume in items(&spec["volumes"]) {
        let name = text(volume, "name");
        for (field, kind, named) in [
            ("configMap", "ConfigMap", Some("name")),
            ("secret", "Secret", Some("secretName")),
            ("downwardAPI", "DownwardAPI", None),
        ] {
            let source = &volume[field];
            let files: Vec<_> = files_of(&source["items"], None).collect();
            if files.len() > 1 {
                let source = Source { kind, name: named.map(|field| text(source, field)) };
                told.extend(overlaps(name, &source.shown(), &files));
            }
        }
        told.extend(of_projected(name, &volume["projected"]));
    }
    told
}

fn of_projected(volume: &str, projected: &Value) -> Vec<String> {
    let mut told = Vec::new();
    let mut files = Vec::new();
    for source in items(&projected["sources"]) {
        let given = |map: &serde_json::Map<_, Value>| map.values().any(|part| !part.is_null());
        if !source.as_object().is_some_and(given) {
            told.push(format!("volume {} (Projected) has no sources provided", go_quote(volume)));
        }
        projected_files(source, &mut files);
    }
    told.extend(overlaps(volume, "Projected", &files));
    told
}

/// Adds the files of one source of a projected volume.
fn projected_files<'a>(source: &'a Value, files: &mut Vec<File<'a>>) {
    for (field, kind, named) in [
        ("configMap", "ConfigMap", true),
        ("secret", "Secret", true),
        ("downwardAPI", "DownwardAPI", false),
    ] {
        let part = &source[field];
        if !part["items"].is_null() {
            let source = Source { kind, name: named.then(|| text(part, "name")) };
            files.extend(files_of(&part["items"], Some(source)));
            return;
        }
    }
    let mut add = |part: &'a Value, field: &str, kind: &'static str, name: Option<&'a str>| {
        let path = text(part, field);
        if !path.is_empty() {
            files.push(File { path: normal(path), source: Some(Source { kind, name }) });
        }
    };
    add(&source["serviceAccountToken"], "path", "ServiceAccountToken", None);
    let bundle = &source["clusterTrustBundle"];
    let name = bundle["name"].as_str().or_else(|| bundle["signerName"].as_str());
    add(bundle, "path", "ClusterTrustBundle", Some(name.unwrap_or_default()));
    let certificate = &source["podCertificate"];
    add(certificate, "certificateChainPath", "PodCertificate chain", None);
    add(certificate, "keyPath", "PodCertificate key", None);
    add(certificate, "credentialBundlePath", "PodCertificate credential bundle", None);
}

fn files_of<'a>(list: &'a Value, source: Option<Source<'a>>) -> impl Iterator<Item = File<'a>> {
    items(list).map(move |item| File { path: normal(text(item, "path")), source })
}

fn normal(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// Compares each file with those before it.
fn overlaps(volume: &str, what: &str, files: &[File<'_>]) -> Vec<String> {
    let mut told = Vec::new();
    for (n, file) in files.iter().enumerate().skip(1) {
        for other in files[..n.min(COMPARED)].iter().filter(|other| overlap(file.path, other.path))
        {
            told.push(format!(
                "volume {} ({what}): overlapping paths: {} with {}",
                go_quote(volume),
                file.shown(),
                other.shown()
            ));
            if told.len() == MOST {
                return told;
            }
        }
    }
    told
}

/// Whether two paths are the same, or one is a folder in the other.
fn overlap(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    !short.is_empty()
        && long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

//! Links of the documents: what they point to exists.

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use crate::step;

    /// The targets of `[text](target)` that are files of this repository.
    fn targets(markdown: &str) -> Vec<&str> {
        markdown
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
            .map(|target| target.split('#').next().unwrap_or(target))
            .filter(|target| !target.is_empty() && !target.contains("://"))
            .collect()
    }

    fn documents() -> Vec<PathBuf> {
        let mut found = vec![step::root().join("README.md"), step::root().join("CHANGELOG.md")];
        for folder in ["docs", "docs/adr"] {
            let entries = std::fs::read_dir(step::root().join(folder)).unwrap();
            found.extend(entries.flatten().map(|entry| entry.path()));
        }
        found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
        found
    }

    #[test]
    fn every_link_leads_somewhere() {
        let mut dead = Vec::new();
        let mut count = 0;
        for document in documents() {
            let text = std::fs::read_to_string(&document).unwrap();
            for target in targets(&text) {
                count += 1;
                if !document.parent().unwrap_or(Path::new("")).join(target).exists() {
                    dead.push(format!("{}: {target}", document.display()));
                }
            }
        }
        assert!(count > 40, "only {count} links found: is the search broken?");
        assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    }
}

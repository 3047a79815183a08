//! Who may know whom: the arrows of docs/ARCHITECTURE.md, checked against `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step;

/// Every arrow that exists; what is not here is forbidden.
const ALLOWED: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("store", &[]),
    ("client", &[]),
    ("runtime", &[]),
    ("apiserver", &["api", "store"]),
    ("scheduler", &["api", "client"]),
    ("controllers", &["api", "client"]),
    ("proxy", &["api"]),
    ("agent", &["api", "runtime"]),
    (
        "wctl",
        &[
            "api",
            "store",
            "client",
            "apiserver",
            "scheduler",
            "controllers",
            "proxy",
            "agent",
            "runtime",
        ],
    ),
    ("tests", &[]),
    ("simulation", &["api", "client", "scheduler", "controllers"]),
    ("xtask", &[]),
];

/// Fails with every forbidden arrow and every unknown crate.
pub(crate) fn check() -> Result<()> {
    let output = step::cargo().args(["metadata", "--format-version=1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("parse cargo metadata")?;
    let wrong = violations(&arrows(&metadata)?);
    if wrong.is_empty() {
        println!("==> crate graph: {} crates, every arrow allowed", ALLOWED.len());
        return Ok(());
    }
    bail!("crate graph: {}", wrong.join("; "))
}

/// Normal and build dependencies between workspace crates. Tests may use any crate.
fn arrows(metadata: &Value) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let mut arrows = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        let internal = dependencies
            .filter(|dependency| dependency["path"].is_string() && dependency["kind"] != "dev")
            .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
            .collect();
        arrows.insert(name.to_owned(), internal);
    }
    Ok(arrows)
}

fn violations(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (from, targets) in arrows {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| name == from) else {
            wrong.push(format!("{from} is not in the crate graph"));
            continue;
        };
        for to in targets.iter().filter(|to| !allowed.contains(&to.as_str())) {
            wrong.push(format!("{from} -> {to} is forbidden"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(from: &str, to: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
        BTreeMap::from([(from.to_owned(), to.iter().map(|name| (*name).to_owned()).collect())])
    }

    #[test]
    fn names_each_forbidden_arrow() {
        assert!(violations(&graph("agent", &["api", "runtime"])).is_empty());
        assert_eq!(violations(&graph("agent", &["store"])), ["agent -> store is forbidden"]);
        assert_eq!(violations(&graph("utils", &[])), ["utils is not in the crate graph"]);
    }

    #[test]
    fn dev_dependencies_are_free() {
        let metadata = serde_json::json!({"packages": [{"name": "api", "dependencies": [
            {"name": "tests", "path": "/x/tests", "kind": "dev"},
            {"name": "store", "path": "/x/store", "kind": null},
            {"name": "serde", "kind": null},
        ]}]});
        assert_eq!(arrows(&metadata).unwrap(), graph("api", &["store"]));
    }
}

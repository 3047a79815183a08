//! `wctl doctor`: what this host permits, and why not.

use anyhow::{Context, Result};
use runtime::HostFacts;
use serde_json::{Value, json};

use crate::cli::{Doctor, Format, Global};
use crate::cluster;
use crate::output::{self, line, on_terminal};

/// Tries everything and prints the result.
pub(crate) async fn run(global: &Global, arguments: &Doctor) -> Result<()> {
    let data_dir = cluster::data_dir(global);
    let facts = tokio::task::spawn_blocking(move || probe(&data_dir)).await??;
    match arguments.output {
        Some(format @ (Format::Json | Format::Yaml)) => {
            output::print_object(format, &report(&facts))
        }
        _ => print(&facts),
    }
}

/// Probes where the runtime would work; a folder that does not exist yet is left not existing.
fn probe(data_dir: &std::path::Path) -> Result<HostFacts> {
    let root = data_dir.join("runtime");
    if root.is_dir() {
        return Ok(HostFacts::probe(&root, "wharf"));
    }
    let scratch = std::env::temp_dir().join(format!("wharf-doctor-{}", std::process::id()));
    std::fs::create_dir(&scratch).with_context(|| format!("make {}", scratch.display()))?;
    let facts = HostFacts::probe(&scratch, "wharf");
    std::fs::remove_dir_all(&scratch).with_context(|| format!("remove {}", scratch.display()))?;
    Ok(facts)
}

fn report(facts: &HostFacts) -> Value {
    let verdict =
        |why_not: Option<String>| json!({"available": why_not.is_none(), "reason": why_not});
    let abilities: Vec<Value> = facts
        .abilities()
        .iter()
        .map(|ability| json!({"name": ability.name, "works": ability.works(), "whyNot": ability.why_not}))
        .collect();
    json!({
        "nativeContainers": verdict(facts.native_why_not()),
        "podNetwork": verdict(facts.pod_network_why_not()),
        "wasmContainers": verdict(None),
        "abilities": abilities,
    })
}

fn print(facts: &HostFacts) -> Result<()> {
    let mark = |works: bool| match (works, on_terminal()) {
        (true, true) => "\x1b[32m✔\x1b[0m",
        (false, true) => "\x1b[31m✘\x1b[0m",
        (true, false) => "yes",
        (false, false) => "no ",
    };
    for ability in facts.abilities() {
        let why = ability.why_not.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        line(format!("  {} {}{why}", mark(ability.works()), ability.name))?;
    }
    line("")?;
    line("Wasm containers run here.")?;
    match facts.native_why_not() {
        None => line("Native containers run here.")?,
        Some(why) => line(format!("Native containers cannot run here: {why}"))?,
    }
    match facts.pod_network_why_not() {
        None => line("Pods get a network of their own, behind a bridge."),
        Some(why) => {
            line(format!("Pods share the host's network, on addresses from 127.0.0.0/8: {why}"))
        }
    }
}

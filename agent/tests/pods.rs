//! Pods on a real node: this agent, the real runtime and the real API server in one process, in a network
//! namespace of its own.
//!
//! The test's executable is the shim's, too (the runtime starts `/proc/self/exe`), so it has a `main` that
//! asks the runtime first and no libtest around it. Output and exit code are as libtest's.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test with a main of its own"
)]

#[path = "pods/cases.rs"]
mod cases;
#[path = "pods/node.rs"]
mod node;
#[path = "pods/requests.rs"]
mod requests;
#[path = "pods/running.rs"]
mod running;
#[path = "pods/tokens.rs"]
mod tokens;
#[path = "pods/usage.rs"]
mod usage;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = runtime::entry::dispatch() {
        return code;
    }
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        for (name, _) in cases::CASES {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .init();
    }
    tests::cluster::enter_network_namespace().expect("this test runs as root");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut failed = Vec::new();
    let chosen: Vec<_> = cases::CASES
        .iter()
        .filter(|(name, _)| filter.as_ref().is_none_or(|filter| name.contains(filter.as_str())))
        .collect();
    println!("\nrunning {} tests", chosen.len());
    for (name, case) in &chosen {
        let outcome = runtime.block_on(case());
        println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
        if let Err(error) = outcome {
            println!("{error:?}");
            failed.push(*name);
        }
    }
    drop(runtime);
    node::remove_cgroups();
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed\n",
        chosen.len() - failed.len(),
        failed.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

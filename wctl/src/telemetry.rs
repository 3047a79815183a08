//! Logs go to standard error; `WHARF_LOG` (or `RUST_LOG`) sets what is logged, like `agent=debug,info`.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// Starts logging; `default` is the level without an environment variable.
pub(crate) fn start(default: &str) -> Result<()> {
    let wanted = std::env::var("WHARF_LOG").or_else(|_| std::env::var("RUST_LOG"));
    let filter = match wanted {
        Ok(directives) => EnvFilter::try_new(&directives)
            .with_context(|| format!("WHARF_LOG={directives} is not a log filter"))?,
        Err(_) => EnvFilter::new(default),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}

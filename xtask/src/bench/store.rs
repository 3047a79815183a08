//! `cargo xtask bench store`: the store's own benchmark on SQLite and on a private Postgres.

use anyhow::Result;

use crate::{packages, step};

pub(super) fn run() -> Result<()> {
    packages::ensure()?;
    // The benchmark starts a private Postgres itself, like the tests do.
    step::run(
        "store benchmark",
        step::cargo().args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "store",
            "--example",
            "store-bench",
        ]),
    )
}

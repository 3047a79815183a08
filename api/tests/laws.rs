//! Laws that hold whatever a client sends, tried on generated input: [`checks`] says them, the other
//! modules make the input. The fuzz targets of `fuzz/` feed the same checks with anything at all.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "laws/bodies.rs"]
mod bodies;
#[path = "laws/checks.rs"]
mod checks;
#[path = "laws/schemas.rs"]
mod schemas;
#[path = "laws/texts.rs"]
mod texts;

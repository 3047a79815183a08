//! The harness: real servers for the tests of every crate.
//!
//! Nothing here imitates a product. A test that needs Postgres gets a private
//! Postgres ([`postgres`]), one that needs a registry gets Debian's
//! docker-registry ([`registry`]) with images made by umoci ([`images`]), one that needs a cluster gets the `wctl`
//! binary in a network namespace of its own ([`cluster`]); the official clients of other
//! languages come from their package registries ([`clients`]). What many clients were told while
//! servers were killed is judged by one checker ([`history`]); what they think the time is can be set
//! ([`clock`]). What is started is
//! stopped by process id, and ends with the test process even when that is
//! killed ([`process`]).
//!
//! Programs that a machine may lack are installed by `cargo xtask test`;
//! [`program::find`] says so when one is missing.

#![allow(clippy::print_stderr, reason = "speaks to whoever reads a test's output")]

pub mod busybox;
pub mod clients;
pub mod clock;
pub mod cluster;
pub mod history;
pub mod http;
pub mod images;
pub mod postgres;
pub mod process;
pub mod program;
pub mod registry;
pub mod thirdparty;
pub mod wait;

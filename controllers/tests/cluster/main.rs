//! The controllers against a real API server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod custom;
mod garbage;
mod namespaces;
mod nodes;
mod replication;
mod roles;
mod services;
mod volumes;

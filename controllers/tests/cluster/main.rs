//! The controllers against a real API server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod api;
mod autoscaling;
mod bootstrap;
mod budgets;
mod certificates;
mod cron_jobs;
mod custom;
mod daemon_sets;
mod deployments;
mod garbage;
mod jobs;
mod kubelet;
mod namespaces;
mod nodes;
mod quotas;
mod ranges;
mod replication;
mod resource_claims;
mod roles;
mod services;
mod stateful_sets;
mod volumes;

//! What users do with a cluster, each test with one of its own.
//!
//! One program, so that the tests run beside each other: most of them wait most of the time. The
//! conversations with clients of others ([clients](clients/main.rs)) and the long runs under faults
//! ([reliability](reliability.rs)) are programs of their own.

mod adoption;
mod bad_input;
mod cli;
mod datastore;
mod debugging;
mod demo;
mod harness;
mod images;
mod jobs;
mod join;
mod kubectl;
mod lifecycle;
mod maintenance;
mod metrics;
mod own_scheduler;
mod release;
mod rollouts;
mod services;
mod sim;
mod streams;
mod unprivileged;
mod volumes;
mod web;
mod worlds;

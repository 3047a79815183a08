//! The API over real TLS against a server on SQLite, as clients use it.

mod access;
mod create;
mod delete;
mod golden;
mod lists;
mod logs;
mod outage;
mod server;
mod services;
mod update;
mod watches;

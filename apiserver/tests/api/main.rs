//! The API over real TLS against a server on SQLite, as clients use it.

mod access;
mod apply;
mod certificates;
mod connections;
mod create;
mod delete;
mod golden;
mod lists;
mod logs;
mod outage;
mod protobuf;
mod server;
mod services;
mod subresources;
mod tokens;
mod update;
mod versions;
mod watches;

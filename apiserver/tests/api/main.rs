//! The API over real TLS against a server on SQLite, as clients use it.

mod access;
mod accounts;
mod apply;
mod certificates;
mod connections;
mod create;
mod custom;
mod delete;
mod flow;
mod golden;
mod golden_watch;
mod lists;
mod logs;
mod openapi;
mod outage;
mod protobuf;
mod rights;
mod server;
mod services;
mod subresources;
mod tokens;
mod update;
mod versions;
mod watches;

//! The node agent: Wharf's kubelet. Turns pods bound to its node into sandboxes and containers of the
//! [`runtime`], and says in their status what became of them.
//!
//! [`run`] tells the story from start to shutdown. A pod's life is in `pod`: `model` is what is wanted and
//! what there is, `plan` decides (pure), `status` says it (pure), `apply` does it, `worker` is the one
//! task that owns it all. Around it: `translate` turns the spec's words into the runtime's, `volume` and
//! `network` provide, `allocation` shares the node out, `host_ports` lead in from the node, `probe` asks,
//! `exec` executes, `event` tells, `node` keeps the Node alive, `server` is the endpoint that the API server
//! fetches logs from and leads `kubectl exec` to, `stats` measures what is used, `routes` lead to the pods of other nodes.
//!
//! The agent holds no state of its own on disk. After a restart it finds everything in the runtime's
//! records and in the API server, and goes on as if nothing had happened: no container is restarted.

mod agent;
mod allocation;
mod config;
mod context;
mod error;
mod event;
mod exec;
mod host_ports;
mod image;
mod merge;
mod network;
mod node;
mod pod;
mod probe;
mod routes;
mod server;
mod sources;
mod stats;
mod tokens;
mod translate;
mod volume;

pub use agent::run;
pub use config::{Capacity, Config, PodNetwork, ServingTls};
pub use error::Error;
pub use node::announce;
pub use routes::remove_all as remove_routes;
pub use volume::unmount_all as unmount_volumes;

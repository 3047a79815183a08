//! The Kubernetes API server: REST over the store, with every read answered from memory.
//!
//! A request's way, and the module for each step:
//!
//! 1. `server` accepts the connection (TLS, HTTP/1.1 and HTTP/2) or is called in process.
//! 2. `authn` knows who asks, from the client certificate (`pki`) or a token; `authz` decides
//!    whether they may.
//! 3. `dispatch` takes the path apart (`request`), waits for the request's turn (`flow`) and picks
//!    a file of `handlers`, one per verb.
//! 4. Reads are answered by `cacher`, the watch cache: shared bytes, snapshots, event windows.
//! 5. Writes go through `writing` and `admission`: decode, default, validate, allocate, then one
//!    compare-and-set in the store, whose echo updates the cache.
//! 6. `expiry` forgets Events that nobody has repeated for an hour; `allocation` gives out Service
//!    addresses and node ports and repairs their claims every three minutes.
//! 7. `crd` serves custom resources: rows of the table that definitions add at run time.
//! 8. `telemetry` counts what was answered, and shows it at `/metrics`.
//! 9. Whatever is refused becomes a Kubernetes `Status` in `response`.
//!
//! [`pki`] makes the certificates that all of this rests on.
//!
//! The crate knows the `api` (what kinds are, pure) and the `store` (what is durable); nothing
//! here decides what a pod means.

mod admission;
mod allocation;
mod authn;
mod authz;
mod bootstrap;
mod cacher;
mod context;
mod crd;
mod dispatch;
mod expiry;
mod flow;
mod handlers;
mod keep;
pub mod pki;
mod request;
mod response;
mod server;
mod telemetry;
mod user;
mod writing;

pub use bootstrap::BootstrapError;
pub use cacher::FeedError;
pub use server::body::Body;
pub use server::limits::Limits;
pub use server::local::LocalService;
pub use server::{BindError, Config, RunError, Server};
pub use user::User;

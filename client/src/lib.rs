//! Following the objects of a kind through the API: one list, then every change, for as long as
//! anybody wants, whatever happens to the connection.
//!
//! Objects come as the bytes that the API server sent ([`Raw`]). Within one process these are the
//! bytes of the server's own cache: keeping them costs a reference, and whoever needs a typed object
//! parses it when it is needed.
//!
//! | file | what |
//! |---|---|
//! | `clock.rs` | the time of day, real or simulated |
//! | `follow.rs` | list, watch, resume, list anew |
//! | `lines.rs` | a body as lines |
//! | `raw.rs` | an object as bytes |

mod clock;
mod follow;
mod lines;
mod raw;

pub use clock::Clock;
pub use follow::{Error, Event, Follower, percent_encoded};
pub use raw::Raw;

//! Why a node agent does not come up.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why [`run`](crate::run) or [`unmount_volumes`](crate::unmount_volumes) gave up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory below the data directory could not be made.
    #[error("cannot create {path}", path = path.display())]
    CreateDir {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The pod network's bridge could not be made.
    #[error("cannot set up bridge {name}")]
    Bridge {
        /// Its name.
        name: String,
        /// The cause.
        source: runtime::NetworkError,
    },
    /// The kubelet endpoint could not be bound.
    #[error("cannot listen on {address} for the kubelet endpoint")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// What the volumes of pods are on could not be unmounted.
    #[error("cannot unmount the volumes of pods")]
    Volumes {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificate, key or CA of the kubelet endpoint cannot be used.
    #[error("cannot use the kubelet endpoint's {part}")]
    Tls {
        /// Which part.
        part: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

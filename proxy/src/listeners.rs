//! The listeners there are, and bringing them to what should be.
//!
//! A listener that cannot be opened (its port is taken on all addresses by another process) is
//! remembered and tried again, so that one such Service disturbs no other.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::accept::{self, Connections};
use crate::pick::Picker;
use crate::plan::{self, Table};
use crate::{Balance, Config};

/// How often to try again what could not be listened on.
pub(crate) const RETRY: Duration = Duration::from_secs(5);

/// Ports below this one are root's unless the host says otherwise (ip_unprivileged_port_start).
const PRIVILEGED: u16 = 1024;

struct Open {
    picker: Arc<Picker>,
    stop: CancellationToken,
}

/// See the module. Owned by the watching task.
pub(crate) struct Listeners {
    balance: Balance,
    connections: Connections,
    /// What is listened on, with its backend.
    table: Table,
    open: HashMap<SocketAddr, Open>,
    failed: HashMap<SocketAddr, String>,
}

impl Listeners {
    pub(crate) fn new(config: &Config, tracker: TaskTracker, cut_off: CancellationToken) -> Self {
        let connect_timeout = config.connect_timeout;
        Self {
            balance: config.balance,
            connections: Connections { tracker, cut_off, connect_timeout },
            table: Table::new(),
            open: HashMap::new(),
            failed: HashMap::new(),
        }
    }

    /// Whether something could not be listened on and wants to be tried again after [`RETRY`].
    pub(crate) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Makes the listeners be as `wanted`.
    pub(crate) fn apply(&mut self, wanted: &Table) {
        let changes = plan::changes(&self.table, wanted);
        for address in changes.close {
            if let Some(open) = self.open.remove(&address) {
                info!(service = open.picker.name(), %address, "service address closed");
                open.stop.cancel();
            }
            self.table.remove(&address);
        }
        for (address, backend) in changes.update {
            debug!(
                service = backend.name,
                endpoints = backend.endpoints.len(),
                "endpoints changed"
            );
            if let Some(open) = self.open.get(&address) {
                open.picker.replace(backend.clone());
            }
            self.table.insert(address, backend);
        }
        self.failed.retain(|address, _| wanted.contains_key(address));
        for (address, backend) in changes.open {
            let listener = match accept::listen(address) {
                Ok(listener) => listener,
                Err(error) => {
                    let error = explained(address, &error);
                    if self.failed.get(&address) != Some(&error) {
                        warn!(service = backend.name, %address, error, "cannot listen, retrying");
                    }
                    self.failed.insert(address, error);
                    continue;
                }
            };
            self.failed.remove(&address);
            info!(service = backend.name, %address, "service address open");
            let stop = CancellationToken::new();
            let picker = Arc::new(Picker::new(backend.clone(), self.balance));
            self.connections.tracker.spawn(accept::accept(
                listener,
                picker.clone(),
                self.connections.clone(),
                stop.clone(),
            ));
            self.open.insert(address, Open { picker, stop });
            self.table.insert(address, backend);
        }
    }

    /// Stops listening. Established connections stay.
    pub(crate) fn close(&mut self) {
        self.apply(&Table::new());
    }
}

/// The kernel's words, with what to do about them where they do not say it.
fn explained(address: SocketAddr, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied && address.port() < PRIVILEGED {
        return format!(
            "{error}: ports below {PRIVILEGED} need root, or a lower sysctl net.ipv4.ip_unprivileged_port_start"
        );
    }
    error.to_string()
}

#[cfg(test)]
mod tests;

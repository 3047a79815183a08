//! Stopping a container, and not taking a broken connection for its end.

use std::time::Duration;

use super::Sandboxes;
use crate::runtime::StopError;
use crate::shim::proto::{Operation, Outcome};

impl Sandboxes {
    /// Stops a container and waits until it has exited.
    ///
    /// A shim that cannot be reached for a moment is asked again, with the same grace: it keeps the
    /// earlier of two deadlines. One that is gone takes its containers along.
    pub(crate) async fn stop(
        &self,
        id: &str,
        name: &str,
        grace: Duration,
    ) -> Result<(), StopError> {
        let sandbox =
            self.get(id).ok_or_else(|| StopError::NoSandbox { sandbox: id.to_owned() })?;
        let grace_millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        match sandbox.ask(Operation::Stop { name: name.to_owned(), grace_millis }).await {
            Some(Outcome::Refused { message }) => Err(StopError::Refused { message }),
            Some(Outcome::Done | Outcome::Container { .. } | Outcome::Attached { .. }) => Ok(()),
            None => {
                sandbox.until_ended(name).await;
                Ok(())
            }
        }
    }
}

//! Whoever writes knows what it has written: nothing is decided on what was before it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{CONTROLLERS, Laws};
use crate::world::Call;

/// Kinds whose status one controller writes, and nobody else but by accident.
const KINDS: [&str; 5] =
    ["cronjobs", "horizontalpodautoscalers", "jobs", "poddisruptionbudgets", "resourcequotas"];
/// After this it may believe that something was missed.
const MEMORY: SignedDuration = SignedDuration::from_secs(50);

/// The last status that was written and answered, by collection, namespace and name.
#[derive(Default)]
pub(super) struct Own(BTreeMap<[String; 3], (u64, Timestamp)>);

fn key(call: &Call) -> [String; 3] {
    [call.resource.plural.to_string(), call.namespace.clone(), call.name.clone()]
}

fn is_about(call: &Call, actor: &str) -> bool {
    actor == CONTROLLERS && call.subresource == "status" && KINDS.contains(&&*call.resource.plural)
}

impl Laws {
    /// A status was written.
    pub(crate) fn wrote(&mut self, call: &Call, actor: &str, revision: u64, at: Timestamp) {
        if is_about(call, actor) {
            self.own.0.insert(key(call), (revision, at));
        }
    }

    /// The answer to a write did not come.
    pub(super) fn unanswered(&mut self, call: &Call) {
        self.own.0.remove(&key(call));
    }

    /// A write was refused, as it was decided on another revision.
    ///
    /// # Errors
    /// On one before its own last write.
    pub(crate) fn refused(
        &self,
        call: &Call,
        actor: &str,
        decided_on: &str,
        at: Timestamp,
    ) -> Result<(), String> {
        if !is_about(call, actor) {
            return Ok(());
        }
        let Some((own, since)) = self.own.0.get(&key(call)) else { return Ok(()) };
        let older = decided_on.parse().is_ok_and(|revision: u64| revision < *own);
        if older && at.duration_since(*since) < MEMORY {
            return Err(format!(
                "own words: {call} is decided on revision {decided_on}, after {own} was its own"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::Value;

    use super::*;
    use crate::world::row;

    #[test]
    fn older_than_its_own_last_answer_is_too_old() {
        let status = |group: &str, plural: &str| {
            let path = ("default", "a", "status");
            Call::of_user(Method::PUT, row(group, plural), path, &Value::Null)
        };
        let (job, set) = (status("batch", "jobs"), status("apps", "replicasets"));
        let at = |second: i64| Timestamp::constant(1_767_225_600 + second, 0);
        let mut laws = Laws::new(false);
        for call in [&job, &set] {
            laws.wrote(call, CONTROLLERS, 10, at(0));
        }
        for (call, actor, decided_on, second, allowed) in [
            (&job, CONTROLLERS, "9", 1, false),
            // Somebody else has written it since.
            (&job, CONTROLLERS, "10", 1, true),
            (&job, "somebody", "9", 1, true),
            (&job, CONTROLLERS, "9", 60, true),
            // Several controllers write it.
            (&set, CONTROLLERS, "9", 1, true),
        ] {
            let judged = laws.refused(call, actor, decided_on, at(second));
            assert_eq!(judged.is_ok(), allowed, "{call} of {actor} on {decided_on}: {judged:?}");
        }
        laws.unknown(&job);
        assert!(laws.refused(&job, CONTROLLERS, "9", at(1)).is_ok(), "it had no answer");
    }
}

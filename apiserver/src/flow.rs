//! How many requests are worked on at a time, and whose turn is next.
//!
//! As in Kubernetes' API Priority and Fairness
//! (<https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>): every request
//! belongs to a priority level ([`schema`]), and every level has its own seats ([`level`]), so that
//! a flood in one level takes nothing from the others. Within a level the requests of a flow (a
//! user, or for controllers a namespace) wait in a line of their own, and the lines are served in
//! turn, so that one client's flood does not hold up the next client of the level. A line is
//! bounded in length and time; what does not fit is told to come back later (429).
//!
//! Simpler than Kubernetes: the schemas and levels are the ones that every cluster has, and no
//! others; a request takes one seat; levels do not lend each other seats. A seat is held until the
//! answer begins: watches and lists that are being sent hold none. Logs and other streams from
//! nodes take no seat at all.

mod level;
mod schema;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderValue};

use level::Level;
pub(crate) use level::Seat;
use schema::{LEVELS, PriorityLevel, Queuing};

use crate::authz::Attributes;
use crate::response::{self, Answer};
use crate::user::User;

/// How long a request waits for its turn at most: a quarter of the time that a request has
/// (kube-apiserver's --request-timeout, 60 s).
const PATIENCE: Duration = Duration::from_secs(15);
/// What one flow may have waiting, as a multiple of a queue's length: Kubernetes deals every flow
/// a hand of so many queues.
const HAND: usize = 6;

/// The seats of all levels.
pub(crate) struct Flow {
    levels: HashMap<&'static str, Arc<Level>>,
}

impl Flow {
    /// Divides `in_flight` seats among the levels, by their shares. Every level gets one at least.
    pub(crate) fn new(in_flight: usize) -> Flow {
        let shares: usize = LEVELS.iter().map(|level| level.shares).sum();
        let seats = |level: &PriorityLevel| (in_flight * level.shares).div_ceil(shares).max(1);
        let levels = LEVELS
            .iter()
            .map(|level| {
                let (per_flow, total) = match level.queuing {
                    None => (0, 0),
                    Some(Queuing { queues, length }) => (HAND * length, queues * length),
                };
                (level.name, Arc::new(Level::new(seats(level), per_flow, total)))
            })
            .collect();
        Flow { levels }
    }

    /// Waits for a seat. `None` is for requests that need none.
    ///
    /// # Errors
    /// The 429 for a request whose turn did not come.
    pub(crate) async fn enter(
        &self,
        user: &User,
        request: &Attributes<'_>,
    ) -> Result<Option<Seat>, Answer> {
        let (schema, flow) = schema::classify(user, request);
        let Some(level) = self.levels.get(schema.level) else { return Ok(None) };
        match tokio::time::timeout(PATIENCE, level.enter((schema.name, flow))).await {
            Ok(Ok(seat)) => Ok(Some(seat)),
            refused => {
                let full = refused.is_ok();
                let (level, schema) = (schema.level, schema.name);
                tracing::debug!(level, schema, user = user.name(), full, "too many requests");
                Err(later())
            }
        }
    }
}

/// What a request is told that cannot be worked on now.
fn later() -> Answer {
    let text = "Too many requests, please try again later.\n";
    let mut answer = response::text(StatusCode::TOO_MANY_REQUESTS, text);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_bounded_and_leaves_other_levels_alone() {
        let flow = Arc::new(Flow::new(1));
        let list = Attributes::Resource {
            verb: "list",
            group: "",
            resource: "pods",
            namespace: "default",
            name: "",
        };
        let user = User::new("alice", Vec::new());
        let seat = flow.enter(&user, &list).await.expect("the first seat");
        assert!(seat.is_some());
        // The line has an end in time, and in length.
        let refused = flow.enter(&user, &list).await.expect_err("nobody gives way");
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "1");
        let waiting = (0..HAND * 50 + 5).map(|_| flow.enter(&user, &list));
        let answers = futures_util::future::join_all(waiting).await;
        assert!(answers.iter().all(Result::is_err));
        for (name, groups) in [
            ("system:kube-scheduler", Vec::new()),
            ("system:node:n1", vec!["system:nodes".to_owned()]),
            ("system:serviceaccount:default:app", vec!["system:serviceaccounts".to_owned()]),
            ("admin", vec!["system:masters".to_owned()]),
        ] {
            assert!(flow.enter(&User::new(name, groups), &list).await.is_ok(), "{name}");
        }
        drop(seat);
        assert!(flow.enter(&User::new("bob", Vec::new()), &list).await.is_ok());
    }

    #[test]
    fn seats_follow_shares() {
        let flow = Flow::new(600);
        let seats = |level: &str| flow.levels[level].seats();
        assert_eq!((seats("workload-low"), seats("catch-all")), (245, 13));
        assert!(Flow::new(1).levels.values().all(|level| level.seats() == 1));
    }
}

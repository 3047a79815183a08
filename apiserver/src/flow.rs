//! How many requests are worked on at a time, and whose turn is next.
//!
//! As in Kubernetes' API Priority and Fairness
//! (<https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>): every request
//! belongs to a priority level, which the first FlowSchema that it matches names ([`schema`],
//! [`table`]), and every level has its own seats ([`level`]), so that a flood in one level takes
//! nothing from the others. Within a level the requests of a flow (a
//! user, or for controllers a namespace) wait in a line of their own, and the lines are served in
//! turn, so that one client's flood does not hold up the next client of the level. A line is
//! bounded in length and time; what does not fit is told to come back later (429).
//!
//! Simpler than Kubernetes: a request takes one seat; levels do not lend each other seats; a flow
//! has a line of its own instead of a hand of queues that it may share. A seat is held until the
//! answer begins: watches and lists that are being sent hold none. Logs and other streams from
//! nodes take no seat at all.

mod level;
mod schema;
mod table;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::{self, HeaderValue};
use parking_lot::Mutex;
use serde_json::Value;

pub(crate) use level::Seat;
pub(crate) use table::Class;
use table::Table;

use crate::authz::Attributes;
use crate::cacher::{Cacher, Objects};
use crate::response::{self, Answer};
use crate::user::User;

/// How long a request waits for its turn at most: a quarter of the time that a request has
/// (kube-apiserver's --request-timeout, 60 s).
const PATIENCE: Duration = Duration::from_secs(15);
/// The group of the two kinds.
const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// The seats of all levels.
pub(crate) struct Flow {
    in_flight: usize,
    /// FlowSchemas and PriorityLevelConfigurations.
    caches: [Arc<Cacher>; 2],
    /// The table, and the objects it was made of.
    last: Mutex<([Objects; 2], Arc<Table>)>,
}

/// A request whose turn it is.
pub(crate) struct Entered {
    /// Held until the answer begins.
    pub(crate) seat: Option<Seat>,
    /// Says in the answer what the request was taken for.
    pub(crate) class: Option<Arc<Class>>,
}

impl Flow {
    /// Divides `in_flight` seats among the levels in the caches of the built-in rows.
    pub(crate) fn new(in_flight: usize, caches: &[Arc<Cacher>]) -> Flow {
        let caches = ["flowschemas", "prioritylevelconfigurations"].map(|plural| {
            let found = caches
                .iter()
                .find(|cache| cache.resource().group == GROUP && cache.resource().plural == plural);
            found.expect("the two kinds are rows of the built-in table").clone()
        });
        Flow { in_flight, caches, last: Mutex::default() }
    }

    /// The table of what there is now.
    fn table(&self) -> Arc<Table> {
        let now = self.caches.each_ref().map(|cache| cache.now().objects);
        let mut last = self.last.lock();
        let (had, table) = &*last;
        if !table.is_empty() && had.iter().zip(&now).all(|(had, has)| had.is(has)) {
            return table.clone();
        }
        let [schemas, levels] = now.each_ref().map(|objects| {
            objects.iter().map(|object| object.encoded().parse()).collect::<Vec<Value>>()
        });
        let table = Arc::new(Table::new(self.in_flight, &schemas, &levels, table));
        *last = (now, table.clone());
        table
    }

    /// Waits for a seat. No seat is for requests that need none.
    ///
    /// # Errors
    /// The 429 for a request whose turn did not come.
    pub(crate) async fn enter(
        &self,
        user: &User,
        request: &Attributes<'_>,
    ) -> Result<Entered, Answer> {
        enter(&self.table(), user, request).await
    }
}

async fn enter(table: &Table, user: &User, request: &Attributes<'_>) -> Result<Entered, Answer> {
    let Some((class, flow)) = table.classify(user, request) else {
        return Ok(Entered { seat: None, class: None });
    };
    let seat = match &class.level {
        None => None,
        Some(level) => match tokio::time::timeout(PATIENCE, level.enter((&class.name, flow))).await
        {
            Ok(Ok(seat)) => Some(seat),
            refused => {
                let (full, schema) = (refused.is_ok(), &class.name);
                tracing::debug!(%schema, user = user.name(), full, "too many requests");
                let mut answer = later();
                class.mark(answer.headers_mut());
                return Err(answer);
            }
        },
    };
    Ok(Entered { seat, class: Some(class.clone()) })
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
    use crate::bootstrap::flow;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_bounded_and_leaves_other_levels_alone() {
        let table = Table::new(1, &flow::schemas(), &flow::levels(), &Table::default());
        let list = Attributes::Resource {
            verb: "list",
            group: "",
            resource: "pods",
            namespace: "default",
            name: "",
        };
        let user = User::new("alice", Vec::new());
        let seat = enter(&table, &user, &list).await.expect("the first seat").seat;
        assert!(seat.is_some());
        // The line has an end in time, and in length: six queues of fifty.
        let refused = enter(&table, &user, &list).await.err().expect("nobody gives way");
        assert_eq!(refused.status(), 429);
        assert_eq!(refused.headers()["retry-after"], "1");
        let waiting = (0..6 * 50 + 5).map(|_| enter(&table, &user, &list));
        let answers = futures_util::future::join_all(waiting).await;
        assert!(answers.iter().all(Result::is_err));
        for (name, groups) in [
            ("system:kube-scheduler", Vec::new()),
            ("system:node:n1", vec!["system:nodes".to_owned()]),
            ("system:serviceaccount:default:app", vec!["system:serviceaccounts".to_owned()]),
            ("admin", vec!["system:masters".to_owned()]),
        ] {
            assert!(enter(&table, &User::new(name, groups), &list).await.is_ok(), "{name}");
        }
        drop(seat);
        assert!(enter(&table, &User::new("bob", Vec::new()), &list).await.is_ok());
    }
}

//! The seats of one level, and the lines of those who wait for one.
//!
//! A seat that becomes free goes to the next line in turn, and within the line to who came first.
//! Whoever gives up waiting leaves the line.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::oneshot;

/// Whose requests form a line: the schema, and what tells its flows apart.
type FlowKey = (Arc<str>, String);

/// How many requests of a level are worked on, and how many may wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// How many are worked on at a time.
    pub(super) seats: usize,
    /// How many requests of one flow may wait: a flow is dealt a hand of queues.
    pub(super) per_flow: usize,
    /// How many requests may wait: all queues full.
    pub(super) total: usize,
}

impl Bounds {
    /// Of the `limitResponse` of a PriorityLevelConfiguration.
    pub(super) fn read(seats: usize, response: &Value) -> Bounds {
        let queuing = &response["queuing"];
        let number = |field: &str| {
            usize::try_from(queuing[field].as_u64().unwrap_or(0)).unwrap_or(usize::MAX)
        };
        let length = number("queueLengthLimit");
        let per_flow = number("handSize").saturating_mul(length);
        Bounds { seats, per_flow, total: number("queues").saturating_mul(length) }
    }
}

/// The seats of one level.
pub(super) struct Level {
    state: Mutex<State>,
}

impl std::fmt::Debug for Level {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Level")
    }
}

#[derive(Default)]
struct State {
    bounds: Bounds,
    taken: usize,
    waiting: usize,
    next_ticket: u64,
    /// Those who wait, by ticket; no line is empty.
    lines: HashMap<FlowKey, VecDeque<(u64, oneshot::Sender<Seat>)>>,
    /// The lines in the order in which they are served.
    turns: VecDeque<FlowKey>,
}

/// There is no seat, and no room to wait for one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Permission to be worked on, given back when dropped.
#[derive(Default)]
pub(crate) struct Seat(Option<Arc<Level>>);

impl std::fmt::Debug for Seat {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Seat")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(level) = self.0.take() {
            level.pass_on();
        }
    }
}

/// A place in a line, left when dropped.
struct Place<'a> {
    level: &'a Level,
    flow: FlowKey,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.level.state.lock().leave(&self.flow, self.ticket);
    }
}

impl Level {
    pub(super) fn new(bounds: Bounds) -> Level {
        Level { state: Mutex::new(State { bounds, ..State::default() }) }
    }

    #[cfg(test)]
    pub(super) fn seats(&self) -> usize {
        self.state.lock().bounds.seats
    }

    /// Changes the bounds. Whoever waits gets the seats that are more; if there are less, those
    /// that are taken are given back first.
    pub(super) fn resize(self: &Arc<Self>, bounds: Bounds) {
        let more = {
            let mut state = self.state.lock();
            state.bounds = bounds;
            let more = bounds.seats.saturating_sub(state.taken).min(state.waiting);
            state.taken += more;
            more
        };
        for _ in 0..more {
            self.pass_on();
        }
    }

    /// Waits for a seat.
    pub(super) async fn enter(self: &Arc<Self>, flow: (&Arc<str>, &str)) -> Result<Seat, Full> {
        let (place, seat) = {
            let mut state = self.state.lock();
            let bounds = state.bounds;
            if state.taken < bounds.seats {
                state.taken += 1;
                return Ok(Seat(Some(self.clone())));
            }
            let flow = (flow.0.clone(), flow.1.to_owned());
            let before = state.lines.get(&flow).map_or(0, VecDeque::len);
            if state.waiting >= bounds.total || before >= bounds.per_flow {
                return Err(Full);
            }
            let (sender, receiver) = oneshot::channel();
            let ticket = state.join(flow.clone(), sender);
            (Place { level: self, flow, ticket }, receiver)
        };
        let seat = seat.await;
        drop(place);
        // A line is only dropped with its level, which this call holds.
        seat.map_err(|_| Full)
    }

    /// Gives a seat that has become free to whoever is next.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut state = self.state.lock();
                let next = if state.taken > state.bounds.seats { None } else { state.next() };
                if next.is_none() {
                    state.taken -= 1;
                }
                next
            };
            let Some(next) = next else { return };
            match next.send(Seat(Some(self.clone()))) {
                Ok(()) => return,
                // Has just given up. The seat is still this call's to pass on.
                Err(mut seat) => seat.0 = None,
            }
        }
    }
}

impl State {
    fn join(&mut self, flow: FlowKey, sender: oneshot::Sender<Seat>) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting += 1;
        let line = self.lines.entry(flow.clone()).or_default();
        if line.is_empty() {
            self.turns.push_back(flow);
        }
        line.push_back((ticket, sender));
        ticket
    }

    fn next(&mut self) -> Option<oneshot::Sender<Seat>> {
        let flow = self.turns.pop_front()?;
        let line = self.lines.get_mut(&flow)?;
        let (_, sender) = line.pop_front()?;
        self.waiting -= 1;
        if line.is_empty() {
            self.lines.remove(&flow);
        } else {
            self.turns.push_back(flow);
        }
        Some(sender)
    }

    fn leave(&mut self, flow: &FlowKey, ticket: u64) {
        let Some(line) = self.lines.get_mut(flow) else { return };
        let Some(at) = line.iter().position(|(held, _)| *held == ticket) else { return };
        line.remove(at);
        self.waiting -= 1;
        if line.is_empty() {
            self.lines.remove(flow);
            self.turns.retain(|turn| turn != flow);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn level(seats: usize, per_flow: usize, total: usize) -> Arc<Level> {
        Arc::new(Level::new(Bounds { seats, per_flow, total }))
    }

    fn schema() -> Arc<str> {
        "s".into()
    }

    #[tokio::test]
    async fn seats_come_and_go() {
        let (level, schema) = (level(1, 10, 10), schema());
        let first = level.enter((&schema, "a")).await.expect("a seat");
        let mut waiting = Box::pin(level.enter((&schema, "b")));
        assert!(waiting.as_mut().now_or_never().is_none());
        level.resize(Bounds { seats: 2, per_flow: 10, total: 10 });
        let second = waiting.now_or_never().expect("a turn").expect("a seat");
        level.resize(Bounds { seats: 1, per_flow: 10, total: 10 });
        let mut waiting = Box::pin(level.enter((&schema, "c")));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(first);
        assert!(waiting.as_mut().now_or_never().is_none(), "one seat too many was taken");
        drop(second);
        let third = waiting.now_or_never().expect("a turn").expect("a seat");
        drop(third);
        assert_eq!(level.state.lock().taken, 0);
    }

    #[tokio::test]
    async fn lines_are_served_in_turn() {
        let schema = schema();
        let level = level(1, 10, 10);
        let first = level.enter((&schema, "a")).await.expect("a seat");
        let mut waiting: Vec<_> = ["a", "a", "a", "b", "c"]
            .into_iter()
            .enumerate()
            .map(|(n, flow)| ((n, flow), Box::pin(level.enter((&schema, flow)))))
            .collect();
        for (_, entering) in &mut waiting {
            assert!(entering.as_mut().now_or_never().is_none());
        }
        // Who gives up is not served, and does not cost the line its turn.
        drop(waiting.remove(1));
        let mut seat = first;
        let mut served = Vec::new();
        while !waiting.is_empty() {
            drop(std::mem::take(&mut seat));
            let ready = waiting
                .iter_mut()
                .position(|(_, entering)| match entering.as_mut().now_or_never() {
                    Some(entered) => {
                        seat = entered.expect("a seat");
                        true
                    }
                    None => false,
                })
                .expect("somebody is next");
            served.push(waiting.remove(ready).0);
        }
        assert_eq!(served, [(0, "a"), (3, "b"), (4, "c"), (2, "a")]);
        drop(seat);
        let state = level.state.lock();
        assert_eq!((state.taken, state.waiting), (0, 0));
        assert!(state.lines.is_empty() && state.turns.is_empty());
    }

    #[tokio::test]
    async fn lines_have_an_end() {
        let schema = schema();
        let level = level(1, 2, 3);
        let seat = level.enter((&schema, "a")).await.expect("a seat");
        let enter = |flow| {
            let (level, schema) = (level.clone(), schema.clone());
            let mut entering = Box::pin(async move { level.enter((&schema, flow)).await });
            (entering.as_mut().now_or_never(), entering)
        };
        let waiting: Vec<_> = ["a", "a"].map(enter).into();
        assert!(matches!(enter("a").0, Some(Err(Full))), "two of a flow may wait");
        let other = enter("b");
        assert!(other.0.is_none());
        assert!(matches!(enter("c").0, Some(Err(Full))), "three may wait");
        drop((waiting, other));
        assert_eq!(level.state.lock().waiting, 0);
        // A seat that is on its way to somebody who leaves goes to the next.
        let (none, leaving) = enter("a");
        assert!(none.is_none());
        drop(seat);
        drop(leaving);
        assert_eq!(level.state.lock().taken, 0);
    }

    #[tokio::test]
    async fn a_level_without_lines_refuses() {
        let schema = schema();
        let level = level(1, 0, 0);
        let seat = level.enter((&schema, "a")).await.expect("a seat");
        assert!(matches!(level.enter((&schema, "b")).await, Err(Full)));
        drop(seat);
        assert!(level.enter((&schema, "b")).await.is_ok());
    }
}

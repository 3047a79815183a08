//! Writers: each has keys of its own and takes part in a contest for a few others.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tests::history::{Outcome, Wish, Write};

use super::Dice;
use super::client::{Answer, Door, MAPS, revision};
use super::load::Shared;

/// Keys of each writer's own, and keys that all of them want.
const OWN: u64 = 6;
const CONTESTED: u64 = 4;

/// How long to wait after a refusal: a server that is away refuses at once.
const PAUSE: Duration = Duration::from_millis(10);

/// What a writer knows of one of its keys.
#[derive(Clone, Copy)]
enum Known {
    Absent,
    At(i64),
}

/// One writer. Each request goes through any of the doors.
pub(crate) struct Writer {
    pub(crate) number: usize,
    pub(crate) doors: Vec<Door>,
    pub(crate) dice: Dice,
    pub(crate) shared: Arc<Shared>,
}

impl Writer {
    /// Writes until told to stop; everything that it tried.
    pub(crate) async fn run(mut self) -> Vec<Write> {
        let mut known: HashMap<String, Known> = HashMap::new();
        let mut writes: Vec<Write> = Vec::new();
        while !self.shared.is_stopping() {
            let contested = self.dice.below(4) == 0;
            let key = if contested {
                format!("contested-{}", self.dice.below(CONTESTED))
            } else {
                format!("own-{}-{}", self.number, self.dice.below(OWN))
            };
            let before = match known.remove(&key) {
                Some(before) if !contested => before,
                _ => match self.look(&key).await {
                    Some(before) => before,
                    None => {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let content = format!("{}.{}", self.number, writes.len());
            let write = self.write(key.clone(), before, content).await;
            match (write.outcome, write.wish) {
                (Outcome::Acknowledged(Some(now)), _) => {
                    known.insert(key, Known::At(now));
                }
                (Outcome::Acknowledged(None), _) => {
                    known.insert(key, Known::Absent);
                }
                // Somebody else was faster, or nobody knows: look again before the next attempt.
                (Outcome::Refused, _) if contested => {}
                (Outcome::Refused | Outcome::Unknown, _) => tokio::time::sleep(PAUSE).await,
            }
            if let Outcome::Acknowledged(now) = write.outcome {
                self.shared.acknowledge(now);
            }
            writes.push(write);
        }
        writes
    }

    fn door(&mut self) -> Door {
        let at = self.dice.below(self.doors.len() as u64);
        self.doors[at as usize].clone()
    }

    /// What there is now, if somebody answers.
    async fn look(&mut self, key: &str) -> Option<Known> {
        let answer = self.door().get(&format!("{MAPS}/{key}")).await.ok()?;
        match answer.code {
            200 => Some(Known::At(revision(&answer.body))),
            404 => Some(Known::Absent),
            429 | 503 | 504 => None,
            code => panic!("reading {key} was answered with {code}: {}", answer.body),
        }
    }

    async fn write(&mut self, key: String, before: Known, content: String) -> Write {
        let door = self.door();
        let path = format!("{MAPS}/{key}");
        let (wish, answer) = match before {
            Known::Absent => {
                (Wish::Create, door.post(MAPS, &config_map(&key, &content, None)).await)
            }
            Known::At(expected) if self.dice.below(5) == 0 => {
                let precondition = json!({"resourceVersion": expected.to_string()});
                let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": precondition});
                let answer = door.ask(Method::DELETE, &path, Some(&options)).await;
                let outcome = outcome(&answer);
                let wish = Wish::Delete { expected };
                return Write { key, wish, content: String::new(), outcome };
            }
            Known::At(expected) => {
                let body = config_map(&key, &content, Some(expected));
                (Wish::Update { expected }, door.ask(Method::PUT, &path, Some(&body)).await)
            }
        };
        Write { key, wish, content, outcome: outcome(&answer) }
    }
}

/// What an answer means for whoever asked for a write.
fn outcome(answer: &Result<Answer, String>) -> Outcome {
    let Ok(answer) = answer else { return Outcome::Unknown };
    match answer.code {
        200 | 201 if answer.body["kind"] == "Status" => Outcome::Acknowledged(None),
        200 | 201 => Outcome::Acknowledged(Some(revision(&answer.body))),
        404 | 409 => Outcome::Refused,
        429 | 503 => {
            answer.expect_later();
            Outcome::Refused
        }
        504 => Outcome::Unknown,
        code => panic!("a write was answered with {code}: {}", answer.body),
    }
}

/// A config map with one entry.
pub(crate) fn config_map(name: &str, content: &str, expected: Option<i64>) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name}, "data": {"a": content},
    });
    if let Some(expected) = expected {
        object["metadata"]["resourceVersion"] = expected.to_string().into();
    }
    object
}

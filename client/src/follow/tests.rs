use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::Response;

use super::*;

/// Answers in turn with what is scripted, and notes the queries.
#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<Vec<(u16, String)>>>,
    queries: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn follower(answers: &[(u16, &str)]) -> (Follower, Arc<Mutex<Vec<String>>>) {
        let answers = answers.iter().rev().map(|(code, text)| (*code, (*text).to_owned()));
        let script =
            Script { answers: Arc::new(Mutex::new(answers.collect())), queries: Arc::default() };
        let queries = script.queries.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            script.queries.lock().unwrap().push(request.uri().to_string());
            let answer = script.answers.lock().unwrap().pop();
            async move {
                let Some((code, text)) = answer else { std::future::pending().await };
                let answer = Response::builder().status(code).body(Body::from(text.into_bytes()));
                Ok::<_, Infallible>(answer.unwrap())
            }
        });
        let client = Client::new(service, "default");
        let config = Config::default().fields("a=b");
        (Follower::new(client, "/api/v1/pods", config), queries)
    }
}

fn line(event: &str, name: &str, revision: u32) -> String {
    let object = object(name, revision);
    format!("{{\"type\":\"{event}\",\"object\":{object}}}\n")
}

fn object(name: &str, revision: u32) -> String {
    format!(r#"{{"metadata":{{"name":"{name}","resourceVersion":"{revision}"}}}}"#)
}

fn end_of_list(revision: u32) -> String {
    format!(
        "{{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{revision}\",\
         \"annotations\":{{\"{INITIAL_END}\":\"true\"}}}}}}}}\n"
    )
}

fn raw(name: &str, revision: u32) -> Raw {
    Raw::new(object(name, revision).into())
}

#[tokio::test(start_paused = true)]
async fn lists_watches_and_resumes_from_the_last_revision() {
    let first = line("ADDED", "a", 3) + &end_of_list(5) + &line("MODIFIED", "a", 6);
    let second = line("DELETED", "a", 8);
    let (mut follower, queries) = Script::follower(&[(200, &first), (200, &second)]);
    assert_eq!(follower.next().await.unwrap(), Event::Listed(vec![raw("a", 3)]));
    assert_eq!(follower.next().await.unwrap(), Event::Applied(raw("a", 6)));
    assert_eq!(follower.next().await.unwrap(), Event::Deleted(raw("a", 8)));
    let queries = queries.lock().unwrap();
    assert!(queries[0].contains("&sendInitialEvents=true&"), "{queries:?}");
    assert!(queries[0].ends_with("&fieldSelector=a%3Db"), "{queries:?}");
    assert!(queries[1].contains("&resourceVersion=6&"), "{queries:?}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_watch_lists_anew() {
    let gone = "{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\"}}\n".to_owned();
    let (mut follower, queries) =
        Script::follower(&[(200, &end_of_list(5)), (200, &gone), (200, &end_of_list(9))]);
    assert_eq!(follower.next().await.unwrap(), Event::Listed(vec![]));
    assert!(matches!(follower.next().await, Err(Error::Expired(_))));
    assert_eq!(follower.next().await.unwrap(), Event::Listed(vec![]));
    assert!(queries.lock().unwrap()[2].contains("sendInitialEvents=true"));
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_and_do_not_lose_the_place() {
    let unknown = r#"{"kind":"Status","code":404,"message":"m","reason":"NotFound"}"#;
    let (mut follower, queries) = Script::follower(&[
        (404, unknown),
        (200, &line("ADDED", "a", 1)),
        (200, &end_of_list(5)),
        (503, "no JSON"),
        (200, &line("MODIFIED", "a", 7)),
    ]);
    let error = follower.next().await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    // A list cut short is none.
    assert!(matches!(follower.next().await, Err(Error::Ended)));
    assert_eq!(follower.next().await.unwrap(), Event::Listed(vec![]));
    let error = follower.next().await.unwrap_err();
    assert_eq!(error.to_string(), "the server refused: no JSON (503)");
    assert_eq!(follower.next().await.unwrap(), Event::Applied(raw("a", 7)));
    assert!(queries.lock().unwrap()[4].contains("resourceVersion=5"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_watch_is_left() {
    let (mut follower, queries) = Script::follower(&[(200, &end_of_list(5))]);
    assert_eq!(follower.next().await.unwrap(), Event::Listed(vec![]));
    // The body has ended; the second request is never answered.
    let waiting = timeout(SILENCE * 2, follower.next()).await;
    assert!(waiting.is_err() && queries.lock().unwrap().len() == 2);
}

#[test]
fn lines_about_objects_are_taken_apart_where_they_stand() {
    for (line, want) in [
        (r#"{"type":"ADDED","object":{"a":1}}"#, Some(("ADDED", r#"{"a":1}"#))),
        (r#"{"type":"MODIFIED","object":{}}"#, Some(("MODIFIED", "{}"))),
        (r#"{"type":"DELETED","object":{"b":"}"}}"#, Some(("DELETED", r#"{"b":"}"}"#))),
        // Others are parsed.
        (r#"{"type":"BOOKMARK","object":{}}"#, None),
        (r#"{"type":"ERROR","object":{}}"#, None),
        (r#"{"object":{},"type":"ADDED"}"#, None),
        (r#"{ "type":"ADDED","object":{}}"#, None),
        (r#"{"type":"ADDED","object":{}"#, Some(("ADDED", "{"))),
        ("", None),
    ] {
        let want = want.map(|(event, object)| (event, object.as_bytes()));
        assert_eq!(split(line.as_bytes()), want, "{line}");
    }
}

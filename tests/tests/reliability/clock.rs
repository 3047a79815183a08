//! The clock is set, forwards and back, while the API server works.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::clock::Clock;

use super::Dice;
use super::client::{Door, MAPS};
use super::journal::Journal;
use super::load::{Load, Mix, judge};
use super::server::ApiServer;
use super::writers::config_map;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// Fewer than elsewhere: nothing here depends on how many there are.
const FEW: Mix = Mix { writers: 8, watchers: 2, readers: 1 };

const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_wrong_when_the_clock_is_set() {
    let name = "the clock is set";
    let mut dice = Dice::of_test(name);
    let clock = Clock::new().unwrap();
    let mut server = ApiServer::start_in(clock.environment()).await;
    let door = server.door();
    let mut journal = Journal::new(server.datastore());
    let token = token(&door).await;
    assert!(is_accepted(&door, &token).await, "a fresh token");
    let lease = lease(&door).await;

    let mut load = Load::start(&[server.door()], &FEW, &mut dice);
    for (round, offset) in [2 * HOUR, -HOUR, 30 * DAY, 0].into_iter().enumerate() {
        clock.set(offset).unwrap();
        load.progress(60).await;
        let object = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": format!("made-in-round-{round}")}});
        let made = door.post(ACCOUNTS, &object).await.unwrap().expect(201);
        let stamp = made["metadata"]["creationTimestamp"].as_str().unwrap().to_owned();
        let moved = seconds_of(&stamp) - now();
        assert!((offset - moved).abs() < HOUR / 2, "{stamp} is not {offset} s from now");
        // It is good from when it was made, for an hour, whatever the clock has said between.
        let good = (0..HOUR).contains(&offset);
        assert_eq!(is_accepted(&door, &token).await, good, "at {offset} s");
    }
    // Who holds a lease goes on holding it, by compare and swap and not by the clock.
    let renewed = door.ask(http::Method::PUT, LEASE, Some(&lease)).await.unwrap().expect(200);
    assert_eq!(renewed["spec"]["holderIdentity"], "somebody");
    let history = load.finish().await;
    server.kill();
    journal.extend().await;
    judge(name, history, journal.log);

    // A server that starts in the past works as well: nothing of its state is compared with the clock.
    clock.set(-2 * HOUR).unwrap();
    server.launch().await;
    server.door().post(MAPS, &config_map("yesterday", "1", None)).await.unwrap().expect(201);
}

/// A token of an account, for an hour.
async fn token(door: &Door) -> String {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a"}});
    door.post(ACCOUNTS, &account).await.unwrap().expect(201);
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": HOUR}});
    let made = door.post(&format!("{ACCOUNTS}/a/token"), &request).await.unwrap().expect(201);
    made["status"]["token"].as_str().unwrap().to_owned()
}

async fn is_accepted(door: &Door, token: &str) -> bool {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": {"token": token}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let answer = door.post(path, &review).await.unwrap().expect(201);
    answer["status"]["authenticated"] == true
}

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/work";

async fn lease(door: &Door) -> Value {
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "work"},
        "spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 15}});
    door.post(LEASES, &lease).await.unwrap().expect(201)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    i64::try_from(since.as_secs()).unwrap()
}

/// Seconds since 1970 of a time as Kubernetes writes it.
fn seconds_of(stamp: &str) -> i64 {
    stamp.parse::<k8s_openapi::jiff::Timestamp>().unwrap().as_second()
}

//! docs/ROLLOUTS.md, step by step: blue-green and canary releases, with clients that must not notice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, helpers included")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use tests::cluster::{Cluster, PATIENCE};
use tests::{http, wait};

use super::web::with_web;

const BLUE_GREEN: &str = include_str!("../../fixtures/rollouts/blue-green.yaml");
const CANARY: &str = include_str!("../../fixtures/rollouts/canary.yaml");

/// Requests from whose answers a share is told. If each went to any pod by chance, a share of a
/// quarter would be as far off as is tolerated here once in a hundred thousand times.
const SAMPLE: usize = 400;

fn cluster(manifest: &str) -> Cluster {
    let cluster = with_web(&["shop/web:v1", "shop/web:v2"]);
    cluster.apply(manifest).unwrap();
    cluster
}

fn address(cluster: &Cluster, service: &str) -> String {
    let service = cluster.get(&["service", service]).unwrap();
    format!("{}:80", service["spec"]["clusterIP"].as_str().unwrap())
}

/// Waits until a Deployment has as many pods as it wants, and they serve.
fn stands(cluster: &Cluster, deployment: &str) {
    cluster.until(&["deployment", deployment], |object| {
        let (wanted, status) = (&object["spec"]["replicas"], &object["status"]);
        let count = |field: &str| status.get(field).and_then(Value::as_u64).unwrap_or(0);
        status["observedGeneration"] == object["metadata"]["generation"]
            && wanted.as_u64() == Some(count("replicas"))
            && wanted.as_u64() == Some(count("availableReplicas"))
    });
}

/// The version that answers.
fn version(address: &str) -> Result<String, String> {
    let answer = http::get(address, "/").map_err(|error| format!("{error:#}"))?;
    let release = answer.body.lines().find_map(|line| line.strip_prefix("env RELEASE="));
    release.map(str::to_owned).filter(|_| answer.status == 200).ok_or(format!("{answer:?}"))
}

/// Waits until a version answers.
fn answers(address: &str, wanted: &str) {
    wait::eventually(&format!("{wanted} answers"), PATIENCE, || match version(address)? {
        found if found == wanted => Ok(()),
        found => Err(found),
    });
}

/// Runs `steps` beside clients, none of whose requests may fail.
fn unnoticed(address: &str, steps: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = || {
            let mut failures = Vec::new();
            while !over.load(Ordering::Relaxed) {
                failures.extend(version(address).err());
            }
            failures
        };
        let clients: Vec<_> = (0..2).map(|_| scope.spawn(load)).collect();
        // The clients end, whatever becomes of the steps.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(steps));
        over.store(true, Ordering::Relaxed);
        let failures: Vec<String> =
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
        assert!(failures.is_empty(), "{failures:#?}");
    });
}

/// The share of requests, in percent, that the new version answers.
fn share(address: &str) -> usize {
    let new = (0..SAMPLE).filter(|_| version(address).unwrap() == "v2").count();
    new * 100 / SAMPLE
}

#[test]
fn blue_green_switches_all_at_once_and_back() {
    let cluster = cluster(BLUE_GREEN);
    for deployment in ["shop-blue", "shop-green"] {
        stands(&cluster, deployment);
    }
    let (shop, next) = (address(&cluster, "shop"), address(&cluster, "shop-next"));
    answers(&shop, "v1");
    answers(&next, "v2");
    assert_eq!(share(&shop), 0, "nobody gets the new version unasked");
    let switch = |track: &str| {
        let patch = format!(r#"{{"spec":{{"selector":{{"track":"{track}"}}}}}}"#);
        cluster.wctl(&["patch", "service", "shop", "-p", &patch]).unwrap();
    };
    unnoticed(&shop, || {
        switch("green");
        answers(&shop, "v2");
        assert_eq!(share(&shop), 100);
        switch("blue");
        answers(&shop, "v1");
        assert_eq!(share(&shop), 0);
    });
}

#[test]
fn a_canary_gets_its_share() {
    let cluster = cluster(CANARY);
    for deployment in ["shop-stable", "shop-canary"] {
        stands(&cluster, deployment);
    }
    let shop = address(&cluster, "shop");
    answers(&shop, "v2");
    let quarter = share(&shop);
    assert!((15..=35).contains(&quarter), "one of four pods answers {quarter} % of the requests");
    unnoticed(&shop, || {
        cluster.wctl(&["scale", "deployment/shop-canary", "--replicas=3"]).unwrap();
        stands(&cluster, "shop-canary");
        wait::eventually("half of the answers are new", PATIENCE, || match share(&shop) {
            40..=60 => Ok(()),
            other => Err(format!("{other} %")),
        });
    });
    cluster.wctl(&["scale", "deployment/shop-stable", "--replicas=0"]).unwrap();
    wait::eventually("all answers are new", PATIENCE, || match version(&shop)?.as_str() {
        "v2" if share(&shop) == 100 => Ok(()),
        other => Err(other.to_owned()),
    });
}

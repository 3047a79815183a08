//! Service addresses and node ports: given once, given back.

use serde_json::{Value, json};

use crate::server::{PATIENCE, TestServer};

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

fn ports() -> Value {
    json!([{"port": 80}])
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_given_chosen_refused_and_given_back() {
    let server = TestServer::start().await;
    let kubernetes = server.get(&format!("{SERVICES}/kubernetes")).await.expect(200);
    assert_eq!(kubernetes["spec"]["clusterIP"], "10.96.0.1");
    let made = server.post(SERVICES, &service("a", json!({"ports": ports()}))).await.expect(201);
    let address = made["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(made["spec"]["clusterIPs"], json!([address]));
    let taken = service("b", json!({"ports": ports(), "clusterIP": address}));
    let status = server.post(SERVICES, &taken).await.expect(422);
    assert_eq!(status["details"]["causes"][0]["field"], "spec.clusterIPs");
    assert!(
        status["message"].as_str().unwrap().ends_with("provided IP is already allocated"),
        "{status}"
    );
    let outside = service("b", json!({"ports": ports(), "clusterIP": "10.97.0.1"}));
    let status = server.post(SERVICES, &outside).await.expect(422);
    assert!(status["message"].as_str().unwrap().contains("not in the valid range"), "{status}");
    let headless = service("h", json!({"ports": ports(), "clusterIP": "None"}));
    let made = server.post(SERVICES, &headless).await.expect(201);
    assert_eq!(made["spec"]["clusterIPs"], json!(["None"]));
    server.delete(&format!("{SERVICES}/a"), &json!({})).await.expect(200);
    let made = server.post(SERVICES, &taken).await.expect(201);
    assert_eq!(made["spec"]["clusterIP"], address.as_str());
    // A dry run takes nothing.
    let free = service("dry", json!({"ports": ports(), "clusterIP": "10.96.7.7"}));
    server.post(&format!("{SERVICES}?dryRun=All"), &free).await.expect(201);
    server.post(SERVICES, &free).await.expect(201);
    // Neither does a Service that is refused afterwards.
    let twice = service("dry", json!({"ports": ports(), "clusterIP": "10.96.8.8"}));
    server.post(SERVICES, &twice).await.expect(409);
    server
        .post(SERVICES, &service("late", json!({"ports": ports(), "clusterIP": "10.96.8.8"})))
        .await
        .expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_object_made_by_hand_keeps_its_address() {
    let server = TestServer::start_with(|config| {
        config.service_cidr = "10.96.0.0/29".parse().expect("a range");
    })
    .await;
    for last in 2..=5 {
        let address = json!({"metadata": {"name": format!("10.96.0.{last}")}, "spec": {"parentRef":
            {"group": "example.com", "resource": "balancers", "name": "b"}}});
        server.post("/apis/networking.k8s.io/v1/ipaddresses", &address).await.expect(201);
    }
    let taken = service("a", json!({"ports": ports(), "clusterIP": "10.96.0.3"}));
    let status = server.post(SERVICES, &taken).await.expect(422);
    let message = status["message"].as_str().unwrap();
    assert!(message.ends_with("provided IP is already allocated"), "{status}");
    let made = server.post(SERVICES, &service("a", json!({"ports": ports()}))).await.expect(201);
    assert_eq!(made["spec"]["clusterIP"], "10.96.0.6");
    server.delete("/apis/networking.k8s.io/v1/ipaddresses/10.96.0.3", &json!({})).await.expect(200);
    let status = server.post(SERVICES, &service("b", json!({"ports": ports()}))).await.expect(201);
    assert_eq!(status["spec"]["clusterIP"], "10.96.0.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_the_address_and_may_take_node_ports() {
    let server = TestServer::start().await;
    let made = server.post(SERVICES, &service("a", json!({"ports": ports()}))).await.expect(201);
    let path = format!("{SERVICES}/a");
    let changed = service("a", json!({"ports": ports(), "selector": {"x": "y"}}));
    let updated = server.put(&path, &changed).await.expect(200);
    assert_eq!(updated["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    let updated = server.merge(&path, &json!({"spec": {"type": "NodePort"}})).await.expect(200);
    let port = updated["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
    assert!((30000..=32767).contains(&port), "{port}");
    let taken = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let status = server.post(SERVICES, &service("b", taken.clone())).await.expect(422);
    assert_eq!(status["details"]["causes"][0]["field"], "spec.ports[0].nodePort");
    let outside = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]});
    server.post(SERVICES, &service("b", outside)).await.expect(422);
    // Back to ClusterIP: the port is free again.
    let back = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": null}]}});
    server
        .client
        .send(
            http::Method::PATCH,
            &path,
            "application/strategic-merge-patch+json",
            back.to_string(),
        )
        .await
        .expect(200);
    server.post(SERVICES, &service("b", taken)).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_an_update_gives_nothing_back() {
    let server = TestServer::start().await;
    let spec = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30123}],
        "clusterIP": "10.96.5.5"});
    server.post(SERVICES, &service("a", spec)).await.expect(201);
    let external = json!({"spec": {"type": "ExternalName", "externalName": "example.com",
        "clusterIP": null, "clusterIPs": null, "ports": null}});
    server.merge(&format!("{SERVICES}/a?dryRun=All"), &external).await.expect(200);
    let kept = server.get(&format!("{SERVICES}/a")).await.expect(200);
    assert_eq!(kept["spec"]["clusterIP"], "10.96.5.5");
    let port = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30123}]});
    server.post(SERVICES, &service("b", port)).await.expect(422);
    let address = json!({"ports": ports(), "clusterIP": "10.96.5.5"});
    server.post(SERVICES, &service("b", address)).await.expect(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_stay_taken_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(dir.path()).await;
    let spec = json!({"ports": ports(), "clusterIP": "10.96.9.9"});
    server.post(SERVICES, &service("a", spec.clone())).await.expect(201);
    server.stop().await.expect("a clean stop");
    let server = TestServer::start_in(dir.path()).await;
    server.post(SERVICES, &service("b", spec)).await.expect(422);
    server.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_services_get_different_addresses() {
    let server = TestServer::start().await;
    let posts = (0..20).map(|n| {
        let body = service(&format!("s{n}"), json!({"ports": ports()})).to_string();
        server.client.clone().send_owned(
            http::Method::POST,
            SERVICES.to_owned(),
            "application/json",
            body,
        )
    });
    let mut addresses = std::collections::BTreeSet::new();
    for answer in futures_util::future::join_all(posts).await {
        let made = answer.expect(201);
        addresses.insert(made["spec"]["clusterIP"].as_str().unwrap().to_owned());
    }
    assert_eq!(addresses.len(), 20);
}

/// What a server that died between claiming and creating has left in the store.
async fn left_behind(store: &store::Store, key: &str, owner: &str, uid: &str, time: i64) {
    let claim = json!({"owner": owner, "uid": uid, "time": time});
    store.create(key, claim.to_string().into()).await.expect("a claim");
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_secs()).expect("a small number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_the_first_start_does_not_stop_the_second() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", dir.path().join("state.db").display());
    let store = store::Store::open(&url, store::Options::default()).await.unwrap();
    left_behind(&store, "ranges/clusterips/10.96.0.1", "default/kubernetes", "dead", now()).await;
    store.close().await;
    let server = TestServer::start_in(dir.path()).await;
    let kubernetes = server.get(&format!("{SERVICES}/kubernetes")).await.expect(200);
    assert_eq!(kubernetes["spec"]["clusterIP"], "10.96.0.1");
    let taken = service("a", json!({"ports": ports(), "clusterIP": "10.96.0.1"}));
    server.post(SERVICES, &taken).await.expect(422);
    server.stop().await.expect("a clean stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_left_behind_goes_to_the_same_service_only() {
    let server = TestServer::start().await;
    let (address, port) = ("ranges/clusterips/10.96.4.4", "ranges/nodeports/30044");
    for key in [address, port] {
        left_behind(&server.store, key, "default/web", "dead", now()).await;
    }
    let spec = json!({"type": "NodePort", "clusterIP": "10.96.4.4",
        "ports": [{"port": 80, "nodePort": 30044}]});
    server.post(SERVICES, &service("other", spec.clone())).await.expect(422);
    // A dry run says what would happen, and leaves the claim.
    let dry = format!("{SERVICES}?dryRun=All");
    server.post(&dry, &service("web", spec.clone())).await.expect(201);
    let made = server.post(SERVICES, &service("web", spec.clone())).await.expect(201);
    for key in [address, port] {
        let claim = server.store.get(key).await.unwrap().expect("claimed");
        let claim: Value = serde_json::from_slice(&claim.value).unwrap();
        assert_eq!(claim["uid"], made["metadata"]["uid"], "{key}");
    }
    // The Service lives: what it has is not taken from it by one that would have its name.
    server.post(SERVICES, &service("web", spec.clone())).await.expect(422);
    server.delete(&format!("{SERVICES}/web"), &json!({})).await.expect(200);
    server.post(SERVICES, &service("other", spec)).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_repaired_while_the_server_runs() {
    let server = TestServer::start_with(|config| {
        config.repair_every = std::time::Duration::from_millis(50);
    })
    .await;
    let spec = json!({"ports": ports(), "clusterIP": "10.96.3.3"});
    let made = server.post(SERVICES, &service("a", spec)).await.expect(201);
    let (lost, kept) = ("ranges/clusterips/10.96.3.3", "ranges/clusterips/10.96.3.4");
    let claim = server.store.get(lost).await.unwrap().expect("claimed");
    server.store.delete(lost, claim.mod_revision).await.unwrap();
    left_behind(&server.store, kept, "default/b", "young", now()).await;
    left_behind(&server.store, "ranges/nodeports/30055", "default/b", "old", 0).await;
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let again = server.store.get(lost).await.unwrap();
        let freed = server.store.get("ranges/nodeports/30055").await.unwrap().is_none();
        if let Some(again) = &again
            && freed
        {
            let again: Value = serde_json::from_slice(&again.value).unwrap();
            assert_eq!(again["uid"], made["metadata"]["uid"]);
            break;
        }
        assert!(tokio::time::Instant::now() < end, "claimed: {again:?}, freed: {freed}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(server.store.get(kept).await.unwrap().is_some(), "somebody's request in progress");
}

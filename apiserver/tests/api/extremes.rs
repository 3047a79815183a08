//! What is unusually deep, long, old or broken, and comes through or is refused as a real API server
//! would have it.

use http::Method;
use serde_json::{Value, json};

use crate::custom;
use crate::server::{Answer, MAPS, PODS, TestServer, config_map, pod, read};

const FOOS: &str = "/apis/gold.io/v1/namespaces/default/foos";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const JSON: &str = "application/json";

/// A value at the end of so many maps in maps.
fn nested(depth: usize) -> String {
    "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)
}

#[track_caller]
fn message(answer: Answer, code: u16) -> String {
    answer.expect(code)["message"].as_str().expect("a message").to_owned()
}

/// The definition of Foo, that keeps what it does not know.
fn keeps_all() -> Value {
    let mut definition = custom::definition();
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema;
    let version = &mut definition["spec"]["versions"][0];
    version.as_object_mut().map(|version| version.remove("selectableFields"));
    definition
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_is_refused_where_it_would_be_kept() {
    let server = TestServer::start().await;
    let map =
        |depth: usize| format!("{{\"metadata\":{{\"name\":\"m\"}},\"odd\":{}}}", nested(depth));
    for depth in [1, 5_000, 9_998] {
        let path = format!("{MAPS}?dryRun=All");
        let answer = server.client.send(Method::POST, &path, JSON, map(depth)).await;
        assert_eq!(answer.headers["warning"], "299 - \"unknown field \\\"odd\\\"\"");
        answer.expect(201);
    }
    let refused = server.client.send(Method::POST, MAPS, JSON, map(10_001)).await;
    assert!(message(refused, 400).contains("exceeded max depth"));

    custom::define(&server, &keeps_all()).await;
    let foo = |name: &str, depth: usize| {
        let head = "\"apiVersion\":\"gold.io/v1\",\"kind\":\"Foo\"";
        format!("{{{head},\"metadata\":{{\"name\":\"{name}\"}},\"spec\":{}}}", nested(depth))
    };
    server.client.send(Method::POST, FOOS, JSON, foo("deep", 99)).await.expect(201);
    for depth in [100, 127, 9_000, 10_001] {
        let refused = server.client.send(Method::POST, FOOS, JSON, foo("deeper", depth)).await;
        assert!(message(refused, 400).contains("exceeded max depth"), "{depth}");
    }
    // Whoever reads it gets all of it.
    let deep: Value = serde_json::from_str(&nested(99)).expect("JSON");
    let one = format!("{FOOS}/deep");
    assert_eq!(server.get(&one).await.expect(200)["spec"], deep);
    assert_eq!(server.get(FOOS).await.expect(200)["items"][0]["spec"], deep);
    let watch = format!("{FOOS}?watch=true&timeoutSeconds=1");
    let event = server.get(&watch).await;
    let event: Value =
        serde_json::from_str(event.text().lines().next().expect("an event")).unwrap();
    assert_eq!(event["object"]["spec"], deep);
    // Nor do patches make it deeper.
    let own = "a/".repeat(98);
    for patch in [
        json!([{"op": "copy", "from": "/spec", "path": format!("/spec/{own}a")}]),
        json!([{"op": "add", "path": format!("/spec/{own}a"), "value": {}}]),
    ] {
        let kind = "application/json-patch+json";
        server.client.send(Method::PATCH, &one, kind, patch.to_string()).await.expect(422);
    }
    let merged = format!("{{\"spec\":{}}}", nested(5_000));
    let kind = "application/merge-patch+json";
    let refused = server.client.send(Method::PATCH, &one, kind, merged).await;
    assert!(message(refused, 400).contains("exceeded max depth"));
    let apply = format!("{FOOS}/applied?fieldManager=f");
    let kind = "application/apply-patch+yaml";
    let refused = server.client.send(Method::PATCH, &apply, kind, foo("applied", 110)).await;
    assert!(message(refused, 400).contains("exceeded max depth"));
    assert_eq!(server.get(&one).await.expect(200)["spec"], deep);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_character_becomes_the_one_for_that() {
    let server = TestServer::start().await;
    let body =
        b"{\"metadata\":{\"name\":\"m\"},\"data\":{\"a\":\"x\xff\xc3y\",\"b\":\"\\ud800z\"}}";
    let made = server.client.send(Method::POST, MAPS, JSON, &body[..]).await.expect(201);
    assert_eq!(made["data"], json!({"a": "x\u{fffd}\u{fffd}y", "b": "\u{fffd}z"}));
    assert_eq!(server.get(&format!("{MAPS}/m")).await.expect(200)["data"], made["data"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_may_be_long() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let selector: Vec<_> = (0..9_000).map(|n| format!("v{n}")).collect();
    let path = format!("{MAPS}?labelSelector=a+notin+({})", selector.join(","));
    assert!((50_000..65_000).contains(&path.len()), "{}", path.len());
    for client in [server.client.clone(), server.client_of_http1()] {
        let list = client.send(Method::GET, &path, "", "").await.expect(200);
        assert!(list["items"].as_array().expect("items").iter().any(|map| map["data"]["a"] == "1"));
        // Heads of several lines may be even longer.
        let long = "x".repeat(60_000);
        let names: Vec<_> = (0..8).map(|n| format!("x-long-{n}")).collect();
        let headers: Vec<_> = names.iter().map(|name| (name.as_str(), long.as_str())).collect();
        let one = format!("{MAPS}/m");
        read(client.open(Method::GET, &one, &headers, "").await).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_get_the_version_they_ask_for() {
    let server = TestServer::start().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let one = format!("{PODS}/p");
    let accept =
        |form: &str, version: &str| format!("application/json;as={form};v={version};g=meta.k8s.io");
    for version in ["v1", "v1beta1"] {
        let want = format!("meta.k8s.io/{version}");
        for path in [PODS, &one] {
            let table = server.client.get_as(path, &accept("Table", version)).await.expect(200);
            let row = &table["rows"][0]["object"];
            let got = (&table["kind"], &table["apiVersion"], &row["kind"], &row["apiVersion"]);
            let want =
                (&json!("Table"), &json!(want), &json!("PartialObjectMetadata"), &json!(want));
            assert_eq!(got, want, "{path}");
        }
        let part = accept("PartialObjectMetadata", version);
        let shown = server.client.get_as(&one, &part).await.expect(200);
        assert_eq!((&shown["apiVersion"], &shown["metadata"]["name"]), (&json!(want), &json!("p")));
        let parts = accept("PartialObjectMetadataList", version);
        let shown = server.client.get_as(PODS, &parts).await.expect(200);
        assert_eq!(
            (&shown["kind"], &shown["apiVersion"], &shown["items"][0]["apiVersion"]),
            (&json!("PartialObjectMetadataList"), &json!(want), &json!(want))
        );
        let watch = format!("{PODS}?watch=true&timeoutSeconds=1");
        for (form, kind) in [("Table", "Table"), ("PartialObjectMetadata", "PartialObjectMetadata")]
        {
            let events = server.client.get_as(&watch, &accept(form, version)).await;
            let first = events.text().lines().next().expect("an event").to_owned();
            let event: Value = serde_json::from_str(&first).expect("JSON");
            assert_eq!(
                (&event["object"]["kind"], &event["object"]["apiVersion"]),
                (&json!(kind), &json!(want))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_asked_for_by_deleting() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let one = format!("{MAPS}/m");
    let when = "2030-01-01T00:00:00Z";
    for (field, value, shown) in [
        ("deletionTimestamp", json!(when), format!("\"{when}\"")),
        ("deletionGracePeriodSeconds", json!(5), "5".to_owned()),
    ] {
        let patch = json!({"metadata": {field: value}});
        assert_eq!(
            message(server.merge(&one, &patch).await, 422),
            format!(
                "ConfigMap \"m\" is invalid: metadata.{field}: Invalid value: {shown}: field is \
                 immutable"
            )
        );
    }
    // Once it is asked for, nobody changes when.
    let keep = json!({"metadata": {"finalizers": ["example.com/keep"]}});
    server.merge(&one, &keep).await.expect(200);
    server.delete(&one, &json!({})).await.expect(200);
    let deleted = server.get(&one).await.expect(200)["metadata"].take();
    let patch = json!({"metadata": {"deletionTimestamp": when, "labels": {"a": "b"}}});
    let patched = server.merge(&one, &patch).await.expect(200);
    assert_eq!(patched["metadata"]["deletionTimestamp"], deleted["deletionTimestamp"]);
    let made = json!({"metadata": {"name": "n", "deletionTimestamp": when}});
    let made = server.post(MAPS, &made).await.expect(201);
    assert!(made["metadata"].get("deletionTimestamp").is_none(), "a new object has none");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_for_what_means_nothing() {
    let server = TestServer::start().await;
    server.post(MAPS, &config_map("m", "1")).await.expect(201);
    let one = format!("{MAPS}/m");
    let kind = "application/merge-patch+json";
    let patched = server.client.send(Method::PATCH, &one, kind, "null").await;
    assert_eq!(message(patched, 400), "Invalid JSON Patch");
    let headers = [("impersonate-group", "g")];
    let answer = read(server.client.open(Method::GET, &one, &headers, "").await).await;
    assert_eq!(
        message(answer, 400),
        "requested &user.DefaultInfo{Name:\"\", UID:\"\", Groups:[]string{\"g\"}, \
         Extra:map[string][]string(nil)} without impersonating a user name"
    );
    for signer in ["example.com/signer", "kubernetes.io/kube-apiserver-client"] {
        let request = json!({"metadata": {"name": "r"},
            "spec": {"request": "anVuaw==", "signerName": signer, "usages": ["client auth"]}});
        let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
        let refused = message(server.post(path, &request).await, 422);
        let want =
            "spec.request: Invalid value: \"anVuaw==\": PEM block type must be CERTIFICATE REQUEST";
        assert!(refused.contains(want), "{signer}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_resources_have_heads() {
    let server = TestServer::start().await;
    custom::define(&server, &custom::definition()).await;
    let foo = json!({"apiVersion": "gold.io/v1", "kind": "Foo", "metadata": {"name": "a"},
        "spec": {}});
    server.post(FOOS, &foo).await.expect(201);
    for client in [server.client.clone(), server.client_of_http1()] {
        for (path, code) in [
            (FOOS.to_owned(), 200),
            (format!("{FOOS}/a"), 200),
            (format!("{FOOS}/a/status"), 200),
            (format!("{FOOS}/a/scale"), 200),
            (format!("{FOOS}/none"), 404),
        ] {
            let (head, whole) = (
                client.send(Method::HEAD, &path, "", "").await,
                client.send(Method::GET, &path, "", "").await,
            );
            assert_eq!((head.code, whole.code, head.bytes.len()), (code, code, 0), "{path}");
            let length = head.headers["content-length"].to_str().unwrap().parse::<usize>().unwrap();
            assert_eq!(length, whole.bytes.len(), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scale_that_was_never_said_can_be_patched() {
    let server = TestServer::start().await;
    custom::define(&server, &keeps_all()).await;
    let foo = json!({"apiVersion": "gold.io/v1", "kind": "Foo", "metadata": {"name": "a"}});
    server.post(FOOS, &foo).await.expect(201);
    let scale = format!("{FOOS}/a/scale");
    let missing = message(server.get(&scale).await, 500);
    assert!(missing.ends_with("the spec replicas field \".spec.n\" does not exist"), "{missing}");
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let empty = message(server.merge(&scale, &labels).await, 400);
    assert_eq!(empty, "the spec replicas field \".spec.n\" cannot be empty");
    assert!(server.get(&format!("{FOOS}/a")).await.expect(200).get("spec").is_none());
    let two = json!({"spec": {"replicas": 2}});
    assert_eq!(server.merge(&scale, &two).await.expect(200)["spec"], json!({"replicas": 2}));
    assert_eq!(server.get(&format!("{FOOS}/a")).await.expect(200)["spec"], json!({"n": 2}));
}

#[tokio::test(flavor = "multi_thread")]
async fn services_get_what_the_cluster_has() {
    let server = TestServer::start().await;
    let service = |name: &str, spec: Value| {
        let mut object = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
        for (field, value) in spec.as_object().expect("a map") {
            object["spec"][field] = value.clone();
        }
        object
    };
    let v6 = service("v6", json!({"ipFamilies": ["IPv6"]}));
    assert_eq!(
        message(server.post(SERVICES, &v6).await, 422),
        "Service \"v6\" is invalid: spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on \
         this cluster"
    );
    // A load balancer that asks the nodes does so at a port that nobody else has.
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"});
    let made = server.post(SERVICES, &service("a", local.clone())).await.expect(201);
    let port = made["spec"]["healthCheckNodePort"].as_i64().expect("a port");
    assert!((30_000..=32_767).contains(&port) && made["spec"]["ports"][0]["nodePort"] != port);
    let mut same = local.clone();
    same["healthCheckNodePort"] = port.into();
    assert_eq!(
        message(server.post(SERVICES, &service("b", same.clone())).await, 500),
        format!(
            "failed to allocate requested HealthCheck NodePort {port}: provided port is already \
             allocated"
        )
    );
    let one = format!("{SERVICES}/a");
    let cluster = json!({"spec": {"externalTrafficPolicy": "Cluster"}});
    let patched = server.merge(&one, &cluster).await.expect(200);
    assert!(patched["spec"].get("healthCheckNodePort").is_none());
    server.post(SERVICES, &service("b", same)).await.expect(201);
    let warned = service("w", json!({"externalIPs": ["192.0.2.1"]}));
    let answer = server.post(SERVICES, &warned).await;
    assert_eq!(
        answer.headers["warning"],
        "299 - \"spec.externalIPs is deprecated and may no longer be implemented in some clusters\""
    );
    answer.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_are_not_on_the_loopback_interface() {
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let slice = |ip: &str| json!({"metadata": {"name": "a"}, "addressType": "IPv4", "endpoints": [{"addresses": [ip]}]});
    let endpoints = "/api/v1/namespaces/default/endpoints";
    let subset =
        json!({"metadata": {"name": "a"}, "subsets": [{"addresses": [{"ip": "127.0.0.1"}]}]});
    let server = TestServer::start().await;
    let words =
        "Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)";
    assert_eq!(
        message(server.post(slices, &slice("127.0.0.1")).await, 422),
        format!(
            "EndpointSlice.discovery.k8s.io \"a\" is invalid: endpoints[0].addresses[0]: {words}"
        )
    );
    assert_eq!(
        message(server.post(endpoints, &subset).await, 422),
        format!("Endpoints \"a\" is invalid: subsets[0].addresses[0].ip: {words}")
    );
    server.post(slices, &slice("10.0.0.1")).await.expect(201);
    server.put(&format!("{slices}/a"), &slice("127.0.0.1")).await.expect(422);
    // Where pods have no other addresses, these are theirs.
    let alone = TestServer::start_with(|config| {
        config.service_cidr = ipnet::Ipv4Net::new_assert([127, 128, 0, 0].into(), 16);
    })
    .await;
    alone.post(slices, &slice("127.64.0.2")).await.expect(201);
    alone.post(endpoints, &subset).await.expect(201);
}

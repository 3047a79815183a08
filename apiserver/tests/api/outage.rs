//! The store is away: memory serves the reads, writes say so.

use crate::server::{MAPS, PATIENCE, TestServer, config_map};

#[tokio::test(flavor = "multi_thread")]
async fn reads_go_on_and_writes_are_refused_without_the_store() {
    let server = TestServer::start().await;
    let made = server.post(MAPS, &config_map("m", "1")).await.expect(201);
    server.get(MAPS).await.expect(200);
    server.store.close().await;
    assert_eq!(server.get(&format!("{MAPS}/m")).await.expect(200), made);
    let list = server.get(MAPS).await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let refused = server.post(MAPS, &config_map("n", "1")).await;
    assert_eq!(refused.headers.get("retry-after").map(|value| value.as_bytes()), Some(&b"1"[..]));
    let status = refused.expect(503);
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    assert_eq!(status["reason"], "ServiceUnavailable");
    assert!(status["message"].as_str().unwrap().contains("nothing was written"), "{status}");
    let ready = server.get("/readyz").await;
    assert_eq!(ready.code, 500);
    assert!(ready.text().contains("[-]etcd failed: reason withheld\n"), "{}", ready.text());
    assert!(ready.text().ends_with("readyz check failed\n"), "{}", ready.text());
    let why = server.get("/readyz/etcd").await;
    assert_eq!((why.code, why.text()), (500, "internal server error: the store is closed\n"));
    // Nothing will feed the cache any more.
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        let ready = server.get("/readyz/watch-cache").await;
        if ready.code == 500 {
            assert_eq!(ready.text(), "internal server error: the feed has ended\n");
            break;
        }
        assert!(tokio::time::Instant::now() < end, "{}", ready.text());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.get("/livez").await.expect(200);
    assert_eq!(server.get("/readyz?exclude=etcd&exclude=etcd-readiness").await.code, 500);
    let why = server.get("/livez/etcd").await;
    assert_eq!((why.code, why.text()), (500, "internal server error: the store is closed\n"));
    let rest = "/readyz?exclude=etcd&exclude=etcd-readiness&exclude=watch-cache&verbose";
    let rest = server.get(rest).await;
    assert_eq!(
        (rest.code, rest.text()),
        (
            200,
            "[+]ping ok\n[+]etcd excluded: ok\n[+]etcd-readiness excluded: ok\n\
             [+]watch-cache excluded: ok\n[+]shutdown ok\nreadyz check passed\n"
        )
    );
}

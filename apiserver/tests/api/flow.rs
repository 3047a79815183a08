//! One client's flood, and what others notice of it.

use apiserver::Limits;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::connections::tls_as;
use crate::server::{MAPS, PATIENCE, PODS, TestServer};

/// How many requests of one user may wait for a seat of the level `global-default`.
const WAITING: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_told_to_come_back_and_starves_nobody() {
    // One seat per level.
    let limits = Limits { in_flight: 1, ..Limits::default() };
    let server = TestServer::start_with(|config| config.limits = limits).await;
    let identity = |user| server.authority.client(user, None).expect("an identity");
    let (alice, scheduler) = (identity("alice"), identity("system:kube-scheduler"));

    // A request that is being worked on until the rest of its body comes: the server asks for it.
    let mut slow = tls_as(&server, b"http/1.1", Some(&alice)).await;
    let head = "POST /apis/authentication.k8s.io/v1/selfsubjectreviews HTTP/1.1\r\nhost: x\r\n\
                content-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n";
    slow.write_all(head.as_bytes()).await.expect("a head");
    let mut said = [0; 12];
    let answer = tokio::time::timeout(PATIENCE, slow.read_exact(&mut said)).await;
    answer.expect("an answer in time").expect("an open connection");
    assert_eq!(&said, b"HTTP/1.1 100");

    let client = server.client_of(Some(&alice));
    let mut flood: FuturesUnordered<_> = (0..WAITING + 20)
        .map(|_| {
            let client = client.clone();
            client.send_owned(Method::GET, "/version".to_owned(), "", String::new())
        })
        .collect();
    for _ in 0..20 {
        let refused = flood.next().await.expect("an answer");
        assert_eq!(refused.code, 429);
        assert_eq!(refused.text(), "Too many requests, please try again later.\n");
        assert_eq!(refused.headers["retry-after"], "1");
    }
    server.get(MAPS).await.expect(200);
    let scheduler = server.client_of(Some(&scheduler));
    scheduler.send(Method::GET, PODS, "", Bytes::new()).await.expect(200);
    // A watch holds no seat.
    let watch = format!("{PODS}?watch=1");
    let watching = scheduler.open(Method::GET, &watch, &[], "").await;
    scheduler.send(Method::GET, PODS, "", Bytes::new()).await.expect(200);
    drop(watching);

    slow.write_all(b"{}").await.expect("the rest");
    let mut served = 0;
    while let Some(answer) = flood.next().await {
        answer.expect(200);
        served += 1;
    }
    assert_eq!(served, WAITING);
}

//! Probes against real servers on loopback.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::*;

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const TIMEOUT: Duration = Duration::from_secs(5);

fn container(ports: Value) -> Container {
    serde_json::from_value(json!({"name": "c", "ports": ports})).unwrap()
}

fn settings(probe: Value, ports: Value) -> Settings {
    Settings::of(&serde_json::from_value(probe).unwrap(), &container(ports), LOOPBACK)
}

/// A server that reads a request's head and answers with what `answer` makes of it.
async fn serve(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> (u16, TaskTracker) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tracker = TaskTracker::new();
    tracker.spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            let mut chunk = [0; 1024];
            while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut chunk).await {
                    Ok(0) | Err(_) => break,
                    Ok(n) => head.extend_from_slice(&chunk[..n]),
                }
            }
            match answer(&String::from_utf8_lossy(&head)) {
                Some(text) => drop(stream.write_all(text.as_bytes()).await),
                None => held.push(stream),
            }
        }
    });
    (port, tracker)
}

async fn get(port: u16, extra: Value) -> Answer {
    let mut probe = json!({"httpGet": {"port": port, "path": "/healthz"}});
    if let (Some(action), Some(extra)) = (probe["httpGet"].as_object_mut(), extra.as_object()) {
        action.extend(extra.clone());
    }
    ask(&settings(probe, json!([])).check, TIMEOUT, None).await
}

#[test]
fn defaults_and_fields() {
    let plain = settings(json!({"tcpSocket": {"port": 80}}), json!([]));
    assert_eq!(plain.check, Check::Tcp { host: "127.0.0.1".into(), port: 80 });
    assert_eq!(
        (plain.initial_delay.as_secs(), plain.period.as_secs(), plain.timeout.as_secs()),
        (0, 10, 1)
    );
    assert_eq!((plain.success_threshold, plain.failure_threshold), (1, 3));
    let full = settings(
        json!({"httpGet": {"port": "web", "path": "x?y=1", "scheme": "HTTPS", "host": "::1"},
            "initialDelaySeconds": 3, "periodSeconds": 4, "timeoutSeconds": 5, "successThreshold": 6, "failureThreshold": 7}),
        json!([{"name": "web", "containerPort": 8443}]),
    );
    let Check::Http(request) = &full.check else { panic!("{full:?}") };
    assert_eq!(request.url(), "https://[::1]:8443/x?y=1");
    assert_eq!(
        (full.initial_delay.as_secs(), full.period.as_secs(), full.timeout.as_secs()),
        (3, 4, 5)
    );
    assert_eq!((full.success_threshold, full.failure_threshold), (6, 7));
    let unknown = settings(json!({"tcpSocket": {"port": "web"}}), json!([]));
    assert_eq!(unknown.check, Check::Impossible("couldn't find port by name".into()));
    let command = settings(json!({"exec": {"command": ["cat", "$$x"]}}), json!([])).check;
    assert_eq!(command, Check::Exec(vec!["cat".into(), "$x".into()]));
}

#[tokio::test]
async fn http_status_codes() {
    for (line, expected) in [
        ("200 OK", Answer::Success),
        ("204 No Content", Answer::Success),
        ("399 Odd", Answer::Success),
        ("400 Bad Request", Answer::Failure("HTTP probe failed with statuscode: 400".into())),
        ("503 Unavailable", Answer::Failure("HTTP probe failed with statuscode: 503".into())),
    ] {
        let (port, _server) =
            serve(move |_| Some(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n\r\n"))).await;
        assert_eq!(get(port, json!({})).await, expected, "{line}");
    }
}

#[tokio::test]
async fn http_request_carries_headers() {
    let (port, _server) = serve(|head| {
        let lower = head.to_lowercase();
        let good = head.starts_with("GET /healthz HTTP/1.1\r\n")
            && lower.contains("\r\nhost: shop.example\r\n")
            && lower.contains("\r\nx-a: 1\r\n")
            && lower.contains("\r\nuser-agent: kube-probe/");
        Some(format!("HTTP/1.1 {} X\r\ncontent-length: 2\r\n\r\nok", if good { 200 } else { 500 }))
    })
    .await;
    let headers = json!({"httpHeaders": [{"name": "Host", "value": "shop.example"}, {"name": "X-A", "value": "1"}]});
    assert_eq!(get(port, headers).await, Answer::Success);
}

#[tokio::test]
async fn http_redirects_on_the_same_host_are_followed() {
    let (port, _server) = serve(|head| {
        let answer = if head.starts_with("GET /healthz") {
            "HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"
        };
        Some(answer.to_owned())
    })
    .await;
    assert_eq!(
        get(port, json!({})).await,
        Answer::Failure("HTTP probe failed with statuscode: 500".into())
    );
    let (port, _server) = serve(|_| {
        Some(
            "HTTP/1.1 302 Found\r\nlocation: http://example.com/\r\ncontent-length: 0\r\n\r\n"
                .into(),
        )
    })
    .await;
    assert_eq!(get(port, json!({})).await, Answer::Success, "a redirect elsewhere is an answer");
    let (port, _server) = serve(|_| {
        Some("HTTP/1.1 302 Found\r\nlocation: /healthz\r\ncontent-length: 0\r\n\r\n".into())
    })
    .await;
    let Answer::Failure(text) = get(port, json!({})).await else { panic!("an endless redirect") };
    assert!(text.ends_with("stopped after 10 redirects"), "{text}");
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tcp = Check::Tcp { host: "127.0.0.1".into(), port };
    assert_eq!(ask(&tcp, TIMEOUT, None).await, Answer::Success);
    drop(listener);
    let refused = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
    assert_eq!(ask(&tcp, TIMEOUT, None).await, Answer::Failure(refused.clone()));
    assert_eq!(
        get(port, json!({})).await,
        Answer::Failure(format!("Get \"http://127.0.0.1:{port}/healthz\": {refused}"))
    );
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let (port, _server) = serve(|_| None).await;
    let check = settings(json!({"httpGet": {"port": port}}), json!([])).check;
    let Answer::Failure(text) = ask(&check, Duration::from_millis(50), None).await else {
        panic!("nobody answered")
    };
    assert_eq!(
        text,
        format!(
            "Get \"http://127.0.0.1:{port}/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        )
    );
}

#[tokio::test]
async fn https_is_not_verified() {
    let certified = rcgen::generate_simple_self_signed(["nobody.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certified.cert.der().clone()], key)
    .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tracker = TaskTracker::new();
    tracker.spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut tls = acceptor.accept(tcp).await.unwrap();
        let mut chunk = [0; 1024];
        let _ = tls.read(&mut chunk).await.unwrap();
        tls.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        tls.shutdown().await.unwrap();
    });
    assert_eq!(get(port, json!({"scheme": "HTTPS"})).await, Answer::Success);
}

/// A startup probe has its say once: what fails after it passed is the liveness probe's business.
#[tokio::test]
async fn startup_probe_ends_with_its_success() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut often =
        settings(json!({"tcpSocket": {"port": port}, "failureThreshold": 1}), json!([]));
    often.period = Duration::from_millis(10);
    let subject = Subject {
        pod: Default::default(),
        container: "c".into(),
        attempt: 0,
        started_at: jiff::Timestamp::now(),
        executor: None,
    };
    let (_started, started) = tokio::sync::watch::channel(false);
    let (reports, mut inbox) = tokio::sync::mpsc::channel(1);
    let tracker = TaskTracker::new();
    tracker.spawn(run(
        subject,
        crate::pod::model::ProbeKind::Startup,
        often,
        started,
        reports,
        crate::event::Recorder::unheard(),
        tokio_util::sync::CancellationToken::new(),
    ));
    assert!(inbox.recv().await.unwrap().passes);
    drop(listener);
    assert_eq!(inbox.recv().await, None, "the probe is over");
}

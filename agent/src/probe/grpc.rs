//! grpc: `grpc.health.v1.Health/Check` over cleartext HTTP/2.
//!
//! The two messages of that call have one field each, so they are written and read here by hand:
//! `HealthCheckRequest { string service = 1 }`, `HealthCheckResponse { ServingStatus status = 1 }`.
//! Source: grpc/doc/health-checking.md, `pkg/probe/grpc`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::{Answer, join, words};

/// `SERVING` of `HealthCheckResponse.ServingStatus`.
const SERVING: u64 = 1;
/// Bytes of an answer at most: the message has seven. Who sends more is no health service.
const LONGEST_ANSWER: usize = 4096;

/// Asks the health service once.
pub(super) async fn probe(host: &str, port: u16, service: &str, timeout: Duration) -> Answer {
    let address = join(host, port);
    match tokio::time::timeout(timeout, check(&address, service)).await {
        Ok(Ok(SERVING)) => Answer::Success,
        Ok(Ok(status)) => {
            Answer::Failure(format!("service unhealthy (responded with {:?})", name(status)))
        }
        Ok(Err(why)) => Answer::Failure(why),
        Err(_) => Answer::Failure(format!(
            "timeout: failed to connect service {address:?} within {timeout:?}: context deadline exceeded"
        )),
    }
}

fn name(status: u64) -> &'static str {
    match status {
        0 => "UNKNOWN",
        SERVING => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "unknown status",
    }
}

async fn check(address: &str, service: &str) -> Result<u64, String> {
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|error| format!("dial tcp {address}: connect: {}", words(&error)))?;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp))
            .await
            .map_err(|error| error.to_string())?;
    let request = http::Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "kube-probe/1.36")
        .body(Full::new(request(service)))
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let early = response.headers().get("grpc-status").cloned();
        let body = Limited::new(response.into_body(), LONGEST_ANSWER).collect();
        let body = body.await.map_err(|error| error.to_string())?;
        let code = early
            .or_else(|| body.trailers().and_then(|trailers| trailers.get("grpc-status").cloned()));
        match code.as_ref().and_then(|code| code.to_str().ok()) {
            Some("0") | None => status(&body.to_bytes()).ok_or_else(|| "error: malformed health response".to_owned()),
            Some("12") => Err("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)".to_owned()),
            Some(code) => Err(format!("error: health rpc failed with code {code}")),
        }
    };
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        done = &mut exchange => done,
        _ = connection => exchange.await,
    }
}

/// A length-prefixed message with the service's name, if there is one.
fn request(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        varint(&mut message, service.len() as u64);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
    framed.extend_from_slice(&message);
    framed.into()
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The status of a framed response; a message without the field means 0.
fn status(framed: &[u8]) -> Option<u64> {
    let (compressed, rest) = framed.split_first()?;
    let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
    let message = rest.get(4..4 + length)?;
    match message {
        _ if *compressed != 0 => None,
        [] => Some(0),
        [0x08, value, ..] if *value < 0x80 => Some(u64::from(*value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        assert_eq!(request("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(request("ab").as_ref(), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(status(&[0, 0, 0, 0, 2, 0x08, 1]), Some(SERVING));
        assert_eq!(status(&[0, 0, 0, 0, 0]), Some(0));
        assert_eq!(status(&[0, 0, 0, 0, 9, 0x08]), None, "truncated");
        assert_eq!(status(&[]), None);
    }

    /// A container that answers without end must not fill the node's memory until the timeout.
    #[tokio::test]
    async fn endless_answer_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let tracker = tokio_util::task::TaskTracker::new();
        tracker.spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(async |_| {
                let endless = futures_util::stream::repeat_with(|| {
                    Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from(vec![0; 1024])))
                });
                let body = http_body_util::StreamBody::new(endless);
                Ok::<_, std::io::Error>(http::Response::new(body))
            });
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(tcp), service)
                .await;
        });
        let answer = probe("127.0.0.1", port, "", Duration::from_secs(60)).await;
        assert_eq!(answer, Answer::Failure("length limit exceeded".to_owned()));
    }
}

//! A connection between a caller's frames and the streams of a session.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, DuplexStream};

use super::frame::control;
use super::headers::Encoder;
use super::*;

const SYN_STREAM: u16 = 1;

async fn open(caller: &mut DuplexStream, encoder: &mut Encoder, id: u32, kind: &str) {
    let mut body = id.to_be_bytes().to_vec();
    body.extend([0; 6]);
    body.extend(encoder.encode(&[("streamtype", kind)]).unwrap());
    caller.write_all(&control(SYN_STREAM, &body)).await.unwrap();
}

/// The next data frame, past all others.
async fn data(caller: &mut DuplexStream) -> (u32, Vec<u8>, bool) {
    loop {
        let mut head = [0; 8];
        caller.read_exact(&mut head).await.unwrap();
        let mut body = vec![0; u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize];
        caller.read_exact(&mut body).await.unwrap();
        if head[0] & 0x80 == 0 {
            let id = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            return (id, body, head[4] == 1);
        }
    }
}

#[tokio::test]
async fn streams_are_opened_carry_bytes_and_end() {
    let (here, mut caller) = tokio::io::duplex(64 << 10);
    let (sender, mut opened) = mpsc::channel::<Opened>(1);
    let session = async move {
        let mut first = opened.recv().await.unwrap();
        assert_eq!((first.id, first.header("streamType")), (1, "data"));
        let second = opened.recv().await.unwrap();
        assert_eq!((second.header("streamtype"), second.header("port")), ("error", ""));
        assert_eq!(first.incoming.recv().await.unwrap(), "ping");
        assert!(first.incoming.recv().await.is_none());
        assert!(first.outgoing.send("pong").await);
        first.outgoing.end().await;
        drop((first, second, opened));
    };
    let calls = async move {
        let mut encoder = Encoder::new().unwrap();
        open(&mut caller, &mut encoder, 1, "data").await;
        open(&mut caller, &mut encoder, 3, "error").await;
        caller.write_all(&frame::data(1, 4, false)).await.unwrap();
        caller.write_all(b"ping").await.unwrap();
        caller.write_all(&frame::data(1, 0, true)).await.unwrap();
        assert_eq!(data(&mut caller).await, (1, b"pong".to_vec(), false));
        assert_eq!(data(&mut caller).await, (1, Vec::new(), true));
        // Goodbye, and the end.
        let mut rest = Vec::new();
        caller.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, frame::go_away());
    };
    let all = async { tokio::join!(serve(here, sender), session, calls) };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the connection ends");
}

#[tokio::test]
async fn a_caller_that_is_gone_ends_its_streams() {
    let (here, mut caller) = tokio::io::duplex(64 << 10);
    let (sender, mut opened) = mpsc::channel::<Opened>(1);
    let session = async move {
        let mut stream = opened.recv().await.unwrap();
        assert!(stream.incoming.recv().await.is_none());
        stream.outgoing.gone().await;
        assert!(opened.recv().await.is_none());
    };
    let calls = async move {
        open(&mut caller, &mut Encoder::new().unwrap(), 1, "data").await;
    };
    let all = async { tokio::join!(serve(here, sender), session, calls) };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the connection ends");
}

//! Real sockets, in a network namespace of the test's own: whatever the host listens on cannot
//! interfere, ports can be fixed, and nothing has to be cleaned up.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::Shutdown;

use nix::sched::{CloneFlags, unshare};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::*;
use crate::plan::Backend;
use crate::{Config, Mode, anyip};

const VIP: &str = "127.96.0.9:80";

/// Runs `test` on a thread of its own in a new network namespace with `lo` up. Needs root.
fn isolated<Run: Future<Output = ()>>(test: impl FnOnce() -> Run + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a new network namespace needs CAP_SYS_ADMIN");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (connection, handle, _) = rtnetlink::new_connection().unwrap();
            tokio::task::spawn_local(connection);
            let up = rtnetlink::LinkUnspec::new_with_index(1).up().build();
            handle.link().set(up).execute().await.unwrap();
            timeout(Duration::from_secs(60), test()).await.expect("the test hangs");
        });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

struct Proxy {
    listeners: Listeners,
    tracker: TaskTracker,
    cut_off: CancellationToken,
}

impl Proxy {
    fn start() -> Self {
        let cidr = "127.96.0.0/16".parse().unwrap();
        let (tracker, cut_off) = (TaskTracker::new(), CancellationToken::new());
        let mut config = Config::new("here", cidr, Mode::Loopback);
        config.connect_timeout = Duration::from_millis(500);
        let listeners = Listeners::new(&config, tracker.clone(), cut_off.clone());
        Self { listeners, tracker, cut_off }
    }

    /// Makes the one Service have these endpoints.
    fn endpoints(&mut self, endpoints: &[SocketAddr]) {
        self.listeners.apply(&table(VIP, endpoints));
    }
}

fn table(vip: &str, endpoints: &[SocketAddr]) -> Table {
    let backend = Backend { name: "n/s:web".into(), endpoints: endpoints.to_vec(), affinity: None };
    Table::from([(vip.parse().unwrap(), backend)])
}

/// A server that greets with its name and then echoes; at the end of input it says how much it got.
async fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(async move {
                let _ = stream.write_all(name.as_bytes()).await;
                let (mut buffer, mut total) = (vec![0; 64 * 1024], 0);
                while let Ok(length) = stream.read(&mut buffer).await {
                    if length == 0 {
                        let _ = stream.write_all(format!("={total}").as_bytes()).await;
                        return;
                    }
                    total += length;
                    if stream.write_all(&buffer[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn connect() -> (TcpStream, String) {
    let mut stream = TcpStream::connect(VIP).await.unwrap();
    let mut name = [0; 1];
    stream.read_exact(&mut name).await.unwrap();
    (stream, String::from_utf8(name.to_vec()).unwrap())
}

async fn echo(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(text).await?;
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[test]
fn connections_take_turns_and_survive_changes_of_endpoints() {
    isolated(|| async {
        let (a, b, c) = (server("a").await, server("b").await, server("c").await);
        let mut proxy = Proxy::start();
        proxy.endpoints(&[a, b]);
        let (mut first, name) = connect().await;
        assert_eq!(name, "a");
        let (mut second, name) = connect().await;
        assert_eq!(name, "b");
        assert_eq!(connect().await.1, "a");

        // Both are replaced: the old connections go on, new ones go to the new endpoint.
        proxy.endpoints(&[c]);
        assert_eq!(echo(&mut first, b"still there").await.unwrap(), b"still there");
        assert_eq!(connect().await.1, "c");
        // Not even the end of the Service ends them.
        proxy.listeners.close();
        assert_eq!(echo(&mut second, b"still there").await.unwrap(), b"still there");
        let refused = loop {
            // The listener goes when its task has seen the stop.
            match TcpStream::connect(VIP).await {
                Err(error) => break error,
                Ok(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn without_endpoints_a_connection_is_reset_at_once() {
    isolated(|| async {
        let mut proxy = Proxy::start();
        proxy.endpoints(&[]);
        let outcome = async {
            let mut stream = TcpStream::connect(VIP).await?;
            stream.write_all(b"hello").await?;
            stream.read(&mut [0; 1]).await
        };
        let error = outcome.await.expect_err("nobody is there to answer");
        assert!(
            matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            "{error}"
        );
    });
}

#[test]
fn a_dead_endpoint_is_passed_over() {
    isolated(|| async {
        let alive = server("a").await;
        // Bound and dropped: nobody listens there.
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let mut proxy = Proxy::start();
        proxy.endpoints(&[dead, alive]);
        for _ in 0..4 {
            assert_eq!(connect().await.1, "a");
        }
        proxy.endpoints(&[dead]);
        let mut stream = TcpStream::connect(VIP).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn half_closed_connections_work() {
    isolated(|| async {
        let a = server("a").await;
        let mut proxy = Proxy::start();
        proxy.endpoints(&[a]);
        let (mut stream, _) = connect().await;
        stream.write_all(b"12345").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "12345=5");
    });
}

#[test]
fn bulk_arrives_whole_in_both_directions() {
    const SIZE: usize = 48 * 1024 * 1024;
    isolated(|| async {
        let a = server("a").await;
        let mut proxy = Proxy::start();
        proxy.endpoints(&[a]);
        let (stream, _) = connect().await;
        let (mut read, mut write) = stream.into_split();
        let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
        let sender = tokio::task::spawn_local(async move {
            let mut at = 0;
            while at < SIZE {
                let chunk: Vec<u8> = (at..(at + 256 * 1024).min(SIZE)).map(byte).collect();
                write.write_all(&chunk).await.unwrap();
                at += chunk.len();
            }
            write.shutdown().await.unwrap();
        });
        let (mut at, mut buffer) = (0, vec![0; 256 * 1024]);
        while at < SIZE {
            let wanted = buffer.len().min(SIZE - at);
            let length = read.read(&mut buffer[..wanted]).await.unwrap();
            assert_ne!(length, 0, "ended after {at} bytes");
            for (i, got) in buffer[..length].iter().enumerate() {
                assert_eq!(*got, byte(at + i), "at {}", at + i);
            }
            at += length;
        }
        let mut tail = String::new();
        read.read_to_string(&mut tail).await.unwrap();
        assert_eq!(tail, format!("={SIZE}"));
        sender.await.unwrap();
    });
}

#[test]
fn a_reset_of_the_server_resets_the_client() {
    isolated(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = Proxy::start();
        proxy.endpoints(&[listener.local_addr().unwrap()]);
        let mut client = TcpStream::connect(VIP).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        let error = client.read(&mut [0; 1]).await.expect_err("an orderly end would be a lie");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn cutting_off_ends_what_is_left() {
    isolated(|| async {
        let a = server("a").await;
        let mut proxy = Proxy::start();
        proxy.endpoints(&[a]);
        let (mut stream, _) = connect().await;
        proxy.listeners.close();
        proxy.tracker.close();
        assert!(timeout(Duration::from_millis(50), proxy.tracker.wait()).await.is_err());
        proxy.cut_off.cancel();
        proxy.tracker.wait().await;
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    });
}

#[test]
fn a_taken_port_disturbs_nobody_and_is_tried_again() {
    isolated(|| async {
        let a = server("a").await;
        let taken = TcpListener::bind("0.0.0.0:81").await.unwrap();
        let mut proxy = Proxy::start();
        let mut wanted = table(VIP, &[a]);
        wanted.extend(table("127.96.0.10:81", &[a]));
        proxy.listeners.apply(&wanted);
        assert!(proxy.listeners.has_failed());
        assert_eq!(connect().await.1, "a");
        drop(taken);
        proxy.listeners.apply(&wanted);
        assert!(!proxy.listeners.has_failed());
        TcpStream::connect("127.96.0.10:81").await.unwrap();
    });
}

#[test]
fn one_route_makes_every_service_address_answer() {
    isolated(|| async {
        let a = server("a").await;
        let vip: SocketAddr = "10.96.7.9:80".parse().unwrap();
        assert!(accept::listen(vip).is_err(), "not an address of this host yet");
        let cidr = "10.96.0.0/16".parse().unwrap();
        let route = anyip::Route::add(cidr).await.unwrap();
        let again = anyip::Route::add(cidr).await.expect("a second proxy takes the route over");
        let mut proxy = Proxy::start();
        proxy.listeners.apply(&table("10.96.7.9:80", &[a]));
        let mut stream = TcpStream::connect(vip).await.unwrap();
        let mut name = [0; 1];
        stream.read_exact(&mut name).await.unwrap();
        assert_eq!(&name, b"a");
        // Closing one half tells the other one that the proxy is still in the middle.
        SockRef::from(&stream).shutdown(Shutdown::Write).unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "=0");

        route.remove().await;
        again.remove().await;
        let error = TcpStream::connect(vip).await.expect_err("the route is gone");
        assert_eq!(error.kind(), ErrorKind::NetworkUnreachable, "{error}");
    });
}

#[test]
fn a_refused_port_says_what_would_help() {
    let refused = io::Error::from(ErrorKind::PermissionDenied);
    let said = |port| explained(([127, 128, 0, 1], port).into(), &refused);
    assert!(said(443).contains("ip_unprivileged_port_start"), "{}", said(443));
    assert_eq!(said(8080), refused.to_string());
}

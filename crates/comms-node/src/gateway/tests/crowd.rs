//! Many at once, and those who take their time: nobody keeps anybody else out.

use std::time::Duration;

use comms_domain::Bound;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};

use super::{Bench, MIB, answer, bytes};
use crate::gateway::limits::{HEAD_WITHIN, STRANGERS_MAX, TAKEN_PACE};

/// How long an honest client may wait on a machine that runs all tests at once; each of them works in milliseconds.
const PROMPTLY: Duration = Duration::from_secs(10);

/// Sockets are files, two for each connection of these tests.
fn many_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// Connections that say the beginning of a head.
async fn half_open(bench: &Bench, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for at in 0..count {
        let mut stream = bench.connect().await;
        // Some say nothing at all; some are closed before they are done.
        if at % 3 > 0 {
            let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: 127").await;
        }
        streams.push(stream);
    }
    streams
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_of_strangers_keep_nobody_out() {
    many_files();
    let bench = Bench::new().await;
    let data = bytes(2 * MIB);
    let mut crowd = Vec::new();
    for count in [2 * STRANGERS_MAX, 2000 - 2 * STRANGERS_MAX] {
        crowd.extend(half_open(&bench, count).await);
        let honest = async {
            let put = bench.client("desk").put(data.clone()).await.unwrap();
            let got = bench.client("desk").get(&put.cid).await.unwrap().into_bytes(data.len()).await.unwrap();
            assert!(got == data);
            let health = format!(
                "GET /health HTTP/1.1\r\nHost: localhost:{}\r\nConnection: close\r\n\r\n",
                bench.port
            );
            assert_eq!(bench.raw(health).await.status, 200);
        };
        timeout(PROMPTLY, honest).await.expect("an honest client is served");
    }
    drop(crowd);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_drips_is_closed_in_time() {
    let bench = Bench::new().await;
    for begin in ["", "GET /health HTTP/1.1\r\nX: "] {
        let mut stream = bench.connect().await;
        stream.write_all(begin.as_bytes()).await.unwrap();
        let (mut reads, mut writes) = stream.into_split();
        let begun = Instant::now();
        let mut drips = interval(HEAD_WITHIN / 10);
        let drip = async {
            loop {
                drips.tick().await;
                if !begin.is_empty() {
                    let _ = writes.write_all(b"x").await;
                }
            }
        };
        let mut said = Vec::new();
        tokio::select! {
            _ = reads.read_to_end(&mut said) => {}
            () = drip => {}
        }
        assert!(said.is_empty());
        assert!(begun.elapsed() <= HEAD_WITHIN + HEAD_WITHIN / 5, "{:?}", begun.elapsed());
    }
    tokio::time::resume();
    bench.close().await;
}

#[tokio::test]
async fn connections_of_one_service_leave_the_others_theirs() {
    many_files();
    let bench = Bench::new().await;
    let keep_alive =
        |name: &str| bench.head(name, "GET /content/bafkqaaa").replace("Connection: close\r\n", "") + "\r\n";
    let mut streams = Vec::new();
    let refused = loop {
        let mut stream = bench.connect().await;
        stream.write_all(keep_alive("desk").as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        if &status != b"HTTP/1.1 200" {
            break status;
        }
        streams.push(stream);
        assert!((streams.len() as u64) < Bound::Connections.default_value(), "desk has every place");
    };
    assert_eq!(&refused, b"HTTP/1.1 503");
    let busy = bench.ask("desk", "GET /content/bafkqaaa", "").await;
    assert!(busy.json()["error"]["message"].as_str().unwrap().contains("connections"), "{busy:?}");
    for other in ["archive", "stranger", "operator"] {
        assert_eq!(bench.ask(other, "GET /content/bafkqaaa", "").await.status, 200, "{other}");
    }
    drop(streams);
    bench.close().await;
}

/// Asks for content and reads none of it, until the gateway refuses; how many were begun.
async fn unread(bench: &Bench, name: &str, path: &str) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    loop {
        let mut stream = bench.connect().await;
        stream.write_all((bench.head(name, &format!("GET {path}")) + "\r\n").as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        if &status != b"HTTP/1.1 200" {
            assert_eq!(&status, b"HTTP/1.1 503");
            return streams;
        }
        streams.push(stream);
        assert!((streams.len() as u64) < Bound::Downloads.default_value(), "{name} has every place");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_takes_no_download_of_another() {
    let bench = Bench::new().await;
    let data = bytes(24 * MIB);
    let cid = bench.client("desk").put(data.clone()).await.unwrap().cid;
    let hoard = unread(&bench, "desk", &format!("/content/{cid}")).await;
    let got = bench.client("auditor").get(&cid).await.unwrap().into_bytes(data.len());
    assert!(timeout(PROMPTLY, got).await.expect("another reader is served").unwrap() == data);
    drop(hoard);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_cut_in_time() {
    let bench = Bench::new().await;
    let data = bytes(24 * MIB);
    let cid = bench.client("desk").put(data.clone()).await.unwrap().cid;
    let mut stream = bench.connect().await;
    stream.write_all((bench.head("desk", &format!("GET /content/{cid}")) + "\r\n").as_bytes()).await.unwrap();
    // The clock of this test goes on when the gateway has nothing left to do: the first tick is now, the last is late.
    let mut turns = interval(TAKEN_PACE.within);
    for _ in 0..=2 {
        turns.tick().await;
    }
    let cut = answer(stream).await;
    assert!(cut.body.len() < data.len(), "it was sent as a whole");
    tokio::time::resume();
    bench.close().await;
}

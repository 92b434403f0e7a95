//! What clients may take of the machine of a node: connections and subscriptions, what they leave unread, open files.

use std::fmt::Write as _;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use comms::Content;
use comms_tests::node::alive;
use comms_tests::wait::SOON;
use comms_tests::{TestNode, fixture, wait_until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::memory::highest;
use crate::vocabulary::AddDocument;

/// A connection of a service with nothing but its key, which never reads again.
async fn connected(node: &TestNode, service: &str, begin: &str) -> TcpStream {
    let address = node.nats_url().trim_start_matches("nats://").to_owned();
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let mut info = String::new();
    stream.read_line(&mut info).await.unwrap();
    let info: serde_json::Value = serde_json::from_str(info.trim_start_matches("INFO ")).unwrap();
    let key = nkeys::KeyPair::from_seed(&node.seed(service)).unwrap();
    let signature = key.sign(info["nonce"].as_str().unwrap().as_bytes()).unwrap();
    let (nkey, sig) = (key.public_key(), URL_SAFE_NO_PAD.encode(signature));
    let connect = serde_json::json!({ "verbose": false, "nkey": nkey, "sig": sig, "headers": true });
    let begin = format!("CONNECT {connect}\r\n{begin}PING\r\n");
    stream.write_all(begin.as_bytes()).await.unwrap();
    let mut pong = String::new();
    stream.read_line(&mut pong).await.unwrap();
    assert!(pong.starts_with("PONG"), "{pong}");
    stream.into_inner()
}

/// Whether the other side has closed it.
fn is_cut(stream: &TcpStream) -> bool {
    loop {
        match stream.try_read(&mut [0; 4_096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// Others are served.
async fn add_document(node: &TestNode) {
    let sent = AddDocument { title: "x".into(), file: Content::from(vec![7; 10]) };
    node.connect("desk").await.send(sent).owner("ada").await.unwrap();
}

/// The node says in its log that a share of that service has ended.
async fn names(node: &TestNode, service: &str, limit: &str) {
    wait_until("the log to name it", SOON, async || {
        let output = node.output();
        if output.lines().any(|line| line.contains(service) && line.contains(limit)) {
            Ok(())
        } else {
            Err(output)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_subscribes_without_end_takes_a_bounded_part_of_the_memory() {
    const CONNECTIONS: usize = 120;
    const EACH: usize = 8_000;
    /// Its part of 262,144 and the half that is common.
    const LEFT_MAX: usize = (131_072 + 131_072 / 9) / EACH;
    /// 844 MiB without a bound.
    const HELD_MIB_MAX: u64 = 512;
    let node = TestNode::start().await;
    let server = node.nats_pid();
    let mut subscribe = String::new();
    for n in 0..EACH {
        write!(subscribe, "SUB _INBOX.archive.hoard.{n} {n}\r\n").unwrap();
    }
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = connected(&node, "archive", "").await;
        // One that is cut meanwhile takes no more.
        let _ = stream.write_all(subscribe.as_bytes()).await;
        open.push(stream);
    }
    wait_until("those beyond the share to be cut", SOON, async || {
        let left = open.iter().filter(|stream| !is_cut(stream)).count();
        if left <= LEFT_MAX { Ok(()) } else { Err(left) }
    })
    .await;
    names(&node, "archive", "limits.subscriptions").await;
    add_document(&node).await;
    assert!(alive(server) && node.nats_pid() == server, "{}", node.logs());
    let held = highest(server).expect("the process lives");
    eprintln!("nats-server held at most {held} MiB");
    assert!(held <= HELD_MIB_MAX, "nats-server held {held} MiB for subscriptions of one service");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_without_end_leaves_others_their_connections() {
    const CONNECTIONS: usize = 60;
    /// The half that is common, and its own part, which is the least that there is.
    const LEFT_MAX: usize = 32 + 4;
    let node =
        TestNode::start_with(&format!("{}\n[limits]\nnats_connections = 64\n", fixture::DOMAIN), &[]).await;
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(connected(&node, "archive", "").await);
    }
    wait_until("the newest to be cut", SOON, async || {
        let left: Vec<bool> = open.iter().map(|stream| !is_cut(stream)).collect();
        let count = left.iter().filter(|left| **left).count();
        if count == LEFT_MAX && left[..LEFT_MAX].iter().all(|left| *left) { Ok(()) } else { Err(left) }
    })
    .await;
    names(&node, "archive", "limits.nats_connections").await;
    add_document(&node).await;
}

/// Sockets are files: these tests have more of them than a process may have by default.
fn many_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// A node that may open so many files serves, while 400 strangers have said half a head.
async fn serves_beside_strangers(files: &str) -> String {
    const STRANGERS: usize = 400;
    many_files();
    let folder = tempfile::tempdir().unwrap();
    fixture::write(folder.path());
    let mut node = TestNode::at(folder.path(), &[]);
    node.set_files(files);
    node.up().await;
    let gateway = node.http_url().trim_start_matches("http://").to_owned();
    let mut strangers = Vec::new();
    for _ in 0..STRANGERS {
        let mut stream = TcpStream::connect(&gateway).await.unwrap();
        // It may have been turned out already.
        let _ = stream.write_all(b"GET /health HTTP/1.1\r\nHost: 127").await;
        strangers.push(stream);
    }
    let begin = Instant::now();
    let desk = node.connect("desk").await;
    let cid = desk.put(vec![7; 100_000]).await.unwrap().cid;
    assert_eq!(desk.get(&cid).await.unwrap().into_bytes(1 << 20).await.unwrap().len(), 100_000);
    add_document(&node).await;
    node.wait_health(200, "true", SOON).await;
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    node.output()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_limit_of_open_files_is_raised() {
    let said = serves_beside_strangers("ulimit -Sn 256").await;
    assert!(!said.contains("lets a process open 256"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_limit_of_open_files_is_told_and_strangers_have_fewer_places() {
    let said = serves_beside_strangers("ulimit -n 256").await;
    assert!(said.contains("this system lets a process open 256, and [limits] needs"), "{said}");
    assert!(said.contains("of them without a token"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_do_not_read_take_a_bounded_part_of_the_memory() {
    const CONNECTIONS: usize = 30;
    const HELD_MIB_MAX: u64 = 1_024;
    let node = TestNode::start().await;
    let (server, subject) = (node.nats_pid(), "_INBOX.archive.ask.unread");
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(connected(&node, "archive", &format!("SUB {subject} 1\r\n")).await);
    }
    let (flood, _complaints) = node.raw("archive").await;
    let payload = bytes::Bytes::from(vec![7; 100_000]);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(10) {
        flood.publish(subject, payload.clone()).await.unwrap();
    }
    flood.flush().await.unwrap();
    assert!(alive(server) && node.nats_pid() == server, "{}", node.logs());
    let held = highest(server).expect("the process lives");
    eprintln!("nats-server held at most {held} MiB");
    assert!(
        held <= HELD_MIB_MAX,
        "nats-server held {held} MiB for {CONNECTIONS} connections that do not read"
    );
    // Everybody else is served.
    add_document(&node).await;
}

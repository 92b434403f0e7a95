//! Below the messages: what is wrong as bytes of the NATS protocol. It is nats-server that refuses; the node must not
//! mind, and nobody else either.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use comms_tests::TestNode;
use comms_tests::wait::SOON;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Siege;

/// What nats-server is configured to take, generated from the definition.
const PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Connections that say half a word and wait.
const HALF_OPEN: usize = 100;

/// A connection without a library.
struct Wire {
    stream: BufReader<TcpStream>,
    info: Value,
}

impl Wire {
    async fn open(node: &TestNode) -> Wire {
        let url = node.nats_url();
        let stream =
            TcpStream::connect(url.trim_start_matches("nats://")).await.expect("nats-server listens");
        let mut wire = Wire { stream: BufReader::new(stream), info: Value::Null };
        let hello = wire.line().await;
        wire.info = serde_json::from_str(hello.strip_prefix("INFO ").expect("it says INFO first"))
            .expect("it is JSON");
        wire
    }

    /// A connection that has proved to be the service.
    async fn of(node: &TestNode, service: &str) -> Wire {
        let mut wire = Wire::open(node).await;
        let key = nkeys::KeyPair::from_seed(&node.seed(service)).expect("a seed");
        let nonce = wire.info["nonce"].as_str().expect("the server asks for a proof");
        let proof = URL_SAFE_NO_PAD.encode(key.sign(nonce.as_bytes()).expect("a seed signs"));
        let connect = json!({ "nkey": key.public_key(), "sig": proof, "protocol": 1, "verbose": false, "pedantic": false,
            "tls_required": false, "lang": "none", "version": "0", "headers": true });
        wire.say(format!("CONNECT {connect}\r\nPING\r\n").as_bytes()).await;
        assert_eq!(wire.line().await, "PONG");
        wire
    }

    async fn say(&mut self, bytes: &[u8]) {
        // The server may close before it has taken everything; what it said until then is still read.
        let _ = self.stream.get_mut().write_all(bytes).await;
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = tokio::time::timeout(SOON, self.stream.read_line(&mut line)).await;
        read.expect("nats-server says something").expect("it is text");
        line.trim_end().to_owned()
    }

    /// Everything until the server closes, which it must do by itself.
    async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(SOON, self.stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the server keeps the connection");
        String::from_utf8_lossy(&rest).to_lowercase()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_larger_than_any_payload_ends_the_connection_that_sent_it() {
    let siege = Siege::begin().await;
    let probe = Wire::open(&siege.node).await;
    assert_eq!(probe.info["max_payload"], PAYLOAD_BYTES_MAX);
    drop(probe);
    // It says why, unless the length is not even a length.
    for (declared, reason) in [(PAYLOAD_BYTES_MAX + 1, "maximum payload"), (1 << 40, "")] {
        let mut evil = Wire::of(&siege.node, "evil").await;
        evil.say(format!("PUB library.door.hello.evil _INBOX.evil.x {declared}\r\n").as_bytes()).await;
        let said = evil.rest().await;
        assert!(said.contains(reason), "{said}");
    }
    // The library does not even send it.
    let evil = siege.attacker("evil").await;
    let sent = evil.client.publish("library.door.hello.evil", vec![0; PAYLOAD_BYTES_MAX + 1].into()).await;
    assert!(sent.is_err(), "the client sends what the server would not take");
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_wire_ends_the_connection_that_sent_it() {
    let siege = Siege::begin().await;
    for garbage in [
        b"\0\0\0\0\r\n".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"PUB library.door.hello.evil _INBOX.evil.x -5\r\n".to_vec(),
        b"PUB library.door.hello.evil _INBOX.evil.x five\r\nhello\r\n".to_vec(),
        b"HPUB library.door.hello.evil _INBOX.evil.x 500 5\r\nhello\r\n".to_vec(),
        b"PUB library.door.hello.evil _INBOX.evil.x 1\r\nlonger than that\r\n".to_vec(),
        [&b"SUB "[..], &b"x".repeat(100_000)].concat(),
        vec![0xff; 100_000],
    ] {
        let mut evil = Wire::of(&siege.node, "evil").await;
        evil.say(&garbage).await;
        evil.say(b"PING\r\n").await;
        let said = evil.rest().await;
        assert!(!said.contains("pong"), "{said:?} to {:?}", &garbage[..garbage.len().min(40)]);
    }
    // Before anybody has proved anything.
    for garbage in [
        &b"\0\0\r\n"[..],
        b"PUB library.door.hello.evil 0\r\n\r\n",
        b"CONNECT {\r\n",
        b"CONNECT []\r\n",
        b"CONNECT {}\r\nPING\r\n",
    ] {
        let mut stranger = Wire::open(&siege.node).await;
        stranger.say(garbage).await;
        stranger.rest().await;
    }
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_message_waits_for_its_own_connection_only() {
    let siege = Siege::begin().await;
    let mut halves = Vec::new();
    for _ in 0..HALF_OPEN {
        let mut evil = Wire::of(&siege.node, "evil").await;
        evil.say(b"PUB library.door.command.lending.Lend.evil _INBOX.evil.x 1000000\r\n{\"metadata\"").await;
        halves.push(evil);
    }
    let within = Duration::from_secs(5);
    let evil = siege.attacker("evil").await;
    tokio::time::timeout(within, evil.ask("hello", "{}")).await.expect("a whole message is answered");
    drop(halves);
    siege.end().await;
}

//! A whole node in this process: what is left of it after it failed or ended, and what it does when its server is ill.

use std::fs;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::connections;
use crate::fixture::{self, LIBRARY, any_port, wait_until};
use crate::secret::SecretText;
use crate::server::READY_WITHIN;

/// What nats-server logs last when it ends in order.
const ENDED_IN_ORDER: &str = "Server Exiting..";

fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(DOMAIN_TOML), LIBRARY).unwrap();
    // Where a node looks for its server.
    let tools = home.path().join(".tools/bin");
    fs::create_dir_all(&tools).unwrap();
    std::os::unix::fs::symlink(fixture::binary().path, tools.join("nats-server")).unwrap();
    home
}

fn options(home: &TempDir) -> Options {
    let options = Options::new(home.path(), fixture::guard());
    Options { nats: Nats::Managed(any_port()), http: any_port(), ..options }
}

fn server_log(home: &TempDir) -> String {
    fs::read_to_string(home.path().join(".comms/nats/nats-server.log")).unwrap()
}

/// The gateway's address in `http://…`.
fn address(http: &str) -> &str {
    http.strip_prefix("http://").unwrap()
}

/// Asks the node for its health; the head of the answer.
async fn health(node: &Node) -> String {
    let address = address(&node.summary.http);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_be_announced_leaves_nothing_running() {
    let home = home();
    let in_the_way = home.path().join(".comms/node.json");
    // Not before: a folder that is there at the start is refused.
    let started = home.path().join(".comms/nats/nats-server.log");
    let obstruct = async {
        wait_until("nats-server runs", || started.exists()).await;
        fs::create_dir_all(in_the_way.join("not-empty")).unwrap();
    };
    match tokio::join!(Node::start(options(&home)), obstruct).0 {
        Err(Error::File { path, .. }) => assert!(path.ends_with("node.json"), "{}", path.display()),
        other => panic!("{other:?}"),
    }
    assert!(server_log(&home).contains(ENDED_IN_ORDER), "{}", server_log(&home));
    // Nothing holds the folder, so another node can start in it.
    fs::remove_dir_all(in_the_way).unwrap();
    let node = Node::start(options(&home)).await.unwrap();
    assert_eq!(node.shutdown().await, [""; 0]);
}

#[tokio::test]
async fn a_connection_that_does_not_end_does_not_keep_the_server_from_ending_in_order() {
    let home = home();
    let node = Node::start(Options { grace: Duration::from_secs(2), ..options(&home) }).await.unwrap();
    let address = address(&node.summary.http).to_owned();
    let keys = fs::read_to_string(home.path().join(".comms/credentials/desk.token")).unwrap();
    let head = format!(
        "POST /content HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Length: 1000000\r\n\r\nsome",
        keys.trim()
    );
    let mut upload = TcpStream::connect(&address).await.unwrap();
    upload.write_all(head.as_bytes()).await.unwrap();
    // The gateway has it in hand when a later connection is answered.
    assert!(health(&node).await.starts_with("HTTP/1.1 200"));

    let mut forced = node.shutdown().await;
    forced.dedup();
    assert_eq!(forced, ["gateway"]);
    assert!(server_log(&home).contains(ENDED_IN_ORDER), "{}", server_log(&home));
}

#[tokio::test]
async fn a_server_that_stores_nothing_is_started_again_and_the_node_answers() {
    let home = home();
    let node = Node::start(options(&home)).await.unwrap();
    let server = node.server.clone().unwrap();
    let (pid, url) = (server.pid(), server.url());
    node.condition.stalled();
    wait_until("it is told", || node.ill().is_some()).await;
    assert!(health(&node).await.starts_with("HTTP/1.1 503"));
    wait_until("another server runs", || server.pid().is_some_and(|now| Some(now) != pid)).await;
    assert_eq!(server.url(), url);
    assert!(server_log(&home).contains(ENDED_IN_ORDER), "{}", server_log(&home));

    let seed = fs::read_to_string(home.path().join(".comms/credentials/desk.nk")).unwrap().trim().to_owned();
    let desk = connections::options(&SecretText::new(seed), "_INBOX.desk", "test");
    let desk = desk.max_reconnects(None).retry_on_initial_connect().connect(&url).await.unwrap();
    let hello = async {
        loop {
            // Nobody answers before the node is connected again.
            if let Ok(hello) = desk.request("library.door.hello.desk", "{}".into()).await {
                break hello;
            }
        }
    };
    let hello = tokio::time::timeout(READY_WITHIN, hello).await.unwrap();
    assert!(String::from_utf8_lossy(&hello.payload).contains("\"library\""), "{hello:?}");
    wait_until("it is well", || node.ill().is_none()).await;
    assert!(health(&node).await.starts_with("HTTP/1.1 200"));
    assert_eq!(node.shutdown().await, [""; 0]);
}

//! A whole node in this process: what is left of it after it failed or ended.

use std::fs;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::fixture::{self, LIBRARY, any_port};

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

#[tokio::test]
async fn a_node_that_cannot_be_announced_leaves_nothing_running() {
    let home = home();
    let in_the_way = home.path().join(".comms/node.json");
    fs::create_dir_all(in_the_way.join("not-empty")).unwrap();
    match Node::start(options(&home)).await {
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

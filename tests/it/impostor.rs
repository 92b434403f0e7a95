//! Somebody who takes the ports of a node that was killed, and says what a node would say there: nothing secret reaches
//! him, however clients come.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use comms::ErrorKind;
use comms_tests::node::TestNode;
use comms_tests::wait::SOON;
use comms_tests::wait_until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use crate::vocabulary::{FindDocuments, Lend, Ping, RetitleDocument};

/// What nats-server says first, with a nonce to sign.
const INFO: &str = "INFO {\"server_id\":\"N\",\"server_name\":\"n\",\"version\":\"2.15.1\",\"proto\":1,\"go\":\"go1\",\
                    \"host\":\"127.0.0.1\",\"port\":4222,\"headers\":true,\"max_payload\":1048576,\"jetstream\":true,\
                    \"auth_required\":true,\"nonce\":\"abcdefghijk\",\"client_id\":5}\r\n";
/// What no stranger is to read: it is in every body, file, title and definition below.
const SECRET: &str = "a-word-that-no-stranger-may-read";

/// Who listens at a port that was a node's.
struct Impostor {
    heard: Arc<Mutex<Vec<u8>>>,
    came: Arc<Mutex<usize>>,
    listening: JoinHandle<()>,
}

impl Impostor {
    /// Takes a port and does there as nats-server does, or as a gateway that takes everything.
    async fn at(address: &str, is_nats: bool) -> Impostor {
        // A process that was killed closes its sockets a moment after it counts as dead.
        let bound = async || TcpListener::bind(address);
        let listener = wait_until("the port of a node that was killed to be free", SOON, bound).await;
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (heard, came): (Arc<Mutex<Vec<u8>>>, Arc<Mutex<usize>>) = (Arc::default(), Arc::default());
        let listening = tokio::spawn({
            let (heard, came) = (Arc::clone(&heard), Arc::clone(&came));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    *came.lock().unwrap() += 1;
                    tokio::spawn(converse(stream, is_nats, Arc::clone(&heard)));
                }
            }
        });
        Impostor { heard, came, listening }
    }

    /// Gives the port back; who came stays connected.
    async fn leave(self) {
        self.listening.abort();
        // The listener is closed when the task has ended.
        let _ = self.listening.await;
    }

    fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }

    fn came(&self) -> usize {
        *self.came.lock().unwrap()
    }
}

async fn converse(mut stream: tokio::net::TcpStream, is_nats: bool, heard: Arc<Mutex<Vec<u8>>>) {
    if is_nats && stream.write_all(INFO.as_bytes()).await.is_err() {
        return;
    }
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        heard.lock().unwrap().extend_from_slice(&bytes[..count]);
        let answer: &[u8] = if is_nats {
            if bytes[..count].windows(4).any(|word| word == b"PING") { b"PONG\r\n" } else { b"" }
        } else {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
        };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn address(url: &str) -> String {
    url.split_once("://").expect("a scheme").1.to_owned()
}

/// Writes a definition that differs, so that there is something to plan and apply.
fn change_definition(node: &TestNode) {
    let file = node.path().join("domain.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n# {SECRET}\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_the_ports_of_a_killed_node_is_told_nothing() {
    let mut node = TestNode::start().await;
    let (nats, http) = (address(&node.nats_url()), address(&node.http_url()));
    let tokens: Vec<String> = ["desk", "operator", "archive"].map(|service| node.token(service)).into();
    // Somebody who is connected already, and comes back by itself.
    let desk = node.connect("desk").await;
    desk.ask(FindDocuments { words: "before".into() })
        .owner("ada")
        .within(Duration::from_millis(1))
        .await
        .unwrap_err();
    std::fs::write(node.path().join("secret.pdf"), SECRET.repeat(4096)).unwrap();
    change_definition(&node);
    node.kill().await;
    assert!(node.comms_folder().join("node.json").exists(), "kill -9 leaves it behind");
    let (server, gateway) = (Impostor::at(&nats, true).await, Impostor::at(&http, false).await);

    let title = format!("title={SECRET}");
    for arguments in [
        &["put", "secret.pdf", "--as", "desk"][..],
        &["get", "bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", "--as", "desk"],
        &["domain", "plan", "--as", "operator"],
        &["domain", "apply", "--as", "operator"],
        &["send", "documents.AddDocument", &title, "file=@secret.pdf", "--owner", "ada", "--as", "desk"],
        &["send", "documents.Ping", "n:=1", "--owner", SECRET, "--as", "desk"],
        &["ask", "documents.FindDocuments", &format!("words={SECRET}"), "--owner", "ada", "--as", "desk"],
        &[
            "publish",
            "documents.DocumentRetitled",
            &title,
            "--entity",
            "d",
            "--owner",
            "ada",
            "--as",
            "archive",
        ],
        &["watch", "documents.*", "--as", "indexer"],
    ] {
        let (code, _, err) = node.run(arguments);
        assert_ne!(code, 0, "{arguments:?}");
        assert!(err.contains("no node runs") && err.contains("comms up"), "{arguments:?}: {err}");
    }
    // The library, anew and as it was.
    for service in ["desk", "archive"] {
        let refused = comms::Comms::options().folder(node.comms_folder()).connect(service).await;
        assert_eq!(refused.expect_err("no node runs").kind(), ErrorKind::Config);
    }
    let retitle = RetitleDocument { document: "d".into(), title: SECRET.into() };
    let within = Duration::from_millis(300);
    tokio::time::timeout(within, async { desk.send(retitle).owner("ada").await }).await.ok();
    desk.send(Ping { n: 1 }).owner(SECRET).await.ok();
    desk.ask(FindDocuments { words: SECRET.into() }).owner("ada").within(within).await.unwrap_err();
    assert_eq!(desk.put(SECRET.as_bytes().to_vec()).await.unwrap_err().kind(), ErrorKind::Unavailable);

    assert_eq!(gateway.heard(), "", "of {} connections", gateway.came());
    assert_eq!(server.heard(), "", "of {} connections: not even a name", server.came());
    for token in tokens {
        assert!(!gateway.heard().contains(&token));
    }
}

/// The impostor does not even get a connection to relay: who dials does so only while the node says that its own server
/// has the port.
#[tokio::test(flavor = "multi_thread")]
async fn who_took_the_port_while_the_node_runs_elsewhere_is_told_nothing_either() {
    let mut node = TestNode::start().await;
    let nats = address(&node.nats_url());
    let desk = node.connect("desk").await;
    node.kill().await;
    let server = Impostor::at(&nats, true).await;
    // The node again, at another port, which the impostor could relay to.
    let folder = node.path().to_owned();
    let elsewhere = TestNode::start_in(&folder).await;
    assert_ne!(address(&elsewhere.nats_url()), nats);
    let within = Duration::from_millis(500);
    desk.ask(FindDocuments { words: SECRET.into() }).owner("ada").within(within).await.unwrap_err();
    assert_eq!(server.heard(), "", "of {} connections", server.came());
    // Whoever connects now is not sent there.
    elsewhere.connect("desk").await;
    assert_eq!(server.came(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_comes_back_when_the_node_does_and_not_before() {
    let mut node = TestNode::start().await;
    let evil = node.connect("evil").await;
    let nats = address(&node.nats_url());
    node.kill().await;
    let server = Impostor::at(&nats, true).await;
    evil.ask(FindDocuments { words: SECRET.into() })
        .owner("ada")
        .within(Duration::from_millis(300))
        .await
        .unwrap_err();
    assert_eq!(server.heard(), "", "of {} connections", server.came());
    server.leave().await;
    node.up().await;
    // To the server that the node vouches for, and nobody needs to do anything.
    let noted = async || evil.send(Lend { n: 1 }).owner("ada").await;
    wait_until("the client to come back", SOON, noted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_anew_at_every_start_and_clients_go_on() {
    let mut node = TestNode::start().await;
    let desk = node.connect("desk").await;
    let cid = desk.put(b"before".to_vec()).await.unwrap().cid;
    let read = |node: &TestNode| ["desk", "operator", "archive"].map(|service| node.token(service));
    let before = read(&node);
    for is_orderly in [true, false] {
        if is_orderly {
            assert_eq!(node.stop().await.code(), Some(0));
            let left = std::fs::read_dir(node.comms_folder().join("credentials")).unwrap();
            let left: Vec<_> = left.map(|entry| entry.unwrap().path()).collect();
            assert!(left.iter().all(|path| path.extension().unwrap() != "token"), "{left:?}");
            assert!(!node.comms_folder().join("http.sock").exists());
        } else {
            node.kill().await;
        }
        let former = if is_orderly { before.clone() } else { read(&node) };
        node.up().await;
        let now = read(&node);
        assert!(former.iter().zip(&now).all(|(before, now)| before != now));
        let shown = reqwest::Client::new().get(format!("{}/content/{cid}", node.http_url()));
        let status = |token: &str| shown.try_clone().unwrap().bearer_auth(token).send();
        assert_eq!(status(&former[0]).await.unwrap().status(), 401, "the token of a former start");
        assert_eq!(status(&now[0]).await.unwrap().status(), 200);
        // The client of the former start shows the new one by itself.
        assert_eq!(desk.get(&cid).await.unwrap().into_bytes(100).await.unwrap(), &b"before"[..]);
    }
}

/// Only who reaches the socket learns who the node is; a page in a browser on this machine cannot.
#[tokio::test(flavor = "multi_thread")]
async fn the_node_says_who_it_is_where_nobody_else_can_listen() {
    let node = TestNode::start().await;
    let told = reqwest::get(format!("{}/node", node.http_url())).await.unwrap();
    assert_eq!(told.status(), 404);
    let local = comms::local::LocalNode::at(&node.comms_folder(), "desk").unwrap();
    let who = local.who().await.unwrap();
    assert_eq!((who.nats.as_str(), who.is_managed), (node.nats_url().as_str(), true));
    assert_eq!(local.who().await.unwrap(), who, "the same start");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(node.comms_folder().join("http.sock")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    // A curl away, as the README says.
    let mut socket = std::os::unix::net::UnixStream::connect(node.comms_folder().join("http.sock")).unwrap();
    let request = format!(
        "GET /content/bafkqaaa HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        node.token("desk")
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut socket, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
}

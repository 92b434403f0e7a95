//! The node as a process: one per folder, its server with it, back after every kind of end.

use std::time::Duration;

use comms::{CommandContext, ErrorKind, Failure, WatchFrom};
use comms_tests::node::{alive, signal};
use comms_tests::wait::SOON;
use comms_tests::{TestNode, wait_until};
use tokio::io::AsyncWriteExt;

use crate::vocabulary::{DocumentRetitled, Lend, Lent};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_folder_is_refused_with_the_reason() {
    let node = TestNode::start().await;
    let (code, _, err) = node.run(&["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    assert_ne!(code, 0);
    assert!(err.contains(&node.pid().to_string()), "the holder is named: {err}");
    assert!(alive(node.pid()) && alive(node.nats_pid()), "the first one is left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_server_is_restarted_when_it_dies_and_clients_come_back() {
    let node = TestNode::start().await;
    let archive = node.connect("archive").await;
    let publish = || archive.publish(DocumentRetitled { title: "x".into() }).entity("d").owner("ada");
    publish().await.unwrap();
    let url = node.nats_url();
    for _ in 0..3 {
        let dead = node.nats_pid();
        signal(dead, "KILL");
        wait_until("another nats-server", SOON, async || {
            let pid =
                std::fs::read_to_string(node.comms_folder().join("nats/nats-server.pid")).unwrap_or_default();
            let pid: u32 = pid.trim().parse().unwrap_or(dead);
            if pid != dead && alive(pid) { Ok(()) } else { Err(node.output()) }
        })
        .await;
        publish().await.unwrap();
    }
    assert_eq!(node.nats_url(), url, "it is found where it was");
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_server_never_outlives_its_node() {
    let mut node = TestNode::start().await;
    // `kill` waits until the server is gone; `stop` ends it in order.
    node.kill().await;
    node.up().await;
    let nats = node.nats_pid();
    assert_eq!(node.stop().await.code(), Some(0));
    assert!(!alive(nats));
    assert!(!node.comms_folder().join("node.json").exists(), "nobody is sent to a node that is gone");
}

/// Every file of the blocks, of uploads too.
fn block_files(node: &TestNode) -> Vec<std::path::PathBuf> {
    let mut folders = vec![node.comms_folder().join("content/blocks")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_a_crash_ends_leaves_nothing() {
    let mut node = TestNode::start().await;
    let kept = node.connect("archive").await.put(vec![1; 3 << 20]).await.unwrap().cid;
    let before = block_files(&node);
    let (host, token) = (node.http_url().trim_start_matches("http://").to_owned(), node.token("archive"));
    let mut upload = tokio::net::TcpStream::connect(&host).await.unwrap();
    let head = format!(
        "POST /content HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: 99999999\r\n\r\n"
    );
    upload.write_all(head.as_bytes()).await.unwrap();
    for n in 0..6 {
        upload.write_all(&vec![n; 1 << 20]).await.unwrap();
    }
    wait_until("some of it to be written", SOON, async || {
        let files = block_files(&node).len();
        if files > before.len() + 2 { Ok(()) } else { Err(files) }
    })
    .await;
    node.kill().await;
    assert!(block_files(&node).len() > before.len(), "the crash was in the middle of it");
    node.up().await;
    assert_eq!(block_files(&node), before);
    let read = node.connect("archive").await.get(&kept).await.unwrap().into_bytes(4 << 20).await.unwrap();
    assert!(read == vec![1; 3 << 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_definition_changes_while_the_domain_runs() {
    let node = TestNode::start().await;
    let indexer = node.connect("indexer").await;
    assert_eq!(indexer.watch::<Lent>().await.unwrap_err().kind(), ErrorKind::Denied);
    let file = node.path().join("domain.toml");
    let definition = std::fs::read_to_string(&file).unwrap();
    let wider = definition.replace(
        "observes = [\"documents.DocumentAdded\", \"documents.DocumentRetitled\"]",
        "observes = [\"documents.DocumentAdded\", \"documents.DocumentRetitled\", \"lending.Lent\"]",
    );
    assert_ne!(wider, definition);
    let newcomer = "\n[service.newcomer]\nobserves = [\"lending.Lent\"]\n";
    let wider = format!("{wider}{newcomer}");
    std::fs::write(&file, &wider).unwrap();
    let (code, out, err) = node.run(&["domain", "plan", "--as", "operator"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("indexer") && out.contains("lending.Lent"), "{out}");
    assert_eq!(
        indexer.watch::<Lent>().await.unwrap_err().kind(),
        ErrorKind::Denied,
        "a plan changes nothing"
    );
    let (code, _, err) = node.run(&["domain", "apply", "--as", "operator"]);
    assert_eq!(code, 0, "{err}");
    // The same connection, without a reconnect.
    let mut watch = wait_until("the right to watch", SOON, async || indexer.watch::<Lent>().await).await;
    node.connect("newcomer").await.watch::<Lent>().await.expect("the doors are open for a new service");
    let running = node
        .connect("lender")
        .await
        .handle(|lend: Lend, cx: CommandContext| async move {
            Ok::<_, Failure>(cx.new_entity("loan").emit(Lent { n: lend.n }))
        })
        .start()
        .await
        .unwrap();
    let evil = node.connect("evil").await;
    evil.send(Lend { n: 7 }).owner("ada").await.unwrap().outcome().await.unwrap().done().unwrap();
    let lent = tokio::time::timeout(SOON, watch.next()).await.expect("the event comes").unwrap().unwrap();
    assert_eq!(lent.event().n, 7);
    running.stop().await.unwrap();

    // What is stored keeps its name: removing its type is refused, by `apply` and by a restart.
    let narrower = wider
        .replace(newcomer, "")
        .replace("[event.\"lending.Lent\"]\nentity = \"loan\"\n", "")
        .replace(", \"lending.Lent\"]", "]")
        .replace("emits = [\"lending.Lent\"]\n", "")
        .replace("[service.reader]\nobserves = [\"lending.Lent\"]\n", "");
    std::fs::write(&file, &narrower).unwrap();
    let (code, _, err) = node.run(&["domain", "apply", "--as", "operator"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("lending.Lent"), "{err}");
    // Nobody without the right changes anything.
    std::fs::write(&file, &wider).unwrap();
    let (code, _, err) = node.run(&["domain", "apply", "--as", "indexer"]);
    assert_ne!(code, 0, "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_over_restarts_of_the_node_without_a_gap_or_a_double() {
    let mut node = TestNode::start().await;
    let indexer = node.connect("indexer").await;
    let mut watch = indexer.watch::<DocumentRetitled>().from(WatchFrom::Start).await.unwrap();
    let mut wanted = 0;
    for round in 0..3 {
        let archive = node.connect("archive").await;
        for _ in 0..20 {
            let title = format!("{wanted}");
            archive.publish(DocumentRetitled { title }).entity("d").owner("ada").await.unwrap();
            let heard = tokio::time::timeout(Duration::from_secs(40), watch.next()).await;
            let heard = heard
                .unwrap_or_else(|_| panic!("event {wanted} of round {round} does not come"))
                .unwrap()
                .unwrap();
            assert_eq!(heard.event().title, format!("{wanted}"));
            wanted += 1;
        }
        node.kill().await;
        node.up().await;
    }
}

/// What `apply` refuses whoever asks, on the command line and over HTTP, and what a start refuses.
#[tokio::test(flavor = "multi_thread")]
async fn a_definition_is_not_replaced_by_accident() {
    let named = "name = \"library\"\n";
    let definition = comms_tests::fixture::DOMAIN.replacen(named, "name = \"library\"\nversion = 2\n", 1);
    let mut node = TestNode::start_with(&definition, &[]).await;
    let file = node.path().join("domain.toml");
    let in_force = node.facts()["definition"].as_str().unwrap().to_owned();
    let unseating = format!("{definition}\n[operator]\nrights = [\"domain.read\"]\n");
    let older = definition.replacen("version = 2", "version = 1", 1);
    let renamed = definition.replacen(named, "name = \"archive\"\n", 1);
    let http = async |node: &TestNode, toml: &str, more: serde_json::Value| {
        let mut body = serde_json::json!({ "file": "domain.toml", "toml": toml });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = reqwest::Client::new().post(format!("{}/domain/apply", node.http_url()));
        let answer = request.bearer_auth(node.token("operator")).body(body.to_string()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for (text, words) in [
        (&older, "a version above 2"),
        (&renamed, "keep the name"),
        (&unseating, "operator could not change the definition any more"),
    ] {
        std::fs::write(&file, text).unwrap();
        let (code, out, err) = node.run(&["domain", "plan", "--as", "operator"]);
        assert!(format!("{out}{err}").contains(words) && (code == 0) == (text == &unseating), "{out}{err}");
        let (code, _, err) = node.run(&["domain", "apply", "--as", "operator"]);
        assert!(code == 3 && err.contains(words), "{code}: {err}");
        let (status, said) = http(&node, text, serde_json::json!({})).await;
        assert!(status == 409 && said.contains(words), "{status}: {said}");
    }
    // Not even when it is said to be meant.
    for text in [&older, &renamed] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(node.run(&["domain", "apply", "--yes", "--as", "operator"]).0, 3);
    }
    let (status, said) = http(&node, &definition, serde_json::json!({ "over": "another digest" })).await;
    assert!(status == 409 && said.contains("applied meanwhile"), "{status}: {said}");
    assert_eq!(node.facts()["definition"], in_force, "nothing has changed");
    let (status, said) = http(&node, &definition, serde_json::json!({ "over": in_force })).await;
    assert_eq!(status, 200, "{said}");
    // A start refuses the same.
    assert_eq!(node.stop().await.code(), Some(0));
    for (text, words) in [(&older, "a version above 2"), (&renamed, "keep the name")] {
        std::fs::write(&file, text).unwrap();
        let (code, _, err) = node.run(&["up", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        assert!(code != 0 && err.contains(words), "{code}: {err}");
    }
    std::fs::write(&file, &definition).unwrap();
    node.up().await;
    std::fs::write(&file, &unseating).unwrap();
    let (code, _, err) = node.run(&["domain", "apply", "--yes", "--as", "operator"]);
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = node.run(&["domain", "apply", "--as", "operator"]);
    assert_ne!(code, 0, "{err}");
}

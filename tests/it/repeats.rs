//! What is said again under its id is the same message: from the command line and from the library, at once and later,
//! while a command waits and after it ended.

use comms::{CommandContext, Commit, ErrorKind, Failure, MsgId};
use comms_tests::TestNode;
use serde_json::Value;

use crate::vocabulary::{DocumentRetitled, RetitleDocument};

/// Ids of all kinds: of versions 4, 1, 5, 7 from another century, none and all.
const IDS: [&str; 6] = [
    "550e8400-e29b-41d4-a716-446655440001",
    "c232ab00-9414-11ec-b3c8-9f6bdeced846",
    "2ed6657d-e927-568b-95e1-2665a8aea6a2",
    "0f90a000-0000-7000-8000-000000000001",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
];

/// Runs `comms …` twice and returns what both say; they must say the same position.
fn twice(node: &TestNode, arguments: &[&str]) -> Value {
    let mut said = [0, 1].map(|n| {
        let (code, out, err) = node.run(arguments);
        assert_eq!(code, 0, "time {n} of {arguments:?}: {err}");
        serde_json::from_str::<Value>(&out).unwrap()
    });
    assert_eq!(said[0]["position"], said[1]["position"], "{said:?}");
    assert_eq!(said[0]["cid"], said[1]["cid"], "{said:?}");
    said[1].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_says_again_is_stored_once() {
    let node = TestNode::start().await;
    for id in IDS {
        let event = ["publish", "documents.DocumentRetitled", "title=x", "--entity", "e", "--owner", "ada"];
        twice(&node, &[&event[..], &["--id", id, "--as", "archive", "--json"]].concat());
        let (code, _, err) = node.run(&[&event[..], &["note=y", "--id", id, "--as", "archive"]].concat());
        assert_ne!(code, 0, "another message under the same id: {err}");
        let command = ["send", "documents.RetitleDocument", "document=d", "title=x", "--owner", "ada"];
        twice(&node, &[&command[..], &["--id", id, "--no-wait", "--as", "desk", "--json"]].concat());
    }
    assert_eq!(node.stored("EVENT").await.messages, IDS.len() as u64);
    assert_eq!(node.stored("COMMAND").await.messages, IDS.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_library_says_again_is_stored_once_also_after_the_end() {
    let node = TestNode::start().await;
    let handling = node
        .connect("archive")
        .await
        .handle(|retitle: RetitleDocument, cx: CommandContext| async move {
            let title = retitle.title;
            Ok::<Commit, Failure>(cx.entity(&retitle.document).emit(DocumentRetitled { title }))
        })
        .start()
        .await
        .unwrap();
    let desk = node.connect("desk").await;
    let command = |title: &str| RetitleDocument { document: "d".into(), title: title.into() };
    for id in IDS {
        let id: MsgId = id.parse().unwrap();
        let first = desk.send(command("x")).owner("ada").id(id).await.unwrap();
        let ended = first.outcome().await.unwrap().done().unwrap();
        let again = desk.send(command("x")).owner("ada").id(id).await.unwrap();
        assert_eq!((again.id, again.cid, again.position), (first.id, first.cid, first.position));
        let events = again.outcome().await.unwrap().done().unwrap().events;
        let ids = |events: &[comms::Caused]| events.iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(ids(&events), ids(&ended.events), "it was not handled again");
        let other = desk.send(command("y")).owner("ada").id(id).await.unwrap_err();
        assert_eq!(other.kind(), ErrorKind::Invalid, "{other}");
    }
    assert_eq!(node.stored("EVENT").await.messages, IDS.len() as u64);
    handling.stop().await.unwrap();
}

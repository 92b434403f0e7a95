//! Links that lie: of another codec than their bytes, to bytes that are not what the codec says, cut off, with the
//! content in place of a hash, and too many of them.

use comms_content::{Cid, DAG_CBOR, DAG_PB, Importer};
use comms_msg::door::Answer;
use comms_msg::door::RefusalKind::{Invalid, Malformed, NotFound, TooLarge};
use serde_json::{Value, json};

use super::Siege;

const DOOR: &str = "event.lending.Noted";
/// CIDv1, raw, SHA-256, and then too few bytes.
const CUT: &[u8] = b"\xd8\x2a\x45\x00\x01\x55\x12\x20";

fn note(body: Value) -> Value {
    json!({ "metadata": { "owner": "evil" }, "content": { "event": "lending.Noted", "entity": "n1", "body": body } })
}

fn link(cid: &Cid) -> Value {
    json!({ "/": cid.to_string() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_taken_only_for_what_its_bytes_are() {
    let siege = Siege::begin().await;
    let evil = siege.attacker("evil").await;
    let own = siege.node.connect("evil").await;
    let bytes = own.put(&b"\xff, which is neither CBOR nor a node"[..]).await.unwrap().cid;
    assert!(matches!(
        evil.ask(DOOR, note(json!({ "about": link(&bytes) })).to_string()).await,
        Answer::Ok(_)
    ));
    for codec in [DAG_CBOR, DAG_PB, 0x0129, 0x72, 0x00] {
        evil.must(
            DOOR,
            note(json!({ "about": link(&bytes.with_codec(codec)) })),
            NotFound,
            "not here, or not yours",
        )
        .await;
    }
    // A body that stands in a block must be a block of DAG-CBOR.
    let mut linked = note(json!({}));
    linked["content"].as_object_mut().unwrap().remove("body");
    // One of any other codec is bytes, in which links are no links: named so, somebody else's would go unseen.
    let foreign = siege.node.connect("desk").await.put(&b"for the desk's eyes"[..]).await.unwrap().cid;
    let body = comms_content::Node::encode(&std::collections::BTreeMap::from([("about", foreign)])).unwrap();
    let hidden = own.put(body.as_bytes().to_vec()).await.unwrap().cid;
    for (cid, kind) in [
        (bytes, Invalid),
        (hidden, Invalid),
        (bytes.with_codec(DAG_CBOR), NotFound),
        (bytes.with_codec(DAG_PB), Invalid),
    ] {
        linked["content"]["link"] = link(&cid);
        evil.must(DOOR, linked.clone(), kind, "").await;
    }
    assert_eq!(own.get(&foreign).await.unwrap_err().kind(), comms::ErrorKind::NotFound);
    // Whoever knows the node of somebody's file may put its bytes, as any bytes; that must not open the file.
    let secret = vec![5; 3_000_000];
    let (mut importer, mut blocks) = (Importer::new(), Vec::new());
    importer.push(secret.clone().into(), &mut blocks);
    let root = importer.finish(&mut blocks).cid;
    assert_eq!(siege.node.connect("desk").await.put(secret).await.unwrap().cid, root);
    let node = blocks.iter().find(|block| *block.cid() == root).expect("the root is one of the blocks");
    let copy = own.put(node.data().clone()).await.unwrap().cid;
    assert_eq!(copy.with_codec(DAG_PB), root);
    evil.must(DOOR, note(json!({ "about": link(&root) })), NotFound, "not here, or not yours").await;
    assert_eq!(own.get(&root).await.unwrap_err().kind(), comms::ErrorKind::NotFound);
    assert!(matches!(evil.ask(DOOR, note(json!({ "about": link(&copy) })).to_string()).await, Answer::Ok(_)));
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cid_that_is_none_or_names_no_block_is_refused() {
    let siege = Siege::begin().await;
    let evil = siege.attacker("evil").await;
    for text in [
        "",
        "b",
        "Qm",
        "bafkrei",
        "nonsense",
        "..",
        "b\u{0}",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdGx",
        &"b".repeat(5_000),
    ] {
        evil.must(DOOR, note(json!({ "about": { "/": text } })), Malformed, "").await;
    }
    let cut = [&b"\xa1\x67content\xa1\x64body\xa1\x65about"[..], CUT].concat();
    assert_eq!(evil.refused(DOOR, cut).await.kind, Malformed);
    // The content in place of its hash is everybody's, unless it is the node of a file, whose parts it would open.
    for text in ["bafkqaaa", "bafkqabtimvwgy3yk"] {
        let answer = evil.ask(DOOR, note(json!({ "about": { "/": text } })).to_string()).await;
        assert!(matches!(answer, Answer::Ok(_)), "{text}: {answer:?}");
    }
    // The node of a file in place of its hash; other hash functions; version 0. None can be here.
    for text in [
        "bafyqaaa",
        "bafkr4iae4c5tt4yldi76xcpvg3etxykqkvec352im5fqbutolj2xo5yc5e",
        "bafkrgqaohz2sgsv4nd2dpcugwp2lgkqzrorqdbc3btlokaig5b2divyazrtghkdmd2qslxc6sk7bpsmptihylsu5l5mv3mqbf56mgvyzixasg",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
    ] {
        evil.must(DOOR, note(json!({ "about": { "/": text } })), NotFound, "not here, or not yours").await;
    }
    siege.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_links_are_looked_up() {
    let siege = Siege::begin().await;
    let evil = siege.attacker("evil").await;
    let links = |count: u64| (0..count).map(|n| link(&Cid::raw(&n.to_be_bytes()))).collect::<Vec<_>>();
    evil.must(DOOR, note(json!({ "about": links(1_001) })), TooLarge, "1000").await;
    evil.must(DOOR, note(json!({ "about": links(1_000) })), NotFound, "not here, or not yours").await;
    // One link many times is one.
    let own = siege.node.connect("evil").await.put(&b"mine"[..]).await.unwrap().cid;
    let many = note(json!({ "about": vec![link(&own); 10_000] }));
    assert!(matches!(evil.ask(DOOR, many.to_string()).await, Answer::Ok(_)));
    siege.end().await;
}

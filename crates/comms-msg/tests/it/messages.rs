//! Messages: both forms, the CID, and what is refused where.

use bytes::Bytes;
use comms_content::{Cid, Node};
use comms_msg::limits::{BODY_DEPTH_MAX, MSG_BYTES_MAX};
use comms_msg::{Body, DomainContent, Hop, Msg};

use crate::golden;

#[test]
fn golden_messages_survive_both_forms_and_have_one_cid() {
    for golden in golden::messages() {
        let cbor = golden.msg.to_wire().unwrap();
        assert_eq!(Msg::from_cbor(&cbor).unwrap(), golden.msg, "{}", golden.name);
        let json = golden.msg.to_json().unwrap();
        let read = Msg::from_json(json.as_bytes()).unwrap();
        assert_eq!(read, golden.msg, "{}", golden.name);
        assert_eq!(read.cid(), golden.msg.cid());
        assert_eq!(read.to_cbor(), cbor);
        assert_eq!(read.to_json().unwrap(), json);
    }
}

#[test]
fn the_direct_encoder_writes_what_dag_cbor_calls_canonical() {
    for golden in golden::messages() {
        let cbor = golden.msg.to_wire().unwrap();
        let node = Node::from_cbor(cbor.clone()).unwrap();
        assert_eq!(*Node::from_ipld(&node.to_ipld()).unwrap().as_bytes(), cbor, "{}", golden.name);
    }
}

#[test]
fn hop_is_never_hashed() {
    let msg = golden::by_name("command-pairs");
    assert!(!msg.hop.is_empty());
    let bare = Msg { hop: Hop::default(), ..msg.clone() };
    assert_eq!(msg.cid(), bare.cid());
    assert_eq!(bare.cid(), Cid::dag_cbor(&bare.to_cbor()));
    assert_ne!(msg.to_cbor(), bare.to_cbor());
}

#[test]
fn links_are_those_of_the_body() {
    assert_eq!(golden::by_name("command").links(), [Cid::raw(b"the bytes of a file")]);
    assert_eq!(golden::by_name("link").links(), [Cid::dag_cbor(&[0xa0])]);
    assert_eq!(golden::by_name("sealed").links(), [Cid::raw(b"encrypted")]);
    assert_eq!(golden::by_name("event-previous").links(), []);
    assert_eq!(golden::by_name("no-content").links(), []);
}

#[test]
fn json_is_lenient_in_order_and_space_only() {
    let msg = golden::by_name("command");
    let json = msg.to_json().unwrap();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    assert_eq!(Msg::from_json(pretty.as_bytes()).unwrap(), msg);
    let doubled = json.replacen("\"owner\"", "\"owner\":\"eve\",\"owner\"", 1);
    assert!(Msg::from_json(doubled.as_bytes()).is_err());
}

#[test]
fn each_refusal_says_where() {
    let json = golden::by_name("event").to_json().unwrap();
    for (from, to, reason, at) in [
        ("\"owner\":\"ada\"", "\"owner\":\"\"", "invalid", "/metadata/owner"),
        ("\"owner\":\"ada\"", "\"owner\":7", "malformed", "/metadata/owner"),
        ("\"owner\":\"ada\",", "", "missing", "/metadata/owner"),
        ("\"owner\":", "\"ownr\":", "unknown_key", "/metadata/ownr"),
        ("\"sender\":\"archive\"", "\"sender\":\"node\"", "invalid", "/metadata/sender"),
        ("\"v\":2", "\"v\":-2", "malformed", "/content/v"),
        ("\"v\":2", "\"v\":2.0", "malformed", "/content/v"),
        ("\"v\":2", "\"v\":4294967296", "invalid", "/content/v"),
        (",\"v\":2", "", "missing", "/content/v"),
        ("\"v\":1", "\"v\":2", "invalid", "/metadata/v"),
        (",\"v\":1", "", "missing", "/metadata/v"),
        ("10:00:00.123Z", "10:00:00Z", "invalid", "/metadata/time"),
        ("\"entity\":\"report-7f3a\"", "\"entity\":\"a.b\"", "invalid", "/content/entity"),
        ("\"entity\":\"report-7f3a\",", "", "missing", "/content/entity"),
        ("documents.DocumentAdded", "DocumentAdded", "invalid", "/content/event"),
        ("\"event\":", "\"command\":", "unknown_key", "/content/entity"),
        ("\"event\":", "\"query\":\"a.B\",\"event\":", "malformed", "/content/query"),
        ("\"body\":", "\"text\":", "unknown_key", "/content/text"),
        ("\"body\":", "\"sealed\":{\"key\":\"k\"},\"body\":", "malformed", "/content/sealed"),
        ("\"entity\":", "\"link\":\"x\",\"entity\":", "malformed", "/content/link"),
        ("\"expect\":\"absent\"", "\"expect\":\"any\"", "malformed", "/hop/expect"),
        ("\"commit\":[0,1]", "\"commit\":[1,1]", "invalid", "/hop/commit"),
        ("\"commit\":[0,1]", "\"commit\":[0,1,2]", "malformed", "/hop/commit"),
        ("\"hop\":{", "\"hop\":{\"x\":1,", "unknown_key", "/hop/x"),
        ("\"hop\":", "\"hops\":", "unknown_key", "/hops"),
        ("\"metadata\":{", "\"metadata\":{\"user\":{},", "malformed", "/metadata/user"),
        ("\"metadata\":{", "\"metadata\":{\"user\":{\"k\":1},", "malformed", "/metadata/user/k"),
    ] {
        assert!(json.contains(from), "{from} in {json}");
        let changed = json.replacen(from, to, 1);
        // Where both versions stand in one text, the metadata's is the last.
        let changed = if from.contains("\"v\":1") { replace_last(&json, from, to) } else { changed };
        let error = Msg::from_json(changed.as_bytes()).unwrap_err();
        assert_eq!((error.reason(), error.at()), (reason, at), "{from} -> {to}: {error}");
        assert!(error.to_string().starts_with(at) && error.to_string().contains("expected"), "{error}");
    }
}

#[test]
fn a_wrong_kind_of_value_is_told_in_words() {
    let json = golden::by_name("event").to_json().unwrap().replace("\"ada\"", "7");
    let error = Msg::from_json(json.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "/metadata/owner: an unsigned integer; expected text");
}

fn replace_last(text: &str, from: &str, to: &str) -> String {
    let at = text.rfind(from).unwrap();
    format!("{}{to}{}", &text[..at], &text[at + from.len()..])
}

#[test]
fn truncated_and_continued_bytes_are_refused() {
    for golden in golden::messages() {
        let cbor = golden.msg.to_wire().unwrap();
        for end in 0..cbor.len() {
            assert!(Msg::from_cbor(&cbor.slice(..end)).is_err(), "{} cut at {end}", golden.name);
        }
        let mut longer = cbor.to_vec();
        longer.push(0);
        assert!(Msg::from_slice(&longer).is_err());
    }
}

#[test]
fn changing_any_bit_never_gives_a_second_encoding() {
    for golden in golden::messages() {
        let cbor = golden.msg.to_cbor();
        for bit in 0..cbor.len() * 8 {
            let mut changed = cbor.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = Msg::from_slice(&changed) {
                assert_eq!(read.to_cbor(), changed, "{} bit {bit}", golden.name);
            }
        }
    }
}

#[test]
fn size_at_and_above_the_limit() {
    let mut msg = golden::by_name("command");
    let with = |msg: &mut Msg, bytes: usize| {
        let text = format!("\"{}\"", "x".repeat(bytes));
        let body = Body::Inline(Node::from_json(text.as_bytes()).unwrap());
        *msg.content.as_mut().map(DomainContent::body_mut).unwrap() = body;
        msg.to_cbor().len()
    };
    let base = with(&mut msg, 100_000) - 100_000;
    assert_eq!(with(&mut msg, MSG_BYTES_MAX - base), MSG_BYTES_MAX);
    assert_eq!(Msg::from_cbor(&msg.to_wire().unwrap()).unwrap(), msg);
    with(&mut msg, MSG_BYTES_MAX - base + 1);
    assert_eq!(msg.to_wire().unwrap_err().reason(), "too_large");
    assert_eq!(Msg::from_slice(&msg.to_cbor()).unwrap_err().reason(), "too_large");
    assert_eq!(Msg::from_json(&vec![b' '; MSG_BYTES_MAX + 1]).unwrap_err().reason(), "too_large");
}

#[test]
fn depth_at_and_above_the_limit() {
    let mut msg = golden::by_name("command");
    let mut with = |levels: usize| {
        let text = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let body = Body::Inline(Node::from_json(text.as_bytes()).unwrap());
        *msg.content.as_mut().map(DomainContent::body_mut).unwrap() = body;
        msg.clone()
    };
    let deepest = with(BODY_DEPTH_MAX);
    assert_eq!(Msg::from_cbor(&deepest.to_wire().unwrap()).unwrap(), deepest);
    assert_eq!(Msg::from_json(deepest.to_json().unwrap().as_bytes()).unwrap(), deepest);
    let deeper = with(BODY_DEPTH_MAX + 1);
    let errors = [
        deeper.to_wire().unwrap_err(),
        deeper.to_json().unwrap_err(),
        Msg::from_slice(&deeper.to_cbor()).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.reason(), error.at()), ("too_large", "/content/body"));
    }
    for hostile in ["[".repeat(1_000_000), "{\"a\":".repeat(200_000)] {
        assert!(Msg::from_json(hostile.as_bytes()).is_err());
    }
    assert!(Msg::from_slice(&vec![0x81; 1_000_000]).is_err());
}

#[test]
fn lengths_that_lie_allocate_nothing() {
    for hex in
        [&[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &[0xba, 0x7f, 0xff, 0xff, 0xff, 0x61]]
    {
        assert!(Msg::from_slice(hex).is_err());
    }
    assert!(Msg::from_cbor(&Bytes::new()).is_err());
    assert_eq!(Msg::from_json(b"").unwrap_err().reason(), "missing");
}

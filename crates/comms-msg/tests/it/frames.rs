//! Payloads of one message or many.

use bytes::Bytes;
use comms_msg::limits::{FRAME_BYTES_MAX, FRAME_MSGS_MAX};
use comms_msg::wire::{self, Frame};
use comms_msg::{Error, Msg};

use crate::golden;

fn all(payload: &Bytes) -> Vec<Msg> {
    wire::read(payload).unwrap().map(Result::unwrap).collect()
}

fn golden() -> Vec<Msg> {
    golden::messages().into_iter().map(|golden| golden.msg).collect()
}

#[test]
fn one_message_in_each_form() {
    for msg in golden() {
        assert_eq!(all(&msg.to_wire().unwrap()), std::slice::from_ref(&msg));
        let json = format!("\n {}", msg.to_json().unwrap());
        assert_eq!(all(&json.into()), [msg]);
    }
}

#[test]
fn frames_in_each_form() {
    let msgs = golden();
    let mut frame = Frame::new();
    assert!(frame.is_empty() && frame.clone().finish().is_empty());
    for msg in &msgs {
        assert!(frame.push(msg));
    }
    assert_eq!(frame.len(), msgs.len());
    assert_eq!(all(&frame.finish()), msgs);
    let json: Vec<String> = msgs.iter().map(|msg| msg.to_json().unwrap()).collect();
    let json = Bytes::from(format!(" [ {} ]", json.join(" ,")));
    assert_eq!(all(&json), msgs);
    let parts = wire::split(&json, msgs.len()).unwrap();
    assert_eq!(parts, msgs.iter().map(Msg::to_cbor).collect::<Vec<_>>());
    assert!(wire::split(&json, msgs.len() - 1).is_err());
}

#[test]
fn one_alone_leaves_as_itself() {
    let msg = golden::by_name("command");
    let mut frame = Frame::new();
    frame.push(&msg);
    assert_eq!(frame.finish(), msg.to_cbor());
}

#[test]
fn a_frame_is_bounded_in_messages() {
    let msg = golden::by_name("query");
    let mut frame = Frame::new();
    let mut pushed = 0;
    while frame.push_encoded(&msg.to_cbor()) {
        pushed += 1;
    }
    assert!(!frame.push(&msg));
    assert_eq!(pushed, FRAME_MSGS_MAX);
    assert_eq!(all(&frame.finish()).len(), FRAME_MSGS_MAX);
    let more = [&[0x98, 101][..], &msg.to_cbor().repeat(101)].concat();
    assert!(matches!(wire::read(&more.into()), Err(Error::TooLarge { .. })));
}

#[test]
fn a_frame_is_bounded_in_bytes() {
    let msg = golden::by_name("command");
    let size = msg.to_cbor().len();
    let mut frame = Frame::new();
    // Fill up to less than one message, with one item of no meaning, then try one more.
    let rest = FRAME_BYTES_MAX - 2;
    assert!(frame.push_encoded(&vec![0; rest - size]));
    assert!(frame.push(&msg));
    assert!(!frame.push_encoded(&[0]));
    assert_eq!(frame.finish().len(), FRAME_BYTES_MAX - 1);

    let mut frame = Frame::new();
    assert!(!frame.push_encoded(&vec![0; FRAME_BYTES_MAX]));
    assert!(frame.is_empty());
    let spaces = format!("{}[{}]", " ".repeat(FRAME_BYTES_MAX), msg.to_json().unwrap());
    assert!(matches!(wire::read(&spaces.into()), Err(Error::TooLarge { .. })));
}

#[test]
fn a_refused_message_does_not_hide_the_next() {
    let (good, other) = (golden::by_name("query"), golden::by_name("event"));
    let bad = b"\xa1\x61x\x01";
    let frame: Bytes = [&[0x83], &good.to_cbor()[..], bad, &other.to_cbor()].concat().into();
    let read: Vec<_> = wire::read(&frame).unwrap().collect();
    assert_eq!(read.len(), 3);
    assert_eq!(read[0].as_ref().unwrap(), &good);
    let error = read[1].as_ref().unwrap_err();
    assert_eq!((error.reason(), error.at()), ("unknown_key", "/1/x"));
    assert_eq!(read[2].as_ref().unwrap(), &other);
}

#[test]
fn after_bytes_that_are_no_cbor_a_frame_ends() {
    let good = golden::by_name("query").to_cbor();
    let frame: Bytes = [&[0x83], &good[..], &[0xff], &good].concat().into();
    let read: Vec<_> = wire::read(&frame).unwrap().map(|msg| msg.is_ok()).collect();
    assert_eq!(read, [true, false]);
    let longer: Bytes = [&[0x82], &good[..], &good, &[0xf6]].concat().into();
    let read: Vec<_> = wire::read(&longer).unwrap().map(|msg| msg.is_ok()).collect();
    assert_eq!(read, [true, false]);
}

#[test]
fn what_is_neither_a_message_nor_a_frame_is_refused() {
    for bad in
        [&b"\x80"[..], b"[]", b"\xf6", b"\x61x", b"\"text\"", b"\x9f\xff", b"\xbf\xff", b"{", b"[{}", b"7"]
    {
        let payload = Bytes::copy_from_slice(bad);
        let refused = wire::read(&payload).map_or(true, |mut msgs| msgs.any(|msg| msg.is_err()));
        assert!(refused, "{bad:?}");
    }
}

/// Frames byte for byte, for handlers in other languages that read them.
#[test]
fn the_vectors_are_what_the_code_reads_and_writes() {
    let golden = golden();
    let vector = |about: &str, msgs: &[Msg]| {
        let mut frame = Frame::new();
        assert!(msgs.iter().all(|msg| frame.push(msg)));
        let payload = frame.finish();
        assert_eq!(if payload.is_empty() { Vec::new() } else { all(&payload) }, msgs);
        let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
        let cids: Vec<String> = msgs.iter().map(|msg| msg.cid().to_string()).collect();
        serde_json::json!({ "about": about, "cbor": hex, "cids": cids })
    };
    let many: Vec<Msg> = (0..24).map(|number| golden[number % 2].clone()).collect();
    let expected = serde_json::json!({
        "readme": [
            "Frames: payloads of the frames' subjects. `cbor` is the payload in hex; `cids` are the CIDs of the messages \
             in it, in their order; the messages are in msg.json.",
        ],
        "frames": [
            vector("empty: a question whether frames are read", &[]),
            vector("one message: itself", &golden[..1]),
            vector("two messages: an array whose head is one byte", &golden[..2]),
            vector("24 messages: an array whose head is two bytes", &many),
        ],
    });
    crate::vectors::compare_or_write("vectors/frames.json", &expected);
}

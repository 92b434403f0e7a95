//! What arrives as one payload: messages in either form, alone or in a frame. A message that is accepted has one
//! encoding, one JSON and one CID.
#![no_main]

use bytes::Bytes;
use comms_msg::{Form, Msg, wire};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let payload = Bytes::copy_from_slice(data);
    let Ok(msgs) = wire::read(&payload) else { return };
    // What is seen without keeping it is what is kept.
    let (mut views, mut seen) = (msgs.clone(), Vec::new());
    while let Some(view) = views.next_view() {
        seen.push(view.map(Msg::from));
    }
    assert_eq!(seen, msgs.clone().collect::<Vec<_>>());
    let mut all_read = true;
    let mut frame = wire::Frame::new();
    for msg in msgs {
        let Ok(msg) = msg else {
            all_read = false;
            continue;
        };
        let cbor = msg.to_wire().expect("what was read can be written");
        let again = Msg::from_cbor(&cbor).expect("what was written can be read");
        assert_eq!(again, msg);
        let json = msg.to_json().expect("what has one form has the other");
        let from_json = Msg::from_json(json.as_bytes()).expect("and is read from it");
        assert_eq!(from_json, msg);
        assert_eq!(from_json.cid(), msg.cid());
        all_read &= frame.push(&msg);
    }
    // Only CBOR is canonical: JSON has white space, and its frames may have one message.
    if all_read && Form::of(data) == Form::Cbor && frame.len() != 1 {
        assert_eq!(frame.finish(), data);
    }
});

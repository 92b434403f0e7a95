//! A message that a foreign client left incomplete: read, completed, and then a message like every other.
#![no_main]

use bytes::Bytes;
use comms_msg::{Defaults, Draft, Kind, Msg, MsgId, Timestamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(draft) = Draft::read(&Bytes::copy_from_slice(data)) else { return };
    if let Ok(node) = draft.to_node() {
        assert_eq!(Draft::from_node(&node).as_ref(), Ok(&draft));
    }
    for kind in [Kind::Command, Kind::Query, Kind::Event] {
        let mut defaults = Defaults::new(
            MsgId::v7(1_800_000_000_000, 1),
            Timestamp::from_unix_ms(1_800_000_000_000),
            "desk".parse().expect("a name"),
            kind,
            "documents.AddDocument".parse().expect("a type"),
        );
        defaults.type_name = None;
        let Ok((msg, filled)) = draft.clone().complete(defaults) else { continue };
        assert_eq!(filled.retry_safe(), draft.id.is_some());
        // With what was filled in it may be too large now.
        if let Ok(cbor) = msg.to_wire() {
            assert_eq!(Msg::from_cbor(&cbor).as_ref(), Ok(&msg));
        }
    }
});

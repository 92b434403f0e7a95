//! A subject, and the names in it: what parses is spelled in one way only.
#![no_main]

use comms_msg::{DomainName, EntityId, MsgId, Owner, Position, ServiceName, Subject, Timestamp, TypeName};
use libfuzzer_sys::fuzz_target;

/// Every text that is accepted is the text of the value it became.
macro_rules! one_spelling {
    ($text:expr, $($name:ty),+) => {$(
        if let Ok(value) = $text.parse::<$name>() {
            assert_eq!(value.to_string(), $text, stringify!($name));
        }
    )+};
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    one_spelling!(
        text,
        Subject,
        DomainName,
        ServiceName,
        TypeName,
        EntityId,
        Owner,
        Position,
        Timestamp,
        MsgId
    );
    if let Ok(id) = MsgId::parse_lenient(text) {
        assert_eq!(id.to_string().parse::<MsgId>(), Ok(id));
    }
    if let Ok(time) = Timestamp::parse_lenient(text) {
        assert_eq!(time.to_string().parse::<Timestamp>(), Ok(time));
    }
});

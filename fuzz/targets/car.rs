//! A CAR as it arrives: in pieces or at once it is the same, and a complete one is written back the same.
#![no_main]

use bytes::Bytes;
use comms_content::car::{Event, Reader, write_block, write_header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = read(data, data.len().max(1));
    let piece = data.first().map_or(1, |first| usize::from(*first) % 64 + 1);
    assert_eq!(read(data, piece), whole, "in pieces of {piece}");
    let (events, true) = whole else { return };
    let mut written = Vec::new();
    for event in events {
        match event {
            Event::Header(roots) => match roots.as_slice() {
                [root] => written.extend_from_slice(&write_header(root)),
                // What is written here has one root.
                _ => return,
            },
            Event::Block(block) => {
                let (before, bytes) = write_block(&block);
                written.extend_from_slice(&before);
                written.extend_from_slice(&bytes);
            }
        }
    }
    assert_eq!(written, data);
});

/// What came out before the end or the first error, and whether it was complete.
fn read(data: &[u8], piece: usize) -> (Vec<Event>, bool) {
    let mut reader = Reader::new();
    let mut events = Vec::new();
    for piece in data.chunks(piece) {
        reader.push(Bytes::copy_from_slice(piece));
        while let Some(event) = reader.event() {
            match event {
                Ok(event) => events.push(event),
                Err(_) => return (events, false),
            }
        }
    }
    (events, reader.finish().is_ok())
}

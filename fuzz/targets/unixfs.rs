//! One block that is said to be the root of a file: read or refused, never more bytes than it has or names.
#![no_main]

use bytes::Bytes;
use comms_content::{Block, DAG_PB, Exporter, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let root = Block::new(DAG_PB, Bytes::copy_from_slice(data)).expect("inputs are smaller than a block");
    let mut exporter = Exporter::new(*root.cid(), None);
    assert_eq!(exporter.step(), Ok(Step::Want(*root.cid())));
    if exporter.give(root).is_err() {
        assert!(exporter.step().is_err(), "an error lasts");
        return;
    }
    let size = exporter.size().expect("the root has been given");
    let mut handed_on = 0;
    loop {
        match exporter.step() {
            Ok(Step::Bytes(bytes)) => handed_on += bytes.len() as u64,
            Ok(Step::Done) => break assert_eq!(handed_on, size),
            // The parts are other blocks.
            Ok(Step::Want(_)) | Err(_) => break assert!(handed_on <= size),
        }
    }
});

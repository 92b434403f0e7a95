//! Whole requests at the doors of a node, over a log in memory: what is told is stored, and nothing else is.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    comms_node::fuzzing::run(data);
});

//! DAG-JSON as people and foreign clients write it: what is accepted is canonical afterwards, and stays the same value.
#![no_main]

use comms_content::Node;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(node) = Node::from_json(data) else { return };
    assert_eq!(Node::from_cbor(node.as_bytes().clone()).as_ref(), Ok(&node));
    let text = node.to_json();
    assert_eq!(Node::from_json(text.as_bytes()).as_ref(), Ok(&node));
    assert_eq!(Node::from_value(&node.to_value()).as_ref(), Ok(&node));
});

//! A body as canonical DAG-CBOR: what is accepted is the only form of its value, and survives DAG-JSON and the data model.
#![no_main]

use bytes::Bytes;
use comms_content::Node;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(node) = Node::from_cbor(Bytes::copy_from_slice(data)) else { return };
    assert_eq!(node.as_bytes(), data);
    assert_eq!(Node::from_ipld(&node.to_ipld()).as_ref(), Ok(&node));
    assert_eq!(Node::from_json(node.to_json().as_bytes()).as_ref(), Ok(&node));
    assert_eq!(Node::from_value(&node.to_value()).as_ref(), Ok(&node));
    let fields = node.bytes_over(1).unwrap_or_default();
    let replaced: Vec<_> = fields
        .into_iter()
        .map(|field| {
            let cid = comms_content::Cid::raw(&node.bytes_of(&field));
            (field, cid)
        })
        .collect();
    if let Ok(offloaded) = node.with_links(&replaced) {
        assert!(replaced.iter().all(|(_, cid)| offloaded.links().contains(cid)));
    }
});

//! File nodes against the bytes of other encoders, and against those that contradict themselves.

use bytes::Bytes;
use proptest::prelude::*;

use crate::dagpb::{write_data, write_link};
use crate::unixfs::{FileNode, Part, Problem, write};
use crate::vectors::{section, unhex};
use crate::{Cid, DAG_CBOR, DAG_PB, Error, RAW};

/// A block with links to that many equal leaves, and this data.
fn block(links: usize, data: &[u8]) -> Bytes {
    let mut bytes = Vec::new();
    for _ in 0..links {
        write_link(&mut bytes, &Cid::raw(b"a"), 1);
    }
    write_data(&mut bytes, data);
    bytes.into()
}

fn read(block: &Bytes) -> Result<FileNode, Problem> {
    let cid = Cid::of(DAG_PB, block);
    FileNode::read(&cid, block).map_err(|error| match error {
        Error::File { cid: of, problem } if of == cid => problem,
        other => panic!("another kind of error: {other}"),
    })
}

#[test]
fn files_of_other_encoders_are_read_and_the_rest_is_refused() {
    for vector in section("rootBlocks") {
        let name = vector["name"].as_str().unwrap();
        let bytes = unhex(vector["hex"].as_str().unwrap());
        let cid: Cid = vector["cid"].as_str().unwrap().parse().unwrap();
        let node = FileNode::read(&cid, &bytes);
        if ["directory", "forced HAMT", "symlink"].iter().any(|kind| name.starts_with(kind)) {
            assert_eq!(node, Err(Error::File { cid, problem: Problem::NotAFile }), "{name}");
            continue;
        }
        let node = node.unwrap();
        assert!(node.bytes > 0, "{name}");
        if !node.parts.is_empty() && cid.to_string().starts_with('b') {
            let (first, rest) = bytes.split_at(2);
            assert_eq!((first[0], usize::from(first[1]) + 2 <= rest.len()), (0x12, true));
            // The sizes of whole trees are in the links only, which are not kept; of leaves they are the bytes.
            let leaves = node.parts.iter().all(|(cid, _)| cid.codec() == RAW);
            let parts: Vec<_> = node
                .parts
                .iter()
                .map(|(cid, bytes)| Part { cid: *cid, bytes: *bytes, tree_bytes: *bytes })
                .collect();
            assert_eq!(write(&parts).1, node.bytes);
            assert_eq!(write(&parts).0 == bytes, leaves, "{name}");
        }
    }
}

#[test]
fn leaves_and_small_files_are_read() {
    let raw = Bytes::from_static(b"raw");
    let node = FileNode::read(&Cid::raw(&raw), &raw).unwrap();
    assert_eq!(node, FileNode { data: raw.clone(), parts: vec![], bytes: 3 });
    // Type alone; type and bytes, raw and file; with the size, permissions and time; packed sizes.
    assert_eq!(read(&block(0, &[8, 2])).unwrap().bytes, 0);
    assert_eq!(read(&block(0, &[8, 0, 0x12, 1, 7])).unwrap().data, [7][..]);
    assert_eq!(read(&block(0, &[8, 2, 0x12, 1, 7, 0x18, 1])).unwrap().bytes, 1);
    let extended = [8, 2, 0x18, 0, 0x38, 0xa4, 3, 0x42, 2, 8, 1];
    assert_eq!(read(&block(0, &extended)).unwrap().bytes, 0);
    assert_eq!(read(&block(2, &[8, 2, 0x18, 3, 0x22, 2, 1, 2])).unwrap().bytes, 3);
    // Bytes of its own before those of its parts.
    let both = read(&block(1, &[8, 2, 0x12, 1, 7, 0x18, 4, 0x20, 3])).unwrap();
    assert_eq!((both.data.len(), both.parts.len(), both.bytes), (1, 1, 4));
}

#[test]
fn nodes_that_contradict_themselves_are_refused() {
    let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let overflow = [&[8, 2, 0x20][..], &max, &[0x20], &max].concat();
    let cases: Vec<(usize, &[u8], Problem)> = vec![
        (1, &[8, 2, 0x18, 2, 0x20, 1], Problem::Sizes),
        (1, &[8, 2, 0x18, 0], Problem::Sizes),
        (0, &[8, 2, 0x18, 1, 0x20, 1], Problem::Sizes),
        (2, &[8, 2, 0x18, 1, 0x20, 1], Problem::Sizes),
        (0, &[8, 2, 0x18, 5], Problem::Sizes),
        (0, &[8, 2, 0x12, 1, 7, 0x18, 2], Problem::Sizes),
        (2, &overflow, Problem::Sizes),
        (1, &[8, 2, 0x18, 0, 0x20, 0], Problem::Link),
        (0, &[], Problem::UnixFs("no type")),
        (0, &[0x18, 0], Problem::UnixFs("no type")),
        (0, &[8, 6], Problem::UnixFs("unknown type")),
        (0, &[8, 2, 8, 2], Problem::UnixFs("unknown field")),
        (0, &[8, 2, 0x28, 2], Problem::UnixFs("unknown field")),
        (0, &[8, 2, 0x12, 0, 0x12, 0], Problem::UnixFs("a field twice")),
        (0, &[8, 2, 0x18, 0, 0x18, 0], Problem::UnixFs("a field twice")),
        (0, &[8, 1], Problem::NotAFile),
        (0, &[8, 3], Problem::NotAFile),
        (0, &[8, 4, 0x12, 1, 7], Problem::NotAFile),
        (0, &[8, 5], Problem::NotAFile),
    ];
    for (links, data, problem) in cases {
        assert_eq!(read(&block(links, data)), Err(problem), "{links} links, {data:02x?}");
    }
    assert_eq!(read(&Bytes::new()), Err(Problem::UnixFs("no data")));
    let named =
        [&[0x12, 41, 0x0a, 36][..], &Cid::raw(b"a").to_bytes(), &[0x12, 1, b'n', 0x0a, 4, 8, 2, 0x20, 1]];
    assert_eq!(read(&named.concat().into()), Err(Problem::Link));
    let cbor = Bytes::from_static(&[0xf6]);
    let cid = Cid::of(DAG_CBOR, &cbor);
    assert_eq!(FileNode::read(&cid, &cbor), Err(Error::File { cid, problem: Problem::NotAFile }));
}

proptest! {
    #[test]
    fn what_is_written_is_read(parts in prop::collection::vec((any::<[u8; 32]>(), 1u64..1 << 50, any::<u64>()), 0..50)) {
        let parts: Vec<_> = parts
            .into_iter()
            .map(|(digest, bytes, tree_bytes)| Part { cid: Cid::from_sha256(RAW, &digest), bytes, tree_bytes })
            .collect();
        let (bytes, size) = write(&parts);
        let node = read(&bytes.into()).unwrap();
        prop_assert_eq!(node.bytes, size);
        prop_assert_eq!(node.parts, parts.iter().map(|part| (part.cid, part.bytes)).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_panic(
        links in 0usize..3,
        data in prop::collection::vec(prop_oneof![Just(8), Just(0x12), Just(0x20), 0u8..40, any::<u8>()], 0..40),
    ) {
        let _ = read(&block(links, &data));
        let _ = read(&data.into());
    }
}

//! The exporter on what the importer makes, and on trees that lie.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;

use crate::dagpb::{write_data, write_link, write_varint};
use crate::limits::{CHUNK_BYTES, FILE_DEPTH_MAX, FILE_LINKS_MAX};
use crate::unixfs::Problem;
use crate::vectors::{mod251, section, unhex};
use crate::{Block, Cid, DAG_CBOR, DAG_PB, Error, Exporter, Importer, RAW, Result, Step};

#[derive(Default)]
struct Blocks(HashMap<Cid, Block>);

impl Blocks {
    fn add(&mut self, codec: u64, data: impl Into<Bytes>) -> Cid {
        let block = Block::new(codec, data.into()).unwrap();
        let cid = *block.cid();
        self.0.insert(cid, block);
        cid
    }

    /// Adds a file node that says this size of itself, and this of each of its parts.
    fn node(&mut self, says: u64, parts: &[(Cid, u64)]) -> Cid {
        let (mut node, mut data) = (Vec::new(), vec![0x08, 0x02, 0x18]);
        write_varint(&mut data, says);
        for (cid, bytes) in parts {
            write_link(&mut node, cid, 0);
            data.push(0x20);
            write_varint(&mut data, *bytes);
        }
        write_data(&mut node, &data);
        self.add(DAG_PB, node)
    }

    fn import(&mut self, mut importer: Importer, data: Bytes) -> Cid {
        let mut blocks = Vec::new();
        importer.push(data, &mut blocks);
        let root = importer.finish(&mut blocks).cid;
        self.0.extend(blocks.into_iter().map(|block| (*block.cid(), block)));
        root
    }

    /// Reads everything; says also how many blocks that took.
    fn export(&self, root: Cid, range: Option<Range<u64>>) -> Result<(Vec<u8>, usize)> {
        let mut exporter = Exporter::new(root, range);
        let (mut bytes, mut given) = (Vec::new(), 0);
        loop {
            match exporter.step()? {
                Step::Want(cid) => {
                    assert_eq!(exporter.step()?, Step::Want(cid), "asking again changes nothing");
                    given += 1;
                    exporter.give(self.0[&cid].clone())?;
                }
                Step::Bytes(more) => {
                    assert!(!more.is_empty());
                    bytes.extend_from_slice(&more);
                }
                Step::Done => {
                    assert_eq!(exporter.step()?, Step::Done);
                    return Ok((bytes, given));
                }
            }
        }
    }

    fn problem(&self, root: Cid) -> (Cid, Problem) {
        match self.export(root, None) {
            Err(Error::File { cid, problem }) => (cid, problem),
            other => panic!("{:?}", other.map(|(bytes, _)| bytes.len())),
        }
    }
}

#[test]
fn the_bytes_come_back_at_every_threshold() {
    for size in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 5] {
        let mut blocks = Blocks::default();
        let data = mod251(size);
        let root = blocks.import(Importer::new(), data.clone());
        let (bytes, _) = blocks.export(root, None).unwrap();
        assert!(bytes == data, "{size}");
    }
}

#[test]
fn a_range_takes_only_the_blocks_it_needs() {
    let mut blocks = Blocks::default();
    let data = mod251(256);
    let root = blocks.import(Importer::sized(4, 4), data.clone());
    // 64 leaves are three levels of nodes.
    for (range, needed) in [
        (0..1, 4),
        (0..4, 4),
        (3..5, 5),
        (15..17, 6),
        (255..256, 4),
        (255..1000, 4),
        (0..256, 85),
        (256..300, 1),
        (u64::MAX - 1..u64::MAX, 1),
        (0..0, 1),
        (7..7, 1),
        #[expect(clippy::reversed_empty_ranges, reason = "a caller may ask for it")]
        (9..3, 1),
    ] {
        let (bytes, given) = blocks.export(root, Some(range.clone())).unwrap();
        let end = usize::try_from(range.end.min(256)).unwrap();
        let start = usize::try_from(range.start.min(256)).unwrap().min(end);
        assert_eq!(bytes, data[start..end], "{range:?}");
        assert_eq!(given, needed, "{range:?}");
    }
}

#[test]
fn the_size_is_known_from_the_root_on() {
    let mut blocks = Blocks::default();
    let root = blocks.import(Importer::sized(4, 4), mod251(100));
    let mut exporter = Exporter::new(root, Some(5..6));
    assert_eq!(exporter.size(), None);
    exporter.step().unwrap();
    exporter.give(blocks.0[&root].clone()).unwrap();
    assert_eq!(exporter.size(), Some(100));
}

#[test]
fn files_of_others_are_read() {
    let mut blocks = Blocks::default();
    for vector in section("rootBlocks") {
        let cid: Cid = vector["cid"].as_str().unwrap().parse().unwrap();
        let block = Block::verified(cid, unhex(vector["hex"].as_str().unwrap())).unwrap();
        blocks.0.insert(cid, block);
    }
    let hello: Cid = "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD".parse().unwrap();
    assert_eq!(blocks.export(hello, None).unwrap().0, b"hello world");
    // Bytes in a node before those in its parts, and parts that are in their CIDs.
    let inline: Cid = "bafkqablimvwgy3y".parse().unwrap();
    assert_eq!(blocks.export(inline, None).unwrap(), (b"hello".to_vec(), 0));
    assert_eq!(blocks.export(inline, Some(1..3)).unwrap(), (b"el".to_vec(), 0));
    let mut node = Vec::new();
    write_link(&mut node, &inline, 0);
    write_link(&mut node, &hello, 0);
    write_data(&mut node, &[0x08, 0x02, 0x12, 1, b'>', 0x18, 17, 0x20, 5, 0x20, 11]);
    let root = blocks.add(DAG_PB, node);
    assert_eq!(blocks.export(root, None).unwrap().0, b">hellohello world");
    assert_eq!(blocks.export(root, Some(0..3)).unwrap(), (b">he".to_vec(), 1));
    assert_eq!(blocks.export(root, Some(4..8)).unwrap().0, b"lohe");
}

#[test]
fn sizes_that_are_not_true_are_refused_before_any_byte_of_the_part() {
    let mut blocks = Blocks::default();
    let leaf = blocks.add(RAW, &b"1234"[..]);
    let node = blocks.node(8, &[(leaf, 4), (leaf, 4)]);
    for (says, parts, culprit) in [
        (5, vec![(leaf, 5)], leaf),
        (3, vec![(leaf, 3)], leaf),
        (9, vec![(node, 9)], node),
        (u64::MAX, vec![(leaf, 1), (leaf, u64::MAX - 1)], leaf),
    ] {
        let root = blocks.node(says, &parts);
        assert_eq!(blocks.problem(root), (culprit, Problem::Sizes));
    }
    let root = blocks.node(7, &[(leaf, 4), (leaf, 4)]);
    assert_eq!(blocks.problem(root), (root, Problem::Sizes));
    let empty = blocks.add(RAW, &b""[..]);
    let root = blocks.node(4, &[(empty, 0), (leaf, 4)]);
    assert_eq!(blocks.problem(root), (root, Problem::Link));
}

#[test]
fn what_is_no_file_is_refused() {
    let mut blocks = Blocks::default();
    let directory = blocks.add(DAG_PB, &[0x0a, 0x02, 0x08, 0x01][..]);
    assert_eq!(blocks.problem(directory), (directory, Problem::NotAFile));
    let root = blocks.node(4, &[(directory, 4)]);
    assert_eq!(blocks.problem(root), (directory, Problem::NotAFile));
    // Of a codec that no file has not even the block is asked for.
    let cbor = Cid::of(DAG_CBOR, &[0xf6]);
    assert_eq!(blocks.problem(cbor), (cbor, Problem::NotAFile));
    let root = blocks.node(4, &[(cbor, 4)]);
    assert_eq!(blocks.problem(root), (cbor, Problem::NotAFile));
}

#[test]
fn depth_and_width_are_bounded() {
    let mut blocks = Blocks::default();
    let leaf = blocks.add(RAW, &b"1234"[..]);
    let mut root = leaf;
    for _ in 0..FILE_DEPTH_MAX {
        root = blocks.node(4, &[(root, 4)]);
    }
    assert_eq!(blocks.export(root, None).unwrap(), (b"1234".to_vec(), FILE_DEPTH_MAX + 1));
    let innermost = blocks.node(4, &[(leaf, 4)]);
    root = blocks.node(4, &[(root, 4)]);
    assert_eq!(blocks.problem(root), (innermost, Problem::Depth));

    // A few kilobytes that say they are a file without end, whose edge grows with each level.
    let mut root = leaf;
    let mut size = 4u64;
    for _ in 0..3 {
        root = blocks.node(size * 30_000, &vec![(root, size); 30_000]);
        size *= 30_000;
    }
    assert_eq!(blocks.problem(root).1, Problem::Width);
    const { assert!(3 * 30_000 > FILE_LINKS_MAX) };
}

#[test]
fn another_block_changes_nothing_and_an_error_is_for_ever() {
    let mut blocks = Blocks::default();
    let leaf = blocks.add(RAW, &b"1234"[..]);
    let root = blocks.node(9, &[(leaf, 4), (leaf, 5)]);
    let (leaf_block, root_block) = (blocks.0[&leaf].clone(), blocks.0[&root].clone());
    let mut exporter = Exporter::new(root, None);
    assert_eq!(exporter.give(root_block.clone()), Err(Error::Unwanted { cid: root }));
    assert_eq!(exporter.step(), Ok(Step::Want(root)));
    assert_eq!(exporter.give(leaf_block.clone()), Err(Error::Unwanted { cid: leaf }));
    assert_eq!(exporter.step(), Ok(Step::Want(root)));
    exporter.give(root_block).unwrap();
    assert_eq!(exporter.step(), Ok(Step::Want(leaf)));
    exporter.give(leaf_block.clone()).unwrap();
    assert_eq!(exporter.step(), Ok(Step::Bytes(Bytes::from_static(b"1234"))));
    assert_eq!(exporter.step(), Ok(Step::Want(leaf)));
    let error = Error::File { cid: leaf, problem: Problem::Sizes };
    assert_eq!(exporter.give(leaf_block.clone()), Err(error.clone()));
    assert_eq!(exporter.step(), Err(error.clone()));
    assert_eq!(exporter.give(leaf_block), Err(error));
}

proptest! {
    #[test]
    fn every_range_of_every_tree_comes_back(
        size in 0usize..400,
        chunk in 1usize..20,
        width in 2usize..6,
        start in 0usize..450,
        length in 0usize..450,
    ) {
        let mut blocks = Blocks::default();
        let data = mod251(size);
        let root = blocks.import(Importer::sized(chunk, width), data.clone());
        prop_assert_eq!(&blocks.export(root, None).unwrap().0, &data);
        let (bytes, _) = blocks.export(root, Some(start as u64..(start + length) as u64)).unwrap();
        prop_assert_eq!(bytes, &data[start.min(size)..(start + length).min(size)]);
    }

    #[test]
    fn a_root_of_any_bytes_is_a_file_or_an_error(
        data in prop::collection::vec(prop_oneof![Just(0x0a), Just(0x12), Just(8), 0u8..40, any::<u8>()], 0..60),
    ) {
        let mut exporter = Exporter::new(Cid::of(DAG_PB, &data), None);
        exporter.step().unwrap();
        let given = exporter.give(Block::new(DAG_PB, data.into()).unwrap());
        prop_assert_eq!(given.is_ok(), exporter.step().is_ok());
    }
}

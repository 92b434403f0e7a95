//! The importer against another implementation, at, below and above each threshold.

use bytes::Bytes;
use proptest::prelude::*;

use crate::limits::{CHUNK_BYTES, WIDTH};
use crate::vectors::{cook, mod251, section};
use crate::{Block, Cid, File, Importer};

/// Imports in pieces of that many bytes.
fn import(mut importer: Importer, mut data: Bytes, piece: usize) -> (File, Vec<Block>) {
    let mut blocks = Vec::new();
    while !data.is_empty() {
        importer.push(data.split_to(piece.min(data.len())), &mut blocks);
    }
    let file = importer.finish(&mut blocks);
    assert_eq!(file.blocks, blocks.len() as u64);
    assert_eq!(file.dag_bytes, blocks.iter().map(|block| block.data().len() as u64).sum::<u64>());
    assert_eq!(*blocks.last().unwrap().cid(), file.cid);
    (file, blocks)
}

/// Different blocks, and their bytes.
fn distinct(blocks: &[Block]) -> (u64, u64) {
    let sizes: std::collections::BTreeMap<Cid, u64> =
        blocks.iter().map(|block| (*block.cid(), block.data().len() as u64)).collect();
    (sizes.len() as u64, sizes.values().sum())
}

#[test]
fn the_profile_computes_the_cids_of_others() {
    let vectors = section("files");
    assert_eq!(vectors.len(), 23);
    for vector in vectors {
        let data = cook(&vector["recipe"]);
        let size = data.len() as u64;
        let (file, blocks) = import(Importer::new(), data, 3 * CHUNK_BYTES);
        assert_eq!(file.cid.to_string(), vector["cid"].as_str().unwrap(), "{}", vector["name"]);
        assert_eq!(file.size, size);
        assert_eq!(file.dag_bytes, vector["tsize"].as_u64().unwrap());
        let of_others = (vector["blocks"].as_u64().unwrap(), vector["dagBytes"].as_u64().unwrap());
        assert_eq!(distinct(&blocks), of_others, "{}", vector["name"]);
    }
}

#[test]
fn trees_of_other_measures_are_those_of_others() {
    for vector in section("customParams") {
        let number = |key: &str| usize::try_from(vector[key].as_u64().unwrap()).unwrap();
        let importer = Importer::sized(number("chunk"), number("width"));
        let (file, blocks) = import(importer, cook(&vector["recipe"]), 1000);
        assert_eq!(file.cid.to_string(), vector["cid"].as_str().unwrap(), "{vector}");
        assert_eq!(file.dag_bytes, vector["tsize"].as_u64().unwrap());
        assert_eq!(distinct(&blocks), (number("blocks") as u64, number("dagBytes") as u64));
    }
}

#[test]
fn a_chunk_and_one_byte_are_two_leaves() {
    for (size, blocks) in [
        (0, 1),
        (1, 1),
        (CHUNK_BYTES - 1, 1),
        (CHUNK_BYTES, 1),
        (CHUNK_BYTES + 1, 3),
        (2 * CHUNK_BYTES, 3),
        (2 * CHUNK_BYTES + 1, 4),
    ] {
        let (file, made) = import(Importer::new(), mod251(size), CHUNK_BYTES);
        assert_eq!((file.size, file.blocks), (size as u64, blocks), "{size}");
        assert_eq!(made.len() as u64, blocks);
    }
}

#[test]
fn the_width_of_the_profile_is_full_before_a_level_is_added() {
    // Leaves of one byte, so that the measure is reached quickly.
    for (leaves, nodes) in [(WIDTH - 1, 1), (WIDTH, 1), (WIDTH + 1, 3), (2 * WIDTH, 3), (2 * WIDTH + 1, 4)] {
        let (file, _) = import(Importer::sized(1, WIDTH), mod251(leaves), leaves);
        assert_eq!(file.blocks, leaves as u64 + nodes, "{leaves}");
    }
}

#[test]
fn leaves_within_a_piece_are_not_copied() {
    let data = mod251(2 * CHUNK_BYTES);
    let mut blocks = Vec::new();
    Importer::new().push(data.clone(), &mut blocks);
    assert_eq!(blocks[0].data().as_ptr(), data.as_ptr());
    assert_eq!(blocks[1].data().as_ptr(), data[CHUNK_BYTES..].as_ptr());
}

#[test]
fn what_is_held_back_is_one_leaf_and_the_edge_of_the_tree() {
    let mut importer = Importer::sized(1, 4);
    let mut blocks = Vec::new();
    importer.push(mod251(100_000), &mut blocks);
    assert!(importer.rest.is_empty());
    assert_eq!(importer.tree.levels.len(), 9);
    assert!(importer.tree.levels.iter().all(|level| (1..=4).contains(&level.len())));
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        size in 0usize..600,
        chunk in 1usize..40,
        width in 2usize..6,
        pieces in prop::collection::vec(0usize..90, 1..12),
    ) {
        let data = mod251(size);
        let whole = import(Importer::sized(chunk, width), data.clone(), size.max(1));
        let mut importer = Importer::sized(chunk, width);
        let (mut blocks, mut rest) = (Vec::new(), data);
        for piece in pieces {
            importer.push(rest.split_to(piece.min(rest.len())), &mut blocks);
        }
        importer.push(rest, &mut blocks);
        let file = importer.finish(&mut blocks);
        prop_assert_eq!((file, blocks), whole);
    }
}

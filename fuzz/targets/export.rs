//! A file from a hostile tree of blocks. The input is a recipe: blocks are made from it one after the other, and each may name
//! those before it, with true sizes or false ones. The last is the root.
#![no_main]

use std::collections::HashMap;

use bytes::Bytes;
use comms_content::{Block, Cid, DAG_PB, Exporter, RAW, Step};
use libfuzzer_sys::fuzz_target;

/// A tree of few blocks can name very many bytes; that much of it is read.
const STEPS_MAX: usize = 2000;

fuzz_target!(|data: &[u8]| {
    let Some((choice, recipe)) = data.split_first() else { return };
    let Some((root, blocks)) = tree(recipe) else { return };
    let range = (*choice > 0).then(|| u64::from(*choice % 16)..u64::from(*choice / 16));
    let Some(part) = read(root, range.clone(), &blocks) else { return };
    let Some(range) = range else { return };
    assert!(part.len() as u64 <= range.end.saturating_sub(range.start));
    // Of a sound file every range is what the whole has there.
    if let Some(whole) = read(root, None, &blocks) {
        let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(whole.len());
        let expected = whole.get(at(range.start)..at(range.end)).unwrap_or_default();
        assert_eq!(part, expected);
    }
});

/// The bytes of the file, or nothing if it is refused or too long to read here.
fn read(root: Cid, range: Option<std::ops::Range<u64>>, blocks: &HashMap<Cid, Block>) -> Option<Vec<u8>> {
    let is_whole = range.is_none();
    let mut exporter = Exporter::new(root, range);
    let mut read = Vec::new();
    for _ in 0..STEPS_MAX {
        match exporter.step().ok()? {
            Step::Want(cid) => exporter.give(blocks.get(&cid)?.clone()).ok()?,
            Step::Bytes(bytes) => {
                assert!(!bytes.is_empty());
                read.extend_from_slice(&bytes);
                assert!(read.len() as u64 <= exporter.size().expect("bytes come after the root"));
            }
            Step::Done => {
                if is_whole {
                    assert_eq!(Some(read.len() as u64), exporter.size());
                }
                return Some(read);
            }
        }
    }
    None
}

/// Makes the blocks. Every block is told by its first byte: a leaf of the next bytes, or a node with links to blocks before.
fn tree(mut recipe: &[u8]) -> Option<(Cid, HashMap<Cid, Block>)> {
    let mut made: Vec<(Cid, u64)> = Vec::new();
    let mut blocks = HashMap::new();
    while let Some((kind, rest)) = recipe.split_first() {
        recipe = rest;
        let count = usize::from(kind >> 3);
        let (block, size) = match kind & 7 {
            0 => {
                let leaf = take(&mut recipe, count);
                (Block::new(RAW, Bytes::copy_from_slice(leaf)), leaf.len() as u64)
            }
            // Bytes as they are, to be read as a node.
            1 => (Block::new(DAG_PB, Bytes::copy_from_slice(take(&mut recipe, count))), count as u64),
            how => node(how, take(&mut recipe, count), &made),
        };
        let block = block.ok()?;
        made.push((*block.cid(), size));
        blocks.insert(*block.cid(), block);
    }
    made.last().map(|(root, _)| (*root, blocks))
}

/// A file node. `how` says what is wrong with it, if anything: a size, the sum, bytes of its own.
fn node(how: u8, links: &[u8], made: &[(Cid, u64)]) -> (comms_content::Result<Block>, u64) {
    let (mut node, mut data, mut total) = (Vec::new(), vec![0x08, 2], 0u64);
    let mut sizes = Vec::new();
    for link in links {
        let Some((cid, size)) = made.len().checked_sub(1 + usize::from(*link)).map(|index| made[index])
        else {
            continue;
        };
        let size = if how == 3 { size.wrapping_add(u64::from(*link)) } else { size };
        let mut entry = vec![0x0a];
        varint(&mut entry, cid.encoded_len() as u64);
        cid.write(&mut entry);
        entry.extend_from_slice(&[0x12, 0, 0x18]);
        varint(&mut entry, size);
        node.push(0x12);
        varint(&mut node, entry.len() as u64);
        node.extend_from_slice(&entry);
        sizes.push(0x20);
        varint(&mut sizes, size);
        total = total.wrapping_add(size);
    }
    if how == 4 {
        data.push(0x12);
        varint(&mut data, links.len() as u64);
        data.extend_from_slice(links);
        total = total.wrapping_add(links.len() as u64);
    }
    data.push(0x18);
    varint(&mut data, if how == 5 { total.wrapping_mul(3) } else { total });
    data.extend_from_slice(&sizes);
    node.push(0x0a);
    varint(&mut node, data.len() as u64);
    node.extend_from_slice(&data);
    (Block::new(DAG_PB, node.into()), total)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    taken
}

//! CARs against those of another implementation, and against damage.

use bytes::Bytes;
use proptest::prelude::*;

use crate::car::{Event, Problem, Reader, write_block, write_header};
use crate::hash::sha256;
use crate::limits::{BLOCK_BYTES_MAX, CAR_HEADER_BYTES_MAX};
use crate::vectors::{cook, section, unhex};
use crate::{Block, Cid, Error, Exporter, Importer, RAW, Step};

/// A CAR with these blocks.
fn car(root: &Cid, blocks: &[Block]) -> Vec<u8> {
    let mut car = write_header(root);
    for block in blocks {
        let (before, data) = write_block(block);
        car.extend_from_slice(&before);
        car.extend_from_slice(&data);
    }
    car
}

/// Reads a CAR that arrives in pieces of that many bytes.
fn read(car: &[u8], piece: usize) -> Result<(Vec<Cid>, Vec<Block>), Error> {
    let mut reader = Reader::new();
    let (mut roots, mut blocks) = (None, Vec::new());
    for piece in car.chunks(piece) {
        reader.push(Bytes::copy_from_slice(piece));
        while let Some(event) = reader.event() {
            match event? {
                Event::Header(found) => assert!(roots.replace(found).is_none()),
                Event::Block(block) => blocks.push(block),
            }
        }
    }
    reader.finish()?;
    Ok((roots.unwrap(), blocks))
}

fn problem(car: &[u8]) -> Problem {
    match read(car, 7) {
        Err(Error::Car { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

fn one_block() -> (Cid, Vec<u8>) {
    let block = Block::new(RAW, Bytes::from_static(b"hello world")).unwrap();
    let cid = *block.cid();
    (cid, car(&cid, &[block]))
}

/// The blocks of a tree, parents first, each once.
fn in_order(root: Cid, blocks: &[Block]) -> Vec<Block> {
    let mut exporter = Exporter::new(root, None);
    let mut ordered: Vec<Block> = Vec::new();
    loop {
        match exporter.step().unwrap() {
            Step::Want(cid) => {
                let block = blocks.iter().find(|block| *block.cid() == cid).unwrap();
                exporter.give(block.clone()).unwrap();
                if !ordered.contains(block) {
                    ordered.push(block.clone());
                }
            }
            Step::Bytes(_) => {}
            Step::Done => return ordered,
        }
    }
}

#[test]
fn cars_are_those_of_others() {
    for vector in section("car") {
        let mut importer = match vector["name"].as_str().unwrap() {
            name if name.ends_with("chunk 4 width 2") => Importer::sized(4, 2),
            _ => Importer::new(),
        };
        let mut blocks = Vec::new();
        importer.push(cook(&vector["recipe"]), &mut blocks);
        let root = importer.finish(&mut blocks).cid;
        assert_eq!(root.to_string(), vector["root"].as_str().unwrap());
        let blocks = in_order(root, &blocks);
        assert_eq!(blocks.len() as u64, vector["blocks"].as_u64().unwrap());
        let car = car(&root, &blocks);
        assert_eq!(car.len() as u64, vector["size"].as_u64().unwrap());
        assert_eq!(sha256(&car), *unhex(vector["sha256"].as_str().unwrap()), "{}", vector["name"]);
        assert!(car.starts_with(&unhex(vector["headHex"].as_str().unwrap())));
        assert_eq!(read(&car, 100_000).unwrap(), (vec![root], blocks));
    }
}

#[test]
fn a_damaged_block_is_refused_and_reading_ends() {
    let (cid, mut car) = one_block();
    *car.last_mut().unwrap() ^= 1;
    let mut reader = Reader::new();
    reader.push(car.clone().into());
    assert_eq!(reader.event(), Some(Ok(Event::Header(vec![cid]))));
    for _ in 0..2 {
        assert_eq!(reader.event(), Some(Err(Error::Mismatch { cid })));
        reader.push(car.clone().into());
    }
    assert_eq!(reader.finish(), Err(Error::Mismatch { cid }));
}

#[test]
fn an_early_end_is_noticed_wherever_it_is() {
    let (_, car) = one_block();
    for end in 0..car.len() {
        if end == write_header(&Cid::raw(b"")).len() {
            assert_eq!(read(&car[..end], 7).unwrap().1, []);
        } else {
            assert_eq!(problem(&car[..end]), Problem::Truncated, "{end}");
        }
    }
}

#[test]
fn what_is_no_car_is_refused() {
    let (_, car) = one_block();
    let after_header = write_header(&Cid::raw(b"")).len();
    let with = |at: usize, more: &str| [&car[..at], &unhex(more), &car[at..]].concat();
    assert_eq!(problem(&with(after_header, "00")), Problem::Length);
    assert_eq!(problem(&with(after_header, "8000")), Problem::Length);
    assert_eq!(problem(&with(after_header, "ffffffffffffffffffffff")), Problem::Length);
    assert_eq!(problem(&with(after_header, "0100")), Problem::Cid);
    assert_eq!(problem(&with(after_header, "03015512")), Problem::Cid);
    // The first bytes of version 2; a header of version 2, without roots, with more, with a key twice, and none at all.
    assert_eq!(problem(&unhex("0aa16776657273696f6e02")), Problem::Version);
    assert_eq!(problem(&unhex("11a265726f6f7473806776657273696f6e02")), Problem::Version);
    assert_eq!(problem(&unhex("0aa16776657273696f6e01")), Problem::Header);
    assert_eq!(problem(&unhex("08a165726f6f747380")), Problem::Header);
    assert_eq!(problem(&unhex("14a361610165726f6f7473806776657273696f6e01")), Problem::Header);
    assert_eq!(problem(&unhex("15a265726f6f74738065726f6f74738000000000000000")), Problem::Header);
    assert_eq!(problem(&unhex("01f6")), Problem::Header);
    assert_eq!(read(&unhex("11a265726f6f7473806776657273696f6e01"), 3), Ok((vec![], vec![])));
}

#[test]
fn lengths_are_bounded_before_anything_is_kept() {
    let mut too_long = Vec::new();
    super::write_length(&mut too_long, CAR_HEADER_BYTES_MAX + 1);
    assert!(matches!(read(&too_long, 1), Err(Error::TooLarge { .. })));
    let (_, mut car) = one_block();
    super::write_length(&mut car, BLOCK_BYTES_MAX + 1000);
    assert!(matches!(read(&car, 1000), Err(Error::TooLarge { .. })));
}

#[test]
fn the_largest_block_passes_and_a_larger_one_does_not() {
    let block = Block::new(RAW, vec![7; BLOCK_BYTES_MAX].into()).unwrap();
    let whole = car(block.cid(), std::slice::from_ref(&block));
    assert_eq!(read(&whole, 1 << 16).unwrap().1, [block]);
    let data = vec![7; BLOCK_BYTES_MAX + 1];
    let cid = Cid::raw(&data);
    let mut whole = write_header(&cid);
    super::write_length(&mut whole, cid.encoded_len() + data.len());
    cid.write(&mut whole);
    whole.extend_from_slice(&data);
    assert!(matches!(read(&whole, 1 << 16), Err(Error::TooLarge { .. })));
}

#[test]
fn blocks_of_both_versions_are_read() {
    let vector =
        section("rootBlocks").into_iter().find(|v| v["cid"].as_str().unwrap().starts_with("Qm")).unwrap();
    let cid: Cid = vector["cid"].as_str().unwrap().parse().unwrap();
    let block = Block::verified(cid, unhex(vector["hex"].as_str().unwrap())).unwrap();
    let car = car(&cid, std::slice::from_ref(&block));
    assert_eq!(read(&car, 5).unwrap(), (vec![cid], vec![block]));
}

proptest! {
    #[test]
    fn blocks_come_back_whatever_the_pieces(contents: Vec<Vec<u8>>, piece in 1usize..200) {
        let blocks: Vec<_> = contents.into_iter().map(|data| Block::new(RAW, data.into()).unwrap()).collect();
        let root = Cid::raw(b"");
        prop_assert_eq!(read(&car(&root, &blocks), piece).unwrap(), (vec![root], blocks));
    }

    #[test]
    fn damage_is_noticed_or_harmless(at: prop::sample::Index, byte: u8, piece in 1usize..50) {
        let (cid, mut car) = one_block();
        *at.get_mut(&mut car) = byte;
        if let Ok((_, blocks)) = read(&car, piece) {
            prop_assert!(blocks.iter().all(|block| block.cid().verify(block.data()).is_ok()));
            prop_assert!(blocks.len() != 1 || blocks[0].cid().digest() == cid.digest());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(prop_oneof![0u8..40, any::<u8>()], 0..120), piece in 1usize..50) {
        let mut reader = Reader::new();
        for piece in bytes.chunks(piece) {
            reader.push(Bytes::copy_from_slice(piece));
            while let Some(Ok(_)) = reader.event() {}
        }
        let _ = reader.finish();
    }
}

//! The index over restarts, crashes and damage: what it tells is what was noted, or is read again from the log.

use std::collections::BTreeMap;

use comms_content::{Block, DAG_CBOR};
use comms_msg::{Kind, MsgId, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::log::ending::{Ending, Was};

fn key(n: u64) -> MsgKey {
    MsgKey::new(
        Kind::Event,
        &"desk".parse().unwrap(),
        &"documents.Added".parse().unwrap(),
        MsgId::v7(n, u128::from(n) << 64),
    )
}

fn ended(n: u64) -> Entry {
    let cid = *Block::new(DAG_CBOR, bytes::Bytes::from_static(&[0xa0])).unwrap().cid();
    let was = Some(Was { sequence: n, cid, time: Timestamp::from_unix_ms(n) });
    Entry::Ended(EndedCommand { ending: Ending::Rejected { reason: "no\u{1b}".into() }, was })
}

fn open(folder: &Path) -> Index {
    Index::open(&folder.join("index.redb"), "abcdefgh", 7).unwrap()
}

#[test]
fn entries_outlive_the_process_and_tell_how_far_they_go() {
    let folder = tempfile::tempdir().unwrap();
    {
        let index = open(folder.path());
        assert_eq!((index.through(), index.known_since_ms()), (0, 7));
        index.note([(key(1), Entry::Event(1)), (key(2), ended(2))], 1, 1);
        index.note([(key(3), Entry::Event(3))], 3, 3);
        assert!(index.has_gap());
        index.flush().unwrap();
        assert_eq!(index.get(&key(3)).unwrap(), Some(Entry::Event(3)), "read from the file");
        index.note([(key(4), Entry::Event(2))], 2, 2);
        assert_eq!((index.through(), index.high()), (3, 3));
        // Not written: as after a crash.
    }
    let index = Index::open(&folder.path().join("index.redb"), "abcdefgh", 99).unwrap();
    assert_eq!((index.through(), index.known_since_ms()), (1, 7), "what is behind the gap is read again");
    assert_eq!(index.get(&key(2)).unwrap(), Some(ended(2)));
    assert_eq!(index.get(&key(4)).unwrap(), None);
}

/// Nothing of a damaged index is believed, wherever the damage is.
#[test]
fn an_index_with_a_flipped_bit_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.redb");
    {
        let index = open(folder.path());
        index.note((1..=60).map(|n| (key(n), Entry::Event(n))), 1, 60);
        index.flush().unwrap();
    }
    let whole = std::fs::read(&path).unwrap();
    for n in [1, 17, 60] {
        let key = key(n);
        let places = (0..whole.len() - 32).filter(|at| whole[*at..*at + 32] == key.as_bytes()[..]);
        let mut damaged = whole.clone();
        let mut flipped = 0;
        for at in places {
            damaged[at + 12] ^= 1;
            flipped += 1;
        }
        assert!(flipped > 0, "the key {n} stands in the file");
        std::fs::write(&path, damaged).unwrap();
        let index = open(folder.path());
        assert_eq!(index.through(), 0, "all of the log is read again");
        assert_eq!(index.get(&key).unwrap(), None);
    }
}

#[test]
fn the_first_entry_of_a_key_stays() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path());
    index.note([(key(1), Entry::Event(1))], 1, 1);
    index.note([(key(1), Entry::Event(2))], 2, 2);
    assert_eq!(index.get(&key(1)).unwrap(), Some(Entry::Event(1)));
    index.flush().unwrap();
    index.note([(key(1), Entry::Event(3))], 3, 3);
    index.flush().unwrap();
    assert_eq!(index.get(&key(1)).unwrap(), Some(Entry::Event(1)));
}

/// Whatever happened to the file: it is used, or made again and says that it knows nothing.
#[test]
fn a_file_that_cannot_be_used_is_made_again() {
    let made = tempfile::tempdir().unwrap();
    {
        let index = open(made.path());
        index.note((1..=5_000).map(|n| (key(n), Entry::Event(n))), 1, 5_000);
        index.flush().unwrap();
    }
    let whole = std::fs::read(made.path().join("index.redb")).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        bytes
    };
    let mut damages =
        vec![Vec::new(), b"rubbish".to_vec(), whole[..whole.len() / 3].to_vec(), vec![0; 4_096]];
    damages.extend([0, 9, 64, 128, 200].map(flipped));
    for (n, damage) in damages.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("index.redb"), damage).unwrap();
        let index = open(folder.path());
        let known = index.through();
        assert!(known == 0 || known == 5_000, "damage {n}: {known}");
        index.note([(key(9_000), Entry::Event(9_000))], 9_000, 9_000);
        index.flush().unwrap();
        assert_eq!(index.get(&key(9_000)).unwrap(), Some(Entry::Event(9_000)), "damage {n}");
    }
    let other = Index::open(&made.path().join("index.redb"), "zzzzzzzz", 5).unwrap();
    assert_eq!((other.through(), other.get(&key(1)).unwrap()), (0, None), "of another log");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Notes, writes and crashes in any order: what was written is there, what was not may be missing and is then not
    /// counted as known.
    #[test]
    fn what_is_counted_as_known_is_known(steps in prop::collection::vec((0u8..8, 1u64..40), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let mut index = open(folder.path());
        let mut noted = BTreeMap::new();
        for (what, n) in steps {
            match what {
                0 => index.flush().unwrap(),
                1 => {
                    drop(index);
                    index = open(folder.path());
                    noted.retain(|n, _| index.get(&key(*n)).unwrap().is_some());
                }
                _ => {
                    index.note([(key(n), Entry::Event(n))], n, n);
                    noted.insert(n, ());
                }
            }
            for n in 1..=index.through() {
                prop_assert_eq!(index.get(&key(n)).unwrap(), Some(Entry::Event(n)));
            }
            for n in noted.keys() {
                prop_assert_eq!(index.get(&key(*n)).unwrap(), Some(Entry::Event(*n)));
            }
        }
    }
}

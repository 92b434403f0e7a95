//! A ledger over its life: records in any order, cut, damaged, removed.

use super::*;

const NAME: &str = "EVENT_n";
const HEADER: Header = Header { generation: 3, created_ns: 1_795_255_334_000_000_001, adopted: 0 };

fn ledger(is_queue: bool) -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("EVENT_n.ledger");
    Ledger::create(&path, NAME, HEADER, std::iter::empty()).unwrap();
    let ledger = Ledger::open(&path, NAME, is_queue).unwrap();
    (folder, ledger)
}

fn record(n: u64) -> Record {
    Record::of("library.event.documents.d.DocumentAdded", &n.to_le_bytes(), None, n)
}

#[test]
fn acknowledgements_come_in_any_order() {
    let (_folder, ledger) = ledger(false);
    ledger.stored(3, &[record(3), record(4)]).unwrap();
    let tally = ledger.tally();
    assert_eq!((tally.extent, tally.lasting), (4, 2));
    ledger.sync().unwrap();
    assert_eq!(ledger.tally().frontier, 1, "1 is blank");
    ledger.stored(1, &[record(1), record(2)]).unwrap();
    ledger.sync().unwrap();
    assert_eq!(ledger.tally().frontier, 5);
    let again = Ledger::open(ledger.path(), NAME, false).unwrap();
    assert_eq!((again.header(), again.tally()), (HEADER, ledger.tally()));
    assert_eq!(
        again.slots(1, 5).unwrap()[..4],
        (1..=4).map(|n| Slot::Written(record(n))).collect::<Vec<_>>()
    );
    assert_eq!(again.damage(), None);
}

#[test]
fn a_sequence_that_is_handed_out_again_is_noticed() {
    let (_folder, ledger) = ledger(false);
    ledger.stored(1, &[record(1), record(2)]).unwrap();
    ledger.stored(2, &[record(2)]).unwrap();
    assert_eq!(ledger.stored(2, &[record(7)]), Err(Unwitnessed::Repeated(2)));
    assert_eq!(ledger.tally().lasting, 2);
}

#[test]
fn what_left_the_queue_gives_its_room_back() {
    let (_folder, ledger) = ledger(true);
    let count = PUNCH_RECORDS + 10;
    let records: Vec<Record> = (1..=count).map(record).collect();
    ledger.stored(1, &records).unwrap();
    (1..=count - 5).for_each(|sequence| ledger.mark(sequence, State::Settled, 0));
    ledger.mark(count + 1, State::Settled, 0);
    ledger.stored(count + 1, &[record(0)]).unwrap();
    ledger.sync().unwrap();
    let tally = ledger.tally();
    assert_eq!((tally.floor, tally.lasting, tally.extent), (count - 4, 5, count + 1));
    let again = Ledger::open(ledger.path(), NAME, true).unwrap();
    assert_eq!((again.tally().floor, again.tally().lasting), (count - 4, 5));
    #[cfg(target_os = "linux")]
    {
        let taken = std::fs::metadata(ledger.path()).unwrap().blocks() * 512;
        assert!(taken < count * RECORD / 2, "{taken} bytes are still taken");
    }
}

#[test]
fn what_is_no_record_behind_the_last_one_is_cut_off() {
    for rubbish in [&b"\xff"[..], &[7; 47], &[7; 48], &[7; 480]] {
        let (_folder, ledger) = ledger(false);
        ledger.stored(1, &(1..=3).map(record).collect::<Vec<_>>()).unwrap();
        ledger.sync().unwrap();
        // Written and not synced.
        ledger.stored(4, &[record(4)]).unwrap();
        let path = ledger.path().to_owned();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole, rubbish].concat()).unwrap();
        let again = Ledger::open(&path, NAME, false).unwrap();
        assert_eq!((again.tally().extent, again.tally().lasting), (4, 4));
        assert!(again.damage().unwrap().contains("behind the record of 4"), "{:?}", again.damage());
        assert_eq!(
            std::fs::read(&path).unwrap().len(),
            whole.len() + rubbish.len(),
            "nothing is changed yet"
        );
        // The stream holds one more, which nobody had acknowledged.
        again.fill(6, &record(6));
        again.trim().unwrap();
        let mended = Ledger::open(&path, NAME, false).unwrap();
        assert_eq!((mended.damage(), mended.tally().extent), (None, 6));
        assert_eq!(
            mended.slots(4, 3).unwrap(),
            [Slot::Written(record(4)), Slot::Blank, Slot::Written(record(6))]
        );
    }
}

#[test]
fn a_damaged_record_that_was_synced_is_a_loss_of_the_witness_also_at_the_end() {
    let (_folder, ledger) = ledger(false);
    ledger.stored(1, &[record(1), record(2)]).unwrap();
    ledger.sync().unwrap();
    let path = ledger.path();
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
    let again = Ledger::open(path, NAME, false).unwrap();
    assert_eq!((again.tally().extent, again.tally().lasting), (2, 1));
    assert!(again.damage().unwrap().contains("1 of its records"));
}

#[test]
fn what_cannot_be_written_is_not_witnessed_until_it_can() {
    let (_folder, mut ledger) = ledger(false);
    let unwritable = File::open(ledger.path()).unwrap();
    let file = std::mem::replace(&mut ledger.file, unwritable);
    assert!(matches!(ledger.stored(1, &[record(1)]), Err(Unwitnessed::Unwritten(_))));
    assert!(ledger.failing().is_some());
    assert_eq!(ledger.tally().extent, 1, "it is to be filled in");
    ledger.file = file;
    ledger.fill(1, &record(1));
    assert_eq!((ledger.failing(), ledger.tally().lasting), (None, 1));
}

#[test]
fn a_ledger_that_was_removed_or_replaced_is_noticed() {
    let (_folder, ledger) = ledger(false);
    assert!(ledger.is_in_place());
    std::fs::copy(ledger.path(), ledger.path().with_extension("other")).unwrap();
    std::fs::rename(ledger.path().with_extension("other"), ledger.path()).unwrap();
    assert!(!ledger.is_in_place());
    std::fs::remove_file(ledger.path()).unwrap();
    assert!(!ledger.is_in_place());
}

#[test]
fn damage_of_the_ledger_is_told() {
    let (_folder, ledger) = ledger(false);
    ledger.stored(1, &(1..=9).map(record).collect::<Vec<_>>()).unwrap();
    ledger.sync().unwrap();
    let path = ledger.path().to_owned();
    let whole = std::fs::read(&path).unwrap();
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Ledger::open(&path, NAME, false)
    };
    for length in [0, RECORD_BYTES] {
        assert!(matches!(open(&whole[..length]), Err(Unusable::Damaged(_))), "{length}");
    }
    let cut = open(&whole[..whole.len() - 100]).unwrap();
    assert!(cut.damage().unwrap().contains("had 9 records"), "{:?}", cut.damage());
    assert_eq!((cut.tally().extent, cut.tally().lasting), (9, 6));
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        match open(&flipped) {
            Ok(ledger) => assert!(ledger.damage().is_some(), "a flip at {at} passes"),
            Err(error) => assert!(at < RECORD_BYTES, "{at}: {error:?}"),
        }
    }
    assert!(matches!(Ledger::open(&path, "EVENT_other", false), Err(Unusable::Damaged(_))));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Ledger::open(&path, NAME, false), Err(Unusable::Absent)));
}

//! The checker itself under test: an honest log passes, and each kind of mistake that is put into it is found.

use comms_msg::{Expect, MsgId, Position};

use super::checker::{Problem, check};
use super::journal::{Entry, Read, Target, text};

fn id(n: u128) -> MsgId {
    MsgId::v7(1_000, n * MsgId::RANDOM_STEP)
}

fn at(sequence: u64) -> Position {
    Position::new("abcdefgh", sequence).unwrap()
}

const REFUSED: u128 = 9;

fn read(
    position: u64,
    write: u128,
    ordinal: usize,
    count: usize,
    entity: &str,
    causation: Option<u128>,
) -> Read {
    Read {
        position: at(position),
        id: event(write, ordinal),
        entity: entity.to_owned(),
        causation: causation.map(id),
        text: text(id(write), ordinal, count),
    }
}

/// The event at `ordinal` of a write: an appended one is named like its write, a command's is not.
fn event(write: u128, ordinal: usize) -> MsgId {
    if write == 2 { id(20 + ordinal as u128) } else { id(write + 100 * ordinal as u128) }
}

fn append(write: u128, count: usize, entity: &str, expect: Expect) -> Entry {
    Entry::AppendSent {
        ids: (0..count).map(|n| event(write, n)).collect(),
        entity: entity.to_owned(),
        expect,
    }
}

fn acked(write: u128, positions: &[u64]) -> Entry {
    let ids = (0..positions.len()).map(|n| event(write, n)).collect();
    Entry::AppendAcked { ids, positions: positions.iter().map(|&p| at(p)).collect() }
}

/// Event 1 at 1; command 2 with two events at 2 and 3; a refused command; 4 after 1, in two, sent twice, at 5 and 6; a
/// conflict; 6 at 7.
fn honest() -> Vec<Entry> {
    let a = || "a".to_owned();
    let reads = [
        read(1, 1, 0, 1, "a", None),
        read(2, 2, 0, 2, "b", Some(2)),
        read(3, 2, 1, 2, "b", Some(2)),
        read(5, 4, 0, 2, "a", None),
        read(6, 4, 1, 2, "a", None),
        read(7, 6, 0, 1, "b", None),
    ];
    let mut entries = vec![
        append(1, 1, "a", Expect::Absent),
        acked(1, &[1]),
        Entry::CommandSent {
            id: id(2),
            entity: "b".into(),
            causes: vec![event(2, 0), event(2, 1)],
            refused: false,
        },
        Entry::CommandAcked { id: id(2), position: at(1) },
        Entry::Handled { command: id(2), instance: 0, tries: 1 },
        Entry::Handled { command: id(2), instance: 1, tries: 2 },
        Entry::CommandSent { id: id(REFUSED), entity: a(), causes: vec![], refused: true },
        Entry::CommandAcked { id: id(REFUSED), position: at(2) },
        append(4, 2, "a", Expect::At(at(1))),
        Entry::Killed { target: Target::Server, aimed_into: Some(id(4)) },
        Entry::Back { after_ms: 700 },
        Entry::Undecided { id: id(4), why: "no answer".into() },
        Entry::Killed { target: Target::Node, aimed_into: Some(id(4)) },
        append(4, 2, "a", Expect::At(at(1))),
        acked(4, &[5, 6]),
        append(5, 1, "a", Expect::At(at(1))),
        Entry::AppendRefused { id: id(5), actual: Some(at(6)) },
        append(6, 1, "b", Expect::Any),
        acked(6, &[7]),
    ];
    let ended = |n, state: &str, events: &[(MsgId, Position)]| Entry::Ended {
        command: id(n),
        state: state.to_owned(),
        events: events.to_vec(),
    };
    entries.extend(reads.iter().cloned().map(Entry::Watched));
    entries.push(ended(2, "done", &[(event(2, 0), at(2)), (event(2, 1), at(3))]));
    entries.push(ended(REFUSED, "rejected", &[]));
    entries.extend(reads.into_iter().map(Entry::Found));
    entries
}

/// The log without what both readers read of an event.
pub(super) fn without(entries: &[Entry], event: MsgId) -> Vec<Entry> {
    let is_it =
        |entry: &Entry| matches!(entry, Entry::Watched(read) | Entry::Found(read) if read.id == event);
    entries.iter().filter(|entry| !is_it(entry)).cloned().collect()
}

/// The log with an event once more behind everything else, for both readers.
pub(super) fn doubled(entries: &[Entry], event: MsgId) -> Vec<Entry> {
    let behind = |read: &Read| {
        let last = entries
            .iter()
            .filter_map(|e| if let Entry::Found(read) = e { Some(read.position) } else { None })
            .next_back();
        let last = last.expect("something was found");
        Read {
            position: Position::new(last.log(), last.sequence() + 1).expect("a log's own name"),
            ..read.clone()
        }
    };
    let mut doctored = entries.to_vec();
    for entry in entries {
        match entry {
            Entry::Watched(read) if read.id == event => doctored.push(Entry::Watched(behind(read))),
            Entry::Found(read) if read.id == event => doctored.push(Entry::Found(behind(read))),
            _ => {}
        }
    }
    doctored
}

fn changed(mut change: impl FnMut(&mut Entry)) -> Vec<Problem> {
    let mut entries = honest();
    entries.iter_mut().for_each(&mut change);
    check(&entries).1
}

fn reads(entry: &mut Entry) -> Option<&mut Read> {
    match entry {
        Entry::Watched(read) | Entry::Found(read) => Some(read),
        _ => None,
    }
}

#[test]
fn an_honest_log_passes_and_is_counted() {
    let (facts, problems) = check(&honest());
    assert_eq!(problems, []);
    assert_eq!((facts.commands, facts.appends, facts.conflicts, facts.events), (2, 4, 1, 6));
    assert_eq!(
        (facts.kills, facts.node_kills, facts.into_unacked),
        (2, 1, 1),
        "the second had been given up before"
    );
    assert_eq!((facts.undecided, facts.handled_again, facts.back_ms_most), (1, 1, 700));
}

#[test]
fn one_planted_loss_is_found() {
    let (_, problems) = check(&without(&honest(), event(6, 0)));
    assert_eq!(problems, [Problem::Lost { write: id(6), event: event(6, 0) }]);
    let (_, problems) = check(&without(&without(&honest(), event(2, 0)), event(2, 1)));
    let lost = |n| Problem::Lost { write: id(2), event: event(2, n) };
    assert_eq!(problems, [lost(0), lost(1)]);
}

#[test]
fn one_planted_double_is_found() {
    let (_, problems) = check(&doubled(&honest(), event(6, 0)));
    assert_eq!(problems, [Problem::Doubled { event: event(6, 0), at: vec![at(7), at(8)] }]);
}

#[test]
fn half_a_commit_is_found() {
    let (_, problems) = check(&without(&honest(), event(4, 1)));
    assert!(problems.contains(&Problem::Torn { write: id(4), found: vec![at(5)], of: 2 }), "{problems:?}");
    // Also of a write that nobody was told about.
    let unacked = |entry: &Entry| matches!(entry, Entry::AppendAcked { ids, .. } if ids[0] == id(4));
    let entries: Vec<Entry> = without(&honest(), event(4, 1)).into_iter().filter(|e| !unacked(e)).collect();
    let (_, problems) = check(&entries);
    assert!(problems.contains(&Problem::Torn { write: id(4), found: vec![at(5)], of: 2 }), "{problems:?}");
    assert!(problems.contains(&Problem::Undecided { write: id(4) }), "{problems:?}");
}

#[test]
fn an_event_at_another_place_than_told_is_found() {
    let problems = changed(|entry| {
        if let Some(read) = reads(entry).filter(|read| read.id == event(6, 0)) {
            read.position = at(8);
        }
    });
    assert_eq!(problems, [Problem::Misplaced { event: event(6, 0), told: at(7), found: at(8) }]);
}

#[test]
fn what_nobody_sent_and_what_was_altered_are_found() {
    let problems = changed(|entry| {
        if let Some(read) = reads(entry).filter(|read| read.id == event(6, 0)) {
            read.id = id(77);
        }
    });
    assert!(problems.contains(&Problem::Invented { event: id(77) }), "{problems:?}");
    let problems = changed(|entry| {
        if let Some(read) = reads(entry).filter(|read| read.id == event(6, 0)) {
            read.entity = "c".to_owned();
        }
    });
    assert!(matches!(problems.as_slice(), [Problem::Altered { .. }]), "{problems:?}");
}

#[test]
fn a_conflict_that_was_none_and_an_expectation_that_did_not_hold_are_found() {
    let problems = changed(|entry| match entry {
        Entry::AppendAcked { ids, .. } if ids[0] == id(4) => {
            *entry = Entry::AppendRefused { id: id(4), actual: Some(at(1)) };
        }
        _ => {}
    });
    assert_eq!(problems, [Problem::Undead { write: id(4) }]);
    let problems = changed(|entry| {
        if let Entry::AppendSent { ids, expect, .. } = entry
            && ids[0] == id(4)
        {
            *expect = Expect::Absent;
        }
    });
    assert_eq!(
        problems,
        [Problem::Unexpected { write: id(4), expected: Expect::Absent, found: Some(at(1)) }]
    );
}

#[test]
fn an_event_in_front_of_what_was_seen_before_it_was_sent_is_found() {
    let mut entries = honest();
    // The event at 7 is sent last; had the watch read on to 9 before that, it came too early.
    let sent =
        entries.iter().position(|e| matches!(e, Entry::AppendSent { ids, .. } if ids[0] == id(6))).unwrap();
    entries.insert(sent, Entry::AppendRefused { id: id(5), actual: Some(at(9)) });
    let (_, problems) = check(&entries);
    assert_eq!(problems, [Problem::Early { event: event(6, 0), at: at(7), seen_before: 9 }]);
}

#[test]
fn a_watch_that_doubles_or_skips_is_found() {
    let mut entries = honest();
    let second =
        entries.iter().position(|e| matches!(e, Entry::Watched(read) if read.id == event(2, 0))).unwrap();
    let again = entries[second].clone();
    entries.insert(second, again);
    let (_, problems) = check(&entries);
    assert!(problems.contains(&Problem::Unordered { event: event(2, 0), at: at(2) }), "{problems:?}");
    let mut entries = honest();
    entries.remove(second);
    let (_, problems) = check(&entries);
    assert_eq!(problems, [Problem::Unlike { watched: Some(event(2, 1)), found: Some(event(2, 0)) }]);
}

#[test]
fn a_command_without_an_end_or_with_the_wrong_one_is_found() {
    let problems = changed(|entry| {
        if let Entry::Ended { state, .. } = entry {
            *state = "dead".to_owned();
        }
    });
    let ended = |n| Problem::EndedAs { command: id(n), state: "dead".to_owned() };
    assert_eq!(problems, [ended(2), ended(REFUSED)]);
    let entries: Vec<Entry> = honest().into_iter().filter(|e| !matches!(e, Entry::Ended { .. })).collect();
    let (_, problems) = check(&entries);
    assert_eq!(problems, [Problem::Undecided { write: id(2) }, Problem::Undecided { write: id(REFUSED) }]);
}

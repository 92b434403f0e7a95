//! What a reader did not get: a stretch of the ledger against what was got of it.
//!
//! The ledger names what was acknowledged; what is in it and was not got is to be asked for in the stream, one by one, before
//! it counts as lost. One question costs at most [`STRETCH_MAX`] records and [`TALLY_MISSING_MAX`] such reads, whatever is
//! asked; who wants to know more asks again behind the answer.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use comms_msg::limits::TALLY_MISSING_MAX;
use comms_msg::{EntityId, Subject, TypeName};

use super::compare::is_wanted;
use super::ledger::Ledger;
use super::loss::{How, StreamLoss};
use super::record::{Kind, Slot, State, entity_hash, type_hash};
use super::{Manner, Witness};
use crate::clock::now_ms;

/// Records that one question looks at: 3 MiB, a millisecond or two.
const STRETCH_MAX: u64 = 65_536;

/// The events that a reader reads.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    types: Vec<TypeName>,
    hashes: HashSet<u32>,
    entity: Option<EntityId>,
}

/// Something that was not got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It was lost, and the operator knows.
    Accepted,
    /// The stream has to be asked.
    Ask,
}

/// What the ledger says of a stretch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Doubts {
    /// It is about what stands up to this sequence.
    pub(crate) through: u64,
    /// What was not got, by its sequence; at most [`TALLY_MISSING_MAX`].
    pub(crate) found: Vec<(u64, Doubt)>,
}

impl Wanted {
    pub(crate) fn of(types: Vec<TypeName>, entity: Option<EntityId>) -> Wanted {
        let hashes = types.iter().map(|name| type_hash(name.context(), name.name())).collect();
        Wanted { types, hashes, entity }
    }

    /// What a record says against that the reader should have got its message; none where nothing does.
    fn doubt(&self, slot: Slot, is_adopted: bool, now: u64) -> Option<Doubt> {
        let Slot::Written(record) = slot else {
            // Nobody knows what stood there before there was a ledger.
            return if is_adopted { None } else { Some(Doubt::Ask) };
        };
        let is_nameless = record.state == State::Lost && record.kind == Kind::Other;
        let is_wanted = record.kind == Kind::Event
            && self.hashes.contains(&record.type_hash)
            && self.entity.as_ref().is_none_or(|entity| entity_hash(entity.as_str()) == record.entity_hash);
        match record.state {
            State::Lost if is_wanted || is_nameless => Some(Doubt::Accepted),
            _ if is_wanted && record.must_be_there(now) => Some(Doubt::Ask),
            State::Present | State::Settled | State::Gone | State::Lost => None,
        }
    }

    /// Whether the reader reads what is stored under `subject`: two entities may have one hash.
    pub(crate) fn is_met_by(&self, subject: &str) -> bool {
        match subject.parse() {
            Ok(Subject::Event { entity, type_name, .. }) => {
                self.types.contains(&type_name) && self.entity.as_ref().is_none_or(|wanted| *wanted == entity)
            }
            _ => false,
        }
    }
}

/// Holds `got`, ascending, against the ledger behind `after` up to `until`.
fn doubts(ledger: &Ledger, wanted: &Wanted, after: u64, until: u64, got: &[u64]) -> io::Result<Doubts> {
    let (now, adopted) = (now_ms(), ledger.header().adopted);
    // What lies behind is not acknowledged yet.
    let extent = ledger.tally().extent;
    let end = until.min(extent).min(after.saturating_add(STRETCH_MAX));
    let through = if end == extent.min(until) { until } else { end };
    let mut doubts = Doubts { through: through.max(after), found: Vec::new() };
    let mut got = got.iter().copied().peekable();
    for at in ledger.walk(after.saturating_add(1), end) {
        let (sequence, slot) = at?;
        while got.next_if(|got| *got < sequence).is_some() {}
        if got.next_if_eq(&sequence).is_some() {
            continue;
        }
        let Some(doubt) = wanted.doubt(slot, sequence <= adopted, now) else { continue };
        doubts.found.push((sequence, doubt));
        if doubts.found.len() == TALLY_MISSING_MAX {
            doubts.through = sequence;
            return Ok(doubts);
        }
    }
    Ok(doubts)
}

impl Witness {
    /// The highest sequence of `stream` that was acknowledged.
    pub(crate) fn extent(&self, stream: &str) -> Option<u64> {
        Some(self.watched(stream)?.ledger.tally().extent)
    }

    /// What the ledger says against that `got`, ascending, are all the `wanted` events of `stream` behind `after` up to
    /// `until`.
    ///
    /// # Errors
    /// If it cannot be told right now.
    pub(crate) async fn doubts(
        &self,
        stream: &str,
        wanted: Wanted,
        after: u64,
        until: u64,
        got: Vec<u64>,
    ) -> Result<Doubts, String> {
        let at = self.shared.at(stream).ok_or_else(|| format!("there is no ledger of {stream}"))?;
        let shared = Arc::clone(&self.shared);
        let read = move || doubts(&shared.streams[at].ledger, &wanted, after, until, &got);
        let read = tokio::task::spawn_blocking(read).await.map_err(|e| e.to_string())?;
        read.map_err(|e| format!("the ledger of {stream} cannot be read: {e}"))
    }

    /// Whether the message at `sequence` of `stream`, which is absent, should be there.
    pub(crate) fn is_lost(&self, stream: &str, sequence: u64) -> Result<bool, String> {
        let watched = self.watched(stream).ok_or_else(|| format!("there is no ledger of {stream}"))?;
        let slot = watched.ledger.slot(sequence).map_err(|e| e.to_string())?;
        is_wanted(&watched.ledger, watched.manner == Manner::Queue, sequence, slot)
    }

    /// Says that what was acknowledged at `missing` in `stream` cannot be read: from now on the doors refuse.
    pub(crate) fn unreadable(&self, stream: &str, missing: &[u64]) {
        let Some(watched) = self.watched(stream).filter(|_| !missing.is_empty()) else { return };
        let mut loss = StreamLoss::new(watched.ledger.name(), &watched.incarnation);
        for sequence in missing {
            let record = watched.ledger.slot(*sequence).ok().and_then(Slot::record);
            loss.add(How::Missing, *sequence, record.as_ref(), &self.shared.names);
        }
        self.lost(loss.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::ledger::Header;
    use crate::witness::record::Record;

    const ADDED: &str = "documents.DocumentAdded";

    fn event(entity: &str, name: &str, n: u64) -> Record {
        Record::of(&format!("library.event.documents.{entity}.{name}"), &n.to_le_bytes(), None, n)
    }

    fn wanted(entity: Option<&str>) -> Wanted {
        Wanted::of(vec![ADDED.parse().unwrap()], entity.map(|entity| EntityId::new(entity).unwrap()))
    }

    /// 1 to 3 from before there was a ledger; then added, retitled, lost, added of another, blank, an ending that is
    /// gone, added.
    fn ledger() -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("EVENT_n.ledger");
        let header = Header { generation: 0, created_ns: 1, adopted: 3 };
        let slots = [
            Slot::Blank,
            Slot::Blank,
            Slot::Blank,
            Slot::Written(event("d", "DocumentAdded", 4)),
            Slot::Written(event("d", "DocumentRetitled", 5)),
            Slot::Written(Record { state: State::Lost, ..event("d", "DocumentAdded", 6) }),
            Slot::Written(event("e", "DocumentAdded", 7)),
            Slot::Blank,
            Slot::Written(Record::bare(State::Gone, 9)),
            Slot::Written(event("d", "DocumentAdded", 10)),
        ];
        Ledger::create(&path, "EVENT_n", header, slots.into_iter()).unwrap();
        let ledger = Ledger::open(&path, "EVENT_n", false).unwrap();
        (folder, ledger)
    }

    #[test]
    fn what_was_got_is_in_no_doubt() {
        let (_folder, ledger) = ledger();
        let found = |entity, after, until, got: &[u64]| {
            let Doubts { through, found } = doubts(&ledger, &wanted(entity), after, until, got).unwrap();
            (through, found)
        };
        let (lost, ask) = ((6, Doubt::Accepted), |sequence| (sequence, Doubt::Ask));
        assert_eq!(found(None, 0, 10, &[]), (10, vec![ask(4), lost, ask(7), ask(8), ask(10)]));
        assert_eq!(found(None, 0, 10, &[4, 7, 8, 10]), (10, vec![lost]));
        assert_eq!(found(None, 6, 9, &[7, 8]), (9, vec![]));
        assert_eq!(found(Some("e"), 0, 10, &[7]), (10, vec![ask(8)]));
        assert_eq!(found(None, 7, 99, &[8, 10, 12]), (99, vec![]), "what lies behind is not acknowledged");
        assert_eq!(found(None, 200, 99, &[]), (200, vec![]), "a stretch that ends before it begins");
        assert_eq!(found(None, u64::MAX, u64::MAX, &[]), (u64::MAX, vec![]));
    }

    #[test]
    fn a_question_is_bounded() {
        let (_folder, ledger) = ledger();
        let many: Vec<Record> = (11..=STRETCH_MAX + 100).map(|n| event("d", "DocumentAdded", n)).collect();
        ledger.stored(11, &many).unwrap();
        let most = doubts(&ledger, &wanted(None), 10, u64::MAX, &[]).unwrap();
        assert_eq!((most.through, most.found.len()), (10 + TALLY_MISSING_MAX as u64, TALLY_MISSING_MAX));
        let none = doubts(&ledger, &wanted(Some("other")), 10, u64::MAX, &[]).unwrap();
        assert_eq!(
            (none.through, none.found.len()),
            (10 + STRETCH_MAX, 0),
            "the rest is to be asked about again"
        );
        let rest = doubts(&ledger, &wanted(Some("other")), none.through, u64::MAX, &[]).unwrap();
        assert_eq!(rest.through, u64::MAX);
    }
}

//! Judges a log of sends, acknowledgements and reads: is everything there that was acknowledged, once, whole, where it
//! was said to be, and nothing else? Pure: the log is all it knows.
//!
//! What it holds the log of events to:
//! - what was acknowledged is there, once, unaltered; nothing is there that nobody sent;
//! - the events of one write stand next to each other, all or none, also of a write that was never acknowledged;
//! - appended events stand where their acknowledgement said, a command's where its outcome says; what was answered as
//!   a conflict, and what its handler refused, left nothing;
//! - an expected position held: no event of the entity stands between it and the events that expected it;
//! - time: a write that was sent after something was seen at a place stands behind that place;
//! - a watch that ran all the time handed on what is there now, in that order, each once.

use std::collections::{BTreeMap, HashMap, HashSet};

use comms_msg::{Expect, MsgId, Position};

use super::journal::{Entry, Read, Target, text};

/// Something that must not be. Events and writes are named by their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Problem {
    /// Acknowledged, and not there.
    Lost { write: MsgId, event: MsgId },
    /// There more than once.
    Doubled { event: MsgId, at: Vec<Position> },
    /// Some events of a write are there, and not all, or not next to each other.
    Torn { write: MsgId, found: Vec<Position>, of: usize },
    /// There, but not where it was said to be.
    Misplaced { event: MsgId, told: Position, found: Position },
    /// There, and nobody sent it.
    Invented { event: MsgId },
    /// There, but other than it was sent.
    Altered { event: MsgId, found: String },
    /// There, although its sender was told that it is not, or its command was refused.
    Undead { write: MsgId },
    /// There although the entity was not where the write expected it.
    Unexpected { write: MsgId, expected: Expect, found: Option<Position> },
    /// In front of something that had been seen before it was sent.
    Early { event: MsgId, at: Position, seen_before: u64 },
    /// The reads of one reader do not rise.
    Unordered { event: MsgId, at: Position },
    /// The watch and the log differ first at this read: what the watch has, and what the log has.
    Unlike { watched: Option<MsgId>, found: Option<MsgId> },
    /// A command that ended otherwise than its handler ends it.
    EndedAs { command: MsgId, state: String },
    /// Two places for one command, or two commands at one place.
    TwoPlaces { command: MsgId, one: Position, other: Position },
    /// A write that its writer left without a decision, or a command without an end.
    Undecided { write: MsgId },
}

/// What happened, in numbers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) commands: usize,
    pub(super) appends: usize,
    pub(super) conflicts: usize,
    pub(super) events: usize,
    pub(super) kills: usize,
    pub(super) node_kills: usize,
    /// Kills at which the write that they were aimed into had left and had no answer.
    pub(super) into_unacked: usize,
    /// Attempts that brought no decision, so that the same was sent again.
    pub(super) undecided: usize,
    /// Runs of handlers beyond the first of each command.
    pub(super) handled_again: usize,
    pub(super) back_ms_most: u64,
    pub(super) back_ms_total: u64,
}

/// What is known of one write.
#[derive(Debug)]
struct Write<'a> {
    events: &'a [MsgId],
    entity: &'a str,
    expect: Expect,
    /// The highest place of an event that anybody had seen when it was first sent.
    seen_before: u64,
    kind: Kind<'a>,
}

#[derive(Debug)]
enum Kind<'a> {
    Append { acked: Option<&'a [Position]>, refused: bool },
    Command { refused: bool, acked: Option<Position>, ended: Option<(&'a str, &'a [(MsgId, Position)])> },
}

/// Everything that is wrong, and what happened.
pub(super) fn check(entries: &[Entry]) -> (Facts, Vec<Problem>) {
    let mut log = Log::default();
    for entry in entries {
        log.read(entry);
    }
    log.judge()
}

#[derive(Debug, Default)]
struct Log<'a> {
    writes: BTreeMap<MsgId, Write<'a>>,
    watched: Vec<&'a Read>,
    found: Vec<&'a Read>,
    seen: u64,
    /// Writes of which an attempt is under way.
    open: HashSet<MsgId>,
    handled: HashMap<MsgId, usize>,
    facts: Facts,
    problems: Vec<Problem>,
}

impl<'a> Log<'a> {
    fn read(&mut self, entry: &'a Entry) {
        match entry {
            Entry::CommandSent { id, entity, causes, refused } => {
                let kind = Kind::Command { refused: *refused, acked: None, ended: None };
                self.sent(*id, causes, entity, Expect::Any, kind);
            }
            Entry::AppendSent { ids, entity, expect } => {
                let kind = Kind::Append { acked: None, refused: false };
                self.sent(ids[0], ids, entity, *expect, kind);
            }
            Entry::CommandAcked { id, position } => self.command_acked(*id, *position),
            Entry::AppendAcked { ids, positions } => {
                self.open.remove(&ids[0]);
                self.see(positions.iter().copied());
                match self.writes.get_mut(&ids[0]).map(|write| (write.events, &mut write.kind)) {
                    Some((events, Kind::Append { acked, .. })) if events == ids => *acked = Some(positions),
                    _ => self.problems.push(Problem::Invented { event: ids[0] }),
                }
            }
            Entry::AppendRefused { id, actual } => {
                self.open.remove(id);
                self.see(*actual);
                if let Some(Write { kind: Kind::Append { refused, .. }, .. }) = self.writes.get_mut(id) {
                    *refused = true;
                    self.facts.conflicts += 1;
                }
            }
            Entry::Undecided { id, .. } => {
                self.open.remove(id);
                self.facts.undecided += 1;
            }
            Entry::Handled { command, .. } => *self.handled.entry(*command).or_default() += 1,
            Entry::Ended { command, state, events } => {
                self.see(events.iter().map(|(_, position)| *position));
                if let Some(Write { kind: Kind::Command { ended, .. }, .. }) = self.writes.get_mut(command) {
                    *ended = Some((state, events));
                }
            }
            Entry::Watched(read) => {
                self.see([read.position]);
                self.watched.push(read);
            }
            Entry::Found(read) => self.found.push(read),
            Entry::Killed { target, aimed_into } => {
                self.facts.kills += 1;
                self.facts.node_kills += usize::from(*target == Target::Node);
                self.facts.into_unacked += usize::from(aimed_into.is_some_and(|id| self.open.contains(&id)));
            }
            Entry::Back { after_ms } => {
                self.facts.back_ms_total += after_ms;
                self.facts.back_ms_most = self.facts.back_ms_most.max(*after_ms);
            }
        }
    }

    fn sent(&mut self, id: MsgId, events: &'a [MsgId], entity: &'a str, expect: Expect, kind: Kind<'a>) {
        self.open.insert(id);
        let seen_before = self.seen;
        self.writes.entry(id).or_insert(Write { events, entity, expect, seen_before, kind });
    }

    fn command_acked(&mut self, id: MsgId, position: Position) {
        self.open.remove(&id);
        let Some(Write { kind: Kind::Command { acked, .. }, .. }) = self.writes.get_mut(&id) else {
            return self.problems.push(Problem::Invented { event: id });
        };
        match acked {
            // A command that had ended has no place any more; it is acknowledged nevertheless.
            Some(one) if *one != position && one.sequence() != 0 && position.sequence() != 0 => {
                self.problems.push(Problem::TwoPlaces { command: id, one: *one, other: position });
            }
            acked => *acked = Some(position),
        }
    }

    fn see(&mut self, positions: impl IntoIterator<Item = Position>) {
        self.seen = positions.into_iter().map(|position| position.sequence()).fold(self.seen, u64::max);
    }

    fn judge(mut self) -> (Facts, Vec<Problem>) {
        let mut places: HashMap<MsgId, Vec<Position>> = HashMap::new();
        for read in &self.found {
            places.entry(read.id).or_default().push(read.position);
        }
        self.readers();
        self.found_events(&places);
        let writes = std::mem::take(&mut self.writes);
        let mut commands_at: HashMap<u64, MsgId> = HashMap::new();
        for (id, write) in &writes {
            self.write(*id, write, &places);
            if let Kind::Command { acked: Some(position), .. } = write.kind
                && position.sequence() != 0
                && let Some(other) = commands_at.insert(position.sequence(), *id)
            {
                self.problems.push(Problem::TwoPlaces { command: other, one: position, other: position });
            }
        }
        self.facts.events = self.found.len();
        self.facts.handled_again = self.handled.values().map(|runs| runs - 1).sum();
        (self.facts, self.problems)
    }

    /// Each reader reads upwards, and both read the same.
    fn readers(&mut self) {
        for reads in [&self.watched, &self.found] {
            let falls =
                reads.windows(2).find(|pair| pair[0].position.sequence() >= pair[1].position.sequence());
            if let Some(pair) = falls {
                self.problems.push(Problem::Unordered { event: pair[1].id, at: pair[1].position });
            }
        }
        let length = self.watched.len().max(self.found.len());
        let differs = (0..length).find(|&n| self.watched.get(n) != self.found.get(n));
        if let Some(n) = differs {
            let id = |reads: &[&Read]| reads.get(n).map(|read| read.id);
            self.problems.push(Problem::Unlike { watched: id(&self.watched), found: id(&self.found) });
        }
    }

    /// Every event that is there is one that was sent, as it was sent, once.
    fn found_events(&mut self, places: &HashMap<MsgId, Vec<Position>>) {
        let mut sent: HashMap<MsgId, (MsgId, usize)> = HashMap::new();
        for (id, write) in &self.writes {
            sent.extend(write.events.iter().enumerate().map(|(n, event)| (*event, (*id, n))));
        }
        for read in &self.found {
            let Some((id, ordinal)) = sent.get(&read.id) else {
                self.problems.push(Problem::Invented { event: read.id });
                continue;
            };
            let write = &self.writes[id];
            let causation = matches!(write.kind, Kind::Command { .. }).then_some(*id);
            let wanted = text(*id, *ordinal, write.events.len());
            if read.text != wanted || read.entity != write.entity || read.causation != causation {
                let found = format!("{} of {}, caused by {:?}", read.text, read.entity, read.causation);
                self.problems.push(Problem::Altered { event: read.id, found });
            }
            if read.position.sequence() <= write.seen_before {
                let seen_before = write.seen_before;
                self.problems.push(Problem::Early { event: read.id, at: read.position, seen_before });
            }
        }
        for (event, at) in places {
            if at.len() > 1 {
                self.problems.push(Problem::Doubled { event: *event, at: at.clone() });
            }
        }
    }

    fn write(&mut self, id: MsgId, write: &Write<'_>, places: &HashMap<MsgId, Vec<Position>>) {
        let place = |event: &MsgId| places.get(event).map(|at| at[0]);
        let found: Vec<Position> = write.events.iter().filter_map(place).collect();
        let is_row = found.windows(2).all(|pair| pair[0].sequence() + 1 == pair[1].sequence());
        if !found.is_empty() && (found.len() != write.events.len() || !is_row) {
            self.problems.push(Problem::Torn { write: id, found: found.clone(), of: write.events.len() });
        }
        if let Some(first) = found.first() {
            self.expectation(id, write, *first);
        }
        match &write.kind {
            Kind::Append { acked, refused } => {
                self.facts.appends += 1;
                match acked {
                    Some(told) => self.told(id, write.events.iter().zip(told.iter().copied()), places),
                    None if *refused && !found.is_empty() => {
                        self.problems.push(Problem::Undead { write: id })
                    }
                    None if !refused => self.problems.push(Problem::Undecided { write: id }),
                    None => {}
                }
            }
            Kind::Command { refused, acked, ended } => {
                self.facts.commands += 1;
                let (Some(_), Some((state, told))) = (acked, ended) else {
                    return self.problems.push(Problem::Undecided { write: id });
                };
                if *state != if *refused { "rejected" } else { "done" } {
                    self.problems.push(Problem::EndedAs { command: id, state: (*state).to_owned() });
                }
                self.told(id, told.iter().map(|(event, position)| (event, *position)), places);
                let named: Vec<MsgId> = told.iter().map(|(event, _)| *event).collect();
                let unnamed: Vec<MsgId> =
                    write.events.iter().copied().filter(|e| !named.contains(e)).collect();
                for event in unnamed {
                    self.problems.push(Problem::Lost { write: id, event });
                }
            }
        }
    }

    /// What somebody was told is there, is there, and where it was said to be.
    fn told<'e>(
        &mut self,
        write: MsgId,
        told: impl Iterator<Item = (&'e MsgId, Position)>,
        places: &HashMap<MsgId, Vec<Position>>,
    ) {
        for (event, told) in told {
            match places.get(event).map(Vec::as_slice) {
                None | Some([]) => self.problems.push(Problem::Lost { write, event: *event }),
                Some([found, ..]) if *found != told => {
                    self.problems.push(Problem::Misplaced { event: *event, told, found: *found });
                }
                Some(_) => {}
            }
        }
    }

    /// The event of the entity in front of `first` is the one that was expected there.
    fn expectation(&mut self, id: MsgId, write: &Write<'_>, first: Position) {
        let in_front =
            |read: &&&Read| read.entity == write.entity && read.position.sequence() < first.sequence();
        let last = self.found.iter().filter(in_front).map(|read| read.position).next_back();
        let holds = match write.expect {
            Expect::Any => true,
            Expect::Absent => last.is_none(),
            Expect::At(position) => last == Some(position),
        };
        if !holds {
            self.problems.push(Problem::Unexpected { write: id, expected: write.expect, found: last });
        }
    }
}

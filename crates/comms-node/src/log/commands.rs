//! The commands that stand in the queue, each by its key: arriving, waiting, ended. Pure: inputs and the time in, what
//! to do out.
//!
//! A command is stored once and ends once. One request at a time brings it in, one answer at a time ends it. It stands
//! here from its arrival until the stream confirms that it is gone, so that an ended one that is delivered again is
//! known. What is not here may have ended before: that is for the index to say, which is asked after
//! [`Commands::arrive`] has kept others out.

use std::collections::{HashMap, VecDeque};

use comms_content::Cid;
use comms_msg::{
    CommandRef, DomainContent, Kind, Msg, MsgId, MsgKey, Owner, ServiceName, Timestamp, TypeName,
};

use super::arrivals::{Arrivals, Turned};
use super::ending::Was;
use crate::share::{Ledger, Limit, OverShare};

/// Commands remembered after they left the queue: an answer that got lost is given again within seconds.
const GONE_MAX: usize = 65_536;

/// One command that waits for its handler's answer: what must be known to judge that answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PendingCommand {
    pub(crate) key: MsgKey,
    pub(crate) id: MsgId,
    pub(crate) type_name: TypeName,
    pub(crate) sender: ServiceName,
    pub(crate) owner: Owner,
    pub(crate) correlation: MsgId,
    pub(crate) cid: Cid,
    pub(crate) time: Timestamp,
    /// How many tries of it failed, as far as this node saw.
    pub(crate) failed: u32,
}

impl PendingCommand {
    /// What must be known of a stored command; `None` if the message is no command that a door stored.
    pub(crate) fn of(msg: &Msg) -> Option<PendingCommand> {
        PendingCommand::called(msg, msg.cid())
    }

    /// The same of a message whose CID is known.
    pub(crate) fn called(msg: &Msg, cid: Cid) -> Option<PendingCommand> {
        let Some(DomainContent::Command(command)) = &msg.content else { return None };
        let sender = msg.metadata.sender.clone()?;
        Some(PendingCommand {
            key: MsgKey::new(Kind::Command, &sender, &command.type_name, msg.id),
            id: msg.id,
            type_name: command.type_name.clone(),
            sender,
            owner: msg.metadata.owner.clone(),
            correlation: msg.metadata.correlation,
            cid,
            time: msg.metadata.time,
            failed: 0,
        })
    }

    /// What is kept of it when it has ended; it waited at `sequence`.
    pub(crate) fn was(&self, sequence: u64) -> Was {
        Was { sequence, cid: self.cid, time: self.time }
    }

    /// How the events that it causes name it.
    pub(crate) fn reference(&self, sequence: u64) -> CommandRef {
        CommandRef {
            sequence,
            cid: self.cid,
            time: self.time,
            type_name: self.type_name.clone(),
            sender: self.sender.clone(),
        }
    }
}

/// Commands that may wait at once. Past it the door answers *busy*: a queue nobody drains is not a place to keep things.
pub(crate) const WAITING: Limit = Limit { what: "waiting commands", key: "limits.commands", least: 1 };

/// Whether a command may come in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The caller alone may store it now, and says [`Commands::stored`] or [`Commands::not_stored`] afterwards. `after`
    /// is where it may stand from an earlier request.
    New { after: Option<u64> },
    /// It stands in the queue.
    Known { sequence: u64 },
    /// Another request is bringing it in.
    Underway,
    /// As many as may are here.
    Over(OverShare),
    /// Too many may have been stored and are not known to be.
    Doubtful,
}

/// Whether an answer may end a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// The caller alone may end it now, and says [`Commands::ended`] or [`Commands::gave_up`] afterwards.
    /// `is_doubtful` says that an earlier answer may have been stored, which is to be found out first.
    Open { is_doubtful: bool },
    /// Another answer is being stored.
    Underway,
    /// It ended.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    /// An answer for it is being stored.
    Ending,
    Ended,
    /// It left the queue before the request that brought it in heard that it was stored.
    Gone,
}

#[derive(Debug)]
struct Standing {
    sequence: u64,
    command: PendingCommand,
    phase: Phase,
    is_doubtful: bool,
}

/// See the header.
#[derive(Debug)]
pub(crate) struct Commands {
    standing: HashMap<MsgKey, Standing>,
    by_sequence: HashMap<u64, MsgKey>,
    /// Who has how many that stand here or arrive.
    shares: Ledger,
    arrivals: Arrivals,
    /// Those that left the queue last, by where they stood: who answers again for one is told how it ended.
    gone: HashMap<u64, (MsgKey, TypeName)>,
    gone_in_order: VecDeque<u64>,
    /// The last sequence that was seen in the queue.
    high: u64,
}

impl Commands {
    /// Room for `waiting` commands of so many senders.
    pub(crate) fn new(waiting: u64, senders: usize) -> Commands {
        Commands {
            standing: HashMap::new(),
            by_sequence: HashMap::new(),
            shares: Ledger::new(WAITING, waiting, senders),
            arrivals: Arrivals::default(),
            gone: HashMap::new(),
            gone_in_order: VecDeque::new(),
            high: 0,
        }
    }

    /// Goes on with room for others.
    pub(crate) fn follow(&mut self, waiting: u64, senders: usize) {
        self.shares.follow(waiting, senders);
    }

    /// A command that was found in the queue at start; bounds do not matter to what was accepted.
    pub(crate) fn restore(&mut self, sequence: u64, command: PendingCommand) {
        self.high = self.high.max(sequence);
        if !self.standing.contains_key(&command.key) {
            self.shares.hold(&command.sender, 1);
            self.insert(sequence, command);
        }
    }

    /// A command that was found in the queue although nobody said that it was stored.
    pub(crate) fn found(&mut self, sequence: u64, command: PendingCommand) {
        if !self.arrivals.is_underway(&command.key) {
            self.restore(sequence, command);
        }
    }

    /// Asks for a command to come in.
    pub(crate) fn arrive(&mut self, key: MsgKey, sender: &ServiceName) -> Arrival {
        if let Some(standing) = self.standing.get(&key) {
            return Arrival::Known { sequence: standing.sequence };
        }
        if self.arrivals.is_underway(&key) {
            return Arrival::Underway;
        }
        // What may be stored has its place already.
        if self.arrivals.is_uncertain(&key) {
            self.shares.hold(sender, 1);
        } else if let Err(over) = self.shares.take(sender, 1) {
            return Arrival::Over(over);
        }
        match self.arrivals.begin(&[key]) {
            Ok(after) => Arrival::New { after },
            Err(turned) => {
                self.shares.give_back(sender, 1);
                match turned {
                    Turned::Underway => Arrival::Underway,
                    Turned::Full => Arrival::Doubtful,
                }
            }
        }
    }

    /// What arrived stands at `sequence`.
    pub(crate) fn stored(&mut self, sequence: u64, command: PendingCommand, now_ms: u64) {
        self.high = self.high.max(sequence);
        self.arrivals.end(&[command.key], None, now_ms);
        match self.standing.get(&command.key).map(|standing| standing.phase) {
            // Its handler was faster than the acknowledgement.
            Some(Phase::Gone) => {
                self.standing.remove(&command.key);
                self.shares.give_back(&command.sender, 1);
            }
            Some(Phase::Waiting | Phase::Ending | Phase::Ended) => {}
            None => self.insert(sequence, command),
        }
    }

    /// What arrived is not stored; `after` says that it may be nevertheless, and behind what.
    pub(crate) fn not_stored(&mut self, key: MsgKey, sender: &ServiceName, after: Option<u64>, now_ms: u64) {
        self.arrivals.end(&[key], after, now_ms);
        match self.standing.get(&key).map(|standing| standing.phase) {
            None => self.shares.give_back(sender, 1),
            // It was stored after all, and went.
            Some(Phase::Gone) => {
                self.standing.remove(&key);
                self.shares.give_back(sender, 1);
            }
            Some(Phase::Waiting | Phase::Ending | Phase::Ended) => {}
        }
    }

    /// Asks for the right to end `command`, which was delivered from `sequence`.
    pub(crate) fn begin_end(&mut self, sequence: u64, command: &PendingCommand) -> Right {
        if !self.standing.contains_key(&command.key) {
            // It was delivered before the request that brings it in heard of it.
            if !self.arrivals.is_underway(&command.key) {
                self.shares.hold(&command.sender, 1);
            }
            self.insert(sequence, command.clone());
        }
        let standing = self.standing.get_mut(&command.key).expect("it was inserted where it was missing");
        match standing.phase {
            Phase::Waiting => {
                standing.phase = Phase::Ending;
                Right::Open { is_doubtful: standing.is_doubtful }
            }
            Phase::Ending => Right::Underway,
            Phase::Ended | Phase::Gone => Right::Ended,
        }
    }

    /// The answer is stored.
    pub(crate) fn ended(&mut self, key: &MsgKey) {
        if let Some(standing) = self.standing.get_mut(key)
            && standing.phase != Phase::Gone
        {
            standing.phase = Phase::Ended;
        }
    }

    /// The answer is not stored, or `is_doubtful`: not known to be.
    pub(crate) fn gave_up(&mut self, key: &MsgKey, is_doubtful: bool) {
        if let Some(standing) = self.standing.get_mut(key)
            && standing.phase == Phase::Ending
        {
            standing.phase = Phase::Waiting;
            standing.is_doubtful |= is_doubtful;
        }
    }

    /// What stood at `sequence` is gone from the queue.
    pub(crate) fn settled(&mut self, sequence: u64) -> Option<PendingCommand> {
        let key = self.by_sequence.remove(&sequence)?;
        let standing = self.standing.get_mut(&key)?;
        self.gone.insert(sequence, (key, standing.command.type_name.clone()));
        self.gone_in_order.push_back(sequence);
        if self.gone_in_order.len() > GONE_MAX
            && let Some(oldest) = self.gone_in_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
        if self.arrivals.is_underway(&key) {
            standing.phase = Phase::Gone;
            return Some(standing.command.clone());
        }
        let command = self.standing.remove(&key)?.command;
        self.shares.give_back(&command.sender, 1);
        Some(command)
    }

    pub(crate) fn at(&self, sequence: u64) -> Option<&PendingCommand> {
        self.by_sequence
            .get(&sequence)
            .and_then(|key| self.standing.get(key))
            .map(|standing| &standing.command)
    }

    /// At most `count` of those that wait for an answer, from behind `after` on, in order.
    pub(crate) fn waiting(&self, after: u64, count: usize) -> Vec<(u64, PendingCommand)> {
        let mut sequences: Vec<u64> = self.by_sequence.keys().copied().filter(|at| *at > after).collect();
        sequences.sort_unstable();
        let waiting = sequences.into_iter().filter_map(|at| {
            let standing = self.standing.get(self.by_sequence.get(&at)?)?;
            (standing.phase == Phase::Waiting).then(|| (at, standing.command.clone()))
        });
        waiting.take(count).collect()
    }

    /// The command of that type that stood at `sequence` and left, while it is remembered.
    pub(crate) fn gone_from(&self, sequence: u64, type_name: &TypeName) -> Option<MsgKey> {
        self.gone.get(&sequence).filter(|(_, gone)| gone == type_name).map(|(key, _)| *key)
    }

    /// Whether it stands in the queue, ended or not.
    pub(crate) fn is_standing(&self, key: &MsgKey) -> bool {
        self.standing.contains_key(key)
    }

    /// Counts a try that failed, and tells how many did before.
    pub(crate) fn failed(&mut self, sequence: u64) {
        let standing = self.by_sequence.get(&sequence).and_then(|key| self.standing.get_mut(key));
        if let Some(standing) = standing {
            standing.command.failed = standing.command.failed.saturating_add(1);
        }
    }

    /// What may be stored although nobody said so.
    pub(crate) fn arrivals(&mut self) -> &mut Arrivals {
        &mut self.arrivals
    }

    /// The last sequence of the queue that is known.
    pub(crate) fn high(&self) -> u64 {
        self.high
    }

    /// How many stand here.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.standing.len()
    }

    fn insert(&mut self, sequence: u64, command: PendingCommand) {
        self.by_sequence.insert(sequence, command.key);
        let key = command.key;
        self.standing.insert(key, Standing { sequence, command, phase: Phase::Waiting, is_doubtful: false });
    }
}

#[cfg(test)]
mod tests;

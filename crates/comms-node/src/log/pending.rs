//! Commands that wait for their handler's answer: what the node must know of each to judge that answer. Pure.
//!
//! The stream of commands is a work queue, so what is in it is what is pending; this is its memory, filled from it
//! at start and kept in step by the door, which is its only writer.

use std::collections::HashMap;

use comms_msg::{MsgId, Owner, ServiceName, TypeName};

use super::outcomes::Origin;

/// Commands that may wait at once. The door answers *busy* past it: a queue nobody drains is not a place to keep things.
pub(crate) const PENDING_MAX: usize = 500_000;

/// One waiting command.
#[derive(Debug, Clone)]
pub(crate) struct PendingCommand {
    pub(crate) id: MsgId,
    pub(crate) type_name: TypeName,
    /// Who sent it; none only of messages that no door stored.
    pub(crate) sender: Option<ServiceName>,
    pub(crate) owner: Owner,
    pub(crate) correlation: MsgId,
    /// How many tries of it failed, as far as this node saw.
    pub(crate) failed: u32,
}

impl PendingCommand {
    /// Whose it is.
    pub(crate) fn origin(&self) -> Option<Origin> {
        self.sender.as_ref().map(|sender| Origin::of(sender, &self.type_name))
    }
}

/// All of them, by their place in the stream and by id.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    by_sequence: HashMap<u64, PendingCommand>,
    by_id: HashMap<MsgId, u64>,
}

impl Pending {
    pub(crate) fn insert(&mut self, sequence: u64, command: PendingCommand) {
        self.by_id.insert(command.id, sequence);
        self.by_sequence.insert(sequence, command);
    }

    pub(crate) fn at(&self, sequence: u64) -> Option<&PendingCommand> {
        self.by_sequence.get(&sequence)
    }

    pub(crate) fn sequence_of(&self, id: &MsgId) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    /// Forgets the command at `sequence`, and says which it was.
    pub(crate) fn remove(&mut self, sequence: u64) -> Option<MsgId> {
        let command = self.by_sequence.remove(&sequence)?;
        self.by_id.remove(&command.id);
        Some(command.id)
    }

    /// Counts a try that failed.
    pub(crate) fn failed(&mut self, sequence: u64) {
        if let Some(command) = self.by_sequence.get_mut(&sequence) {
            command.failed = command.failed.saturating_add(1);
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.by_sequence.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.by_sequence.len() >= PENDING_MAX
    }
}

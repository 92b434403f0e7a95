//! How a command ended: what is remembered of it, and the stored record where no event tells it. Pure.

use bytes::Bytes;
use comms_content::{Cid, Node};
use comms_msg::{CommandRef, Msg, MsgId, MsgKey, ServiceName, Timestamp, TypeName};
use serde::{Deserialize, Serialize};

use super::commands::PendingCommand;

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Ending {
    /// Handled. Its events, if any, are `count` messages of the log from `first` on. Of a command that was read back
    /// it is not known how often it was delivered: 0.
    Done { first: u64, count: u32, tries: u32 },
    /// Refused by its handler, for good.
    Rejected { reason: Box<str> },
    /// Given up after too many tries; the command itself is kept as a dead letter.
    Dead { reason: Box<str>, tries: u32 },
}

/// A command that ended, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndedCommand {
    /// How.
    pub(crate) ending: Ending,
    /// What a repeat of it is compared with. None of those that ended under a former form of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) was: Option<Was>,
}

/// What a command was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Was {
    /// Its place in the queue.
    pub(crate) sequence: u64,
    /// Its CID as it was kept.
    pub(crate) cid: Cid,
    /// Its time, which the door may have filled in.
    pub(crate) time: Timestamp,
}

/// How a command ended that caused no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EndingState {
    Done,
    Rejected,
    Dead,
}

/// The stored form of such an ending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndingRecord {
    pub(crate) command: MsgId,
    pub(crate) state: EndingState,
    pub(crate) handler: ServiceName,
    pub(crate) tries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// A dead letter holds its command as it was stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) letter: Option<serde_bytes::ByteBuf>,
    /// Which command it was. Records of a former form of the log do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<RecordedCommand>,
}

/// Which command an ending is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordedCommand {
    pub(crate) sender: ServiceName,
    #[serde(rename = "type")]
    pub(crate) type_name: TypeName,
    pub(crate) was: Was,
}

impl RecordedCommand {
    pub(crate) fn of(command: &PendingCommand, sequence: u64) -> RecordedCommand {
        RecordedCommand {
            sender: command.sender.clone(),
            type_name: command.type_name.clone(),
            was: command.was(sequence),
        }
    }
}

impl EndingRecord {
    pub(crate) fn to_cbor(&self) -> Bytes {
        Node::encode(self).expect("an ending has only text, numbers and bytes").into_bytes()
    }

    pub(crate) fn from_cbor(bytes: &Bytes) -> Option<EndingRecord> {
        Node::from_cbor(bytes.clone()).ok()?.decode().ok()
    }

    /// The ending that this record at `sequence` of the log tells.
    pub(crate) fn ending(&self, sequence: u64) -> Ending {
        let reason = || self.reason.clone().unwrap_or_default().into_boxed_str();
        match self.state {
            EndingState::Done => Ending::Done { first: sequence, count: 0, tries: self.tries },
            EndingState::Rejected => Ending::Rejected { reason: reason() },
            EndingState::Dead => Ending::Dead { reason: reason(), tries: self.tries },
        }
    }

    /// What is remembered of it.
    pub(crate) fn remembered(&self, sequence: u64) -> (MsgKey, EndedCommand) {
        let ending = self.ending(sequence);
        match &self.of {
            Some(of) => {
                let key = MsgKey::new(comms_msg::Kind::Command, &of.sender, &of.type_name, self.command);
                (key, EndedCommand { ending, was: Some(of.was.clone()) })
            }
            None => (former_key(self.command), EndedCommand { ending, was: None }),
        }
    }
}

/// What a command is known by that ended under a former form of the log, which kept neither sender nor type.
pub(crate) fn former_key(command: MsgId) -> MsgKey {
    let mut key = [0; 32];
    key[..16].copy_from_slice(command.as_bytes());
    MsgKey::from_bytes(key)
}

/// Which command ended with the commit that the event `msg` at `sequence` is of; `None` for an event of no commit, and
/// for a later one of a commit, which says no more than the first.
pub(crate) fn of_event(msg: &Msg, sequence: u64, tries: u32) -> Option<(MsgKey, EndedCommand)> {
    let (place, command) = (msg.hop.commit?, msg.metadata.causation?);
    let first = sequence.checked_sub(u64::from(place.ordinal()))?;
    let ending = Ending::Done { first, count: place.count(), tries };
    match &msg.hop.command {
        Some(of) => {
            let CommandRef { sequence, cid, time, .. } = **of;
            let was = Some(Was { sequence, cid, time });
            Some((of.key(command), EndedCommand { ending, was }))
        }
        // A commit of the present form says on its first event which command it ended.
        None if place.ordinal() == 0 => Some((former_key(command), EndedCommand { ending, was: None })),
        None => None,
    }
}

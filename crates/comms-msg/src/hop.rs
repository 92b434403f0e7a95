//! What travels beside a message and may change from hop to hop. It is never part of the message's CID.

use comms_content::Cid;

use crate::limits::{COMMIT_EVENTS_MAX, HOP_TEXT_BYTES_MAX};
use crate::text::text_type;
use crate::{Error, Expect, Kind, MsgId, MsgKey, Result, ServiceName, Timestamp, TypeName};

/// What hops may read and change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// Where an answer goes, if not to the reply subject of the transport.
    pub reply: Option<HopText>,
    /// The trace that the message belongs to, as the tracing system writes it.
    pub trace: Option<HopText>,
    /// Which event of a commit this is.
    pub commit: Option<CommitPlace>,
    /// The command that the commit ended, on the first event of it. Written by the log alone.
    pub command: Option<Box<CommandRef>>,
    /// What an append expects of the entity; in a commit of several events the first one's counts.
    pub expect: Expect,
    /// When the sender stops waiting.
    pub deadline: Option<Timestamp>,
}

impl Hop {
    /// Whether there is nothing in it, so that it is left out of the bytes.
    pub fn is_empty(&self) -> bool {
        *self == Hop::default()
    }
}

/// A text of another system inside `hop`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HopText(Box<str>);

impl HopText {
    /// Takes 1 to 512 bytes of text without control characters.
    pub fn new(text: &str) -> Result<HopText> {
        HopText::fits(text)?;
        Ok(HopText(text.into()))
    }

    fn fits(text: &str) -> Result<()> {
        if (1..=HOP_TEXT_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control) {
            return Ok(());
        }
        Err(Error::invalid(text, "1 to 512 bytes without control characters"))
    }
}

text_type!(HopText, "a text of 1 to 512 bytes");

/// Which event of how many of one commit: `[0, 3]` is the first of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommitPlace {
    ordinal: u32,
    count: u32,
}

impl CommitPlace {
    /// Takes `ordinal` below `count`, and at most [`COMMIT_EVENTS_MAX`] events.
    pub fn new(ordinal: u32, count: u32) -> Result<CommitPlace> {
        if ordinal < count && count as usize <= COMMIT_EVENTS_MAX {
            Ok(CommitPlace { ordinal, count })
        } else {
            Err(Error::invalid(
                &format!("[{ordinal}, {count}]"),
                format!("[ordinal, count] with ordinal below count and count at most {COMMIT_EVENTS_MAX}"),
            ))
        }
    }

    /// The place of this event in the commit, from 0.
    pub fn ordinal(self) -> u32 {
        self.ordinal
    }

    /// The events of the commit.
    pub fn count(self) -> u32 {
        self.count
    }
}

/// Which command it was that ended: all by which a repeat of it is recognised, and told from another with its id, once
/// the command itself is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandRef {
    /// Its place in the queue that it waited in.
    pub sequence: u64,
    /// The CID of the command as it was kept.
    pub cid: Cid,
    /// Its time, which the door may have filled in.
    pub time: Timestamp,
    /// Its type.
    pub type_name: TypeName,
    /// Who sent it.
    pub sender: ServiceName,
}

impl CommandRef {
    /// What the command with this id is known by.
    pub fn key(&self, id: MsgId) -> MsgKey {
        MsgKey::new(Kind::Command, &self.sender, &self.type_name, id)
    }
}

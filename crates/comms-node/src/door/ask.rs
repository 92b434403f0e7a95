//! What a door can be asked, and what it answers: the operations of the node, whatever carries them.

use bytes::Bytes;
use comms_msg::door::{
    Accepted, Appended, Commit, Committed, Hello, HelloAsk, ListenAsk, Listening, Outcome, OutcomeAsk,
    Refusal, Tally, TallyAsk, WatchAsk, Watching,
};
use comms_msg::{Door, Form, TypeName, wire};

use crate::log::commit::COMMIT_MESSAGES_MAX;

/// One operation of the node.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Keep a command until it is handled.
    Command {
        type_name: TypeName,
        /// A message or a draft of one, in either form.
        message: Bytes,
    },
    /// Append events of one entity.
    Event {
        type_name: TypeName,
        /// Messages or drafts of them, in order.
        messages: Vec<Bytes>,
    },
    /// A delivered command ended so, or did not yet.
    Commit { type_name: TypeName, commit: Commit },
    /// How did this command end?
    Outcome { type_name: TypeName, ask: OutcomeAsk },
    /// Who am I here?
    Hello,
    /// Where do my commands and events arrive?
    Listen,
    /// Deliver events from a position on.
    Watch(WatchAsk),
    /// Are these all the events of a stretch of the log?
    Tally(TallyAsk),
    /// Meet a mistake of the node's own: for the test of what becomes of it.
    #[cfg(test)]
    Break,
}

impl Ask {
    /// Reads what arrived at a door. What a message says is read when it is checked.
    pub(crate) fn read(door: Door, form: Form, payload: &Bytes) -> Result<Ask, Refusal> {
        Ok(match door {
            Door::Command(type_name) => Ask::Command { type_name, message: payload.clone() },
            Door::Event(type_name) => {
                Ask::Event { type_name, messages: wire::split(payload, COMMIT_MESSAGES_MAX)? }
            }
            Door::Commit(type_name) => Ask::Commit { type_name, commit: form.decode(payload)? },
            Door::Outcome(type_name) => Ask::Outcome { type_name, ask: form.decode(payload)? },
            Door::Hello => {
                let HelloAsk {} = form.decode(payload)?;
                Ask::Hello
            }
            Door::Listen => {
                let ListenAsk {} = form.decode(payload)?;
                Ask::Listen
            }
            Door::Watch => Ask::Watch(form.decode(payload)?),
            Door::Tally => Ask::Tally(form.decode(payload)?),
        })
    }
}

/// What an [`Ask`] is answered, in the order of its variants.
#[derive(Debug)]
pub(crate) enum Answer {
    Command(Accepted),
    Event(Appended),
    Commit(Committed),
    Outcome(Outcome),
    Hello(Hello),
    Listen(Listening),
    Watch(Watching),
    Tally(Tally),
}

impl Answer {
    /// As bytes.
    pub(crate) fn write(&self, form: Form) -> Bytes {
        match self {
            Answer::Command(answer) => form.ok(answer),
            Answer::Event(answer) => form.ok(answer),
            Answer::Commit(answer) => form.ok(answer),
            Answer::Outcome(answer) => form.ok(answer),
            Answer::Hello(answer) => form.ok(answer),
            Answer::Listen(answer) => form.ok(answer),
            Answer::Watch(answer) => form.ok(answer),
            Answer::Tally(answer) => form.ok(answer),
        }
    }
}

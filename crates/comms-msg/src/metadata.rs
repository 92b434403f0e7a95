//! What every message says about itself, whatever it carries.

use crate::{MsgId, Owner, ServiceName, Timestamp, UserPairs};

/// Who, when, and in which conversation. The wire version stands beside these in the bytes; there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The person or agent who answers for the message.
    pub owner: Owner,
    /// When it was made.
    pub time: Timestamp,
    /// The service that sent it, as the broker vouched for it: the last token of its subject.
    pub sender: Option<ServiceName>,
    /// The conversation: the id of its first message.
    pub correlation: MsgId,
    /// The message that caused this one.
    pub causation: Option<MsgId>,
    /// The user's own key/value pairs.
    pub user: UserPairs,
}

impl Metadata {
    /// The metadata of the first message of a conversation, whose id is `id`.
    pub fn root(id: MsgId, owner: Owner, time: Timestamp) -> Metadata {
        Metadata { owner, time, sender: None, correlation: id, causation: None, user: UserPairs::default() }
    }

    /// The metadata of a message that the message `cause` with this metadata causes: same conversation,
    /// same owner. The user's pairs are not inherited.
    #[must_use]
    pub fn caused(&self, cause: MsgId, time: Timestamp) -> Metadata {
        Metadata {
            owner: self.owner.clone(),
            time,
            sender: None,
            correlation: self.correlation,
            causation: Some(cause),
            user: UserPairs::default(),
        }
    }
}

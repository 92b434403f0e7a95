//! What a message says about itself: who answers for it, which conversation it belongs to, the user's pairs.
//!
//! A label is filled in by the builders (`send`, `ask`, `publish`) and becomes the message's metadata when the message
//! is made. What handlers send starts from the label of what they handle.

use std::time::Duration;

use comms_msg::{Metadata, MsgId, Owner, UserPairs};

use crate::comms::Comms;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{self, Stamp};

/// What is said of a message before it is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Label {
    id: Option<MsgId>,
    owner: Option<Owner>,
    correlation: Option<MsgId>,
    causation: Option<MsgId>,
    pairs: UserPairs,
    within: Option<Duration>,
    /// The first thing that was said and does not fit; told when the message is sent.
    problem: Option<comms_msg::Error>,
}

impl Label {
    /// The label of what a message with this metadata causes.
    pub(crate) fn caused(cause: MsgId, metadata: &Metadata) -> Self {
        Self {
            owner: Some(metadata.owner.clone()),
            correlation: Some(metadata.correlation),
            causation: Some(cause),
            ..Self::default()
        }
    }

    pub(crate) fn id(&mut self, id: MsgId) {
        self.id = Some(id);
    }

    pub(crate) fn owner(&mut self, owner: &str) {
        match Owner::new(owner) {
            Ok(owner) => self.owner = Some(owner),
            Err(error) => self.refuse(error),
        }
    }

    pub(crate) fn correlation(&mut self, correlation: MsgId) {
        self.correlation = Some(correlation);
    }

    pub(crate) fn pair(&mut self, key: &str, value: &str) {
        if let Err(error) = self.pairs.insert(key, value) {
            self.refuse(error);
        }
    }

    pub(crate) fn within(&mut self, within: Duration) {
        self.within = Some(within);
    }

    /// How long the sender waits, if it said so.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.within
    }

    fn refuse(&mut self, error: comms_msg::Error) {
        self.problem.get_or_insert(error);
    }

    /// The id and the metadata of the message, made now and sent by the service of `comms`.
    pub(crate) fn complete(self, comms: &Comms) -> Result<(MsgId, Metadata)> {
        if let Some(problem) = self.problem {
            return Err(problem.into());
        }
        let Stamp { id, time } = ids::stamp();
        let id = self.id.unwrap_or(id);
        let owner = self.owner.or_else(|| comms.owner().cloned()).ok_or_else(|| {
            let message =
                "no owner: say who answers for it with .owner(…), or for all with Comms::options().owner(…)";
            Error::new(ErrorKind::Invalid, message)
        })?;
        Ok((
            id,
            Metadata {
                owner,
                time,
                sender: Some(comms.service().clone()),
                correlation: self.correlation.unwrap_or(id),
                causation: self.causation,
                user: self.pairs,
            },
        ))
    }
}

/// The methods by which every builder fills its label in.
macro_rules! label_methods {
    () => {
        /// The person or agent who answers for this message: an opaque id, never personal data.
        pub fn owner(mut self, owner: impl AsRef<str>) -> Self {
            self.label.owner(owner.as_ref());
            self
        }

        /// An id of the sender's own: with it, the same can be sent again safely after any error. Without it a new id
        /// is drawn.
        pub fn id(mut self, id: comms_msg::MsgId) -> Self {
            self.label.id(id);
            self
        }

        /// The conversation this belongs to; without it, a new one.
        pub fn correlation(mut self, correlation: comms_msg::MsgId) -> Self {
            self.label.correlation(correlation);
            self
        }

        /// A key and value of the user's own.
        pub fn pair(mut self, key: impl AsRef<str>, value: impl AsRef<str>) -> Self {
            self.label.pair(key.as_ref(), value.as_ref());
            self
        }
    };
}

pub(crate) use label_methods;

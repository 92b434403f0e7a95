//! Subjects: where a message goes, as a value that can be written and read back. Which subjects a service
//! may use is decided by the definition and enforced by the broker; here is only the grammar.

mod filter;
mod parse;

use std::fmt;

pub use filter::Filter;

use crate::text::text_form;
use crate::{DeliverToken, DomainName, EntityId, Error, Kind, Msg, MsgId, Result, ServiceName, TypeName};

/// A subject of a domain, without wildcards (those are a [`Filter`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `{domain}.command.{context}.{Type}.{sender}`
    Command {
        /// The domain.
        domain: DomainName,
        /// What is commanded.
        type_name: TypeName,
        /// Who sends it; the broker vouches for it.
        sender: ServiceName,
    },
    /// `{domain}.query.{context}.{Type}.{sender}`
    Query {
        /// The domain.
        domain: DomainName,
        /// What is asked.
        type_name: TypeName,
        /// Who asks; the broker vouches for it.
        sender: ServiceName,
    },
    /// `{domain}.frames.command.{context}.{Type}.{sender}`: where direct commands go several at a time, to those who said
    /// by subscribing here that they read that.
    CommandFrames {
        /// The domain.
        domain: DomainName,
        /// What is commanded.
        type_name: TypeName,
        /// Who sends them; the broker vouches for it.
        sender: ServiceName,
    },
    /// `{domain}.frames.query.{context}.{Type}.{sender}`: the same for queries.
    QueryFrames {
        /// The domain.
        domain: DomainName,
        /// What is asked.
        type_name: TypeName,
        /// Who asks; the broker vouches for it.
        sender: ServiceName,
    },
    /// `{domain}.event.{context}.{entity}.{Type}`
    Event {
        /// The domain.
        domain: DomainName,
        /// Whose history it belongs to.
        entity: EntityId,
        /// What happened.
        type_name: TypeName,
    },
    /// `{domain}.live.event.{context}.{entity}.{Type}`: a stored event, republished for watching.
    Live {
        /// The domain.
        domain: DomainName,
        /// Whose history it belongs to.
        entity: EntityId,
        /// What happened.
        type_name: TypeName,
    },
    /// `{domain}.door.…`: a request to the node.
    Door {
        /// The domain.
        domain: DomainName,
        /// Which door, with its type where it has one.
        door: Door,
        /// Who asks; the broker vouches for it.
        sender: ServiceName,
    },
    /// `{domain}.deliver.{service}.{token}`: where a service's consumer delivers.
    Deliver {
        /// The domain.
        domain: DomainName,
        /// Whose consumer.
        service: ServiceName,
        /// Which consumer; not guessable.
        token: DeliverToken,
    },
    /// `{domain}.outcome.{context}.{Type}.{sender}.{command id}`: how a command ended, stored beside its events.
    Outcome {
        /// The domain.
        domain: DomainName,
        /// The type of the command.
        type_name: TypeName,
        /// Who sent it.
        sender: ServiceName,
        /// Its id.
        command: MsgId,
    },
}

/// What is asked of the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// `command.{context}.{Type}`: keep this command until it is handled.
    Command(TypeName),
    /// `event.{context}.{Type}`: append these events of one entity.
    Event(TypeName),
    /// `commit.{context}.{Type}`: this delivered command ended so, with these events.
    Commit(TypeName),
    /// `outcome.{context}.{Type}`: how did this command end?
    Outcome(TypeName),
    /// `hello`: who am I here, and what may I do?
    Hello,
    /// `listen`: where do my commands and events arrive?
    Listen,
    /// `watch`: deliver the events from a position on.
    Watch,
    /// `tally`: are these all the events of a stretch of the log?
    Tally,
}

impl Door {
    /// The word of the subject: `command`, `event`, `commit`, `outcome`, `hello`, `listen`, `watch`, `tally`.
    pub fn word(&self) -> &'static str {
        match self {
            Door::Command(_) => "command",
            Door::Event(_) => "event",
            Door::Commit(_) => "commit",
            Door::Outcome(_) => "outcome",
            Door::Hello => "hello",
            Door::Listen => "listen",
            Door::Watch => "watch",
            Door::Tally => "tally",
        }
    }

    /// The type, where this door has one: of the command, or for `event` of the event.
    pub fn type_name(&self) -> Option<&TypeName> {
        match self {
            Door::Command(name) | Door::Event(name) | Door::Commit(name) | Door::Outcome(name) => Some(name),
            Door::Hello | Door::Listen | Door::Watch | Door::Tally => None,
        }
    }
}

impl Subject {
    /// The domain, which is the first token of every subject.
    pub fn domain(&self) -> &DomainName {
        match self {
            Subject::Command { domain, .. }
            | Subject::Query { domain, .. }
            | Subject::CommandFrames { domain, .. }
            | Subject::QueryFrames { domain, .. }
            | Subject::Event { domain, .. }
            | Subject::Live { domain, .. }
            | Subject::Door { domain, .. }
            | Subject::Deliver { domain, .. }
            | Subject::Outcome { domain, .. } => domain,
        }
    }

    /// The type, where the subject has one.
    pub fn type_name(&self) -> Option<&TypeName> {
        match self {
            Subject::Command { type_name, .. }
            | Subject::Query { type_name, .. }
            | Subject::CommandFrames { type_name, .. }
            | Subject::QueryFrames { type_name, .. }
            | Subject::Event { type_name, .. }
            | Subject::Live { type_name, .. }
            | Subject::Outcome { type_name, .. } => Some(type_name),
            Subject::Door { door, .. } => door.type_name(),
            Subject::Deliver { .. } => None,
        }
    }

    /// Who sent what arrives on this subject, where the broker vouches for it.
    pub fn sender(&self) -> Option<&ServiceName> {
        match self {
            Subject::Command { sender, .. }
            | Subject::Query { sender, .. }
            | Subject::CommandFrames { sender, .. }
            | Subject::QueryFrames { sender, .. }
            | Subject::Door { sender, .. } => Some(sender),
            Subject::Event { .. }
            | Subject::Live { .. }
            | Subject::Deliver { .. }
            | Subject::Outcome { .. } => None,
        }
    }

    /// Where messages of this subject go several at a time, to those who read that: of direct commands and queries.
    pub fn frames(&self) -> Option<Subject> {
        match self.clone() {
            Subject::Command { domain, type_name, sender } => {
                Some(Subject::CommandFrames { domain, type_name, sender })
            }
            Subject::Query { domain, type_name, sender } => {
                Some(Subject::QueryFrames { domain, type_name, sender })
            }
            Subject::CommandFrames { .. }
            | Subject::QueryFrames { .. }
            | Subject::Event { .. }
            | Subject::Live { .. }
            | Subject::Door { .. }
            | Subject::Deliver { .. }
            | Subject::Outcome { .. } => None,
        }
    }

    /// Whether a message may stand on this subject: kind, type, entity and, where the message names one, the
    /// sender agree. A handler drops what does not, since a stored message can be steered to a subject that is not
    /// its own.
    ///
    /// # Errors
    /// [`Error::Mismatch`]; always for a subject that carries no message of the domain.
    pub fn check(&self, msg: &Msg) -> Result<()> {
        let (kind, type_name) = match self {
            Subject::Command { type_name, .. } | Subject::CommandFrames { type_name, .. } => {
                (Kind::Command, type_name)
            }
            Subject::Query { type_name, .. } | Subject::QueryFrames { type_name, .. } => {
                (Kind::Query, type_name)
            }
            Subject::Event { type_name, .. } | Subject::Live { type_name, .. } => (Kind::Event, type_name),
            Subject::Door { door: Door::Command(type_name), .. } => (Kind::Command, type_name),
            Subject::Door { door: Door::Event(type_name), .. } => (Kind::Event, type_name),
            Subject::Door { .. } | Subject::Deliver { .. } | Subject::Outcome { .. } => {
                return Err(Error::mismatch("", "a message", format!("what {self} carries")));
            }
        };
        let content = msg.content.as_ref().ok_or_else(|| {
            Error::missing("/content", format!("the {kind} {type_name}, as the subject says"))
        })?;
        if content.kind() != kind || content.type_name() != type_name {
            let given = format!("{} {}", content.kind(), content.type_name());
            return Err(Error::mismatch(
                "/content",
                given,
                format!("{kind} {type_name}, as the subject says"),
            ));
        }
        if let (Some(entity), Some(of)) = (content.entity(), self.entity())
            && entity != of
        {
            return Err(Error::mismatch("/content/entity", entity, format!("{of}, as the subject says")));
        }
        match (&msg.metadata.sender, self.sender()) {
            (Some(given), Some(sender)) if given != sender => {
                Err(Error::mismatch("/metadata/sender", given, format!("{sender}, as the subject says")))
            }
            _ => Ok(()),
        }
    }

    fn entity(&self) -> Option<&EntityId> {
        match self {
            Subject::Event { entity, .. } | Subject::Live { entity, .. } => Some(entity),
            Subject::Command { .. }
            | Subject::Query { .. }
            | Subject::CommandFrames { .. }
            | Subject::QueryFrames { .. }
            | Subject::Door { .. }
            | Subject::Deliver { .. }
            | Subject::Outcome { .. } => None,
        }
    }

    pub(crate) fn parse_text(text: &str) -> Result<Subject> {
        parse::subject(text)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Command { domain, type_name, sender } => {
                write!(f, "{domain}.command.{type_name}.{sender}")
            }
            Subject::Query { domain, type_name, sender } => write!(f, "{domain}.query.{type_name}.{sender}"),
            Subject::CommandFrames { domain, type_name, sender } => {
                write!(f, "{domain}.frames.command.{type_name}.{sender}")
            }
            Subject::QueryFrames { domain, type_name, sender } => {
                write!(f, "{domain}.frames.query.{type_name}.{sender}")
            }
            Subject::Event { domain, entity, type_name } => {
                write!(f, "{domain}.event.{}.{entity}.{}", type_name.context(), type_name.name())
            }
            Subject::Live { domain, entity, type_name } => {
                write!(f, "{domain}.live.event.{}.{entity}.{}", type_name.context(), type_name.name())
            }
            Subject::Door { domain, door, sender } => match door.type_name() {
                Some(name) => write!(f, "{domain}.door.{}.{name}.{sender}", door.word()),
                None => write!(f, "{domain}.door.{}.{sender}", door.word()),
            },
            Subject::Deliver { domain, service, token } => write!(f, "{domain}.deliver.{service}.{token}"),
            Subject::Outcome { domain, type_name, sender, command } => {
                write!(f, "{domain}.outcome.{type_name}.{sender}.{command}")
            }
        }
    }
}

text_form!(Subject, "a subject of a domain");

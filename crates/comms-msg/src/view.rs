//! A message as its payload spells it: everything checked, texts and bodies still where they arrived. [`Msg`] and
//! [`Draft`] are built from it, so whoever only compares (a gate that lets most messages by) keeps nothing.

use comms_content::Cid;

use crate::content::{Body, Command, DomainContent, Event, Kind, Query};
use crate::draft::{Draft, DraftContent, DraftMetadata};
use crate::error::at;
use crate::text::Ruled;
use crate::{
    CommandRef, CommitPlace, EntityId, Error, Expect, Hop, HopText, Metadata, Msg, MsgId, Owner, Result,
    ServiceName, Timestamp, TypeName, UserPairs,
};

/// A whole message, borrowed from its payload.
#[derive(Clone, Debug)]
pub struct View<'a> {
    id: MsgId,
    owner: &'a str,
    time: Timestamp,
    correlation: MsgId,
    content: Option<ContentView<'a>>,
    /// The rest, of which nothing must be there.
    rest: DraftView<'a>,
}

/// The content of a whole message.
#[derive(Clone, Debug)]
struct ContentView<'a> {
    kind: Kind,
    type_name: &'a str,
    version: u32,
    body: Body,
    /// There for an event, and only then.
    entity: Option<&'a str>,
    previous: Option<Cid>,
}

/// As much of a message as there is. Each text keeps the rule of its place.
#[derive(Clone, Debug, Default)]
pub(crate) struct DraftView<'a> {
    pub(crate) id: Option<MsgId>,
    pub(crate) owner: Option<&'a str>,
    pub(crate) time: Option<Timestamp>,
    pub(crate) sender: Option<&'a str>,
    pub(crate) correlation: Option<MsgId>,
    pub(crate) causation: Option<MsgId>,
    pub(crate) user: UserPairs,
    pub(crate) content: Option<DraftContentView<'a>>,
    pub(crate) hop: HopView<'a>,
}

/// As much of a content as there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct DraftContentView<'a> {
    pub(crate) what: Option<(Kind, &'a str)>,
    pub(crate) version: Option<u32>,
    pub(crate) body: Option<Body>,
    pub(crate) entity: Option<&'a str>,
    pub(crate) previous: Option<Cid>,
}

/// What hops may change.
#[derive(Clone, Debug, Default)]
pub(crate) struct HopView<'a> {
    pub(crate) reply: Option<&'a str>,
    pub(crate) trace: Option<&'a str>,
    pub(crate) commit: Option<CommitPlace>,
    /// Kept at once: only the log writes it, and only on events that end a command.
    pub(crate) command: Option<Box<CommandRef>>,
    pub(crate) expect: Expect,
    pub(crate) deadline: Option<Timestamp>,
}

impl<'a> View<'a> {
    /// Its id.
    pub fn id(&self) -> MsgId {
        self.id
    }

    /// Whether it carries this type of this kind.
    pub fn carries(&self, kind: Kind, type_name: &TypeName) -> bool {
        let carried = self.content.as_ref();
        carried.is_some_and(|content| content.kind == kind && content.type_name == type_name.as_str())
    }

    /// The sender that it names.
    pub fn sender(&self) -> Option<&'a str> {
        self.rest.sender
    }

    /// When its sender stops waiting.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.rest.hop.deadline
    }

    /// The message, if nothing is missing that must be there.
    pub(crate) fn whole(mut draft: DraftView<'a>) -> Result<View<'a>> {
        let owner = draft.owner.ok_or_else(no_owner)?;
        let time = draft.time.ok_or_else(|| Error::missing("/metadata/time", "the time it was made"))?;
        let correlation = draft.correlation.ok_or_else(|| {
            Error::missing("/metadata/correlation", "the id of the conversation, its own id at the root")
        })?;
        let content = match draft.content.take() {
            Some(content) => Some(at("/content", ContentView::whole(content))?),
            None => None,
        };
        let id = draft.id.ok_or_else(|| Error::missing("/id", "a UUID"))?;
        Ok(View { id, owner, time, correlation, content, rest: draft })
    }
}

impl<'a> ContentView<'a> {
    fn whole(content: DraftContentView<'a>) -> Result<ContentView<'a>> {
        let (kind, type_name) = content.what.ok_or_else(|| Error::Missing {
            at: String::new(),
            expected: "one of command, query, event".to_owned(),
        })?;
        let version = content.version.ok_or_else(|| Error::missing("/v", "the version of the schema"))?;
        let body = content.body.ok_or_else(|| Error::Missing {
            at: String::new(),
            expected: "one of body, link, sealed".to_owned(),
        })?;
        let (entity, previous) = (content.entity, content.previous);
        check_history(kind, entity.is_some(), previous.is_some())?;
        Ok(ContentView { kind, type_name, version, body, entity, previous })
    }
}

impl From<View<'_>> for Msg {
    fn from(view: View<'_>) -> Msg {
        let View { id, owner, time, correlation, content, rest } = view;
        let metadata = Metadata {
            owner: Owner::ruled(owner),
            time,
            sender: rest.sender.map(ServiceName::ruled),
            correlation,
            causation: rest.causation,
            user: rest.user,
        };
        Msg { id, metadata, content: content.map(DomainContent::from), hop: rest.hop.into() }
    }
}

impl From<ContentView<'_>> for DomainContent {
    fn from(view: ContentView<'_>) -> DomainContent {
        let ContentView { kind, type_name, version, body, entity, previous } = view;
        let type_name = TypeName::ruled(type_name);
        match (kind, entity.map(EntityId::ruled)) {
            (Kind::Command, _) => DomainContent::Command(Command { type_name, version, body }),
            (Kind::Query, _) => DomainContent::Query(Query { type_name, version, body }),
            (Kind::Event, entity) => {
                let entity = entity.expect("an event without an entity is not whole");
                DomainContent::Event(Event { type_name, version, entity, previous, body })
            }
        }
    }
}

impl From<DraftView<'_>> for Draft {
    fn from(view: DraftView<'_>) -> Draft {
        let metadata = DraftMetadata {
            owner: view.owner.map(Owner::ruled),
            time: view.time,
            sender: view.sender.map(ServiceName::ruled),
            correlation: view.correlation,
            causation: view.causation,
            user: view.user,
        };
        let content = view.content.map(|content| DraftContent {
            what: content.what.map(|(kind, name)| (kind, TypeName::ruled(name))),
            version: content.version,
            body: content.body,
            entity: content.entity.map(EntityId::ruled),
            previous: content.previous,
        });
        Draft { id: view.id, metadata, content, hop: view.hop.into() }
    }
}

impl From<HopView<'_>> for Hop {
    fn from(view: HopView<'_>) -> Hop {
        let HopView { reply, trace, commit, command, expect, deadline } = view;
        Hop {
            reply: reply.map(HopText::ruled),
            trace: trace.map(HopText::ruled),
            commit,
            command,
            expect,
            deadline,
        }
    }
}

/// Only events have a history, and each belongs to one.
pub(crate) fn check_history(kind: Kind, entity: bool, previous: bool) -> Result<()> {
    if kind == Kind::Event {
        return if entity { Ok(()) } else { Err(no_entity()) };
    }
    let stray = [("/entity", entity), ("/previous", previous)];
    match stray.iter().find(|(_, there)| *there) {
        Some((at, _)) => {
            Err(Error::UnknownKey { at: (*at).to_owned(), expected: "it in events only".to_owned() })
        }
        None => Ok(()),
    }
}

pub(crate) fn no_entity() -> Error {
    Error::missing("/entity", "the id of the entity whose history the event belongs to")
}

pub(crate) fn no_owner() -> Error {
    Error::missing("/metadata/owner", "the id of the person or agent who answers for the message")
}

//! What a handler gets beside its message: who sent it and why, and what a handler of this kind may do.
//!
//! There are three, so that the compiler keeps the kinds apart: a query's handler cannot emit, publish or send.
//! Whatever is sent from here carries correlation, causation and owner on, and has an id derived from the message that
//! is handled: if the handler runs again, the same is sent with the same ids, and the doors recognise it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use comms_msg::{
    EntityId, Expect, Kind, Metadata, MsgId, MsgKey, Owner, ServiceName, Timestamp, TypeName, UserPairs,
};

use crate::ask::Ask;
use crate::commit::Entity;
use crate::comms::Comms;
use crate::content::Content;
use crate::error::{Error, Result};
use crate::label::Label;
use crate::message::{Command, Event, Query};
use crate::open::Opened;
use crate::publish::Publish;
use crate::send::Send;

/// The context of a command.
#[derive(Clone, Debug)]
pub struct CommandContext(Arc<Cause>);

/// The context of a query.
///
/// It asks and opens, and has no way to change anything, as the contexts of commands and events have:
/// ```no_run
/// async fn run(cx: comms::CommandContext) {
///     let _ = cx.new_entity("document");
/// }
/// ```
/// ```compile_fail,E0599
/// async fn run(cx: comms::QueryContext) {
///     let _ = cx.new_entity("document");
/// }
/// ```
/// ```no_run
/// # use serde::{Serialize, Deserialize};
/// # #[derive(Serialize, Deserialize)] struct DocumentAdded { title: String }
/// # comms::event!(DocumentAdded = "documents.DocumentAdded");
/// async fn run(cx: comms::EventContext) {
///     let _ = cx.publish(DocumentAdded { title: "report".into() });
/// }
/// ```
/// ```compile_fail,E0599
/// # use serde::{Serialize, Deserialize};
/// # #[derive(Serialize, Deserialize)] struct DocumentAdded { title: String }
/// # comms::event!(DocumentAdded = "documents.DocumentAdded");
/// async fn run(cx: comms::QueryContext) {
///     let _ = cx.publish(DocumentAdded { title: "report".into() });
/// }
/// ```
/// ```no_run
/// # use serde::{Serialize, Deserialize};
/// # #[derive(Serialize, Deserialize)] struct AddDocument { title: String }
/// # comms::command!(AddDocument = "documents.AddDocument");
/// async fn run(cx: comms::CommandContext) {
///     let _ = cx.send(AddDocument { title: "report".into() });
/// }
/// ```
/// ```compile_fail,E0599
/// # use serde::{Serialize, Deserialize};
/// # #[derive(Serialize, Deserialize)] struct AddDocument { title: String }
/// # comms::command!(AddDocument = "documents.AddDocument");
/// async fn run(cx: comms::QueryContext) {
///     let _ = cx.send(AddDocument { title: "report".into() });
/// }
/// ```
#[derive(Clone, Debug)]
pub struct QueryContext(Arc<Cause>);

/// The context of an event that is listened to.
#[derive(Clone, Debug)]
pub struct EventContext(Arc<Cause>);

/// The message that is handled, without its body.
#[derive(Debug)]
pub(crate) struct Cause {
    pub(crate) comms: Comms,
    pub(crate) what: (Kind, TypeName),
    pub(crate) id: MsgId,
    pub(crate) metadata: Metadata,
    pub(crate) sender: Option<ServiceName>,
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) tries: u32,
    /// Entities made and messages sent so far: what their ids derive from.
    ordinal: AtomicU32,
}

/// Ids of what a handler makes derive from ordinals that no event of a commit has: those count from 0 up to the
/// most events of a commit.
const ORDINAL_FIRST: u32 = 0x4000_0000;

impl Cause {
    pub(crate) fn new(
        comms: Comms,
        what: (Kind, TypeName),
        id: MsgId,
        metadata: Metadata,
        sender: Option<ServiceName>,
        deadline: Option<Timestamp>,
        tries: u32,
    ) -> Self {
        Self { comms, what, id, metadata, sender, deadline, tries, ordinal: AtomicU32::new(ORDINAL_FIRST) }
    }

    /// What the message that is handled is known by. Of one that names no sender this service counts as it.
    pub(crate) fn key(&self) -> MsgKey {
        let (kind, type_name) = &self.what;
        MsgKey::new(*kind, self.sender.as_ref().unwrap_or(self.comms.service()), type_name, self.id)
    }

    fn derived(&self) -> MsgId {
        MsgId::derive(&self.key(), self.comms.service(), self.ordinal.fetch_add(1, Ordering::Relaxed))
    }

    fn send<C: Command>(&self, command: C) -> Send<C> {
        let mut label = Label::caused(self.id, &self.metadata);
        label.id(self.derived());
        Send::new(self.comms.clone(), command, label)
    }

    fn publish<E: Event>(&self, event: E) -> Publish<E> {
        let mut label = Label::caused(self.id, &self.metadata);
        label.id(self.derived());
        Publish::new(self.comms.clone(), event, label)
    }

    fn ask<Q: Query>(&self, query: Q) -> Ask<Q> {
        Ask::new(self.comms.clone(), query, Label::caused(self.id, &self.metadata), self.deadline)
    }
}

/// What every context offers.
macro_rules! context {
    ($context:ident, $message:literal) => {
        impl $context {
            pub(crate) fn new(cause: Cause) -> Self {
                Self(Arc::new(cause))
            }

            #[doc = concat!("The id of the ", $message, ".")]
            pub fn id(&self) -> MsgId {
                self.0.id
            }

            #[doc = concat!("Who answers for the ", $message, ".")]
            pub fn owner(&self) -> &Owner {
                &self.0.metadata.owner
            }

            #[doc = concat!("The service that sent the ", $message, ", as the broker or the node vouches for it.")]
            pub fn sender(&self) -> Option<&ServiceName> {
                self.0.sender.as_ref()
            }

            #[doc = concat!("When the ", $message, " was made.")]
            pub fn time(&self) -> Timestamp {
                self.0.metadata.time
            }

            #[doc = concat!("The conversation that the ", $message, " belongs to.")]
            pub fn correlation(&self) -> MsgId {
                self.0.metadata.correlation
            }

            #[doc = concat!("The message that caused the ", $message, ".")]
            pub fn causation(&self) -> Option<MsgId> {
                self.0.metadata.causation
            }

            #[doc = concat!("The key/value pairs of the ", $message, ".")]
            pub fn pairs(&self) -> &UserPairs {
                &self.0.metadata.user
            }

            /// Asks a query as part of this conversation; it waits no longer than whoever waits for this handler.
            pub fn ask<Q: Query>(&self, query: Q) -> Ask<Q> {
                self.0.ask(query)
            }

            /// Opens content that the message carries: its bytes in order, each block verified before a byte of it is
            /// handed on.
            pub async fn open(&self, content: &Content) -> Result<Opened> {
                self.0.comms.open(content).await
            }

            /// The connection, for what is not part of this conversation: reading content by its CID, for instance.
            pub(crate) fn comms(&self) -> &Comms {
                &self.0.comms
            }
        }
    };
}

context!(CommandContext, "command");
context!(QueryContext, "query");
context!(EventContext, "event");

impl CommandContext {
    /// An entity that begins with this command. Its id is the same whenever the command is handled, as long as the
    /// handler makes its entities in the same order; that nothing of it is recorded yet is expected.
    pub fn new_entity(&self, prefix: &str) -> Entity {
        let id =
            EntityId::new(&format!("{prefix}-{}", self.0.derived().uuid().simple())).map_err(Error::from);
        Entity::new(id, Expect::Absent)
    }

    /// An entity that exists, or may.
    pub fn entity(&self, id: impl AsRef<str>) -> Entity {
        Entity::new(EntityId::new(id.as_ref()).map_err(Error::from), Expect::Any)
    }

    /// Sends a command as part of this conversation.
    pub fn send<C: Command>(&self, command: C) -> Send<C> {
        self.0.send(command)
    }

    /// When the sender stops waiting, if it said so.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.0.deadline
    }

    /// How often this command was delivered, this time included.
    pub fn tries(&self) -> u32 {
        self.0.tries
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.0.metadata
    }

    pub(crate) fn key(&self) -> MsgKey {
        self.0.key()
    }
}

impl QueryContext {
    /// When the asker stops waiting.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.0.deadline
    }
}

impl EventContext {
    /// Publishes an event as part of this conversation: for a service that records what follows from what it heard.
    ///
    /// Its id derives from the event that is handled, so it is in the log once, however often the handler runs, as long as
    /// the handler publishes and sends in the same order.
    pub fn publish<E: Event>(&self, event: E) -> Publish<E> {
        self.0.publish(event)
    }

    /// Sends a command as part of this conversation.
    pub fn send<C: Command>(&self, command: C) -> Send<C> {
        self.0.send(command)
    }

    /// How often this event was delivered, this time included.
    pub fn tries(&self) -> u32 {
        self.0.tries
    }
}

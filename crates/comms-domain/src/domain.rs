//! The domain as checked: every name in it refers to something.
//!
//! Built only by [`Domain::parse`] (in `definition`). Who may do what is asked here, by doors, gateway and
//! library alike, so that there is one answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use comms_content::Node;
use comms_content::cbor::{self, Reader};
use comms_msg::door::Delivery;
use comms_msg::{DomainName, Kind, Owner, ServiceName, TypeName};
use ring::digest::{SHA256, digest};
use serde::{Serialize, Serializer};

use crate::bound::{Bound, Bounds, Parts};
use crate::nearest;
use crate::schema::{FieldProblem, Schema};

/// One domain: what may be said in it, by whom, and what becomes of it.
///
/// Serializes to one canonical JSON text, of which [`Domain::digest`] is the hash.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Domain {
    /// First token of every subject.
    pub name: DomainName,
    /// Counted by the author; the node does not interpret it.
    pub version: u32,
    /// What leaves messages, and how often it is kept.
    pub content: ContentPolicy,
    /// How much there is of what all services share on a node.
    pub limits: Bounds,
    /// Commands by type.
    pub commands: BTreeMap<TypeName, CommandSpec>,
    /// Queries by type.
    pub queries: BTreeMap<TypeName, QuerySpec>,
    /// Events by type.
    pub events: BTreeMap<TypeName, EventSpec>,
    /// Services by name, with the built-in `dev` and `operator`.
    pub services: BTreeMap<ServiceName, Service>,
}

/// What becomes of large byte fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ContentPolicy {
    /// A byte field of more bytes than this becomes a link.
    pub threshold: u64,
    /// Copies wanted of every object.
    pub copies: u8,
}

/// One command type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommandSpec {
    /// Durable or direct.
    pub delivery: Delivery,
    /// Schema version.
    pub version: u32,
    /// What a body must be; none accepts any object.
    pub schema: Option<Schema>,
    /// How long a sender waits for the outcome.
    #[serde(rename = "deadline_ms", serialize_with = "milliseconds")]
    pub deadline: Duration,
}

/// One query type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuerySpec {
    /// Schema version.
    pub version: u32,
    /// What a body must be; none accepts any object.
    pub schema: Option<Schema>,
    /// How long an asker waits for the answer.
    #[serde(rename = "deadline_ms", serialize_with = "milliseconds")]
    pub deadline: Duration,
}

/// One event type.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventSpec {
    /// What has a history: the kind of thing this event happens to.
    pub entity: String,
    /// Schema version.
    pub version: u32,
    /// What a body must be; none accepts any object.
    pub schema: Option<Schema>,
}

/// The event by which the node says that acknowledged messages were lost and that the operator went on without them. The
/// context `comms` is the runtime's own: no definition has types in it.
pub const LOSS_ACCEPTED: &str = "comms.LossAccepted";
/// That context.
pub(crate) const OWN_CONTEXT: &str = "comms";

/// What one service does and may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Commands it receives.
    pub handles: BTreeSet<TypeName>,
    /// Queries it answers.
    pub answers: BTreeSet<TypeName>,
    /// Events it may append.
    pub emits: BTreeSet<TypeName>,
    /// Commands it may send.
    pub sends: BTreeSet<TypeName>,
    /// Queries it may ask.
    pub asks: BTreeSet<TypeName>,
    /// Events it may read, with what they carry.
    pub observes: BTreeSet<TypeName>,
    /// Rights that no type gives.
    pub rights: BTreeSet<Right>,
    /// Whom it may name as the owner of a durable command or an event; none: anybody.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub owners: BTreeSet<Owner>,
}

/// A right that follows from no type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Right {
    /// Read any content by its CID.
    #[serde(rename = "content.read")]
    ContentRead,
    /// Change the definition of the running domain.
    #[serde(rename = "domain.apply")]
    DomainApply,
    /// Read the definition of the running domain.
    #[serde(rename = "domain.read")]
    DomainRead,
}

impl Right {
    /// Every right there is.
    pub const ALL: [Self; 3] = [Self::ContentRead, Self::DomainApply, Self::DomainRead];

    /// As written in the definition.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ContentRead => "content.read",
            Self::DomainApply => "domain.apply",
            Self::DomainRead => "domain.read",
        }
    }
}

/// What the definition says of one type, whatever its kind.
#[derive(Debug, Clone, Copy)]
pub enum Spec<'a> {
    /// A command.
    Command(&'a CommandSpec),
    /// A query.
    Query(&'a QuerySpec),
    /// An event.
    Event(&'a EventSpec),
}

impl<'a> Spec<'a> {
    /// Which kind it is.
    pub fn kind(self) -> Kind {
        match self {
            Self::Command(_) => Kind::Command,
            Self::Query(_) => Kind::Query,
            Self::Event(_) => Kind::Event,
        }
    }

    /// Its schema version.
    pub fn version(self) -> u32 {
        match self {
            Self::Command(spec) => spec.version,
            Self::Query(spec) => spec.version,
            Self::Event(spec) => spec.version,
        }
    }

    /// Its schema, if a file was found.
    pub fn schema(self) -> Option<&'a Schema> {
        match self {
            Self::Command(spec) => spec.schema.as_ref(),
            Self::Query(spec) => spec.schema.as_ref(),
            Self::Event(spec) => spec.schema.as_ref(),
        }
    }

    /// Whether a body is what the definition asks for: an object, and what the schema says where there is one. What
    /// comes back is the body in its right form where that differs; see [`Schema::fit`].
    ///
    /// # Errors
    /// What does not fit, field by field, never empty.
    pub fn fit(self, body: &Node) -> Result<Option<Node>, Vec<FieldProblem>> {
        if !is_object(body) {
            return Err(vec![FieldProblem::of_body("an object is expected")]);
        }
        self.schema().map_or(Ok(None), |schema| schema.fit(body))
    }
}

fn is_object(body: &Node) -> bool {
    Reader::new(body.as_bytes()).kind() == Ok(cbor::Kind::Map)
}

impl Domain {
    /// Reads a definition and the schemas beside it.
    ///
    /// `file` is how problems name the definition; schemas are keyed by their path below the folder `schemas`
    /// beside it (`documents/AddDocument.json`). Either everything is right, or every problem is reported.
    ///
    /// # Errors
    /// All [`crate::Problems`] found.
    pub fn parse(
        file: &str,
        toml: &str,
        schemas: &BTreeMap<String, String>,
    ) -> Result<Self, crate::Problems> {
        Self::check(file, toml, schemas).map(|(domain, _)| domain)
    }

    /// As [`Domain::parse`], with what is right in its files and does not do what it seems to, such as a `default` in a
    /// schema: each with its place, and what would.
    ///
    /// # Errors
    /// As [`Domain::parse`].
    pub fn check(
        file: &str,
        toml: &str,
        schemas: &BTreeMap<String, String>,
    ) -> Result<(Self, Vec<crate::Problem>), crate::Problems> {
        crate::definition::parse(file, toml, schemas)
    }

    /// SHA-256 over the whole checked definition with its schemas, as 64 hex digits. Comments, order and the way
    /// sizes are written do not change it.
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(self).expect("names, numbers and JSON values always serialize");
        hex(digest(&SHA256, &text).as_ref())
    }

    /// What the definition says of a type.
    pub fn spec(&self, name: &TypeName) -> Option<Spec<'_>> {
        self.commands
            .get(name)
            .map(Spec::Command)
            .or_else(|| self.queries.get(name).map(Spec::Query))
            .or_else(|| self.events.get(name).map(Spec::Event))
    }

    /// The kind of a type.
    pub fn kind(&self, name: &TypeName) -> Option<Kind> {
        self.spec(name).map(Spec::kind)
    }

    /// All types of a kind, in order.
    pub fn types(&self, kind: Kind) -> Box<dyn Iterator<Item = &TypeName> + '_> {
        match kind {
            Kind::Command => Box::new(self.commands.keys()),
            Kind::Query => Box::new(self.queries.keys()),
            Kind::Event => Box::new(self.events.keys()),
        }
    }

    /// The type that somebody who wrote `text` most likely meant, of whatever kind; of two that are equally near, one of
    /// the kind that was wanted.
    pub fn nearest(&self, wanted: Kind, text: &str) -> Option<(Kind, TypeName)> {
        let others = Kind::ALL.into_iter().filter(|kind| *kind != wanted).flat_map(|kind| self.types(kind));
        let name = nearest::type_name(text, self.types(wanted).chain(others))?;
        Some((self.kind(name)?, name.clone()))
    }

    /// The service of that name, built-in ones included.
    pub fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.services.get(name)
    }

    /// How many services share a bound: those of all that may take of it.
    pub fn sharers(&self, bound: Bound) -> usize {
        match bound {
            Bound::Commands => self.services_that(|service| !service.sends.is_empty()).count(),
            Bound::Requests
            | Bound::RequestBytes
            | Bound::Outcomes
            | Bound::Watches
            | Bound::Uploads
            | Bound::Downloads
            | Bound::Connections
            | Bound::NatsConnections
            | Bound::Subscriptions => self.services.len(),
        }
    }

    /// How a bound is divided among them.
    pub fn parts(&self, bound: Bound) -> Parts {
        Parts::of(self.limits.of(bound), self.sharers(bound), bound.least())
    }

    /// Names of the services for which `is` holds, in order.
    pub fn services_that<'a>(
        &'a self,
        is: impl Fn(&Service) -> bool + 'a,
    ) -> impl Iterator<Item = &'a ServiceName> + 'a {
        self.services.iter().filter(move |(_, service)| is(service)).map(|(name, _)| name)
    }

    /// The one service that handles this durable command, or any that handles a direct one.
    pub fn handler(&self, command: &TypeName) -> Option<&ServiceName> {
        self.services.iter().find(|(_, service)| service.handles.contains(command)).map(|(name, _)| name)
    }

    /// Whether the command is kept until it is handled.
    pub fn is_durable(&self, command: &TypeName) -> bool {
        self.commands.get(command).is_some_and(|spec| spec.delivery == Delivery::Durable)
    }

    /// The durable ones among the commands a service handles.
    pub fn durable_handles<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a TypeName> + 'a {
        service.handles.iter().filter(|name| self.is_durable(name))
    }
}

impl Service {
    /// Whether messages of this type reach the service, which is why it may read what they carry.
    pub fn reads(&self, name: &TypeName) -> bool {
        self.handles.contains(name) || self.answers.contains(name) || self.observes.contains(name)
    }

    /// Whether the service may say that `owner` answers for what it sends or emits.
    pub fn may_name(&self, owner: &Owner) -> bool {
        self.owners.is_empty() || self.owners.contains(owner)
    }

    /// Whether it may read events of this type: those that it observes, and, if it observes any, what was lost of them.
    pub fn may_observe(&self, event: &TypeName) -> bool {
        self.observes.contains(event) || (event.as_str() == LOSS_ACCEPTED && !self.observes.is_empty())
    }

    /// Whether the service holds a right.
    pub fn has(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

//! What the commands that talk have in common: whose message it is, what is in it, and why it was refused.
//!
//! `send`, `ask`, `publish` and `watch` each have a file of their own.

mod ask;
mod body;
mod publish;
mod send;
mod watch;

use comms::{ErrorKind, MsgId, TypeName};
use comms_domain::{Domain, Kind, Service};
use comms_msg::ServiceName;

use crate::args::{Envelope, Global};
use crate::definition;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::bytes;

pub(crate) use ask::ask;
pub(crate) use publish::publish;
pub(crate) use send::send;
pub(crate) use watch::watch;

/// What goes with a message, checked.
#[derive(Debug, Clone)]
struct Label {
    id: MsgId,
    owner: String,
    correlation: Option<MsgId>,
    pairs: Vec<(String, String)>,
}

impl Label {
    fn of(envelope: &Envelope, global: &Global) -> Result<Self, Failure> {
        let uuid = |text: &String| {
            MsgId::parse_lenient(text)
                .map_err(|error| Failure::usage(format!("{text} is not an id")).because(&error))
        };
        let pairs = envelope.pair.iter().map(|pair| match pair.split_once('=') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(Failure::usage(format!("{pair} is not a pair")).mend("A pair is --pair KEY=VALUE")),
        });
        Ok(Self {
            id: envelope.id.as_ref().map(uuid).transpose()?.unwrap_or_else(new_id),
            owner: owner(envelope, global),
            correlation: envelope.correlation.as_ref().map(uuid).transpose()?,
            pairs: pairs.collect::<Result<_, _>>()?,
        })
    }
}

/// Fills the label of any of the library's builders in.
macro_rules! labelled {
    ($builder:expr, $label:expr) => {{
        let label = &$label;
        let mut builder = $builder.id(label.id).owner(&label.owner);
        if let Some(correlation) = label.correlation {
            builder = builder.correlation(correlation);
        }
        for (key, value) in &label.pairs {
            builder = builder.pair(key, value);
        }
        builder
    }};
}
use labelled;

fn new_id() -> MsgId {
    MsgId::from_uuid(uuid::Uuid::now_v7())
}

/// Who answers for a message: who was named, else who is logged in, else the name it is sent under.
fn owner(envelope: &Envelope, global: &Global) -> String {
    let logged_in = || std::env::var("USER").ok().filter(|user| !user.is_empty());
    envelope.owner.clone().or_else(logged_in).unwrap_or_else(|| global.speaker().to_owned())
}

/// Reads the name of a type; one that cannot be a name is as unknown as one that the domain does not have.
fn type_name(kind: Kind, text: &str) -> Result<TypeName, Failure> {
    text.parse().map_err(|error: comms_msg::Error| match definition::in_force() {
        Some(domain) => unknown(&domain, kind, text),
        None => Failure::usage(format!("{text} is not the name of a type")).because(&error),
    })
}

/// There is no such type, but perhaps one with a name much like it.
fn unknown(domain: &Domain, kind: Kind, text: &str) -> Failure {
    let (word, list) = (kind.as_str(), plural(kind));
    let failure = Failure::new(Exit::NotFound, format!("no {word} {text} in the domain {}", domain.name));
    match domain.nearest(kind, text) {
        Some(nearest) => failure.mend(format!("did you mean {nearest}?           comms domain show {list}")),
        None => failure.mend(format!("What there is: comms domain show {list}")),
    }
}

/// Why a message of this type was refused, in the words of the definition in force where it has any.
fn refused(error: comms::Error, kind: Kind, name: &TypeName, global: &Global) -> Failure {
    let is_stored = !matches!(kind, Kind::Query);
    let (reason, may_have_happened) = (error.kind(), error.may_have_happened());
    match (reason, definition::in_force()) {
        (ErrorKind::Denied | ErrorKind::Unknown, Some(domain)) if domain.kind(name) != Some(kind) => {
            unknown(&domain, kind, name.as_str())
        }
        (ErrorKind::Denied, Some(domain)) => denied(&domain, kind, name, global),
        (ErrorKind::Invalid | ErrorKind::Malformed | ErrorKind::TooLarge | ErrorKind::NotFound, _)
            if is_stored && !may_have_happened =>
        {
            Failure::from(error).mend("nothing was stored.")
        }
        _ => error.into(),
    }
}

fn denied(domain: &Domain, kind: Kind, name: &TypeName, global: &Global) -> Failure {
    let (verb, list): (_, fn(&Service) -> &std::collections::BTreeSet<TypeName>) = match kind {
        Kind::Command => ("send", |service| &service.sends),
        Kind::Query => ("ask", |service| &service.asks),
        Kind::Event => ("emit", |service| &service.emits),
    };
    let speaker = global.speaker();
    let names = domain.services_that(|service| list(service).contains(name)).map(ServiceName::as_str);
    let listed: Vec<&str> = names.filter(|name| !is_built_in(name)).collect();
    let listed = if listed.is_empty() { "nobody".to_owned() } else { listed.join(", ") };
    let section = if is_built_in(speaker) { speaker.to_owned() } else { format!("service.{speaker}") };
    Failure::new(Exit::NotFound, format!("{speaker} may not {verb} {name}")).mend(format!(
        "domain.toml lists: {listed}.   To allow it, add it to `{verb}s` of [{section}] and run: comms domain apply"
    ))
}

fn is_built_in(name: &str) -> bool {
    matches!(name, ServiceName::DEV | ServiceName::OPERATOR)
}

fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Command => "commands",
        Kind::Query => "queries",
        Kind::Event => "events",
    }
}

/// `412 B, file offloaded: bafybei… (8.6 MiB, 71 ms)`
fn sizes(message: u64, offloaded: &[json::Offloaded]) -> String {
    let fields = offloaded.iter().map(|field| {
        let name = field.path.trim_start_matches('/');
        let ms = field.ms.map(|ms| format!(", {ms:.0} ms")).unwrap_or_default();
        format!(", {name} offloaded: {} ({}{ms})", field.cid, bytes(field.bytes))
    });
    std::iter::once(bytes(message)).chain(fields).collect()
}

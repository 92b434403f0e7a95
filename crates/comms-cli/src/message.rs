//! What the commands that talk have in common: whose message it is, what is in it, and why it was refused.
//!
//! `send`, `ask`, `publish` and `watch` each have a file of their own.

mod ask;
mod body;
mod publish;
mod send;
mod watch;

use std::collections::BTreeSet;

use comms::{ErrorKind, MsgId, TypeName};
use comms_domain::{Domain, Service};
use comms_msg::{Kind, ServiceName};

use crate::args::{Envelope, Global};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::fields::Fields;
use crate::json;
use crate::output::bytes;

pub(crate) use ask::ask;
pub(crate) use publish::publish;
pub(crate) use send::send;
pub(crate) use watch::watch;

/// What a refusal says, in the node's words or else in these.
const NOTHING_STORED: &str = "nothing was stored";

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
fn type_name(kind: Kind, text: &str, domain: Option<&Domain>) -> Result<TypeName, Failure> {
    text.parse().map_err(|error: comms_msg::Error| match domain {
        Some(domain) => unknown(domain, kind, text),
        None => Failure::usage(format!("{text} is not the name of a type")).because(&error),
    })
}

/// The version of the type's schema, as far as the definition in force is at hand.
fn version(name: &TypeName, domain: Option<&Domain>) -> u32 {
    domain.and_then(|domain| domain.spec(name)).map_or(1, comms_domain::Spec::version)
}

/// There is no such type, but perhaps one with a name much like it.
fn unknown(domain: &Domain, kind: Kind, text: &str) -> Failure {
    let (word, list) = (kind.as_str(), plural(kind));
    let failure = Failure::new(Exit::NotFound, format!("no {word} {text} in the domain {}", domain.name));
    match domain.nearest(kind, text) {
        Some((kind, nearest)) => failure.mend(format!(
            "did you mean the {} {nearest}?           comms domain show {}",
            kind.as_str(),
            plural(kind)
        )),
        None => failure.mend(format!("What there is: comms domain show {list}")),
    }
}

/// A message that was on its way: what is needed to say why it did not arrive.
#[derive(Debug, Clone, Copy)]
struct Attempt<'a> {
    kind: Kind,
    name: &'a TypeName,
    fields: &'a Fields,
    id: MsgId,
    domain: Option<&'a Domain>,
    speaker: &'a str,
}

impl Attempt<'_> {
    /// Why it was refused, in the words of the definition in force where it has any.
    fn failed(self, error: comms::Error) -> Failure {
        let Self { kind, name, fields, id, domain, speaker } = self;
        let is_kept = match kind {
            Kind::Command | Kind::Event => true,
            Kind::Query => false,
        };
        match (error.kind(), domain) {
            (ErrorKind::Denied | ErrorKind::Unknown, Some(domain)) if domain.kind(name) != Some(kind) => {
                return unknown(domain, kind, name.as_str());
            }
            // Where the definition lets the speaker, something else is denied, and the door says what.
            (ErrorKind::Denied, Some(domain)) if !may(domain, kind, name, speaker) => {
                return denied(domain, kind, name, speaker);
            }
            (ErrorKind::Unavailable, Some(domain)) if kind == Kind::Query => {
                let answers = domain.services_that(|service| service.answers.contains(name));
                let answers: Vec<&str> = answers.map(ServiceName::as_str).collect();
                return Failure::from(error).mend(format!("It is answered by: {}", answers.join(", ")));
            }
            _ => {}
        }
        let may_have_happened = error.may_have_happened();
        let is_said = error.message().contains(NOTHING_STORED);
        let is_refused = matches!(
            error.kind(),
            ErrorKind::Invalid
                | ErrorKind::Malformed
                | ErrorKind::TooLarge
                | ErrorKind::NotFound
                | ErrorKind::Conflict
        );
        let is_text = error.problems().iter().any(|problem| problem.problem.starts_with("is text"));
        let bytes = error.problems().iter().filter(|problem| problem.problem.starts_with("must be bytes"));
        let file = bytes.filter_map(|problem| fields.file_advice(&problem.path)).next();
        let mut failure = Failure::from(error);
        if let Some(advice) = file {
            failure = failure.mend(advice);
        }
        if is_text {
            failure =
                failure.mend("field=text is always text: numbers, lists and true are written field:=JSON");
        }
        match (is_kept, may_have_happened) {
            (true, true) => {
                failure.mend(format!("To send it again without doubling it: the same with --id {id}"))
            }
            (true, false) if is_refused && !is_said => failure.mend(format!("{NOTHING_STORED}.")),
            _ => failure,
        }
    }
}

/// The word for what one does with a type of that kind, and where a service lists the types with which it may.
fn right(kind: Kind) -> (&'static str, fn(&Service) -> &BTreeSet<TypeName>) {
    match kind {
        Kind::Command => ("send", |service| &service.sends),
        Kind::Query => ("ask", |service| &service.asks),
        Kind::Event => ("emit", |service| &service.emits),
    }
}

/// Whether the definition lets the speaker do that with the type.
fn may(domain: &Domain, kind: Kind, name: &TypeName, speaker: &str) -> bool {
    let (_, list) = right(kind);
    let service = speaker.parse().ok().and_then(|speaker| domain.service(&speaker));
    service.is_some_and(|service| list(service).contains(name))
}

fn denied(domain: &Domain, kind: Kind, name: &TypeName, speaker: &str) -> Failure {
    let (verb, list) = right(kind);
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

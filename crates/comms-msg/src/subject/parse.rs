//! Reads a subject back. Whatever is not of the grammar is refused with the form that was meant, as far as
//! it can be told.

use crate::error::quote;
use crate::{DeliverToken, DomainName, EntityId, Error, MsgId, Result, ServiceName, TypeName};

use super::{Door, Subject};

/// The longest subject of the grammar has 7 tokens; one more tells a longer one apart.
const TOKENS_MAX: usize = 8;

const KINDS: &str = "{domain}.command|query|frames|event|live|outcome|deliver|door.…";

pub(super) fn subject(text: &str) -> Result<Subject> {
    let mut tokens = [""; TOKENS_MAX];
    let mut count = 0;
    for token in text.split('.').take(TOKENS_MAX) {
        tokens[count] = token;
        count += 1;
    }
    let read = match &tokens[..count] {
        [domain, "command", context, name, sender] => (|| {
            let (domain, type_name) = (domain.parse()?, TypeName::of(context, name)?);
            Ok(Subject::Command { domain, type_name, sender: sender.parse()? })
        })(),
        [domain, "query", context, name, sender] => (|| {
            let (domain, type_name) = (domain.parse()?, TypeName::of(context, name)?);
            Ok(Subject::Query { domain, type_name, sender: sender.parse()? })
        })(),
        [domain, "frames", kind @ ("command" | "query"), context, name, sender] => (|| {
            let (domain, type_name) = (domain.parse()?, TypeName::of(context, name)?);
            let sender = sender.parse()?;
            Ok(match *kind {
                "command" => Subject::CommandFrames { domain, type_name, sender },
                _ => Subject::QueryFrames { domain, type_name, sender },
            })
        })(),
        [domain, "event", context, entity, name] => (|| {
            let (domain, entity, type_name) = event(domain, context, entity, name)?;
            Ok(Subject::Event { domain, entity, type_name })
        })(),
        [domain, "live", "event", context, entity, name] => (|| {
            let (domain, entity, type_name) = event(domain, context, entity, name)?;
            Ok(Subject::Live { domain, entity, type_name })
        })(),
        [domain, "outcome", context, name, sender, command] => (|| {
            let (domain, type_name) = (domain.parse()?, TypeName::of(context, name)?);
            Ok(Subject::Outcome {
                domain,
                type_name,
                sender: sender.parse()?,
                command: command.parse::<MsgId>()?,
            })
        })(),
        [domain, "deliver", service, token] => (|| {
            let (domain, service) = (domain.parse()?, service.parse()?);
            Ok(Subject::Deliver { domain, service, token: DeliverToken::new(token)? })
        })(),
        [domain, "door", word, rest @ .., sender] => (|| {
            let (domain, sender) = (domain.parse()?, sender.parse::<ServiceName>()?);
            Ok(Subject::Door { domain, door: door(word, rest)?, sender })
        })(),
        [_, kind, ..] => return Err(Error::invalid(text, form(kind))),
        _ => return Err(Error::invalid(text, KINDS)),
    };
    read.map_err(|error: Error| Error::Malformed {
        at: String::new(),
        problem: format!("{} is not a subject: {}", quote(text), error.problem()),
        expected: form(tokens[1]).to_owned(),
    })
}

fn event(domain: &str, context: &str, entity: &str, name: &str) -> Result<(DomainName, EntityId, TypeName)> {
    Ok((domain.parse()?, entity.parse()?, TypeName::of(context, name)?))
}

fn door(word: &str, rest: &[&str]) -> Result<Door> {
    match (word, rest) {
        ("command", [context, name]) => Ok(Door::Command(TypeName::of(context, name)?)),
        ("event", [context, name]) => Ok(Door::Event(TypeName::of(context, name)?)),
        ("commit", [context, name]) => Ok(Door::Commit(TypeName::of(context, name)?)),
        ("outcome", [context, name]) => Ok(Door::Outcome(TypeName::of(context, name)?)),
        ("hello", []) => Ok(Door::Hello),
        ("listen", []) => Ok(Door::Listen),
        ("watch", []) => Ok(Door::Watch),
        ("tally", []) => Ok(Door::Tally),
        _ => Err(Error::invalid(word, "a door with its type, or hello, listen, watch, tally without")),
    }
}

fn form(kind: &str) -> &'static str {
    match kind {
        "command" => "{domain}.command.{context}.{Type}.{sender}",
        "query" => "{domain}.query.{context}.{Type}.{sender}",
        "frames" => "{domain}.frames.command|query.{context}.{Type}.{sender}",
        "event" => "{domain}.event.{context}.{entity}.{Type}",
        "live" => "{domain}.live.event.{context}.{entity}.{Type}",
        "outcome" => "{domain}.outcome.{context}.{Type}.{sender}.{command id}",
        "deliver" => "{domain}.deliver.{service}.{token}",
        "door" => {
            "{domain}.door.command|event|commit|outcome.{context}.{Type}.{sender} or \
             {domain}.door.hello|listen|watch|tally.{sender}"
        }
        _ => KINDS,
    }
}

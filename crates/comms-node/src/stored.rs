//! What speaks against a definition where the one that was in force is not there to be compared: what the streams hold.
//!
//! The name of the domain is read from what the streams take. Types are read from the ledgers, which know them by a hash:
//! one that the definition does not have is looked up in one message that is stored.

use async_nats::jetstream;
use comms_domain::{Domain, LOSS_ACCEPTED, Layout};
use comms_msg::TypeName;
use comms_msg::door::Delivery;

use crate::Error;
use crate::witness::{Compared, Kind, type_hash};

/// Types that a refusal names.
const NAMED_MAX: usize = 32;

/// What speaks against it, in words; empty where nothing does.
pub(crate) async fn against(
    jetstream: &jetstream::Context,
    domain: &Domain,
    layout: &Layout,
    compared: &Compared,
) -> Result<Vec<String>, Error> {
    let (mut why, known) = (Vec::new(), known(domain));
    for stream in layout.streams.iter().filter(|stream| compared.known().contains(&stream.name)) {
        let unread = |source: Box<dyn std::error::Error + Send + Sync>| Error::Request {
            doing: format!("look what {} holds", stream.name),
            source,
        };
        let handle = jetstream.get_stream(&stream.name).await.map_err(|e| unread(Box::new(e)))?;
        let subjects = &handle.cached_info().config.subjects;
        let called = subjects.first().and_then(|subject| subject.split('.').next());
        if let Some(called) =
            called.filter(|called| *called != domain.name.as_str() && stream.transform.is_none())
        {
            why.push(format!(
                "everything stored is called {called}.…: keep the name, or begin a new domain (stored: {})",
                stream.name
            ));
            continue;
        }
        let types = compared.types(&stream.name).map_err(|e| unread(Box::new(e)))?;
        for ((kind, hash), sequence) in
            types.into_iter().filter(|(of, _)| !known.contains(of)).take(NAMED_MAX)
        {
            let subject = match handle.direct_get(sequence).await {
                Ok(message) => message.subject.to_string(),
                Err(_) => format!("a type that nobody knows, {hash:08x}, at {sequence}"),
            };
            let reason = match kind {
                Kind::Command => "waits there to be handled: let its handler finish first",
                _ => "is part of histories that are kept: leave it in the definition",
            };
            why.push(format!("{} {reason} (stored: {subject})", type_of(&subject)));
        }
    }
    why.dedup();
    Ok(why)
}

/// What may be stored under the definition.
fn known(domain: &Domain) -> std::collections::BTreeSet<(Kind, u32)> {
    let hash = |name: &TypeName| type_hash(name.context(), name.name());
    let own: TypeName = LOSS_ACCEPTED.parse().expect("a context, a dot and a type are a name");
    let events = domain.events.keys().chain([&own]).map(|name| (Kind::Event, hash(name)));
    let durable = domain.commands.iter().filter(|(_, command)| command.delivery == Delivery::Durable);
    events.chain(durable.map(|(name, _)| (Kind::Command, hash(name)))).collect()
}

/// The type in a stored subject, or the whole of it.
fn type_of(subject: &str) -> String {
    let tokens: Vec<&str> = subject.split('.').collect();
    match tokens[..] {
        [_, "event", context, _, name] | [_, "command", context, name, _] => format!("{context}.{name}"),
        _ => subject.to_owned(),
    }
}

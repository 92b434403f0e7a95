//! The sections `[command."…"]`, `[query."…"]` and `[event."…"]`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use comms_msg::{Kind, TypeName};
use toml::de::{DeTable, DeValue};

use super::reader::{Entry, Keys, Reader, entries};
use super::schemas::Compiled;
use crate::domain::{CommandSpec, EventSpec, OWN_CONTEXT, QuerySpec};
use crate::limits::{COMMAND_DEADLINE_DEFAULT, QUERY_DEADLINE_DEFAULT, TYPES_MAX};
use crate::nearest;
use crate::schema::echo;
use crate::words::is_lower_name;
use comms_msg::door::Delivery;

/// Keys of `[command."…"]`.
pub(crate) const COMMAND_KEYS: [&str; 3] = ["delivery", "version", "deadline"];
/// Keys of `[query."…"]`.
pub(crate) const QUERY_KEYS: [&str; 2] = ["version", "deadline"];
/// Keys of `[event."…"]`.
pub(crate) const EVENT_KEYS: [&str; 2] = ["version", "entity"];

/// One type as far as it could be read.
pub(super) struct RawType {
    pub(super) kind: Kind,
    /// Byte of the name in its section's header.
    pub(super) at: usize,
    pub(super) delivery: Delivery,
    version: u32,
    deadline: Duration,
    entity: String,
}

/// All types of a definition.
pub(super) struct Types {
    pub(super) known: BTreeMap<TypeName, RawType>,
    /// Names that were reported and are not to be reported again where they are used.
    pub(super) broken: BTreeSet<String>,
}

impl Types {
    pub(super) fn read(reader: &mut Reader<'_>, top: &Keys<'_>) -> Self {
        let mut types = Self { known: BTreeMap::new(), broken: BTreeSet::new() };
        for kind in Kind::ALL {
            if let Some(section) = top.get(kind.as_str())
                && let Some(table) = reader.table(section)
            {
                for entry in entries(table) {
                    types.entry(reader, kind, &entry);
                }
            }
        }
        types
    }

    /// All known names of a kind.
    pub(super) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &TypeName> {
        self.known.iter().filter(move |(_, raw)| raw.kind == kind).map(|(name, _)| name)
    }

    fn entry(&mut self, reader: &mut Reader<'_>, kind: Kind, entry: &Entry<'_>) {
        if let Ok(name) = TypeName::new(entry.key) {
            if let Some(table) = reader.table(entry) {
                self.add(reader, kind, name, entry.at, table);
            } else {
                self.broken.insert(entry.key.to_owned());
            }
            return;
        }
        // [command.documents.AddDocument] without quotes is a table in a table.
        let below = match entry.value.get_ref() {
            DeValue::Table(table) => entries(table),
            _ => Vec::new(),
        };
        let mut unquoted = false;
        for inner in &below {
            let Ok(name) = TypeName::of(entry.key, inner.key) else { continue };
            unquoted = true;
            reader.problem(
                inner.at,
                format!("{name} is written without quotes"),
                &format!("write [{}.\"{name}\"]", kind.as_str()),
            );
            if let DeValue::Table(table) = inner.value.get_ref() {
                self.add(reader, kind, name, inner.at, table);
            }
        }
        if !unquoted {
            self.broken.insert(entry.key.to_owned());
            reader.problem(
                entry.at,
                format!("not the name of {}: {}", kind.with_article(), echo(entry.key)),
                "context in lower case, a dot, the type beginning with a capital: \"documents.AddDocument\"",
            );
        }
    }

    fn add(&mut self, reader: &mut Reader<'_>, kind: Kind, name: TypeName, at: usize, table: &DeTable<'_>) {
        if let Some(other) = self.known.get(&name) {
            reader.problem(
                at,
                format!("{name} is both {} and {}", other.kind.with_article(), kind.with_article()),
                "one name is one thing: call one of them differently",
            );
            return;
        }
        if name.context() == OWN_CONTEXT {
            reader.problem(
                at,
                format!("{name} is in the context {OWN_CONTEXT}, which is the runtime's own"),
                "call the context differently",
            );
            self.broken.insert(name.to_string());
            return;
        }
        if self.known.len() >= TYPES_MAX {
            if self.known.len() == TYPES_MAX && self.broken.insert(String::new()) {
                reader.problem(at, format!("more than {TYPES_MAX} types"), "split the domain");
            }
            self.broken.insert(name.to_string());
            return;
        }
        let mut raw = RawType {
            kind,
            at,
            delivery: Delivery::Durable,
            version: 1,
            deadline: match kind {
                Kind::Command | Kind::Event => COMMAND_DEADLINE_DEFAULT,
                Kind::Query => QUERY_DEADLINE_DEFAULT,
            },
            entity: name.context().to_owned(),
        };
        let within = format!("[{}.\"{name}\"]", kind.as_str());
        let keys = match kind {
            Kind::Command => reader.keys(table, &within, &COMMAND_KEYS),
            Kind::Query => reader.keys(table, &within, &QUERY_KEYS),
            Kind::Event => reader.keys(table, &within, &EVENT_KEYS),
        };
        if let Some(version) = keys.get("version").and_then(|entry| reader.version(entry)) {
            raw.version = version;
        }
        if let Some(deadline) = keys.get("deadline").and_then(|entry| reader.deadline(entry)) {
            raw.deadline = deadline;
        }
        if let Some(delivery) = keys.get("delivery").and_then(|entry| delivery(reader, entry)) {
            raw.delivery = delivery;
        }
        if let Some(entity) = keys.get("entity").and_then(|entry| entity(reader, entry)) {
            raw.entity = entity;
        }
        self.known.insert(name, raw);
    }

    /// The checked types with their schemas.
    pub(super) fn into_specs(
        self,
        schemas: &mut Compiled,
    ) -> (BTreeMap<TypeName, CommandSpec>, BTreeMap<TypeName, QuerySpec>, BTreeMap<TypeName, EventSpec>) {
        let (mut commands, mut queries, mut events) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (name, raw) in self.known {
            let RawType { delivery, version, deadline, entity, .. } = raw;
            let schema = schemas.remove(&name);
            match raw.kind {
                Kind::Command => {
                    commands.insert(name, CommandSpec { delivery, version, schema, deadline });
                }
                Kind::Query => {
                    queries.insert(name, QuerySpec { version, schema, deadline });
                }
                Kind::Event => {
                    events.insert(name, EventSpec { entity, version, schema });
                }
            }
        }
        (commands, queries, events)
    }
}

fn delivery(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<Delivery> {
    let (text, at) = reader.text(entry)?;
    let known = [Delivery::Durable, Delivery::Direct];
    let found = known.into_iter().find(|delivery| delivery.as_str() == text);
    if found.is_none() {
        let mend = match nearest::word(text, known.iter().map(|delivery| delivery.as_str())) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => "\"durable\" (kept until handled) or \"direct\" (nobody keeps it)".to_owned(),
        };
        reader.problem(at, format!("unknown delivery {}", echo(text)), &mend);
    }
    found
}

fn entity(reader: &mut Reader<'_>, entry: &Entry<'_>) -> Option<String> {
    let (text, at) = reader.text(entry)?;
    if is_lower_name(text) {
        return Some(text.to_owned());
    }
    reader.problem(
        at,
        format!("not a kind of entity: {}", echo(text)),
        "a lower-case letter, then at most 62 of a-z 0-9 _ -",
    );
    None
}

//! What only shows when all sections are seen together: who handles, answers and emits what others rely on.

use std::collections::BTreeMap;

use comms_msg::{Kind, TypeName};

use super::Draft;
use super::reader::Reader;
use super::services::ListKey;
use super::types::RawType;
use comms_msg::door::Delivery;

/// Checks every type against all services that name it. `*` of the built-in users counts as nobody: it is there
/// whether or not anybody relies on the type.
pub(super) fn across(reader: &mut Reader<'_>, draft: &Draft) {
    let who = Who::of(draft);
    for (name, raw) in &draft.types.known {
        match raw.kind {
            Kind::Command => command(reader, &who, name, raw),
            Kind::Query => query(reader, &who, name, raw),
            Kind::Event => event(reader, &who, name, raw),
        }
    }
}

/// Who names a type in a list, in the order of the file.
struct Who<'a> {
    named: BTreeMap<(ListKey, &'a TypeName), Vec<(usize, &'a str)>>,
    draft: &'a Draft,
}

impl<'a> Who<'a> {
    fn of(draft: &'a Draft) -> Self {
        let mut named: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (service, raw) in &draft.services {
            for (key, list) in &raw.lists {
                for (name, at) in list {
                    named.entry((*key, name)).or_default().push((*at, service.as_str()));
                }
            }
        }
        for services in named.values_mut() {
            services.sort_unstable();
        }
        Self { named, draft }
    }

    fn names(&self, key: ListKey, name: &'a TypeName) -> &[(usize, &'a str)] {
        self.named.get(&(key, name)).map_or(&[], Vec::as_slice)
    }

    /// Whether it is certain that nobody names the type in such a list.
    fn nobody(&self, key: ListKey, name: &'a TypeName) -> bool {
        self.names(key, name).is_empty() && !self.draft.services.values().any(|raw| raw.unread.contains(&key))
    }

    fn list(&self, key: ListKey, name: &'a TypeName) -> String {
        self.names(key, name).iter().map(|(_, service)| *service).collect::<Vec<_>>().join(", ")
    }
}

fn command<'a>(reader: &mut Reader<'_>, who: &Who<'a>, name: &'a TypeName, raw: &RawType) {
    let handlers = who.names(ListKey::Handles, name);
    match raw.delivery {
        Delivery::Durable => {
            if who.nobody(ListKey::Handles, name) {
                reader.problem(
                    raw.at,
                    format!("{name} is durable and no service handles it"),
                    "add it to handles of one service, or say delivery = \"direct\"",
                );
            }
            for (at, service) in handlers.iter().skip(1) {
                reader.problem(
                    *at,
                    format!(
                        "{name} is durable and handled by {} already, not by {service} too",
                        handlers[0].1
                    ),
                    "a durable command has one handler: remove it from one of them",
                );
            }
        }
        Delivery::Direct => {
            if who.nobody(ListKey::Handles, name) && !who.names(ListKey::Sends, name).is_empty() {
                reader.problem(
                    raw.at,
                    format!("{name} is sent by {} and no service handles it", who.list(ListKey::Sends, name)),
                    "add it to handles of a service",
                );
            }
        }
    }
}

fn query<'a>(reader: &mut Reader<'_>, who: &Who<'a>, name: &'a TypeName, raw: &RawType) {
    let answering = who.names(ListKey::Answers, name);
    if who.nobody(ListKey::Answers, name) && !who.names(ListKey::Asks, name).is_empty() {
        reader.problem(
            raw.at,
            format!("{name} is asked by {} and no service answers it", who.list(ListKey::Asks, name)),
            "add it to answers of one service",
        );
    }
    for (at, service) in answering.iter().skip(1) {
        reader.problem(
            *at,
            format!("{name} is answered by {} already, not by {service} too", answering[0].1),
            "a query is answered by one service, in as many instances as wanted: remove it from one of them",
        );
    }
}

fn event<'a>(reader: &mut Reader<'_>, who: &Who<'a>, name: &'a TypeName, raw: &RawType) {
    if who.nobody(ListKey::Emits, name) && !who.names(ListKey::Observes, name).is_empty() {
        reader.problem(
            raw.at,
            format!("{name} is observed by {} and no service emits it", who.list(ListKey::Observes, name)),
            "add it to emits of a service",
        );
    }
}

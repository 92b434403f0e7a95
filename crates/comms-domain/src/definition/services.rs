//! The sections `[service.NAME]`, `[dev]` and `[operator]`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use comms_msg::{Kind, Owner, ServiceName, TypeName};
use toml::de::{DeTable, DeValue};

use super::reader::{Entry as Section, Keys, Reader, entries};
use super::types::Types;
use crate::domain::{Right, Service};
use crate::limits::{OWNERS_MAX, SERVICES_MAX};
use crate::nearest;
use crate::schema::echo;

/// Keys of a service.
pub(crate) const SERVICE_KEYS: [&str; 8] =
    ["handles", "answers", "emits", "sends", "asks", "observes", "rights", "owners"];
/// What stands for everything of a kind.
const ALL: &str = "*";

/// The lists of types in a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ListKey {
    Handles,
    Answers,
    Emits,
    Sends,
    Asks,
    Observes,
}

impl ListKey {
    pub(super) const EVERY: [Self; 6] =
        [Self::Handles, Self::Answers, Self::Emits, Self::Sends, Self::Asks, Self::Observes];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Handles => "handles",
            Self::Answers => "answers",
            Self::Emits => "emits",
            Self::Sends => "sends",
            Self::Asks => "asks",
            Self::Observes => "observes",
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Handles | Self::Sends => Kind::Command,
            Self::Answers | Self::Asks => Kind::Query,
            Self::Emits | Self::Observes => Kind::Event,
        }
    }
}

/// A service as far as it could be read.
#[derive(Default)]
pub(super) struct RawService {
    /// Types by list, with the place of each entry.
    pub(super) lists: BTreeMap<ListKey, BTreeMap<TypeName, usize>>,
    /// Lists that stand for everything of their kind.
    all: BTreeSet<ListKey>,
    /// Lists of which a part could not be read.
    pub(super) unread: BTreeSet<ListKey>,
    rights: BTreeSet<Right>,
    owners: BTreeSet<Owner>,
}

impl RawService {
    /// A service of which nothing could be read.
    fn unread() -> Self {
        Self { unread: BTreeSet::from(ListKey::EVERY), ..Self::default() }
    }
}

/// Services by name as written.
pub(super) type RawServices = BTreeMap<String, RawService>;

/// Reads all services, the built-in ones with their defaults. One whose name is wrong is read all the same, so
/// that nothing else is called missing because of it.
pub(super) fn read(reader: &mut Reader<'_>, top: &Keys<'_>, types: &Types) -> RawServices {
    let mut services = RawServices::new();
    let mut sections = Vec::new();
    if let Some(section) = top.get("service") {
        match reader.table(section) {
            Some(table) => sections = entries(table),
            None => drop(services.insert(String::new(), RawService::unread())),
        }
    }
    for entry in sections {
        check_name(reader, &entry);
        if services.len() == SERVICES_MAX {
            reader.problem(entry.at, format!("more than {SERVICES_MAX} services"), "split the domain");
            break;
        }
        let raw = match reader.table(&entry) {
            Some(table) => service(reader, table, &format!("[service.{}]", echo(entry.key)), false, types),
            None => RawService::unread(),
        };
        // A reserved name must not take the place of the built-in user, which is added below.
        let key =
            if is_reserved(entry.key) { format!("service.{}", entry.key) } else { entry.key.to_owned() };
        services.insert(key, raw);
    }
    let mut built_in = |name: &'static str, all: &[ListKey], rights: &[Right]| {
        let section = top.get(name).and_then(|entry| reader.table(entry));
        let mut raw = section.map_or_else(RawService::default, |table| {
            service(reader, table, &format!("[{name}]"), true, types)
        });
        let said = |key: &str| section.is_some_and(|table| table.contains_key(key));
        raw.all.extend(all.iter().filter(|list| !said(list.word())));
        if !said("rights") {
            raw.rights.extend(rights);
        }
        services.insert(name.to_owned(), raw);
    };
    built_in(ServiceName::DEV, &[ListKey::Sends, ListKey::Asks, ListKey::Observes], &[]);
    built_in(ServiceName::OPERATOR, &[], &[Right::DomainApply, Right::DomainRead]);
    services
}

fn is_reserved(name: &str) -> bool {
    matches!(name, ServiceName::DEV | ServiceName::OPERATOR)
}

fn check_name(reader: &mut Reader<'_>, entry: &Section<'_>) {
    let reserved = match entry.key {
        ServiceName::DEV | ServiceName::OPERATOR => Some(format!("it is built in: write [{}]", entry.key)),
        ServiceName::NODE => Some("it is the node itself: choose another name".to_owned()),
        _ => None,
    };
    if let Some(mend) = reserved {
        reader.problem(entry.at, format!("no service can be called {}", entry.key), &mend);
    } else if ServiceName::new(entry.key).is_err() {
        reader.problem(
            entry.at,
            format!("not the name of a service: {}", echo(entry.key)),
            "a lower-case letter, then at most 62 of a-z 0-9 _ -",
        );
    }
}

fn service(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    within: &str,
    is_built_in: bool,
    types: &Types,
) -> RawService {
    let mut raw = RawService::default();
    let keys = reader.keys(table, within, &SERVICE_KEYS);
    for key in ListKey::EVERY {
        let Some(entry) = keys.get(key.word()) else { continue };
        let Some(list) = texts(reader, entry) else {
            raw.unread.insert(key);
            continue;
        };
        for (text, at) in list {
            if text == ALL {
                all(reader, &mut raw, key, at, is_built_in);
            } else {
                member(reader, &mut raw, key, text, at, types);
            }
        }
    }
    if let Some(entry) = keys.get("rights") {
        for (text, at) in texts(reader, entry).unwrap_or_default() {
            right(reader, &mut raw, text, at);
        }
    }
    if let Some(entry) = keys.get("owners")
        && let Some(list) = texts(reader, entry)
    {
        owners(reader, &mut raw, &list, entry.at);
    }
    raw
}

fn owners(reader: &mut Reader<'_>, raw: &mut RawService, list: &[(&str, usize)], place: usize) {
    if list.is_empty() {
        reader.problem(
            place,
            "owners is empty: nobody could answer for what it sends".to_owned(),
            "list those whom the service may name, or remove the key: then it may name anybody",
        );
    }
    for &(text, at) in list {
        if raw.owners.len() == OWNERS_MAX {
            reader.problem(
                at,
                format!("more than {OWNERS_MAX} owners"),
                "remove the key: then it may name anybody",
            );
            return;
        }
        match Owner::new(text) {
            Ok(owner) => {
                if !raw.owners.insert(owner) {
                    reader.problem(
                        at,
                        format!("{} is listed twice in owners", echo(text)),
                        "remove one of them",
                    );
                }
            }
            Err(_) => {
                let what = format!("not an owner: {}", echo(text));
                reader.problem(at, what, "1 to 128 bytes without control characters");
            }
        }
    }
}

/// The entries of a list of texts with their places; `None` if a part could not be read.
fn texts<'t>(reader: &mut Reader<'_>, entry: &Section<'t>) -> Option<Vec<(&'t str, usize)>> {
    let DeValue::Array(items) = entry.value.get_ref() else {
        reader.wrong_type(entry.value, entry.key, entry.value.get_ref(), "a list of names in [ ]");
        return None;
    };
    let mut texts = Vec::with_capacity(items.len());
    let mut whole = true;
    for item in items.iter() {
        if let DeValue::String(text) = item.get_ref() {
            texts.push((text.as_ref(), item.span().start));
        } else {
            reader.wrong_type(
                item,
                &format!("an entry of {}", entry.key),
                item.get_ref(),
                "a name in quotes",
            );
            whole = false;
        }
    }
    whole.then_some(texts)
}

fn all(reader: &mut Reader<'_>, raw: &mut RawService, key: ListKey, at: usize, is_built_in: bool) {
    let word = key.word();
    if !is_built_in {
        reader.problem(
            at,
            format!("\"*\" in {word} of a service"),
            "name each type: only [dev] and [operator] may say \"*\"",
        );
        raw.unread.insert(key);
    } else if matches!(key, ListKey::Handles | ListKey::Answers) {
        reader.problem(
            at,
            format!("\"*\" in {word}"),
            "name each type: what everybody else handles or answers would get a second one",
        );
    } else if !raw.all.insert(key) {
        reader.problem(at, format!("\"*\" is listed twice in {word}"), "remove one of them");
    }
}

fn member(reader: &mut Reader<'_>, raw: &mut RawService, key: ListKey, text: &str, at: usize, types: &Types) {
    let Some(name) = resolve_text(reader, key, text, at, types) else {
        raw.unread.insert(key);
        return;
    };
    match raw.lists.entry(key).or_default().entry(name) {
        Entry::Vacant(place) => drop(place.insert(at)),
        Entry::Occupied(place) => {
            let what = format!("{} is listed twice in {}", place.key(), key.word());
            reader.problem(at, what, "remove one of them");
        }
    }
}

/// The type an entry means. What does not exist is reported, and answered as what was probably meant.
fn resolve_text(
    reader: &mut Reader<'_>,
    key: ListKey,
    text: &str,
    at: usize,
    types: &Types,
) -> Option<TypeName> {
    let kind = key.kind();
    let found = TypeName::new(text).ok().and_then(|name| types.known.get_key_value(name.as_str()));
    if let Some((name, raw)) = found {
        if raw.kind == kind {
            return Some(name.clone());
        }
        let fitting: Vec<&str> =
            ListKey::EVERY.into_iter().filter(|list| list.kind() == raw.kind).map(ListKey::word).collect();
        reader.problem(
            at,
            format!("{name} is {}, and {} lists {}", raw.kind.with_article(), key.word(), plural(kind)),
            &format!("list it under {}", fitting.join(" or ")),
        );
        return None;
    }
    if types.broken.contains(text) {
        return None;
    }
    let meant = match reader.is_full() {
        true => None,
        false => nearest::type_name(text, types.of_kind(kind)).cloned(),
    };
    let what = format!("there is no {} {}", kind.as_str(), echo(text));
    let mend = match &meant {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("add [{}.\"{}\"], or remove it here", kind.as_str(), echo(text)),
    };
    reader.problem(at, what, &mend);
    meant
}

fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Command => "commands",
        Kind::Query => "queries",
        Kind::Event => "events",
    }
}

fn right(reader: &mut Reader<'_>, raw: &mut RawService, text: &str, at: usize) {
    match Right::ALL.into_iter().find(|right| right.as_str() == text) {
        Some(right) => {
            if !raw.rights.insert(right) {
                reader.problem(at, format!("{text} is listed twice in rights"), "remove one of them");
            }
        }
        None => {
            let known = Right::ALL.map(Right::as_str);
            let mend = match nearest::word(text, known) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("known rights: {}", known.join(", ")),
            };
            reader.problem(at, format!("unknown right {}", echo(text)), &mend);
        }
    }
}

/// The services with `*` written out.
pub(super) fn resolve(raw: RawServices, types: &Types) -> BTreeMap<ServiceName, Service> {
    raw.into_iter()
        .map(|(name, mut raw)| {
            let name = ServiceName::new(&name).expect("a definition with a bad name is a problem");
            let mut list = |key: ListKey| -> BTreeSet<TypeName> {
                if raw.all.contains(&key) {
                    return types.of_kind(key.kind()).cloned().collect();
                }
                raw.lists.remove(&key).unwrap_or_default().into_keys().collect()
            };
            let service = Service {
                handles: list(ListKey::Handles),
                answers: list(ListKey::Answers),
                emits: list(ListKey::Emits),
                sends: list(ListKey::Sends),
                asks: list(ListKey::Asks),
                observes: list(ListKey::Observes),
                rights: std::mem::take(&mut raw.rights),
                owners: std::mem::take(&mut raw.owners),
            };
            (name, service)
        })
        .collect()
}

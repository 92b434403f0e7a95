//! From the text of `domain.toml` and its schemas to a checked [`Domain`], or to everything that is wrong.
//!
//! Reading goes on after every mistake. Where a mistake has an obvious meaning (`handels`, `AddDocumnt`), the rest
//! is checked as if it had been written right, so that one mistake is reported once and not by its
//! consequences too.

mod checks;
pub(crate) mod limits;
mod quantity;
mod reader;
mod schemas;
mod services;
mod types;

use std::collections::BTreeMap;

use comms_msg::DomainName;
use toml::de::DeTable;

use crate::bound::Bounds;
use crate::domain::{ContentPolicy, Domain};
use crate::limits::{
    COPIES_DEFAULT, COPIES_MAX, DEFINITION_BYTES_MAX, THRESHOLD_BYTES_DEFAULT, THRESHOLD_BYTES_MAX,
    THRESHOLD_BYTES_MIN,
};
use crate::problem::{Problem, Problems};
use reader::{Entry, Reader};
use services::RawServices;
use types::Types;

/// Keys of the file itself.
pub(crate) const TOP_KEYS: [&str; 10] =
    ["name", "version", "content", "limits", "command", "query", "event", "service", "dev", "operator"];
/// Keys of `[content]`.
pub(crate) const CONTENT_KEYS: [&str; 2] = ["threshold", "copies"];

/// The domain, and what in its files is right and does not do what it seems to.
pub(crate) fn parse(
    file: &str,
    toml: &str,
    schemas: &BTreeMap<String, String>,
) -> Result<(Domain, Vec<Problem>), Problems> {
    if toml.len() > DEFINITION_BYTES_MAX {
        let mut reader = Reader::new(file, "");
        reader.problem(
            0,
            format!("larger than {DEFINITION_BYTES_MAX} bytes"),
            "split the domain: a definition that large is several domains",
        );
        return Err(reader.into_problems().expect("one was just added"));
    }
    let mut reader = Reader::new(file, toml);
    let (table, errors) = DeTable::parse_recoverable(toml);
    let syntax_is_right = errors.is_empty();
    for error in errors {
        reader.syntax(&error);
    }
    let draft = Draft::read(&mut reader, table.get_ref());
    let schemas = schemas::compile(&mut reader, schemas, &draft.types);
    // What a line that could not be read said is unknown, so nothing can be called missing.
    if syntax_is_right {
        checks::across(&mut reader, &draft);
    }
    let notes = reader.take_notes();
    match reader.into_problems() {
        Some(problems) => Err(problems),
        None => Ok((draft.into_domain(schemas), notes)),
    }
}

/// Everything that could be read.
struct Draft {
    name: Option<DomainName>,
    version: u32,
    content: ContentPolicy,
    bounds: Bounds,
    types: Types,
    services: RawServices,
}

impl Draft {
    fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Self {
        let top = reader.keys(table, "domain.toml", &TOP_KEYS);
        let name = match top.get("name") {
            Some(entry) => reader.text(entry).and_then(|(text, at)| {
                DomainName::new(text)
                    .map_err(|_| {
                        reader.problem(
                            at,
                            format!("not a name of a domain: {}", crate::schema::echo(text)),
                            "a lower-case letter, then at most 62 of a-z 0-9 _ -",
                        );
                    })
                    .ok()
            }),
            None => {
                reader.problem(0, "the domain has no name".to_owned(), "add name = \"…\" at the top");
                None
            }
        };
        let version = top.get("version").and_then(|entry| reader.version(entry)).unwrap_or(1);
        let content = top.get("content").map_or_else(content_default, |entry| content(reader, entry));
        let bounds = top.get("limits").map_or_else(Bounds::default, |entry| limits::limits(reader, entry));
        let types = Types::read(reader, &top);
        let services = services::read(reader, &top, &types);
        Self { name, version, content, bounds, types, services }
    }

    fn into_domain(self, mut schemas: schemas::Compiled) -> Domain {
        let services = services::resolve(self.services, &self.types);
        let (commands, queries, events) = self.types.into_specs(&mut schemas);
        Domain {
            name: self.name.expect("a definition without a name is a problem"),
            version: self.version,
            content: self.content,
            limits: self.bounds,
            commands,
            queries,
            events,
            services,
        }
    }
}

fn content_default() -> ContentPolicy {
    ContentPolicy { threshold: THRESHOLD_BYTES_DEFAULT, copies: COPIES_DEFAULT }
}

fn content(reader: &mut Reader<'_>, entry: &Entry<'_>) -> ContentPolicy {
    let mut policy = content_default();
    let Some(table) = reader.table(entry) else { return policy };
    let keys = reader.keys(table, "[content]", &CONTENT_KEYS);
    if let Some(entry) = keys.get("threshold")
        && let Some((bytes, at)) = reader.size(entry)
    {
        if (THRESHOLD_BYTES_MIN..=THRESHOLD_BYTES_MAX).contains(&bytes) {
            policy.threshold = bytes;
        } else {
            reader.problem(
                at,
                format!("a threshold of {bytes} bytes is out of bounds"),
                "between \"1 KiB\" and \"512 KiB\"; \"64 KiB\" suits most domains",
            );
        }
    }
    if let Some(entry) = keys.get("copies")
        && let Some((copies, at)) = reader.integer(entry)
    {
        match u8::try_from(copies) {
            Ok(copies) if (1..=COPIES_MAX).contains(&copies) => policy.copies = copies,
            _ => reader.problem(
                at,
                format!("{copies} copies are out of bounds"),
                &format!("between 1 and {COPIES_MAX}"),
            ),
        }
    }
    policy
}
